package udp

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/transport/v5"
)

const (
	socketBuffer = 4 << 20         // octets, each way
	rescanAfter  = 3 * time.Second // how old the list of this machine's addresses may become
)

var (
	errNotUDP = errors.New("udp: not a UDP address")
	errTaken  = errors.New("udp: the ICE user name is in use")
)

// Port is one UDP port with a socket per local address, so that ICE knows which address a packet came to. (One unbound socket
// would not tell.) It implements ice.UDPMux.
type Port struct {
	number int  // constant
	fixed  bool // constant: the sockets were given
	count  counters
	pool   sync.Pool // of *[]byte, for datagrams on their way to pion's agents

	mu      sync.RWMutex
	sockets map[netip.Addr]*Socket
	names   map[string]Handler // by local ufrag, on all sockets
	conns   map[connKey]*conn  // of pion's agents
	scanned time.Time
	closed  bool
}

type connKey struct {
	ufrag  string
	socket *Socket
}

// counters are of the Port's life.
type counters struct {
	unclaimed, overflow, unsent atomic.Uint64
}

// Stats are counters since the Port was opened.
type Stats struct {
	Unclaimed uint64 // datagrams that nobody waited for
	Overflow  uint64 // datagrams that an agent of pion/ice did not take in time
	Unsent    uint64 // datagrams that the system refused
}

var _ ice.UDPMux = (*Port)(nil)

// Listen opens one UDP port for all media on every unicast address of this machine, IPv4 and IPv6, loopback included. Port 0 is
// a free one; with fallback a free one is taken too where the port is in use. Addresses that the machine gets later are listened
// on as well, as hops and guests ask for them.
func Listen(port int, fallback bool) (*Port, error) {
	p, err := listen(port)
	if err != nil && port != 0 && fallback && errors.Is(err, syscall.EADDRINUSE) {
		p, err = listen(0)
	}
	if err != nil {
		return nil, fmt.Errorf("listen for media: %w", err)
	}
	return p, nil
}

// listen takes the port on all addresses, or on none. A port that the system picked on one address may be in use on another.
func listen(number int) (*Port, error) {
	const tries = 16
	var err error
	for range tries {
		p := newPort()
		p.number = number
		if err = p.scanLocked(true); err == nil {
			if len(p.sockets) == 0 {
				return nil, errors.New("no network address to listen on")
			}
			p.scanned = time.Now()
			return p, nil
		}
		_ = p.Close()
		if number != 0 || !errors.Is(err, syscall.EADDRINUSE) {
			break
		}
	}
	return nil, err
}

func newPort() *Port {
	return &Port{sockets: make(map[netip.Addr]*Socket), names: make(map[string]Handler), conns: make(map[connKey]*conn)}
}

// On returns a Port on connections that are open already, each on an address of its own. It closes them when it closes.
func On(conns ...net.PacketConn) (*Port, error) {
	p := newPort()
	p.fixed = true
	for _, c := range conns {
		s, err := newSocket(p, c)
		if err != nil {
			return nil, errors.Join(err, p.Close())
		}
		p.number = int(s.local.Port())
		p.sockets[s.local.Addr()] = s
	}
	return p, nil
}

// ListenNet returns a Port on a free port of each address of a network that is not the machine's: tests give a virtual one.
func ListenNet(n transport.Net) (*Port, error) {
	interfaces, err := n.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	var conns []net.PacketConn
	number := 0
	for _, i := range interfaces {
		addrs, err := i.Addrs()
		if err != nil {
			continue
		}
		for _, a := range addrs {
			in, ok := a.(*net.IPNet)
			if !ok || in.IP.IsLoopback() {
				continue
			}
			c, err := n.ListenUDP("udp", &net.UDPAddr{IP: in.IP, Port: number})
			if err != nil {
				continue
			}
			if u, ok := c.LocalAddr().(*net.UDPAddr); ok {
				number = u.Port
			}
			conns = append(conns, c)
		}
	}
	return On(conns...)
}

// scanLocked follows the machine's addresses. With strict, a port in use is an error; later it only means that the address is
// not used.
func (p *Port) scanLocked(strict bool) error {
	addrs, err := localAddrs()
	if err != nil {
		return err
	}
	for a, s := range p.sockets {
		if !slices.Contains(addrs, a) {
			_ = s.conn.Close() // its goroutine ends
			delete(p.sockets, a)
		}
	}
	for _, a := range addrs {
		if p.sockets[a] != nil {
			continue
		}
		c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(a, uint16(p.number))))
		if err != nil {
			if strict && errors.Is(err, syscall.EADDRINUSE) {
				return err
			}
			continue // an address that has just come or gone
		}
		s, err := newSocket(p, c)
		if err != nil {
			return err
		}
		p.number = int(s.local.Port())
		p.sockets[a] = s
	}
	return nil
}

// localAddrs lists the unicast addresses of the interfaces that are up, without link-local ones.
func localAddrs() ([]netip.Addr, error) {
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	var all []netip.Addr
	for _, i := range interfaces {
		if i.Flags&net.FlagUp == 0 {
			continue
		}
		addrs, err := i.Addrs()
		if err != nil {
			continue
		}
		for _, a := range addrs {
			n, ok := a.(*net.IPNet)
			if !ok {
				continue
			}
			if a, ok := netip.AddrFromSlice(n.IP); ok && unicast(a.Unmap()) && !slices.Contains(all, a.Unmap()) {
				all = append(all, a.Unmap())
			}
		}
	}
	slices.SortFunc(all, netip.Addr.Compare)
	return all, nil
}

// unicast reports whether media may be sent to and from the address.
func unicast(a netip.Addr) bool {
	return a.IsValid() && !a.IsUnspecified() && !a.IsMulticast() && !a.IsLinkLocalUnicast()
}

// Number returns the UDP port.
func (p *Port) Number() int { return p.number }

// Stats returns the counters.
func (p *Port) Stats() Stats {
	return Stats{Unclaimed: p.count.unclaimed.Load(), Overflow: p.count.overflow.Load(), Unsent: p.count.unsent.Load()}
}

// Sockets returns the sockets that there are now, in the order of their addresses.
func (p *Port) Sockets() []*Socket {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := time.Now(); !p.fixed && !p.closed && now.Sub(p.scanned) > rescanAfter {
		p.scanned = now
		_ = p.scanLocked(false) // what cannot be listed stays as it was
	}
	list := make([]*Socket, 0, len(p.sockets))
	for _, s := range p.sockets {
		list = append(list, s)
	}
	slices.SortFunc(list, func(a, b *Socket) int { return a.local.Compare(b.local) })
	return list
}

// GetListenAddresses implements ice.UDPMux.
func (p *Port) GetListenAddresses() []net.Addr {
	sockets := p.Sockets()
	list := make([]net.Addr, len(sockets))
	for i, s := range sockets {
		list[i] = net.UDPAddrFromAddrPort(s.local)
	}
	return list
}

// Socket returns the socket on a local address, or nil.
func (p *Port) Socket(local netip.Addr) *Socket {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.sockets[local.Unmap()]
}

// Register makes h the one who gets the binding requests for the ICE user name, on all sockets.
func (p *Port) Register(ufrag string, h Handler) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return io.ErrClosedPipe
	}
	if p.names[ufrag] != nil {
		return errTaken
	}
	p.names[ufrag] = h
	return nil
}

// Unregister ends what Register began.
func (p *Port) Unregister(ufrag string) {
	p.mu.Lock()
	delete(p.names, ufrag)
	p.mu.Unlock()
}

// named returns who waits for requests to the user name on the socket.
func (p *Port) named(s *Socket, ufrag []byte) Handler {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if h := p.names[string(ufrag)]; h != nil {
		return h
	}
	if c := p.conns[connKey{string(ufrag), s}]; c != nil {
		return c
	}
	return nil
}

// Agent returns the connection of the ICE agent of that name on the socket, nil if there is none. Who has inherited its claims
// gives it the answers to its checks.
func (p *Port) Agent(ufrag string, s *Socket) Handler {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if c := p.conns[connKey{ufrag, s}]; c != nil {
		return c
	}
	return nil
}

// Claim is an address of which a Handler gets what comes from it on a socket.
type Claim struct {
	Socket *Socket
	From   netip.AddrPort
}

// Inherit makes h the one who gets what comes from the addresses that the ICE agent of that name has written to, and returns those
// that went over.
func (p *Port) Inherit(ufrag string, h Handler) []Claim {
	p.mu.RLock()
	var conns []*conn
	for key, c := range p.conns {
		if key.ufrag == ufrag {
			conns = append(conns, c)
		}
	}
	p.mu.RUnlock()
	var moved []Claim
	for _, c := range conns {
		c.mu.Lock()
		for from := range c.claimed {
			if c.socket.replace(from, c, h) {
				moved = append(moved, Claim{c.socket, from})
			}
		}
		c.mu.Unlock()
	}
	return moved
}

// buffer returns a buffer for a datagram.
func (p *Port) buffer() *[]byte {
	if b, ok := p.pool.Get().(*[]byte); ok {
		return b
	}
	b := make([]byte, 0, 2048)
	return &b
}

// Close closes the sockets and waits for their goroutines. It must not be called by a Handler.
func (p *Port) Close() error {
	p.mu.Lock()
	p.closed = true
	sockets, conns := p.sockets, p.conns
	p.sockets, p.conns = make(map[netip.Addr]*Socket), make(map[connKey]*conn)
	p.mu.Unlock()
	for _, c := range conns {
		c.shut()
	}
	var all []error
	for _, s := range sockets {
		all = append(all, s.close())
	}
	return errors.Join(all...)
}
