package udp

import (
	"encoding/binary"
	"net"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// maxReceived is how many datagrams, or trains of them where the kernel joins them (UDP_GRO), one system call reads.
const maxReceived = 16

// reader is the memory of a socket's receiving system call.
type reader struct {
	headers  [maxReceived]mmsghdr
	vectors  [maxReceived]unix.Iovec
	names    [maxReceived]unix.RawSockaddrInet6 // holds IPv4 addresses too
	controls [maxReceived][controlSize]byte
	buffers  [maxReceived][]byte
	n        int
	errno    error
}

// readBatches reads and delivers until the socket is closed.
func (s *Socket) readBatches() {
	raw, err := s.udp.SyscallConn()
	if err != nil {
		s.readSingly()
		return
	}
	size := 2048
	_ = raw.Control(func(fd uintptr) {
		if unix.SetsockoptInt(int(fd), unix.SOL_UDP, unix.UDP_GRO, 1) == nil {
			size = maxDatagram
		}
	})
	r := &reader{}
	// Pages of memory that no train ever reaches are not touched and cost nothing.
	memory := make([]byte, maxReceived*size)
	for i := range r.buffers {
		r.buffers[i] = memory[i*size : (i+1)*size]
	}
	call := r.receive
	for {
		if err := raw.Read(call); err != nil {
			return // closed
		}
		if r.errno != nil {
			if fatal(r.errno) {
				return
			}
			continue
		}
		for i := range r.n {
			s.take(r, i)
		}
	}
}

// receive is called with the socket's descriptor, again when there is something to read where there was not.
func (r *reader) receive(fd uintptr) bool {
	for i := range r.headers {
		v, h := &r.vectors[i], &r.headers[i].header
		v.Base = &r.buffers[i][0]
		v.SetLen(len(r.buffers[i]))
		h.Name, h.Namelen = (*byte)(unsafe.Pointer(&r.names[i])), unix.SizeofSockaddrInet6
		h.Iov = v
		h.SetIovlen(1)
		h.Control = &r.controls[i][0]
		h.SetControllen(controlSize)
		h.Flags = 0
	}
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&r.headers[0])), maxReceived, uintptr(unix.MSG_DONTWAIT), 0, 0)
	r.n, r.errno = 0, nil
	if errno == unix.EAGAIN {
		return false
	}
	if errno != 0 {
		r.errno = errno
		return true
	}
	r.n = int(n)
	return true
}

// take delivers what was read into place i.
func (s *Socket) take(r *reader, i int) {
	h := &r.headers[i]
	from := sender(&r.names[i])
	b := r.buffers[i][:min(int(h.size), len(r.buffers[i]))]
	part := joined(r.controls[i][:min(int(h.header.Controllen), controlSize)])
	if part <= 0 || part >= len(b) {
		s.deliver(from, b)
		return
	}
	for len(b) > 0 {
		n := min(part, len(b))
		s.deliver(from, b[:n:n])
		b = b[n:]
	}
}

// sender reads an address that the kernel wrote.
func sender(a *unix.RawSockaddrInet6) netip.AddrPort {
	if a.Family == unix.AF_INET {
		v4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(a))
		return netip.AddrPortFrom(netip.AddrFrom4(v4.Addr), networkOrder(v4.Port))
	}
	return netip.AddrPortFrom(netip.AddrFrom16(a.Addr), networkOrder(a.Port))
}

// joined returns the length of the datagrams that the kernel joined, 0 where it joined none.
func joined(control []byte) int {
	data := unix.CmsgLen(0)
	if len(control) < data+4 {
		return 0
	}
	h := (*unix.Cmsghdr)(unsafe.Pointer(&control[0]))
	if h.Level != unix.SOL_UDP || h.Type != unix.UDP_GRO {
		return 0
	}
	return int(int32(binary.NativeEndian.Uint32(control[data:])))
}

// probeSegments reports whether the kernel knows UDP_SEGMENT (4.18 and later): an older one would send the parts as one datagram.
func probeSegments(c *net.UDPConn) bool {
	raw, err := c.SyscallConn()
	if err != nil {
		return false
	}
	known := false
	_ = raw.Control(func(fd uintptr) {
		_, err := unix.GetsockoptInt(int(fd), unix.SOL_UDP, unix.UDP_SEGMENT)
		known = err == nil
	})
	return known
}

// enlarge makes a socket's buffers hold the burst of a whole picture to many receivers, beyond the system's limit where this
// process may.
func enlarge(c *net.UDPConn, size int) {
	_ = c.SetReadBuffer(size)
	_ = c.SetWriteBuffer(size)
	raw, err := c.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, size)
		_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, size)
	})
}
