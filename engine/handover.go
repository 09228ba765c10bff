package engine

import (
	"context"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/castd/castd/engine/wire"
	"github.com/castd/castd/tree"
	"github.com/castd/castd/tree/elect"
)

// A hub that leaves hands over to its first successor that answers. That one takes the next term and says so; publishers bring their
// streams to it and send them to both hubs for a while; meanwhile it is still fed by the tree, and the tree by the old hub. When
// everybody who is live is there, or handOverTime is over, it becomes the origin and answers. Only then the old hub says goodbye, and
// its children, who are fed until they have moved, go to the new one first. What was published at the old hub itself ends with it.

const (
	// handOverTime is how long a successor waits for those who are live.
	handOverTime = 900 * time.Millisecond
	// handOverAsk is how long the one that leaves waits for a successor; castd ends within three seconds.
	handOverAsk = 1300 * time.Millisecond
)

// handOver hands the room to a successor, where this peer is its hub and has one.
func (r *Room) handOver(ctx context.Context) {
	var heirs []elect.ID
	var term elect.Term
	_ = r.call(ctx, func() {
		var holding bool
		if term, holding = r.elector.Term(); holding && r.links.Load().place.Origin {
			heirs = append(heirs, r.elector.Lease().Successors...)
		}
	})
	ctx, cancel := context.WithTimeout(ctx, handOverAsk)
	defer cancel()
	for _, id := range heirs[:min(len(heirs), 2)] {
		heir := peer.ID(id)
		if r.call(ctx, func() { r.heir = heir }) != nil {
			return
		}
		var answer wire.HandoverAnswer
		err := r.e.request(ctx, heir, r.id, wire.Type_HANDOVER, &wire.Handover{Term: term.N}, wire.Type_HANDOVER_ANSWER, &answer)
		if err == nil && answer.Reason == "" {
			r.e.log.Info("handed the room over", "room", r.id, "hub", heir)
			return
		}
		r.e.log.Debug("a successor does not take the room", "peer", heir, "reason", answer.Reason, "err", err)
	}
	_ = r.call(r.ctx, func() {
		if _, holding := r.elector.Term(); holding {
			r.heir = ""
		}
	})
}

// goodbyeLoop leaves the tree.
func (r *Room) goodbyeLoop() {
	leave := tree.Leave{}
	if r.heir != "" {
		leave.Heir = tree.Candidate{Peer: tree.ID(r.heir), Free: 1}
		if b := r.beacon.Load(); b != nil && b.hub == r.heir {
			leave.Heir.Addrs = b.addrs
		}
	}
	r.electLoop(elect.Resign{})
	r.step(leave)
}

// takeHandover answers a hub that leaves.
func (r *Room) takeHandover(ctx context.Context, from peer.ID, m *wire.Handover) *wire.HandoverAnswer {
	reason := "leaving"
	err := r.call(ctx, func() { reason = r.inheritLoop(from, m.Term) })
	if err != nil || reason != "" {
		return &wire.HandoverAnswer{Reason: reason}
	}
	deadline := time.Now().Add(handOverTime)
	for ready := false; !ready && time.Now().Before(deadline) && ctx.Err() == nil; {
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
		case <-r.ctx.Done():
			return &wire.HandoverAnswer{Reason: "leaving"}
		}
		_ = r.call(ctx, func() { ready = r.inheritedLoop(from) })
	}
	if err := r.call(r.ctx, func() { r.enthroneLoop(from) }); err != nil {
		return &wire.HandoverAnswer{Reason: "leaving"}
	}
	return &wire.HandoverAnswer{}
}

// inheritLoop begins to take a room over. It returns why it cannot.
func (r *Room) inheritLoop(from peer.ID, n uint64) string {
	term, holding := r.elector.Term()
	switch {
	case holding && r.inherits == from:
		return "" // it asks again
	case holding || term.Holder != elect.ID(from) || term.N != max(n, 1):
		return "not_hub"
	case !r.stands.ready:
		return "not_allowed"
	}
	r.inherits = from
	r.relinkLoop(nil)
	r.electLoop(elect.Take{})
	r.sendBeaconLoop(time.Now())
	return ""
}

// inheritedLoop reports whether everybody who is live sends here, but for the hub that leaves.
func (r *Room) inheritedLoop(from peer.ID) bool {
	now := time.Now()
	for _, s := range *r.media.Load() {
		if s.local || s.author == from || !s.state.Load().Live {
			continue
		}
		if !r.stagePeers[s.author] || r.e.hop(s.author) == nil || now.Sub(r.staged[s.author]) < settleTime {
			return false
		}
	}
	return true
}

// settleTime is how long what a publisher sends first takes to come.
const settleTime = 150 * time.Millisecond

// enthroneLoop makes this peer the tree's origin, after it took the term.
func (r *Room) enthroneLoop(from peer.ID) {
	if r.inherits != from {
		return
	}
	if _, holding := r.elector.Term(); holding {
		r.becomeOriginLoop()
	}
	// What the former parent sent last is on its way: taken for as long as links.previous is.
	time.AfterFunc(farewell, func() {
		if r.ctx.Err() == nil {
			r.tell(func() {
				r.inherits = ""
				r.relinkLoop(nil)
			})
		}
	})
}
