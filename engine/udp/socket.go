package udp

import (
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
)

// Handler takes the datagrams that are for one ICE agent.
type Handler interface {
	// Datagram is called on the socket's goroutine and must not block; b is valid only during the call.
	Datagram(s *Socket, from netip.AddrPort, b []byte)
}

// maxDatagram is the largest datagram that is read, in octets, and what the parts of a segmented one may have together.
const maxDatagram = 65535

// Socket is one local address of a Port.
type Socket struct {
	port  *Port
	conn  net.PacketConn
	udp   *net.UDPConn // conn, where it is one of the system's
	local netip.AddrPort

	segments atomic.Bool // UDP_SEGMENT works
	done     chan struct{}

	mu     sync.RWMutex
	byAddr map[netip.AddrPort]Handler
}

func newSocket(p *Port, conn net.PacketConn) (*Socket, error) {
	local, ok := conn.LocalAddr().(*net.UDPAddr)
	if !ok {
		return nil, fmt.Errorf("udp: not a UDP address: %v", conn.LocalAddr())
	}
	s := &Socket{port: p, conn: conn, local: plain(local.AddrPort()), done: make(chan struct{}), byAddr: make(map[netip.AddrPort]Handler)}
	s.udp, _ = conn.(*net.UDPConn)
	if s.udp != nil {
		enlarge(s.udp, socketBuffer)
		s.segments.Store(probeSegments(s.udp))
	}
	go s.run()
	return s, nil
}

// run reads until the socket is closed.
func (s *Socket) run() {
	defer close(s.done)
	if s.udp != nil {
		s.readBatches()
		return
	}
	s.readSingly()
}

// readSingly is for networks that exist in memory only, and for systems without recvmmsg.
func (s *Socket) readSingly() {
	buf := make([]byte, maxDatagram)
	for {
		n, from, err := s.readOne(buf)
		if err == nil {
			s.deliver(from, buf[:n])
		} else if fatal(err) {
			return
		}
	}
}

func (s *Socket) readOne(buf []byte) (int, netip.AddrPort, error) {
	if s.udp != nil {
		return s.udp.ReadFromUDPAddrPort(buf)
	}
	n, from, err := s.conn.ReadFrom(buf)
	if err != nil {
		return 0, netip.AddrPort{}, err
	}
	u, ok := from.(*net.UDPAddr)
	if !ok {
		return 0, netip.AddrPort{}, errNotUDP
	}
	return n, u.AddrPort(), nil
}

// deliver hands a datagram to the one it is for, if there is one.
func (s *Socket) deliver(from netip.AddrPort, b []byte) {
	from = plain(from)
	var h Handler
	if ufrag := requestFor(b); ufrag != nil {
		h = s.port.named(s, ufrag)
	} else {
		s.mu.RLock()
		h = s.byAddr[from]
		s.mu.RUnlock()
	}
	if h == nil {
		s.port.count.unclaimed.Add(1)
		return
	}
	h.Datagram(s, from, b)
}

// LocalAddr returns the socket's address.
func (s *Socket) LocalAddr() netip.AddrPort { return s.local }

// Claim makes h the one who gets what comes from the address, whoever did before. The caller has proof that the address is his
// peer's.
func (s *Socket) Claim(from netip.AddrPort, h Handler) {
	s.mu.Lock()
	s.byAddr[plain(from)] = h
	s.mu.Unlock()
}

// ClaimFree is Claim without a proof: it does nothing where somebody has claimed the address.
func (s *Socket) ClaimFree(from netip.AddrPort, h Handler) {
	from = plain(from)
	s.mu.Lock()
	if s.byAddr[from] == nil {
		s.byAddr[from] = h
	}
	s.mu.Unlock()
}

// Release takes the claim back, if it still stands.
func (s *Socket) Release(from netip.AddrPort, h Handler) {
	from = plain(from)
	s.mu.Lock()
	if s.byAddr[from] == h {
		delete(s.byAddr, from)
	}
	s.mu.Unlock()
}

// replace hands the claim to another one, if it still stands.
func (s *Socket) replace(from netip.AddrPort, old, h Handler) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byAddr[from] != old {
		return false
	}
	s.byAddr[from] = h
	return true
}

// owner returns who has claimed the address.
func (s *Socket) owner(from netip.AddrPort) Handler {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.byAddr[from]
}

// WriteTo sends one datagram.
func (s *Socket) WriteTo(b []byte, to netip.AddrPort) (int, error) {
	if s.udp != nil {
		return s.udp.WriteToUDPAddrPort(b, to)
	}
	return s.conn.WriteTo(b, net.UDPAddrFromAddrPort(to))
}

// close ends the socket and waits for its goroutine.
func (s *Socket) close() error {
	err := s.conn.Close()
	<-s.done
	return err
}

// plain is the address as sockets of either family would write it.
func plain(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }
