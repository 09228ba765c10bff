package hop

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/pion/ice/v4"
)

const (
	socketBuffer = 4 << 20         // octets, each way
	rescanAfter  = 3 * time.Second // how old the list of this machine's addresses may become
)

// Listen opens one UDP port for all media on every unicast address of this machine, IPv4 and IPv6, loopback included. Port 0 is
// a free one; with fallback a free one is taken too where the port is in use. It returns the port. Addresses that the machine
// gets later are listened on as well, as hops and guests ask for them.
func Listen(port int, fallback bool) (ice.UDPMux, int, error) {
	m, err := listen(port)
	if err != nil && port != 0 && fallback && errors.Is(err, syscall.EADDRINUSE) {
		m, err = listen(0)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("listen for media: %w", err)
	}
	return m, m.port, nil
}

// listen takes the port on all addresses, or on none. A port that the system picked on one address may be in use on another.
func listen(port int) (*portMux, error) {
	const tries = 16
	var err error
	for range tries {
		m := &portMux{port: port, muxes: make(map[netip.Addr]*ice.UDPMuxDefault)}
		if err = m.scan(true); err == nil {
			if len(m.muxes) == 0 {
				return nil, errors.New("no network address to listen on")
			}
			m.scanned = time.Now()
			return m, nil
		}
		_ = m.Close()
		if port != 0 || !errors.Is(err, syscall.EADDRINUSE) {
			break
		}
	}
	return nil, err
}

// portMux is an ice.UDPMux with one socket per local address, all on one port, so that ICE knows which address a packet came
// to. (One unbound socket would not tell, and would have to be read by all candidates at once.)
type portMux struct {
	mu      sync.Mutex
	port    int
	muxes   map[netip.Addr]*ice.UDPMuxDefault
	scanned time.Time
	closed  bool
}

// scan follows the machine's addresses. With strict, a port in use is an error; later it only means that the address is not used.
func (m *portMux) scan(strict bool) error {
	addrs, err := localAddrs()
	if err != nil {
		return err
	}
	for a, mux := range m.muxes {
		if !slices.Contains(addrs, a) {
			_ = mux.Close()
			delete(m.muxes, a)
		}
	}
	for _, a := range addrs {
		if m.muxes[a] != nil {
			continue
		}
		c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(a, uint16(m.port))))
		if err != nil {
			if strict && errors.Is(err, syscall.EADDRINUSE) {
				return err
			}
			continue // an address that has just come or gone
		}
		m.port = c.LocalAddr().(*net.UDPAddr).Port
		enlarge(c, socketBuffer)
		m.muxes[a] = ice.NewUDPMuxDefault(ice.UDPMuxParams{
			UDPConn: c, Logger: pionLog{slog.New(slog.DiscardHandler)}.NewLogger("mux"),
		})
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
			if a, ok := netip.AddrFromSlice(n.IP); ok && usable(a, true) && !slices.Contains(all, a.Unmap()) {
				all = append(all, a.Unmap())
			}
		}
	}
	slices.SortFunc(all, netip.Addr.Compare)
	return all, nil
}

// GetListenAddresses returns the addresses that are listened on now.
func (m *portMux) GetListenAddresses() []net.Addr {
	m.mu.Lock()
	defer m.mu.Unlock()
	if now := time.Now(); !m.closed && now.Sub(m.scanned) > rescanAfter {
		m.scanned = now
		_ = m.scan(false) // what cannot be listed stays as it was
	}
	addrs := make([]netip.Addr, 0, len(m.muxes))
	for a := range m.muxes {
		addrs = append(addrs, a)
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	list := make([]net.Addr, len(addrs))
	for i, a := range addrs {
		list[i] = net.UDPAddrFromAddrPort(netip.AddrPortFrom(a, uint16(m.port)))
	}
	return list
}

// GetConn returns the connection of an ICE agent on a local address.
func (m *portMux) GetConn(ufrag string, addr net.Addr) (net.PacketConn, error) {
	u, ok := addr.(*net.UDPAddr)
	if !ok {
		return nil, fmt.Errorf("not a UDP address: %v", addr)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, io.ErrClosedPipe
	}
	mux := m.muxes[u.AddrPort().Addr().Unmap()]
	if mux == nil {
		return nil, fmt.Errorf("not listening on %v", addr)
	}
	return mux.GetConn(ufrag, mux.LocalAddr())
}

// RemoveConnByUfrag ends the connections of an ICE agent.
func (m *portMux) RemoveConnByUfrag(ufrag string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, mux := range m.muxes {
		mux.RemoveConnByUfrag(ufrag)
	}
}

// Close closes the sockets.
func (m *portMux) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	var all []error
	for _, mux := range m.muxes {
		all = append(all, mux.Close())
	}
	clear(m.muxes)
	return errors.Join(all...)
}
