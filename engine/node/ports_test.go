package node

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/castd/castd/engine"
)

func portText(ports []engine.PortInfo) string {
	var b strings.Builder
	for _, p := range ports {
		fmt.Fprintf(&b, "%s %s %d %s\n", p.Use, p.Protocol, p.Port, strings.Join(p.Addrs, " "))
	}
	return b.String()
}

func TestPlannedPorts(t *testing.T) {
	base := DefaultOptions()
	base.DataDir = "x"
	for _, tt := range []struct {
		name   string
		change func(*Options)
		want   string
	}{
		{"defaults", func(*Options) {}, "gateway tcp 8470 127.0.0.1\npeers tcp 8471 0.0.0.0 ::\npeers udp 8471 0.0.0.0 ::\n" +
			"media udp 8472 0.0.0.0 ::\ndiscovery udp 5353 0.0.0.0 ::\n"},
		{"own", func(o *Options) {
			o.HTTP, o.NoMDNS, o.MediaPort = "[::]:443", true, 0
			o.Listen = []string{"/ip4/192.0.2.1/tcp/9000", "/ip4/192.0.2.1/udp/9000/quic-v1", "/ip4/192.0.2.1/tcp/9000/ws"}
		}, "gateway tcp 443 ::\npeers tcp 9000 192.0.2.1\npeers udp 9000 192.0.2.1\nmedia udp 0 0.0.0.0 ::\n"},
		{"no gateway", func(o *Options) { o.HTTP, o.NoMDNS, o.Listen = NoHTTP, true, []string{"/ip4/127.0.0.1/tcp/0"} },
			"peers tcp 0 127.0.0.1\nmedia udp 8472 0.0.0.0 ::\n"},
		{"no host", func(o *Options) { o.HTTP, o.NoMDNS, o.Listen = ":80", true, []string{"/ip4/127.0.0.1/tcp/0"} },
			"gateway tcp 80 127.0.0.1\npeers tcp 0 127.0.0.1\nmedia udp 8472 0.0.0.0 ::\n"},
	} {
		o := base
		tt.change(&o)
		got, err := PlannedPorts(o)
		if err != nil || portText(got) != tt.want {
			t.Errorf("%s: %v, got\n%swant\n%s", tt.name, err, portText(got), tt.want)
		}
	}
	for name, change := range map[string]func(*Options){
		"no multiaddr": func(o *Options) { o.Listen = []string{"0.0.0.0:8471"} },
		"no port":      func(o *Options) { o.Listen = []string{"/ip4/127.0.0.1"} },
		"no address":   func(o *Options) { o.HTTP = "radio.example:80" },
		"http":         func(o *Options) { o.HTTP = "127.0.0.1:web-page" },
		"media port":   func(o *Options) { o.MediaPort = 70000 },
	} {
		o := base
		change(&o)
		if ports, err := PlannedPorts(o); err == nil {
			t.Errorf("%s: %s", name, portText(ports))
		}
	}
}

// TestPortsOfOthers: what libp2p believes to be this peer's address behind a router is not a port of this machine.
func TestPortsOfOthers(t *testing.T) {
	p := portList{expand: []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("::1")}}
	for _, a := range []string{
		"/ip4/192.0.2.1/tcp/8471", "/ip4/203.0.113.9/tcp/40000", "/ip6/::1/tcp/8471", "/ip4/0.0.0.0/udp/8471/quic-v1",
		"/ip4/192.0.2.1/udp/4001/quic-v1/p2p/12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN/p2p-circuit",
	} {
		if !p.multiaddr(a) {
			t.Errorf("%s is not taken", a)
		}
	}
	if got, want := portText(p.sorted()), "peers tcp 8471 192.0.2.1 ::1\npeers udp 8471 127.0.0.1 192.0.2.1\n"; got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func FuzzPlannedPorts(f *testing.F) {
	f.Add("127.0.0.1:8470", "/ip4/0.0.0.0/udp/8471/quic-v1")
	f.Add("[::1%lo]:http", "/ip6zone/eth0/ip6/fe80::1/tcp/1")
	f.Fuzz(func(t *testing.T, http, listen string) {
		o := Options{DataDir: "x", HTTP: http, Listen: []string{listen}}
		ports, err := PlannedPorts(o)
		if err != nil {
			return
		}
		for _, p := range ports {
			for _, a := range p.Addrs {
				if _, err := netip.ParseAddr(a); err != nil || p.Port < 0 || p.Port > 65535 {
					t.Fatalf("%+v of %q and %q", p, http, listen)
				}
			}
		}
	})
}
