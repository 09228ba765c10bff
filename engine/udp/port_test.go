package udp

import (
	"errors"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"
)

func TestListen(t *testing.T) {
	one, err := Listen(0, false)
	if err != nil {
		t.Fatal(err)
	}
	port := one.Number()
	defer one.Close()
	loopback := false
	for _, a := range one.GetListenAddresses() {
		u := a.(*net.UDPAddr)
		loopback = loopback || u.IP.IsLoopback()
		if u.Port != port || u.IP.IsLinkLocalUnicast() || u.IP.IsUnspecified() {
			t.Errorf("listens on %v, the port is %d", u, port)
		}
	}
	if !loopback {
		t.Error("does not listen on the loopback")
	}
	if _, err := Listen(port, false); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("port in use: %v", err)
	}
	two, err := Listen(port, true)
	if err != nil || two.Number() == port {
		t.Fatalf("port in use, with fallback: %v", err)
	}
	other := two.Number()
	if _, err := two.GetConn("abcd", &net.UDPAddr{IP: net.IPv4(11, 1, 2, 3), Port: other}); err == nil {
		t.Error("gave a connection on an address that is not this machine's")
	}
	if err := two.Close(); err != nil {
		t.Error(err)
	}
	if _, err := two.GetConn("abcd", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: other}); err == nil {
		t.Error("gave a connection after Close")
	}
	three, err := Listen(other, false)
	if err != nil || three.Number() != other {
		t.Fatalf("a port that was closed: %v", err)
	}
	_ = three.Close()
}

func TestMuxFollowsAddresses(t *testing.T) {
	m, err := listen(0)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	before := len(m.GetListenAddresses())
	// One address comes, one goes.
	for a, s := range m.sockets {
		_ = s.close()
		delete(m.sockets, a)
		gone := netip.MustParseAddr("11.9.9.9")
		m.sockets[gone] = s
		break
	}
	m.scanned = time.Time{}
	after := m.GetListenAddresses()
	if len(after) != before {
		t.Errorf("listens on %v", after)
	}
	for _, a := range after {
		if a.(*net.UDPAddr).IP.Equal(net.IPv4(11, 9, 9, 9)) {
			t.Errorf("listens on %v, which is gone", a)
		}
	}
}
