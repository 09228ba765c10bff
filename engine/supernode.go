package engine

import (
	"net/netip"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/castd/castd/engine/wire"
	"github.com/castd/castd/tree/elect"
)

// What peers say of themselves, and what this one makes of it.

const (
	// maxAcquaintances bounds the peers of a room that are remembered; who was heard of longest ago goes first.
	maxAcquaintances = 200
	// headStart is how much uptime a peer is believed that has just been met.
	headStart = 5 * time.Minute
	// crashesFor is how long a crash counts against a peer.
	crashesFor = 10 * time.Minute
)

// acquaintance is a peer of the room that told of itself: it has slots to give, or may be the hub.
type acquaintance struct {
	first, last time.Time
	offer       elect.Offer
}

// offer is what this peer says of itself. All of it is its own claim; see acquaintLoop for what others make of it.
func (e *Engine) offer(now time.Time) *wire.Offer {
	e.mu.Lock()
	slots, load := e.slotsLocked(), e.busy.Load()
	if e.withheld > 0 {
		load = 1000
	}
	e.mu.Unlock()
	reach, _ := reachOf(e.control.Self().Addrs)
	crashes := uint32(0)
	for _, at := range e.crashes {
		if now.Sub(at) < crashesFor {
			crashes++
		}
	}
	return &wire.Offer{
		Slots: uint32(slots), UptimeS: uint32(max(now.Sub(e.started), 0) / time.Second), Reach: uint32(reach), Version: e.version,
		LoadPermille: load, Constrained: e.battery.Load(), Crashes: crashes, LossPermille: e.inboundLoss(),
	}
}

// inboundLoss is the loss, in thousandths, of what the parents send to this peer: of several rooms the worst.
func (e *Engine) inboundLoss() uint32 {
	worst := uint32(0)
	for _, r := range e.Rooms() {
		if h := e.hop(r.links.Load().primary); h != nil {
			worst = max(worst, h.Stats().LossPermille)
		}
	}
	return min(worst, 1000)
}

// acquaintLoop remembers what a peer said of itself, and returns it clamped: no more uptime than it was known for, with a head
// start; the rest are claims that win it little.
func (r *Room) acquaintLoop(id peer.ID, o *wire.Offer, addrs [][]byte, now time.Time) elect.Offer {
	a := r.acquainted[id]
	if a == nil {
		if len(r.acquainted) >= maxAcquaintances {
			var oldest peer.ID
			for other, x := range r.acquainted {
				if y := r.acquainted[oldest]; y == nil || x.last.Before(y.last) || x.last.Equal(y.last) && other < oldest {
					oldest = other
				}
			}
			delete(r.acquainted, oldest)
		}
		a = &acquaintance{first: now}
		r.acquainted[id] = a
	}
	a.last = now
	_, network := reachOf(multiaddrs(addrs))
	a.offer = elect.Offer{
		Peer: elect.ID(id), Slots: int(min(o.GetSlots(), elect.MaxSlots)), Uptime: time.Duration(o.GetUptimeS()) * time.Second,
		Reach: elect.Reach(min(o.GetReach(), uint32(elect.Public))), CPUFree: 1000 - int(min(o.GetLoadPermille(), 1000)),
		Constrained: o.GetConstrained(), Crashes: int(min(o.GetCrashes(), 1000)), LossPermille: int(min(o.GetLossPermille(), 1000)),
		Version: o.GetVersion(), Network: network,
	}.Clamp().Attested(now.Sub(a.first), headStart)
	return a.offer
}

// multiaddrs returns what can be read of addresses, at most eight.
func multiaddrs(addrs [][]byte) []multiaddr.Multiaddr {
	var out []multiaddr.Multiaddr
	for _, b := range addrs[:min(len(addrs), 8)] {
		if a, err := multiaddr.NewMultiaddrBytes(b); err == nil {
			out = append(out, a)
		}
	}
	return out
}

// reachOf returns how far a peer with these addresses can be reached, and the network that the best of them is in: the first 16 bits
// of an IPv4 address, the first 32 of an IPv6 one.
func reachOf(addrs []multiaddr.Multiaddr) (reach elect.Reach, network string) {
	for _, a := range addrs {
		ip, err := manet.ToIP(a)
		if err != nil || ip.IsLoopback() {
			continue
		}
		addr, ok := netip.AddrFromSlice(ip)
		if !ok {
			continue
		}
		bits := 32
		if addr = addr.Unmap(); addr.Is4() {
			bits = 16
		}
		prefix, err := addr.Prefix(bits)
		if err != nil {
			continue
		}
		public := manet.IsPublicAddr(a)
		if network == "" || public && reach != elect.Public {
			network = prefix.String()
		}
		if public {
			reach = elect.Public
		}
	}
	return reach, network
}
