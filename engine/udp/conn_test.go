package udp

import (
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/pion/stun/v4"
)

// TestConn: an agent of pion/ice gets requests by its user name, and then what comes from whom it has written to.
func TestConn(t *testing.T) {
	s, peer := loopback(t, net.IPv4(127, 0, 0, 1)), loopback(t, net.IPv4(127, 0, 0, 1))
	addr := net.UDPAddrFromAddrPort(s.LocalAddr())
	c, err := s.port.GetConn("mine", addr)
	if err != nil {
		t.Fatal(err)
	}
	second, err := s.port.GetConn("mine", addr)
	if err != nil {
		t.Fatal(err)
	}
	other, err := s.port.GetConn("other", addr)
	if err != nil {
		t.Fatal(err)
	}
	read := func(c net.PacketConn) string {
		t.Helper()
		buf := make([]byte, 1500)
		n, from, err := c.ReadFrom(buf)
		if err != nil || from.String() != peer.LocalAddr().String() {
			t.Fatal(from, err)
		}
		return string(buf[:n])
	}
	send := func(b []byte) {
		t.Helper()
		if _, err := peer.WriteTo(b, s.LocalAddr()); err != nil {
			t.Fatal(err)
		}
	}
	ask := request(t, stun.NewUsername("mine:theirs"))
	send([]byte("\x80 nobody has claimed this address"))
	send(ask)
	if got := read(c); got != string(ask) {
		t.Fatalf("%q", got)
	}
	back := net.UDPAddrFromAddrPort(peer.LocalAddr())
	if _, err := c.WriteTo([]byte("answer"), back); err != nil {
		t.Fatal(err)
	}
	send([]byte("\x80 media"))
	if got := read(c); got != "\x80 media" {
		t.Fatalf("%q", got)
	}
	// Another agent writes to the same address, which makes it his; when he is gone, it is the first one's again.
	_, _ = other.WriteTo([]byte("hello"), back)
	_, _ = c.WriteTo([]byte("keepalive"), back)
	send([]byte("\x80 for the other"))
	if got := read(other); got != "\x80 for the other" {
		t.Fatalf("%q", got)
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	_, _ = c.WriteTo([]byte("keepalive"), back)
	send([]byte("\x80 again"))
	if got := read(c); got != "\x80 again" {
		t.Fatalf("%q", got)
	}
	// The queue is bounded.
	inner := c.(*handle).conn
	for range connQueue + 10 {
		inner.Datagram(s, peer.LocalAddr(), []byte("\x80"))
	}
	if n := s.port.Stats(); n.Overflow != 10 || n.Unclaimed == 0 {
		t.Fatalf("%+v", n)
	}
	// It ends with the last handle.
	_ = c.Close()
	_ = c.Close()
	for range connQueue {
		read(second)
	}
	ended := make(chan error, 1)
	go func() {
		_, _, err := second.ReadFrom(make([]byte, 10))
		ended <- err
	}()
	time.AfterFunc(time.Millisecond, func() { s.port.RemoveConnByUfrag("mine") })
	if err := <-ended; !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	if s.owner(peer.LocalAddr()) != nil || len(s.port.conns) != 0 {
		t.Fatal("something is left")
	}
	inner.Datagram(s, peer.LocalAddr(), []byte("\x80 late"))
	if len(inner.queue) != 0 {
		t.Fatal("a closed connection takes datagrams")
	}
}

func TestRegister(t *testing.T) {
	s, peer := loopback(t, net.IPv4(127, 0, 0, 1)), loopback(t, net.IPv4(127, 0, 0, 1))
	c, d := newCollector(), newCollector()
	if err := s.port.Register("mine", c); err != nil {
		t.Fatal(err)
	}
	if err := s.port.Register("mine", d); err == nil {
		t.Fatal("a name was given twice")
	}
	if _, err := peer.WriteTo(request(t, stun.NewUsername("mine:x")), s.LocalAddr()); err != nil {
		t.Fatal(err)
	}
	c.wait(t, 1)
	s.Claim(peer.LocalAddr(), c)
	s.Claim(peer.LocalAddr(), d)
	s.Release(peer.LocalAddr(), c) // no longer his
	if _, err := peer.WriteTo([]byte("\x80 media"), s.LocalAddr()); err != nil {
		t.Fatal(err)
	}
	d.wait(t, 1)
	s.port.Unregister("mine")
	if err := s.port.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.port.Register("mine", c); err == nil {
		t.Fatal("registered at a closed port")
	}
}
