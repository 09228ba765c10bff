//go:build !linux || !(amd64 || arm64)

package bench

import (
	"net"
	"net/netip"
	"time"
)

// socket is a UDP socket that tells when each datagram was read.
type socket struct{ *net.UDPConn }

func newSocket(c *net.UDPConn) *socket {
	_ = c.SetReadBuffer(socketBuffer) // as far as the system allows
	return &socket{c}
}

// receive reads a datagram and tells when that was.
func (s *socket) receive(b []byte) (n int, from netip.AddrPort, at time.Time, err error) {
	n, from, err = s.ReadFromUDPAddrPort(b)
	return n, from, time.Now(), err
}
