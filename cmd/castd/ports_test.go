package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/castd/castd/engine"
)

// TestPortsWithoutAPeer: a port that is in use is told, by its own listener of this test.
func TestPortsWithoutAPeer(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	u, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	args := []string{
		"ports", "--json", "--http", l.Addr().String(), "--media-port", "0", "--no-mdns",
		"--listen", fmt.Sprintf("/ip4/127.0.0.1/udp/%d/quic-v1", u.LocalAddr().(*net.UDPAddr).Port), "--listen", "/ip4/127.0.0.1/tcp/0",
	}
	_, out, errs, code := cli(t, nil, args...)
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	states := map[string]string{}
	for line := range strings.Lines(out) {
		var p portLine
		if err := json.Unmarshal([]byte(line), &p); err != nil {
			t.Fatalf("%v in %q", err, line)
		}
		states[p.Use+" "+p.Protocol] = p.State
		if p.Note == "" || p.OpenTo != toMachine && p.Use != "media" {
			t.Errorf("%+v", p)
		}
	}
	for name, want := range map[string]string{"gateway tcp": portBusy, "peers udp": portBusy, "peers tcp": portFree, "media udp": portFree} {
		if states[name] != want {
			t.Errorf("%s is %q, want %q", name, states[name], want)
		}
	}
	if _, out, _, _ := cli(t, nil, args[:1]...); !strings.Contains(out, "castd start would use") || !strings.Contains(out, "8472") {
		t.Errorf("people read %s", out)
	}
	if _, _, errs, code := cli(t, nil, "ports", "--listen", "8471"); code != 2 || !strings.Contains(errs, "/ip4/") {
		t.Errorf("exit code %d: %s", code, errs)
	}
}

func TestOpenTo(t *testing.T) {
	for want, p := range map[string]engine.PortInfo{
		toMachine: {Use: "gateway", Addrs: []string{"127.0.0.1", "::1"}},
		toNetwork: {Use: "gateway", Addrs: []string{"127.0.0.1", "0.0.0.0"}},
		toLocal:   {Use: "discovery", Addrs: []string{"0.0.0.0"}},
	} {
		if got := openTo(p); got != want {
			t.Errorf("%+v: %s, want %s", p, got, want)
		}
	}
}

func TestRouterText(t *testing.T) {
	open := []string{"8471/tcp", "8472/udp"}
	for _, tt := range []struct{ addrs, want string }{
		{"192.168.1.5", "forward the same ports to this machine, 192.168.1.5"},
		{"100.64.3.4", "100.64.3.4"},
		{"8.8.4.4 192.168.1.5", "a public address"},
		{"", "incoming 8471/tcp, 8472/udp"},
	} {
		var lan []netip.Addr
		for a := range strings.FieldsSeq(tt.addrs) {
			lan = append(lan, netip.MustParseAddr(a))
		}
		if got := routerText(open, lan); !strings.Contains(got, tt.want) || tt.addrs == "" && strings.Contains(got, "router  ") {
			t.Errorf("%q: %s", tt.addrs, got)
		}
	}
}
