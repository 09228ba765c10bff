package checks

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/logging"
	"github.com/pion/stun/v4"
	"github.com/pion/transport/v5/vnet"

	"github.com/castd/castd/engine/udp"
)

func quiet() logging.LoggerFactory {
	f := logging.NewDefaultLoggerFactory()
	f.DefaultLogLevel = logging.LogLevelDisabled
	return f
}

// lab is an Agent on a virtual network, with guests of pion/ice.
type lab struct {
	*testing.T
	router *vnet.Router
	port   *udp.Port
	agent  *Agent
	own    Credentials

	selected  atomic.Int32
	mu        sync.Mutex
	datagrams []string
	alive     atomic.Bool
}

func (l *lab) Selected() { l.selected.Add(1) }

func (l *lab) Datagram(b []byte) {
	l.mu.Lock()
	l.datagrams = append(l.datagrams, string(b))
	l.mu.Unlock()
}

// bubble runs f with a lab on a network with 5 ms each way, and ticks the agent.
func bubble(t *testing.T, controlling bool, f func(l *lab)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		router, err := vnet.NewRouter(&vnet.RouterConfig{CIDR: "10.0.0.0/16", MinDelay: 5 * time.Millisecond, LoggerFactory: quiet()})
		if err != nil {
			t.Fatal(err)
		}
		l := &lab{T: t, router: router}
		l.alive.Store(true)
		if l.port, err = udp.ListenNet(l.net("10.0.0.1")); err != nil {
			t.Fatal(err)
		}
		if l.agent, err = New(Config{Port: l.port, Events: l, Controlling: controlling}); err != nil {
			t.Fatal(err)
		}
		if err := router.Start(); err != nil {
			t.Fatal(err)
		}
		stop, stopped := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(stopped)
			for {
				next, alive := l.agent.Tick(time.Now())
				if !alive {
					l.alive.Store(false)
				}
				select {
				case <-stop:
					return
				case <-time.After(max(10*time.Millisecond, min(time.Until(next), 100*time.Millisecond))):
				}
			}
		}()
		f(l)
		close(stop)
		<-stopped
		l.agent.Close()
		l.agent.Close()
		if err := l.port.Close(); err != nil {
			t.Error(err)
		}
		if err := router.Stop(); err != nil {
			t.Error(err)
		}
	})
}

func (l *lab) net(ip string) *vnet.Net {
	l.Helper()
	n, err := vnet.NewNet(&vnet.NetConfig{StaticIPs: []string{ip}})
	if err != nil {
		l.Fatal(err)
	}
	if err := l.router.AddNet(n); err != nil {
		l.Fatal(err)
	}
	return n
}

// guest makes an agent of pion/ice and returns its candidates.
func (l *lab) guest(ip string, lite bool) (*ice.Agent, Credentials, []string) {
	l.Helper()
	a, err := ice.NewAgent(&ice.AgentConfig{
		Net: l.net(ip), NetworkTypes: []ice.NetworkType{ice.NetworkTypeUDP4}, MulticastDNSMode: ice.MulticastDNSModeDisabled,
		CandidateTypes: []ice.CandidateType{ice.CandidateTypeHost}, LoggerFactory: quiet(), Lite: lite,
	})
	if err != nil {
		l.Fatal(err)
	}
	l.Cleanup(func() { _ = a.Close() })
	ufrag, pwd, candidates := l.gather(a)
	return a, Credentials{ufrag, pwd}, candidates
}

func (l *lab) gather(a *ice.Agent) (ufrag, pwd string, list []string) {
	l.Helper()
	done := make(chan struct{})
	if err := a.OnCandidate(func(c ice.Candidate) {
		if c == nil {
			close(done)
			return
		}
		list = append(list, c.Marshal())
	}); err != nil {
		l.Fatal(err)
	}
	if err := a.GatherCandidates(); err != nil {
		l.Fatal(err)
	}
	<-done
	ufrag, pwd, err := a.GetLocalUserCredentials()
	if err != nil {
		l.Fatal(err)
	}
	return ufrag, pwd, list
}

// connect has the guest learn of the agent and waits until it is connected.
func (l *lab) connect(a *ice.Agent, controlling bool) *ice.Conn {
	l.Helper()
	for _, c := range l.agent.Candidates() {
		candidate, err := ice.UnmarshalCandidate(c)
		if err != nil {
			l.Fatalf("%q: %v", c, err)
		}
		if err := a.AddRemoteCandidate(candidate); err != nil {
			l.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(l.Context(), 20*time.Second)
	defer cancel()
	open := a.Accept
	if controlling {
		open = a.Dial
	}
	conn, err := open(ctx, l.own.Ufrag, l.own.Password)
	if err != nil {
		l.Fatal(err)
	}
	return conn
}

func (l *lab) start(remote Credentials, candidates []string) {
	l.Helper()
	var err error
	if l.own, err = l.agent.Start(remote, candidates, time.Now()); err != nil {
		l.Fatal(err)
	}
}

// TestConnect: with each kind of guest there is a path, media flows both ways, and both ends keep it alive.
func TestConnect(t *testing.T) {
	for _, c := range []struct {
		name           string
		lite, trickled bool
		silent         bool // the guest's candidates are never told
		mistaken       bool // both sides begin controlled
	}{{name: "full"}, {name: "lite", lite: true}, {name: "trickled", trickled: true}, {name: "unknown address", silent: true}, {name: "two controlled", mistaken: true}} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, c.lite, func(l *lab) {
				a, remote, candidates := l.guest("10.0.1.1", c.lite)
				first := candidates
				if c.trickled || c.silent {
					first = nil
				}
				l.start(remote, first)
				if c.trickled {
					for _, candidate := range candidates {
						if !l.agent.Add(candidate, time.Now()) {
							t.Fatalf("%q is of no use", candidate)
						}
					}
				}
				conn := l.connect(a, !c.lite && !c.mistaken)
				time.Sleep(time.Second)
				path := l.agent.Path()
				if path == nil || l.selected.Load() == 0 {
					t.Fatal("no path")
				}
				if _, err := conn.Write([]byte("\x80 up")); err != nil {
					t.Fatal(err)
				}
				if _, err := path.Socket.WriteTo([]byte("\x80 down"), path.Remote); err != nil {
					t.Fatal(err)
				}
				buf := make([]byte, 100)
				if n, err := conn.Read(buf); err != nil || string(buf[:n]) != "\x80 down" {
					t.Fatal(string(buf[:n]), err)
				}
				time.Sleep(time.Minute)
				l.mu.Lock()
				if len(l.datagrams) != 1 || l.datagrams[0] != "\x80 up" {
					t.Errorf("%q", l.datagrams)
				}
				l.mu.Unlock()
				if !l.alive.Load() || l.selected.Load() != 1 {
					t.Errorf("alive %v, selected %d times", l.alive.Load(), l.selected.Load())
				}
				_ = a.Close()
				gone := time.Now()
				for l.alive.Load() && time.Since(gone) < time.Minute {
					time.Sleep(10 * time.Millisecond)
				}
				if d := time.Since(gone); d > LostAfter+3*time.Second || d < LostAfter-3*time.Second {
					t.Errorf("the guest counted as lost after %v", d)
				}
			})
		})
	}
}

// TestRestart: a new generation takes over; until then the old path stays.
func TestRestart(t *testing.T) {
	bubble(t, false, func(l *lab) {
		a, remote, candidates := l.guest("10.0.1.1", false)
		l.start(remote, candidates)
		l.connect(a, true)
		time.Sleep(time.Second)
		old := *l.agent.Path()
		was := l.own
		b, again, others := l.guest("10.0.1.2", false)
		l.start(again, others)
		if l.own == was || l.agent.Path() == nil || *l.agent.Path() != old {
			t.Fatal("the old path is gone, or the credentials are not new")
		}
		l.connect(b, true)
		time.Sleep(time.Second)
		if p := l.agent.Path(); p == nil || p.Remote.Addr() != netip.MustParseAddr("10.0.1.2") || l.selected.Load() != 2 {
			t.Fatalf("%+v, selected %d times", p, l.selected.Load())
		}
	})
}

// TestNomination: the first request selects, the guest's nomination is what counts.
func TestNomination(t *testing.T) {
	bubble(t, false, func(l *lab) {
		l.start(Credentials{"abcd", "0123456789012345678901"}, nil)
		n := l.net("10.0.1.1")
		var conns []net.PacketConn
		for range 3 {
			c, err := n.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(10, 0, 1, 1)})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			conns = append(conns, c)
		}
		ask := func(c net.PacketConn, key string, extra ...stun.Setter) {
			t.Helper()
			setters := append([]stun.Setter{stun.TransactionID, stun.BindingRequest, stun.NewUsername(l.own.Ufrag + ":abcd")}, extra...)
			m, err := stun.Build(append(setters, stun.NewShortTermIntegrity(key), stun.Fingerprint)...)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = c.WriteTo(m.Raw, net.UDPAddrFromAddrPort(l.port.Sockets()[0].LocalAddr()))
			time.Sleep(50 * time.Millisecond)
			synctest.Wait()
		}
		at := func(c net.PacketConn) bool {
			p := l.agent.Path()
			return p != nil && int(p.Remote.Port()) == c.LocalAddr().(*net.UDPAddr).Port
		}
		priority := func(n byte) stun.Setter { return stun.RawAttribute{Type: stun.AttrPriority, Value: []byte{n, 0, 0, 0}} }
		use := stun.RawAttribute{Type: stun.AttrUseCandidate}
		ask(conns[0], "not the password, but long")
		if l.agent.Path() != nil {
			t.Fatal("a request that was not authentic made a path")
		}
		ask(conns[0], l.own.Password, priority(50))
		if !at(conns[0]) {
			t.Fatal("no path")
		}
		ask(conns[1], l.own.Password, priority(99))
		if !at(conns[0]) {
			t.Fatal("a later request selected")
		}
		ask(conns[1], l.own.Password, priority(99), use)
		if !at(conns[1]) {
			t.Fatal("nominated in vain")
		}
		ask(conns[2], l.own.Password, priority(10), use)
		if !at(conns[1]) {
			t.Fatal("a worse pair replaced one that is alive")
		}
		time.Sleep(staleAfter + time.Second)
		ask(conns[2], l.own.Password, priority(10), use)
		if !at(conns[2]) {
			t.Fatal("a silent pair was not replaced")
		}
		for range 2 * maxPairs { // from ever new addresses
			c, err := n.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(10, 0, 1, 1)})
			if err != nil {
				t.Fatal(err)
			}
			ask(c, l.own.Password)
			_ = c.Close()
		}
		l.agent.mu.Lock()
		defer l.agent.mu.Unlock()
		if len(l.agent.pairs) > maxPairs || len(l.agent.claimed) > maxPairs {
			t.Fatalf("%d pairs, %d claims", len(l.agent.pairs), len(l.agent.claimed))
		}
	})
}

// An answer counts for as long as a guest may take for it, however often he has been asked again meanwhile.
func TestConsentAnsweredLate(t *testing.T) {
	var c consent
	now := time.Unix(1000, 0)
	if c.answers([stun.TransactionIDSize]byte{}) {
		t.Error("an answer to nothing")
	}
	first := c.ask(now)
	for range 7 {
		now = now.Add(quietEvery)
		c.ask(now)
	}
	if !c.answers(first) {
		t.Error("the first of eight requests has been forgotten")
	}
	if c.ask(now); c.answers(first) {
		t.Error("nothing is ever forgotten")
	}
}

func TestParseCandidate(t *testing.T) {
	for _, c := range []struct {
		s    string
		want string
	}{
		{"1 1 udp 2130706431 10.0.0.7 5000 typ host", "10.0.0.7:5000"},
		{"candidate:1 1 UDP 1 2001:db8::7 5000 typ srflx raddr 10.0.0.1 rport 9", "[2001:db8::7]:5000"},
		{"1 1 udp 1 ::ffff:10.0.0.7 5000 typ host", "10.0.0.7:5000"},
		{"1 1 udp 1 0b1c.local 5000 typ host", ""},
		{"1 2 udp 1 10.0.0.7 5000 typ host", ""},
		{"1 1 tcp 1 10.0.0.7 9 typ host tcptype active", ""},
		{"1 1 udp 1 224.0.0.7 5000 typ host", ""},
		{"1 1 udp 1 0.0.0.0 5000 typ host", ""},
		{"1 1 udp 1 255.255.255.255 5000 typ host", ""},
		{"1 1 udp 1 fe80::1%eth0 5000 typ host", ""},
		{"1 1 udp 1 10.0.0.7 0 typ host", ""},
		{"1 1 udp 1 10.0.0.7 70000 typ host", ""},
		{"1 1 udp x 10.0.0.7 5000 typ host", ""},
		{"1 1 udp 1 10.0.0.7 5000", ""},
		{"1 1 udp 1 10.0.0.7 5000 typ host " + strings.Repeat("x", maxLength), ""},
	} {
		addr, _, ok := parseCandidate(c.s)
		if ok != (c.want != "") || ok && addr.String() != c.want {
			t.Errorf("%.60q: %v %v", c.s, addr, ok)
		}
	}
}

func FuzzCandidate(f *testing.F) {
	f.Add("1 1 udp 2130706431 10.0.0.7 5000 typ host")
	f.Add("candidate:1 1 UDP 1 2001:db8::7 5000 typ srflx raddr 10.0.0.1 rport 9")
	f.Fuzz(func(t *testing.T, s string) {
		addr, _, ok := parseCandidate(s)
		if ok && (!addr.IsValid() || addr.Port() == 0 || !usable(addr.Addr()) || addr.Addr().Is4In6()) {
			t.Errorf("%q gives %v", s, addr)
		}
	})
}

// FuzzDatagram: nothing that does not know the password changes anything.
func FuzzDatagram(f *testing.F) {
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		f.Skip(err)
	}
	port, err := udp.On(conn)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = port.Close() })
	for _, typ := range []stun.MessageType{stun.BindingRequest, stun.BindingSuccess, stun.BindingError} {
		m, err := stun.Build(stun.TransactionID, typ, stun.NewUsername("a:b"), stun.NewShortTermIntegrity("p"), stun.Fingerprint)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(m.Raw)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		l := &lab{T: t}
		a, err := New(Config{Port: port, Events: l, Loopback: true})
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		if _, err := a.Start(Credentials{"abcd", "0123456789012345678901"}, nil, time.Now()); err != nil {
			t.Fatal(err)
		}
		a.Datagram(port.Sockets()[0], netip.MustParseAddrPort("127.0.0.1:9"), b)
		if a.Path() != nil || len(a.pairs) != 0 || len(a.claimed) != 0 || l.selected.Load() != 0 {
			t.Error("something changed")
		}
	})
}
