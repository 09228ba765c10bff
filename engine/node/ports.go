package node

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"

	ma "github.com/multiformats/go-multiaddr"
	"github.com/pion/ice/v4"

	"github.com/castd/castd/engine"
)

// What a port is for, in engine.PortInfo.
const (
	useGateway   = "gateway"
	usePeers     = "peers"
	useMedia     = "media"
	useDiscovery = "discovery"
)

// mdnsPort is that of multicast DNS (RFC 6762 section 3), which all programs of a machine share.
const mdnsPort = 5353

// PlannedPorts returns the ports that a peer with these options listens on if all of them are free. A port that the system is to
// pick is 0. Addresses are as they were asked for: an unspecified one stands for all. Errors are for people.
func PlannedPorts(o Options) ([]engine.PortInfo, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	var p portList
	if o.HTTP != NoHTTP && o.HTTP != "" {
		host, port, err := net.SplitHostPort(o.HTTP)
		if err != nil {
			return nil, fmt.Errorf("%q is not an address for --http: write HOST:PORT, :PORT or off", o.HTTP)
		}
		number, err := net.LookupPort("tcp", port)
		if err != nil {
			return nil, fmt.Errorf("%q has no port for --http: write HOST:PORT, :PORT or off", o.HTTP)
		}
		switch addr, err := netip.ParseAddr(host); {
		case err == nil:
			p.add(useGateway, "tcp", number, addr)
		case host == "" || host == "localhost":
			p.add(useGateway, "tcp", number, netip.AddrFrom4([4]byte{127, 0, 0, 1}))
		default:
			return nil, fmt.Errorf("%q names a host for --http: write one of this machine's addresses, like 0.0.0.0 for all", o.HTTP)
		}
	}
	listen := o.Listen
	if len(listen) == 0 {
		d := strconv.Itoa(DefaultPort)
		listen = []string{"/ip4/0.0.0.0/tcp/" + d, "/ip4/0.0.0.0/udp/" + d + "/quic-v1", "/ip6/::/tcp/" + d, "/ip6/::/udp/" + d + "/quic-v1"}
	}
	for _, l := range listen {
		if !p.multiaddr(l) {
			return nil, fmt.Errorf("%q is not a multiaddr to listen at: write it like /ip4/0.0.0.0/udp/8471/quic-v1", l)
		}
	}
	p.add(useMedia, "udp", o.MediaPort, netip.IPv4Unspecified(), netip.IPv6Unspecified())
	if !o.NoMDNS {
		p.add(useDiscovery, "udp", mdnsPort, netip.IPv4Unspecified(), netip.IPv6Unspecified())
	}
	for i := range p.all {
		p.all[i].Fixed = p.all[i].Port != 0
	}
	return p.sorted(), nil
}

// ports returns the ports that this peer listens on, with the machine's own addresses.
func (n *Node) ports() []engine.PortInfo {
	own := localAddrs()
	p := portList{expand: own}
	if n.httpAddr != nil {
		p.add(useGateway, "tcp", int(n.httpAddr.Port()), n.httpAddr.Addr())
	}
	for _, a := range n.plane.Self().Addrs {
		p.multiaddr(a.String())
	}
	for _, a := range mediaAddrs(n.mux) {
		p.add(useMedia, "udp", n.mediaPort, a)
	}
	if !n.options.NoMDNS {
		p.add(useDiscovery, "udp", mdnsPort, netip.IPv4Unspecified(), netip.IPv6Unspecified())
	}
	planned, _ := PlannedPorts(n.options) // they were good enough to start with
	for i := range p.all {
		q := &p.all[i]
		q.Fixed = slices.ContainsFunc(planned, func(o engine.PortInfo) bool {
			return o.Use == q.Use && o.Protocol == q.Protocol && o.Port == q.Port
		})
	}
	return p.sorted()
}

func mediaAddrs(mux ice.UDPMux) []netip.Addr {
	var out []netip.Addr
	for _, a := range mux.GetListenAddresses() {
		if u, ok := a.(*net.UDPAddr); ok {
			out = append(out, u.AddrPort().Addr())
		}
	}
	return out
}

// localAddrs lists the unicast addresses of this machine.
func localAddrs() []netip.Addr {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	var out []netip.Addr
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok {
			if ip, ok := netip.AddrFromSlice(n.IP); ok {
				out = append(out, ip.Unmap())
			}
		}
	}
	return out
}

// portList collects the addresses of each port.
type portList struct {
	// expand are what an unspecified address stands for; without any it stays. Others that are not among them belong to another
	// machine, like a router's, and are left out.
	expand []netip.Addr
	all    []engine.PortInfo
}

func (p *portList) add(use, protocol string, port int, addrs ...netip.Addr) {
	i := slices.IndexFunc(p.all, func(q engine.PortInfo) bool { return q.Use == use && q.Protocol == protocol && q.Port == port })
	for _, a := range addrs {
		a = a.Unmap().WithZone("")
		var list []netip.Addr
		switch {
		case len(p.expand) == 0 || slices.Contains(p.expand, a):
			list = []netip.Addr{a}
		case a.IsUnspecified():
			for _, own := range p.expand {
				if own.Is4() == a.Is4() {
					list = append(list, own)
				}
			}
		}
		if len(list) == 0 {
			continue
		}
		if i < 0 {
			i = len(p.all)
			p.all = append(p.all, engine.PortInfo{Use: use, Protocol: protocol, Port: port})
		}
		for _, a := range list {
			if s := a.String(); !slices.Contains(p.all[i].Addrs, s) {
				p.all[i].Addrs = append(p.all[i].Addrs, s)
			}
		}
	}
}

// multiaddr adds an address of libp2p. It reports false for text that is none, or that has no port to listen at.
func (p *portList) multiaddr(text string) bool {
	m, err := ma.NewMultiaddr(text)
	if err != nil {
		return false
	}
	var addr netip.Addr
	protocol, port := "", 0
	ma.ForEach(m, func(c ma.Component) bool {
		switch c.Protocol().Code {
		case ma.P_IP4, ma.P_IP6:
			addr, _ = netip.ParseAddr(c.Value())
		case ma.P_TCP, ma.P_UDP:
			protocol = c.Protocol().Name
			port, _ = strconv.Atoi(c.Value())
			return false
		}
		return true
	})
	if protocol == "" || !addr.IsValid() {
		return false
	}
	if _, err := m.ValueForProtocol(ma.P_CIRCUIT); err == nil {
		return true // a relay's port, not this machine's
	}
	p.add(usePeers, protocol, port, addr)
	return true
}

// sorted returns the ports in the order in which people meet them.
func (p *portList) sorted() []engine.PortInfo {
	order := []string{useGateway, usePeers, useMedia, useDiscovery}
	for i := range p.all {
		slices.Sort(p.all[i].Addrs)
	}
	slices.SortStableFunc(p.all, func(x, y engine.PortInfo) int {
		return cmp.Or(cmp.Compare(slices.Index(order, x.Use), slices.Index(order, y.Use)), cmp.Compare(x.Port, y.Port), cmp.Compare(x.Protocol, y.Protocol))
	})
	return p.all
}
