package udp

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mmsghdr is struct mmsghdr of sendmmsg(2) and recvmmsg(2).
type mmsghdr struct {
	header unix.Msghdr
	size   uint32
}

// controlSize holds one control message with a value of up to four octets, on all architectures.
const controlSize = 32

// systemBatch is the memory of the system call.
type systemBatch struct {
	raw      syscall.RawConn
	call     func(fd uintptr) bool // sendSome; made once, since a new one would be allocated at each use
	headers  []mmsghdr
	vectors  []unix.Iovec
	v4       []unix.RawSockaddrInet4
	v6       []unix.RawSockaddrInet6
	controls [][controlSize]byte
	next     int // message that is to be sent next
	errno    syscall.Errno
}

// write sends the messages by as few system calls as the kernel allows.
func (b *Batch) write() {
	if b.socket.udp == nil || !b.prepare() {
		for i := range b.messages {
			b.singly(&b.messages[i])
		}
		return
	}
	s := &b.system
	for i := range b.messages {
		b.describe(i)
	}
	for s.next = 0; s.next < len(b.messages); {
		s.errno = 0
		first := s.next
		err := s.raw.Write(s.call)
		for i := first; i < s.next; i++ {
			b.accept(&b.messages[i])
		}
		if err == nil && s.errno == 0 {
			continue
		}
		if s.next == len(b.messages) {
			return
		}
		b.refused(&b.messages[s.next], err, s.errno)
		s.next++
	}
}

// prepare makes the memory, once.
func (b *Batch) prepare() bool {
	s := &b.system
	if s.headers != nil {
		return true
	}
	raw, err := b.socket.udp.SyscallConn()
	if err != nil {
		return false
	}
	s.raw, s.call = raw, b.sendSome
	s.headers, s.vectors = make([]mmsghdr, maxMessages), make([]unix.Iovec, maxMessages)
	s.controls = make([][controlSize]byte, maxMessages)
	if b.socket.local.Addr().Is4() {
		s.v4 = make([]unix.RawSockaddrInet4, maxMessages)
	} else {
		s.v6 = make([]unix.RawSockaddrInet6, maxMessages)
	}
	return true
}

// describe fills in what the kernel reads of message i.
func (b *Batch) describe(i int) {
	s, m := &b.system, &b.messages[i]
	h := &s.headers[i].header
	*h = unix.Msghdr{}
	if s.v4 != nil {
		a := &s.v4[i]
		*a = unix.RawSockaddrInet4{Family: unix.AF_INET, Port: networkOrder(m.to.Port()), Addr: address4(m.to.Addr())}
		h.Name, h.Namelen = (*byte)(unsafe.Pointer(a)), unix.SizeofSockaddrInet4
	} else {
		a := &s.v6[i]
		*a = unix.RawSockaddrInet6{Family: unix.AF_INET6, Port: networkOrder(m.to.Port()), Addr: m.to.Addr().As16()}
		h.Name, h.Namelen = (*byte)(unsafe.Pointer(a)), unix.SizeofSockaddrInet6
	}
	v := &s.vectors[i]
	v.Base = &b.memory[m.from]
	v.SetLen(m.size)
	h.Iov = v
	h.SetIovlen(1)
	if m.segments > 1 {
		c := &s.controls[i]
		n := putControl(c, unix.SOL_UDP, unix.UDP_SEGMENT, uint16(m.segment))
		h.Control = &c[0]
		h.SetControllen(n)
	}
}

// sendSome is called with the socket's descriptor, again when it is writable where it was not.
//
// The call does not wait, so that the scheduler need not be told of it: it would wake its monitor, and give the rest of this processor's
// work to another thread after 20 us. With a hundred receivers of audio that was a sixth of the process' time.
func (b *Batch) sendSome(fd uintptr) bool {
	s := &b.system
	n, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&s.headers[s.next])), uintptr(len(b.messages)-s.next),
		uintptr(unix.MSG_DONTWAIT), 0, 0)
	switch errno {
	case 0:
		s.next += int(n)
	case unix.EAGAIN:
		return false
	case unix.EINTR:
	default:
		s.errno = errno
	}
	return true
}

// refused deals with a message that the kernel did not take. A segmented one goes again in its parts: the route may not know
// segmentation (EIO: it is not tried again on this socket), or a part may be longer than its MTU allows (EINVAL, EMSGSIZE: IP
// fragments only what is sent whole).
func (b *Batch) refused(m *message, err error, errno syscall.Errno) {
	if err == nil && m.segments > 1 && (errno == unix.EIO || errno == unix.EINVAL || errno == unix.EMSGSIZE || errno == unix.ENOPROTOOPT || errno == unix.EOPNOTSUPP) {
		if errno == unix.EIO || errno == unix.ENOPROTOOPT || errno == unix.EOPNOTSUPP {
			b.socket.segments.Store(false)
		}
		b.singly(m)
		return
	}
	b.fail(m.to, m.segments, m.size)
}

// putControl writes a control message with a 16-bit value and returns its length.
func putControl(c *[controlSize]byte, level, typ int32, value uint16) int {
	h := (*unix.Cmsghdr)(unsafe.Pointer(c))
	h.Level, h.Type = level, typ
	h.SetLen(unix.CmsgLen(2))
	binary.NativeEndian.PutUint16(c[unix.CmsgLen(0):], value)
	return unix.CmsgSpace(2)
}

func networkOrder(port uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], port)
	return binary.NativeEndian.Uint16(b[:])
}

// address4 is of no use for an IPv6 address: the kernel then refuses the message.
func address4(a netip.Addr) [4]byte {
	if a = a.Unmap(); a.Is4() {
		return a.As4()
	}
	return [4]byte{}
}

func fatal(err error) bool {
	return !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.ECONNREFUSED) && !errors.Is(err, errNotUDP)
}
