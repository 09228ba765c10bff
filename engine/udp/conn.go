package udp

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"
)

// connQueue bounds the datagrams that wait for an agent of pion/ice; more are dropped and counted as Overflow.
const connQueue = 1024

// conn is the way between a socket and an agent of pion/ice: a net.PacketConn.
type conn struct {
	socket *Socket
	ufrag  string
	wake   chan struct{} // capacity 1
	gone   chan struct{}

	mu      sync.Mutex
	refs    int
	closed  bool
	queue   []queued // from head on
	head    int
	claimed map[netip.AddrPort]struct{}
}

type queued struct {
	from netip.AddrPort
	b    *[]byte
}

// GetConn implements ice.UDPMux: it returns the connection of an ICE agent on a local address.
func (p *Port) GetConn(ufrag string, addr net.Addr) (net.PacketConn, error) {
	u, ok := addr.(*net.UDPAddr)
	if !ok {
		return nil, fmt.Errorf("not a UDP address: %v", addr)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, io.ErrClosedPipe
	}
	s := p.sockets[plain(u.AddrPort()).Addr()]
	if s == nil {
		return nil, fmt.Errorf("not listening on %v", addr)
	}
	key := connKey{ufrag, s}
	c := p.conns[key]
	if c == nil {
		c = &conn{socket: s, ufrag: ufrag, wake: make(chan struct{}, 1), gone: make(chan struct{}), claimed: make(map[netip.AddrPort]struct{})}
		p.conns[key] = c
	}
	c.mu.Lock()
	c.refs++
	c.mu.Unlock()
	return &handle{conn: c}, nil
}

// RemoveConnByUfrag implements ice.UDPMux: it ends the connections of an ICE agent.
func (p *Port) RemoveConnByUfrag(ufrag string) {
	var ended []*conn
	p.mu.Lock()
	for key, c := range p.conns {
		if key.ufrag == ufrag {
			delete(p.conns, key)
			ended = append(ended, c)
		}
	}
	p.mu.Unlock()
	for _, c := range ended {
		c.shut()
	}
}

// Datagram implements Handler.
func (c *conn) Datagram(_ *Socket, from netip.AddrPort, b []byte) {
	c.mu.Lock()
	if c.closed || len(c.queue)-c.head >= connQueue {
		full := !c.closed
		c.mu.Unlock()
		if full {
			c.socket.port.count.overflow.Add(1)
		}
		return
	}
	buf := c.socket.port.buffer()
	*buf = append((*buf)[:0], b...)
	if c.head > 0 && len(c.queue) == cap(c.queue) {
		c.queue = c.queue[:copy(c.queue, c.queue[c.head:])]
		c.head = 0
	}
	c.queue = append(c.queue, queued{from, buf})
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// shut ends reading and gives the addresses back.
func (c *conn) shut() {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return
	}
	c.closed = true
	queue, claimed := c.queue[c.head:], c.claimed
	c.queue, c.head, c.claimed = nil, 0, nil
	c.mu.Unlock()
	close(c.gone)
	for _, q := range queue {
		c.socket.port.pool.Put(q.b)
	}
	for a := range claimed {
		c.socket.Release(a, c)
	}
}

// release drops one handle; with the last the connection ends.
func (c *conn) release() {
	c.mu.Lock()
	c.refs--
	last := c.refs == 0
	c.mu.Unlock()
	if !last {
		return
	}
	p := c.socket.port
	p.mu.Lock()
	if key := (connKey{c.ufrag, c.socket}); p.conns[key] == c {
		delete(p.conns, key)
	}
	p.mu.Unlock()
	c.shut()
}

func (c *conn) read(b []byte) (int, netip.AddrPort, error) {
	for {
		c.mu.Lock()
		if c.head < len(c.queue) {
			q := c.queue[c.head]
			c.queue[c.head] = queued{}
			if c.head++; c.head == len(c.queue) {
				c.queue, c.head = c.queue[:0], 0
			}
			c.mu.Unlock()
			n := copy(b, *q.b)
			c.socket.port.pool.Put(q.b)
			return n, q.from, nil
		}
		c.mu.Unlock()
		select {
		case <-c.wake:
		case <-c.gone:
			return 0, netip.AddrPort{}, io.EOF
		}
	}
}

// write sends a datagram. Whoever an agent writes to is his: the newest agent that writes to an address gets what comes from it.
func (c *conn) write(b []byte, to netip.AddrPort) (int, error) {
	to = plain(to)
	if c.socket.owner(to) != Handler(c) {
		c.mu.Lock()
		_, mine := c.claimed[to]
		if !c.closed && (!mine || c.socket.owner(to) == nil) {
			c.claimed[to] = struct{}{}
			c.socket.Claim(to, c)
		}
		c.mu.Unlock()
	}
	return c.socket.WriteTo(b, to)
}

// handle is one use of a conn by an agent. It implements ice.AddrPortReaderWriter too.
type handle struct {
	*conn
	once sync.Once
}

func (h *handle) ReadFromAddrPort(b []byte) (int, netip.AddrPort, error) { return h.read(b) }

func (h *handle) WriteToAddrPort(b []byte, to netip.AddrPort) (int, error) { return h.write(b, to) }

func (h *handle) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := h.read(b)
	if err != nil {
		return 0, nil, err
	}
	return n, net.UDPAddrFromAddrPort(from), nil
}

func (h *handle) WriteTo(b []byte, to net.Addr) (int, error) {
	u, ok := to.(*net.UDPAddr)
	if !ok {
		return 0, errNotUDP
	}
	return h.write(b, u.AddrPort())
}

func (h *handle) Close() error {
	h.once.Do(h.release)
	return nil
}

func (h *handle) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(h.socket.local) }

// Deadlines: whoever sets one to end a read closes the connection next.
func (h *handle) SetDeadline(time.Time) error      { return nil }
func (h *handle) SetReadDeadline(time.Time) error  { return nil }
func (h *handle) SetWriteDeadline(time.Time) error { return nil }
