package gossip

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"

	ma "github.com/multiformats/go-multiaddr"

	"github.com/castd/castd/engine"
)

// sockets is a listener on a machine where some ports are busy.
type sockets struct {
	busy map[string]bool // "tcp/8471"
	next int             // port that the system gives next for TCP
	open []ma.Multiaddr
}

func (s *sockets) AddListenAddr(a ma.Multiaddr) error {
	parts := strings.Split(a.String(), "/")
	protocol, port := parts[3], parts[4]
	if port == "0" {
		port = fmt.Sprint(s.next)
		s.next++
	}
	if s.busy[protocol+"/"+port] {
		return fmt.Errorf("listen: %w", syscall.EADDRINUSE)
	}
	s.open = append(s.open, ma.StringCast(strings.Replace(a.String(), "/"+protocol+"/"+parts[4], "/"+protocol+"/"+port, 1)))
	return nil
}

func (s *sockets) ListenClose(addrs ...ma.Multiaddr) {
	s.open = slices.DeleteFunc(s.open, func(a ma.Multiaddr) bool {
		return slices.ContainsFunc(addrs, a.Equal)
	})
}

func (s *sockets) ListenAddresses() []ma.Multiaddr { return slices.Clone(s.open) }

func TestDefaultPortFallsBack(t *testing.T) {
	tests := []struct {
		name string
		busy []string
		ip6  bool
		want string
	}{
		{"free", nil, true, "/ip4/0.0.0.0/tcp/8471 /ip4/0.0.0.0/udp/8471/quic-v1 /ip6/::/tcp/8471 /ip6/::/udp/8471/quic-v1"},
		{"no IPv6", nil, false, "/ip4/0.0.0.0/tcp/8471 /ip4/0.0.0.0/udp/8471/quic-v1"},
		{"TCP is busy", []string{"tcp/8471"}, false, "/ip4/0.0.0.0/tcp/5000 /ip4/0.0.0.0/udp/5000/quic-v1"},
		{"UDP is busy", []string{"udp/8471"}, true, "/ip4/0.0.0.0/tcp/5000 /ip4/0.0.0.0/udp/5000/quic-v1 /ip6/::/tcp/5000 /ip6/::/udp/5000/quic-v1"},
		{"UDP of the free port is busy too", []string{"tcp/8471", "udp/5000"}, false, "/ip4/0.0.0.0/tcp/5001 /ip4/0.0.0.0/udp/5001/quic-v1"},
	}
	for _, tt := range tests {
		s := &sockets{busy: map[string]bool{}, next: 5000}
		for _, b := range tt.busy {
			s.busy[b] = true
		}
		if err := listenDefault(s, DefaultPort, tt.ip6); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		if got := strings.Join(addrStrings(s.open), " "); got != tt.want {
			t.Errorf("%s:\n got %s\nwant %s", tt.name, got, tt.want)
		}
	}
	s := &sockets{busy: map[string]bool{"tcp/8471": true}, next: 5000}
	for port := 5000; port < 5000+portTries; port++ { // nothing fits both
		s.busy[fmt.Sprintf("udp/%d", port)] = true
	}
	if err := listenDefault(s, DefaultPort, false); err != nil || len(s.open) != 2 {
		t.Errorf("last resort: %v, %v", s.open, err)
	}
}

func TestPortThatWasAskedForIsBusy(t *testing.T) {
	s := &sockets{busy: map[string]bool{"udp/9000": true}}
	err := listenAt(s, []string{"/ip4/0.0.0.0/tcp/9000", "/ip4/0.0.0.0/udp/9000/quic-v1"})
	var user *engine.UserError
	if !errors.As(err, &user) || !strings.Contains(user.Message, "/ip4/0.0.0.0/udp/9000/quic-v1") || !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("error = %v", err)
	}
	if err := listenAt(s, []string{"0.0.0.0:9000"}); !errors.As(err, &user) || !strings.Contains(user.Message, "0.0.0.0:9000") {
		t.Errorf("not a multiaddr: %v", err)
	}
}

func addrStrings(addrs []ma.Multiaddr) []string {
	var out []string
	for _, a := range addrs {
		out = append(out, a.String())
	}
	return out
}

// Real sockets: a second peer with the default addresses gets other ports; one that asks for a busy port is told.
func TestRealSockets(t *testing.T) {
	start := func(n int, listen ...string) (*Plane, error) {
		p, err := New(context.Background(), Config{Key: testKey(n), Listen: listen})
		if err == nil {
			t.Cleanup(func() { p.Close() })
			if err := p.Start(newRecorder()); err != nil {
				t.Fatal(err)
			}
		}
		return p, err
	}
	a, err := start(1)
	if err != nil {
		t.Fatal(err)
	}
	b, err := start(2)
	if err != nil {
		t.Fatal(err)
	}
	ports := func(p *Plane) map[string]bool {
		out := map[string]bool{}
		for _, addr := range p.host.Network().ListenAddresses() {
			for _, code := range []int{ma.P_TCP, ma.P_UDP} {
				if v, err := addr.ValueForProtocol(code); err == nil {
					out[fmt.Sprint(code, "/", v)] = true
				}
			}
		}
		return out
	}
	for port := range ports(b) {
		if ports(a)[port] {
			t.Errorf("two peers share port %s", port)
		}
	}
	for _, transport := range []string{"/tcp/", "/quic-v1"} {
		info := a.Self()
		info.Addrs = slices.DeleteFunc(info.Addrs, func(m ma.Multiaddr) bool {
			return !strings.Contains(m.String(), transport) || !strings.HasPrefix(m.String(), "/ip4/127.0.0.1/")
		})
		if len(info.Addrs) == 0 {
			t.Fatalf("no loopback address with %s in %v", transport, a.Self().Addrs)
		}
		if _, err := start(3, info.Addrs[0].String()); err == nil || !strings.Contains(err.Error(), info.Addrs[0].String()) {
			t.Errorf("busy %s: %v", info.Addrs[0], err)
		}
		c, err := start(4, "/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1")
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Connect(t.Context(), info); err != nil {
			t.Fatal(err)
		}
		if answer, err := c.Request(t.Context(), a.id, []byte("x")); err != nil || string(answer) != "re x" {
			t.Errorf("Request over %s = %q, %v", transport, answer, err)
		}
		c.Close()
	}
	if _, err := New(context.Background(), Config{Key: testKey(1)[:10]}); err == nil {
		t.Error("half a key was taken")
	}
}

func TestNobodyListensThere(t *testing.T) {
	a, err := New(context.Background(), Config{Key: testKey(1), Listen: []string{"/ip4/127.0.0.1/tcp/0"}})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	gone, err := New(context.Background(), Config{Key: testKey(2), Listen: []string{"/ip4/127.0.0.1/tcp/0"}})
	if err != nil {
		t.Fatal(err)
	}
	info := gone.Self()
	gone.Close()
	err = a.Connect(t.Context(), info)
	var user *engine.UserError
	want := fmt.Sprintf("cannot reach %s at %s: nobody listens there", info.ID, info.Addrs[0])
	if !errors.As(err, &user) || user.Message != want {
		t.Errorf("error = %v, want %s", err, want)
	}
	// Another peer is at the address now.
	other := a.Self()
	other.ID = info.ID
	b, err := New(context.Background(), Config{Key: testKey(3), Listen: []string{"/ip4/127.0.0.1/tcp/0"}})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if err = b.Connect(t.Context(), other); err == nil || !strings.Contains(err.Error(), "another peer answers there") {
		t.Errorf("error = %v", err)
	}
	other.ID, other.Addrs = a.id, nil
	b.host.Peerstore().ClearAddrs(a.id)
	if err = b.Connect(t.Context(), other); err == nil || !strings.Contains(err.Error(), "no address is known") {
		t.Errorf("error = %v", err)
	}
}

func TestSortAddrs(t *testing.T) {
	var in []ma.Multiaddr
	for _, s := range []string{
		"/ip4/127.0.0.1/tcp/1", "/ip4/127.0.0.1/udp/1/quic-v1", "/ip4/192.168.1.2/tcp/1", "/ip6/fe80::1/tcp/1", "/ip4/8.8.8.8/tcp/1",
		"/ip4/8.8.8.8/udp/1/quic-v1", "/ip4/8.8.8.8/tcp/1",
	} {
		in = append(in, ma.StringCast(s))
	}
	want := "/ip4/8.8.8.8/udp/1/quic-v1 /ip4/8.8.8.8/tcp/1 /ip4/192.168.1.2/tcp/1 /ip6/fe80::1/tcp/1 /ip4/127.0.0.1/udp/1/quic-v1 /ip4/127.0.0.1/tcp/1"
	if got := strings.Join(addrStrings(sortAddrs(in)), " "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
