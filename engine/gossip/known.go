package gossip

import (
	"github.com/libp2p/go-libp2p/core/peer"
)

// Known returns the peers that there are connections to, with the addresses at which they may be reached again.
func (p *Plane) Known() []peer.AddrInfo {
	var out []peer.AddrInfo
	for _, id := range p.host.Network().Peers() {
		if addrs := p.host.Peerstore().Addrs(id); len(addrs) > 0 {
			out = append(out, peer.AddrInfo{ID: id, Addrs: sortAddrs(addrs)})
		}
	}
	return out
}
