package engine

import (
	"context"
	"crypto/ed25519"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/proto"

	"github.com/castd/castd/engine/wire"
	"github.com/castd/castd/tree"
	"github.com/castd/castd/tree/elect"
)

// Who is the hub
//
// The owner's devices, and those of the delegates whom his record names, may be a room's hub; package elect decides which of them
// is. Those that may bid; the hub ranks them, names its successors in its beacon, and tells these by a lease several times a second
// that it lives. Where leases and beacons cease, and no path leads to the hub either, the first successor is the hub of the next
// term: it becomes the tree's origin, its subtree stays, the heads come to it, publishers bring their streams. Of two hubs that hear
// of each other the one of the older term yields.

// electLoop gives the elector an input and does what follows.
func (r *Room) electLoop(in elect.Input) {
	for _, a := range slices.Clone(r.elector.Step(time.Now(), in)) {
		switch a := a.(type) {
		case elect.Renew:
			r.sendLeaseLoop(a)
		case elect.Acquired:
			r.acquiredLoop(time.Now())
		case elect.Lost:
			r.lostHubLoop(peer.ID(a.To.Holder))
		case elect.Follow:
			r.bidAt = time.Time{}
		default:
			panic("engine: internal error: unknown action of the elector")
		}
	}
	r.nameStandbyLoop()
	if at, ok := r.elector.NextDeadline(); ok {
		r.electTimer.Reset(max(time.Until(at), time.Millisecond))
	} else {
		r.electTimer.Stop()
	}
}

// standLoop tells the elector whether this peer may be the hub, and whether it is served.
func (r *Room) standLoop() {
	l := r.links.Load()
	if _, holding := r.elector.Term(); holding && !mayHost(r.record.Load(), r.e.userKey()) {
		// The owner took the right back: the room is no longer this peer's to open.
		r.electLoop(elect.Resign{})
		r.lostHubLoop("")
	}
	stands := standing{
		ready:  r.inTree && !r.leaving && mayHost(r.record.Load(), r.e.userKey()),
		served: l.place.Placed && !l.place.Origin,
	}
	if stands == r.stands {
		return
	}
	old := r.stands
	r.stands = stands
	if stands.ready != old.ready {
		r.electLoop(elect.Stand{Ready: stands.ready})
	}
	if stands.served != old.served {
		r.electLoop(elect.Served{On: stands.served})
	}
}

// standing is what the elector was told last.
type standing struct{ ready, served bool }

// acquiredLoop makes this peer the room's hub.
func (r *Room) acquiredLoop(now time.Time) {
	if r.inherits == "" {
		r.becomeOriginLoop()
	}
	r.hostKeysLoop(now)
	r.e.list()
}

// becomeOriginLoop makes the tree begin here.
func (r *Room) becomeOriginLoop() {
	if r.inTree && !r.links.Load().place.Origin {
		r.e.log.Info("this peer is the room's hub now", "room", r.id)
	}
	r.e.mu.Lock()
	slots := max(r.e.slotsLocked(), 1) // an origin that relays to nobody would be a room for one
	r.e.mu.Unlock()
	r.step(tree.SetSlots{Slots: slots})
	r.step(tree.Promote{})
	r.setHubLoop("")
	r.dropFormerHubLoop(time.Now())
	if r.links.Load().place.Origin {
		r.sendBeaconLoop(time.Now())
	}
}

// lostHubLoop follows another hub, which took this one's place.
func (r *Room) lostHubLoop(to peer.ID) {
	r.inherits = ""
	if r.heir != "" {
		return // it was asked to
	}
	r.e.log.Info("another peer is the hub of this room: following it", "room", r.id, "hub", to)
	r.stagePeers = make(map[peer.ID]bool) // they follow as well
	// Its beacons come, but may be sealed under a key that this peer has yet to get.
	r.beacon.Store(nil)
	if to != "" {
		r.beacon.Store(&beacon{hub: to, at: time.Now()})
	}
	r.step(tree.Demote{})
}

// sendLeaseLoop tells successors, or a pretender, of this hub's term.
func (r *Room) sendLeaseLoop(a elect.Renew) {
	l := &wire.Lease{Term: a.Lease.Term.N, SinceMs: uint64(a.Lease.Term.Since)}
	for _, id := range a.Lease.Successors {
		l.Successors = append(l.Successors, []byte(id))
	}
	for _, id := range r.headsLoop() {
		l.Heads = append(l.Heads, []byte(id))
	}
	env, err := r.e.seal(r.id, wire.Type_LEASE, l)
	if err != nil {
		r.e.log.Error("cannot encode lease", "err", err)
		return
	}
	for _, id := range a.To {
		r.sendQuietLoop(peer.ID(id), env)
	}
}

// sendQuietLoop sends a message that is repeated soon: where it fails nothing follows.
func (r *Room) sendQuietLoop(to peer.ID, env []byte) {
	if r.quiet.Load() >= maxQuiet {
		return
	}
	r.quiet.Add(1)
	r.done.Go(func() {
		defer r.quiet.Add(-1)
		ctx, cancel := context.WithTimeout(r.ctx, 3*time.Second)
		defer cancel()
		_ = r.e.control.Send(ctx, to, env)
	})
}

// maxQuiet bounds the messages of sendQuietLoop that are on their way.
const maxQuiet = 32

// leaseLoop takes a lease, which came from the hub itself.
func (r *Room) leaseLoop(from peer.ID, user ed25519.PublicKey, m *wire.Lease) {
	if mayHost(r.record.Load(), user) {
		r.electLoop(elect.Heard{Lease: leaseOf(from, m.Term, m.SinceMs, m.Successors)})
		if r.standsByLoop() && from == r.hubNow() {
			r.takeHeadsLoop(m.Heads, time.Now())
		}
	}
}

// leaseOf returns what a hub says of its term. Versions that know no terms are in the first one.
func leaseOf(hub peer.ID, term, sinceMs uint64, successors [][]byte) elect.Lease {
	l := elect.Lease{Term: elect.Term{N: max(term, 1), Since: int64(sinceMs), Holder: elect.ID(hub)}}
	for _, id := range successors[:min(len(successors), elect.MaxSuccessors)] {
		l.Successors = append(l.Successors, elect.ID(id))
	}
	return l
}

// Pace of bids: until this peer is named, and then.
const (
	bidSoon  = time.Second
	bidEvery = 5 * time.Second
)

// bidLoop tells the hub that this peer may follow it.
func (r *Room) bidLoop(now time.Time) {
	term, holding := r.elector.Term()
	if !r.stands.ready || holding || term.N == 0 || now.Before(r.bidAt) {
		return
	}
	r.bidAt = now.Add(bidEvery)
	if heirs := r.elector.Lease().Successors; len(heirs) < 2 && !slices.Contains(heirs, elect.ID(r.e.self)) {
		r.bidAt = now.Add(bidSoon)
	}
	env, err := r.e.seal(r.id, wire.Type_BID, &wire.Bid{Offer: r.e.offer(now), Addrs: addrsOf(r.e.control.Self())})
	if err != nil {
		r.e.log.Error("cannot encode bid", "err", err)
		return
	}
	r.sendQuietLoop(peer.ID(term.Holder), env)
}

// heardBidLoop takes a bid at the hub.
func (r *Room) heardBidLoop(from peer.ID, user ed25519.PublicKey, m *wire.Bid, now time.Time) {
	if _, holding := r.elector.Term(); !holding || !mayHost(r.record.Load(), user) {
		return
	}
	r.electLoop(elect.Offered{Offer: r.acquaintLoop(from, m.Offer, m.Addrs, now)})
}

// hubMessage takes a direct message about who is the hub.
func (e *Engine) hubMessage(from peer.ID, m *wire.Message) {
	r := e.roomByID(m.Room)
	if r == nil {
		return
	}
	switch m.Type {
	case wire.Type_LEASE:
		var l wire.Lease
		if err := proto.Unmarshal(m.Body, &l); err != nil {
			e.metrics.controlBad.Add(1)
			return
		}
		r.post(func() { r.leaseLoop(from, m.User, &l) })
	case wire.Type_BID:
		var b wire.Bid
		if err := proto.Unmarshal(m.Body, &b); err != nil {
			e.metrics.controlBad.Add(1)
			return
		}
		r.post(func() { r.heardBidLoop(from, m.User, &b, time.Now()) })
	}
}
