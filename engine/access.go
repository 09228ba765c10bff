package engine

import (
	"crypto/ed25519"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/castd/castd/engine/room"
	"github.com/castd/castd/engine/wire"
	"github.com/castd/castd/tree"
)

// Who may be in a room
//
// In a private room every peer asks whoever wants to be its child, or its parent, by which right; so that who has none gets no
// hop, no key and no word from the first honest peer that he meets. A revocation spreads as an access list: by gossip, down the
// tree with the new key, and by its number in the beacon for those who missed both. Whoever takes a list ends at once what it
// does not allow any more.

// beaconPatience is how long a peer of a private room lets others in without having heard of the hub: what was revoked meanwhile
// it cannot know.
const beaconPatience = 30 * time.Second

// maxGrants bounds the peers whose rights are remembered.
const maxGrants = 512

// grant is by which right a peer is connected. Values are immutable.
type grant struct {
	user  ed25519.PublicKey
	chain *wire.Chain
	ends  time.Time // zero: does not end by itself
}

// policy returns what rights follow from now.
func (r *Room) policy() room.Policy {
	return room.Policy{Record: r.record.Load(), Access: r.access.Load()}
}

// refusal returns why a user may not be in the room, "" if he may. It is safe for concurrent use.
func (r *Room) refusal(user ed25519.PublicKey, chain *wire.Chain, now time.Time) string {
	p := r.policy()
	if _, err := p.May(user, chain, now); err != nil {
		return room.Denial(err)
	}
	if r.private && !mayHost(p.Record, user) && r.deaf(now) {
		return room.DeniedStale
	}
	return ""
}

// deaf reports whether the hub has not been heard of for too long.
func (r *Room) deaf(now time.Time) bool {
	heard := r.since
	if b := r.beacon.Load(); b != nil {
		heard = b.at
	}
	return !r.links.Load().place.Origin && now.Sub(heard) >= beaconPatience
}

// admitLoop notes by which right a peer is here, and tells him where he has none. It reports whether he may be.
func (r *Room) admitLoop(id peer.ID, user ed25519.PublicKey, chain *wire.Chain, nonce uint64, now time.Time) bool {
	if why := r.refusal(user, chain, now); why != "" {
		r.e.metrics.refused.Add(1)
		r.refuseLoop(id, nonce, why)
		return false
	}
	if len(r.grants) >= maxGrants {
		l := r.links.Load()
		for other := range r.grants {
			if !l.uses(other) && !r.expects(other) {
				delete(r.grants, other)
			}
		}
	}
	if len(r.grants) < maxGrants {
		r.grants[id] = &grant{user: user, chain: chain, ends: room.ExpiresAt(chain)}
	}
	return true
}

// refuseLoop tells a peer why he is not let in. Where something was revoked, the list that says so goes with it: he need not
// believe every peer that he asks.
func (r *Room) refuseLoop(id peer.ID, nonce uint64, why string) {
	m := &wire.Refuse{Nonce: nonce, Reason: refuseNotAllowed, Denied: why}
	if a := r.access.Load(); a != nil && why == room.DeniedRevoked {
		m.Access = a.Envelope
	}
	r.sendWireLoop(id, &wire.TreeMessage{Message: &wire.TreeMessage_Refuse{Refuse: m}})
}

const refuseNotAllowed = "not_allowed"

// accessLoop takes an access list that somebody sent. It reports whether the list is one to pass on.
func (r *Room) accessLoop(env []byte, now time.Time) bool {
	old := r.access.Load()
	if old != nil && string(old.Envelope) == string(env) {
		return false
	}
	a, err := room.VerifyAccess(env, r.record.Load(), now)
	if err != nil {
		r.e.metrics.controlBad.Add(1)
		r.e.log.Debug("access list refused", "err", err)
		return false
	}
	if !room.NewerAccess(a, old) {
		r.e.metrics.accessOld.Add(1)
		r.mergeLoop(a, now)
		return false
	}
	r.setAccessLoop(a, now)
	r.saveLoop()
	r.mergeLoop(old, now)
	return true
}

// mergeLoop sees to it that nothing that was taken back comes to hold again because two lists were signed at the same time: who
// may sign one then signs another that has it all.
func (r *Room) mergeLoop(other *room.Access, now time.Time) {
	if other == nil || !mayHost(r.record.Load(), r.e.userKey()) {
		return
	}
	a := r.access.Load()
	all, more := a.Merge(other, now)
	rulings, ruled := room.MergeRulings(a, other, now)
	if !more && !ruled {
		return
	}
	if err := r.rotateLoop(accessChange{revoked: all, rulings: rulings, sameKey: !more}, now); err != nil {
		r.e.log.Warn("cannot sign access list", "err", err)
	}
}

// setAccessLoop makes a list the room's, and ends what it does not allow.
func (r *Room) setAccessLoop(a *room.Access, now time.Time) {
	r.access.Store(a)
	change := r.roster.SetAccess(a, now)
	if !change.Empty() {
		r.silenceLoop(change)
	}
	r.enforceLoop(now, func(*grant) bool { return true })
	r.ruledLoop(now)
	r.selfLoop(now)
	if a.Generation > r.ring.Load().current {
		r.lacks(a.Generation)
	}
}

// silenceLoop ends the slots of publishers who may not send any more: nothing of theirs is taken or passed on from now on.
func (r *Room) silenceLoop(change room.Change) {
	r.changeLoop(change, nil)
	var gone []wire.StreamID
	for _, st := range change.Ended {
		if sl := r.slots[st.Record]; sl != nil {
			gone = append(gone, st.Record)
			for id := range *sl.media.Load() {
				gone = append(gone, id)
				delete(r.endedAt, id)
			}
			delete(r.slots, st.Record)
		}
	}
	r.e.index(nil, gone)
	r.restreamLoop()
	for _, p := range r.pubs {
		if slices.ContainsFunc(change.Ended, func(st *room.Stream) bool { return st.Record == p.record }) {
			p.finish(denied(room.DeniedRevoked, r.Name()))
		}
	}
}

// enforceLoop lets go of the peers whose rights have ended, of those that it is worth looking at.
func (r *Room) enforceLoop(now time.Time, look func(*grant) bool) {
	l := r.links.Load()
	p := r.policy()
	for _, id := range sortedKeys(r.grants) {
		g := r.grants[id]
		if !look(g) {
			continue
		}
		_, err := p.May(g.user, g.chain, now)
		switch {
		case err == nil:
		case l.uses(id) || r.expects(id):
			r.expelLoop(id, room.Denial(err))
		default:
			delete(r.grants, id)
		}
	}
}

// expelLoop ends all ties to a peer in this room.
func (r *Room) expelLoop(id peer.ID, why string) {
	r.e.metrics.expelled.Add(1)
	r.expelSeatsLoop(id)
	delete(r.grants, id)
	r.expected.Delete(id)
	r.refuseLoop(id, 0, why)
	l := r.links.Load()
	if _, child := l.children[id]; child {
		r.step(tree.Recv{From: tree.ID(id), Msg: &tree.MsgLeave{Reason: tree.LeaveMoved}}) // as if he had gone
	}
	if id == l.primary || id == l.backup {
		r.step(tree.Distrust{Peer: tree.ID(id), Reason: why})
	}
	if l.stage[id] {
		r.setStageLoop(id, false)
	}
	if l.previous == id {
		r.relinkLoop(func(l *links) { l.previous = "" })
	}
	r.e.releaseHop(id)
}

// selfLoop ends this peer's stay where its own right has ended.
func (r *Room) selfLoop(now time.Time) {
	if r.leaving {
		return
	}
	if _, err := r.policy().May(r.e.userKey(), r.chain.Load(), now); err != nil {
		r.endLoop(denied(room.Denial(err), r.Name()))
	}
}

// ReasonLeft is the Reason of an error event after which this peer is no longer in the room.
const ReasonLeft = "left"

// endLoop leaves the room for a reason that its person is told.
func (r *Room) endLoop(err *UserError) {
	if r.leaving {
		return
	}
	r.leaving = true
	r.ended.Store(true)
	r.e.log.Info("leaving room", "room", r.id, "reason", err.Code)
	r.e.events.emit(Event{Event: "error", Room: string(r.id), Code: err.Code, Message: err.Message, Reason: ReasonLeft})
	for _, p := range r.pubs {
		p.finish(err)
	}
	r.e.work.Go(func() {
		r.leave(r.e.ctx)
		r.done.Wait()
	})
}

// rightsLoop does once a second what ends by time.
func (r *Room) rightsLoop(now time.Time) {
	r.enforceLoop(now, func(g *grant) bool { return !g.ends.IsZero() && !now.Before(g.ends) })
	if a := r.access.Load(); a.RulingsEnd(r.ruled, now) {
		if change := r.roster.SetAccess(a, now); !change.Empty() {
			r.silenceLoop(change) // his turn is over
		}
		r.ruledLoop(now)
	}
	r.ruled = now
	if ends := room.ExpiresAt(r.chain.Load()); r.private && !ends.IsZero() && !now.Before(ends) {
		r.selfLoop(now)
	}
	if ring := r.ring.Load(); ring.without(now) != ring {
		r.ring.Store(ring.without(now))
		r.saveLoop()
	}
	r.fetchLoop(now)
}

// userKey returns the key of this peer's user.
func (e *Engine) userKey() ed25519.PublicKey { return e.user.Public().(ed25519.PublicKey) }
