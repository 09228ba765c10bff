package enginetest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/marcopolo/simnet"
	"github.com/pion/logging"
	"github.com/pion/transport/v5/vnet"

	"github.com/castd/castd/engine"
)

// VNet is a network of peers that are complete but for their sockets: engine/gossip over libp2p's simulated network, and
// engine/hop with ICE, DTLS and SRTP over pion's. Both run on the clock of a testing/synctest bubble, which everything that
// belongs to a VNet must live in. Media and control are different networks with the same delay; loss is theirs alone, and a
// peer is cut off from both.
//
// Losses follow from the seed, one sequence for each directed pair of peers; which packet meets which loss depends on the order
// of packets, which goroutines decide. Two runs are alike, not equal. What simnet carries are QUIC's datagrams: lost ones are
// late messages, not missing ones.
//
// Methods are safe for concurrent use.
type VNet struct {
	// Mixing makes what mixes a peer's conferences, nil where nobody does. Set it before the first peer.
	Mixing func() engine.Mixing

	delay  time.Duration
	seed   uint64
	sim    *simnet.Simnet
	router *vnet.Router

	mu       sync.Mutex
	peers    []*VPeer          // in the order of Add
	byIP     map[string]*VPeer // by media address
	links    map[[2]*VPeer]*link
	loss     float64 // of media
	control  float64 // loss of control
	jitter   Jitter
	arrived  func(to, from peer.ID, pkt []byte)
	datagram func(from, to peer.ID, b []byte)
	counters VNetCounters
}

// link is one direction between two peers.
type link struct {
	media, control, late *rand.Rand
	last                 time.Time // when the last packet that was late is delivered
}

// VNetCounters count since the network was made.
type VNetCounters struct {
	Media, MediaOctets     uint64 // datagrams that reached the network, lost ones included
	MediaLost, MediaCut    uint64 // of them
	Control, ControlOctets uint64
	ControlLost            uint64
}

// NewVNet starts a network on which everything takes delay one way. Close it after its peers.
func NewVNet(seed uint64, delay time.Duration) (*VNet, error) {
	n := &VNet{delay: delay, seed: seed, byIP: make(map[string]*VPeer), links: make(map[[2]*VPeer]*link)}
	var err error
	n.router, err = vnet.NewRouter(&vnet.RouterConfig{CIDR: "11.0.0.0/16", MinDelay: delay, LoggerFactory: quiet()})
	if err != nil {
		return nil, fmt.Errorf("make media network: %w", err)
	}
	n.router.AddChunkFilter(n.carry)
	if err := n.router.Start(); err != nil {
		return nil, fmt.Errorf("start media network: %w", err)
	}
	n.sim = &simnet.Simnet{LatencyFunc: simnet.StaticLatency(delay), Logger: slog.New(slog.DiscardHandler)}
	n.sim.Start()
	return n, nil
}

// quiet is a factory of loggers that discard.
func quiet() logging.LoggerFactory {
	f := logging.NewDefaultLoggerFactory()
	f.DefaultLogLevel, f.ScopeLevels = logging.LogLevelDisabled, nil
	return f
}

// SetLoss changes the share of media datagrams that are lost in each direction between any two peers: packets, their
// repairs, pulses, handshakes.
func (n *VNet) SetLoss(share float64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.loss = share
}

// Jitter is what media packets take more than the delay: half of a normal distribution, cut off at four deviations.
type Jitter struct {
	Deviation time.Duration
	// Ordered says that nothing overtakes: a packet waits for those before it. Else it does so all the time.
	Ordered bool
}

// SetJitter changes what origin packets take more from any peer to any other.
func (n *VNet) SetJitter(j Jitter) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.jitter = j
}

// SetControlLoss is SetLoss for the control network.
func (n *VNet) SetControlLoss(share float64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.control = share
}

// OnArrival has f called with each origin packet that a peer gets over a hop, repairs and duplicates included, before his engine
// sees it. f must not block, nor keep pkt.
func (n *VNet) OnArrival(f func(to, from peer.ID, pkt []byte)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.arrived = f
}

// OnDatagram has f called with each datagram that peers send to each other's media ports, before it may be lost: SRTP, SRTCP,
// STUN, DTLS. Those of one sender come in the order in which he sent them. f must not block, nor keep b.
func (n *VNet) OnDatagram(f func(from, to peer.ID, b []byte)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.datagram = f
}

// Counters returns the counters.
func (n *VNet) Counters() VNetCounters {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.counters
}

// Cut makes a peer unreachable, or reachable again; nobody is told.
func (n *VNet) Cut(p *VPeer, cut bool) { p.cut.Store(cut) }

// Kill takes a peer off the network without a word, as a power cut would, and then frees what it has.
func (n *VNet) Kill(p *VPeer) error {
	n.Cut(p, true)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return p.Close(ctx)
}

// Close closes all peers, with ctx for their goodbyes, and then the network. Once it has returned nothing is left running.
func (n *VNet) Close(ctx context.Context) error {
	n.mu.Lock()
	peers := n.peers
	n.mu.Unlock()
	var all []error
	for i := len(peers) - 1; i >= 0; i-- {
		all = append(all, peers[i].Close(ctx))
	}
	all = append(all, n.router.Stop())
	n.sim.Close()
	return errors.Join(all...)
}

// linkLocked returns the link from one peer to another; the caller holds n.mu.
func (n *VNet) linkLocked(from, to *VPeer) *link {
	l := n.links[[2]*VPeer{from, to}]
	if l == nil {
		id := uint64(from.number)<<32 | uint64(to.number)
		l = &link{media: rand.New(rand.NewPCG(n.seed, 2*id)), control: rand.New(rand.NewPCG(n.seed, 2*id+1)), late: rand.New(rand.NewPCG(^n.seed, id))}
		n.links[[2]*VPeer{from, to}] = l
	}
	return l
}

// late returns how much longer than the delay a packet takes.
func (n *VNet) late(from peer.ID, to *VPeer) time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	j := n.jitter
	i := slices.IndexFunc(n.peers, func(p *VPeer) bool { return p.id == from })
	if j.Deviation == 0 || i < 0 {
		return 0
	}
	l, now := n.linkLocked(n.peers[i], to), time.Now()
	at := now.Add(time.Duration(min(math.Abs(l.late.NormFloat64()), 4) * float64(j.Deviation)))
	if j.Ordered && at.Before(l.last) {
		at = l.last
	}
	l.last = at
	return at.Sub(now)
}

// carry decides whether a datagram of the media network reaches the other side.
func (n *VNet) carry(c vnet.Chunk) bool {
	src, ok1 := c.SourceAddr().(*net.UDPAddr)
	dst, ok2 := c.DestinationAddr().(*net.UDPAddr)
	if !ok1 || !ok2 {
		return false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	from, to := n.byIP[src.IP.String()], n.byIP[dst.IP.String()]
	if from == nil || to == nil {
		return false
	}
	n.counters.Media++
	n.counters.MediaOctets += uint64(len(c.UserData()))
	if n.datagram != nil {
		n.datagram(from.id, to.id, c.UserData())
	}
	if from.cut.Load() || to.cut.Load() {
		n.counters.MediaCut++
		return false
	}
	if n.loss > 0 && n.linkLocked(from, to).media.Float64() < n.loss {
		n.counters.MediaLost++
		return false
	}
	return true
}

// carryControl is carry for what a peer sends on the control network.
func (n *VNet) carryControl(from *VPeer, to net.Addr, size int) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.counters.Control++
	n.counters.ControlOctets += uint64(size)
	if from.cut.Load() {
		return false
	}
	if n.control == 0 {
		return true
	}
	other := from
	if u, ok := to.(*net.UDPAddr); ok {
		for _, p := range n.peers {
			if p.controlIP.Equal(u.IP) {
				other = p
			}
		}
	}
	if n.linkLocked(from, other).control.Float64() < n.control {
		n.counters.ControlLost++
		return false
	}
	return true
}
