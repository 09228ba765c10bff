//go:build linux && (amd64 || arm64)

package bench

import (
	"encoding/binary"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// socket is a UDP socket that tells when the kernel got each datagram, so that delays do not hold how long this program took
// to be woken.
type socket struct {
	*net.UDPConn
	oob []byte
}

func newSocket(c *net.UDPConn) *socket {
	s := &socket{UDPConn: c}
	_ = c.SetReadBuffer(socketBuffer) // as far as the system allows
	raw, err := c.SyscallConn()
	if err != nil {
		return s
	}
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, socketBuffer) // beyond it, where this process may
		if unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1) == nil {
			s.oob = make([]byte, 64)
		}
	})
	return s
}

// receive reads a datagram and tells when it came.
func (s *socket) receive(b []byte) (n int, from netip.AddrPort, at time.Time, err error) {
	n, control, _, from, err := s.ReadMsgUDPAddrPort(b, s.oob)
	if at = kernelTime(s.oob[:control]); at.IsZero() {
		at = time.Now()
	}
	return n, from, at, err
}

// kernelTime finds the time in control messages: length (8 octets), level (4), type (4), seconds (8), nanoseconds (8).
func kernelTime(control []byte) time.Time {
	const header, size = 16, 32
	for len(control) >= header {
		length := binary.NativeEndian.Uint64(control)
		if length < header || length > uint64(len(control)) {
			return time.Time{}
		}
		if binary.NativeEndian.Uint32(control[8:]) == unix.SOL_SOCKET && binary.NativeEndian.Uint32(control[12:]) == unix.SCM_TIMESTAMPNS && length >= size {
			return time.Unix(int64(binary.NativeEndian.Uint64(control[16:])), int64(binary.NativeEndian.Uint64(control[24:])))
		}
		control = control[min(uint64(len(control)), (length+7)&^7):]
	}
	return time.Time{}
}
