package engine

import (
	"context"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/castd/castd/engine/wire"
)

// Most of what a room's topic carries are adverts, each several times, and of use to those who look for a place or give some. A peer
// without slots that sits well leaves the topic. What else is told there comes down the tree then: both parents pass on, as they
// are, the envelopes that the hub, the owner and the co-hosts have signed; the first one the hub's beacon as well. They are verified as if
// they had come by gossip, so that parents can withhold them, but not forge. A beacon tells of the newest access list, which is asked for
// where it did not come; and where no beacon comes for a while, or no parent is left, the peer is on the topic again. Publishers and
// whoever may be the hub never leave it.

const (
	// quietAfter is how long a peer has had both parents before it leaves the topic; they are asked to pass on askedBefore that.
	quietAfter  = 12 * time.Second
	askedBefore = 2 * time.Second
	// beaconMissed is how old the newest beacon may be: two of idleBeacon may be lost on the way, and a hub's successor speaks sooner.
	beaconMissed = 6 * time.Second
)

// topicless is what a peer knows of its being off the room's topic. It belongs to the room's goroutine.
type topicless struct {
	since time.Time        // that it might be; zero: it might not
	off   bool             // it is
	asked map[peer.ID]bool // parents that were asked to pass on what there is; true: beacons too
}

// quietLoop leaves the room's topic, or comes back to it. It is called every second, and with new parents.
func (r *Room) quietLoop(now time.Time) {
	l, b, q := r.links.Load(), r.beacon.Load(), &r.topicless
	switch {
	case r.leaving:
		return
	case b == nil || now.Sub(b.at) >= beaconMissed || l.primary == "" || l.backup == "" && !q.off,
		!l.place.Placed, l.place.Origin, l.place.Slots > 0, len(r.pubs) > 0, r.records > 0, mayHost(r.record.Load(), r.e.userKey()):
		r.loudLoop()
		return
	case q.since.IsZero():
		q.since = now
	}
	quietFor := now.Sub(q.since)
	if quietFor < quietAfter-askedBefore {
		return
	}
	asked := make(map[peer.ID]bool, 2)
	for _, id := range [...]peer.ID{l.primary, l.backup} {
		beacons := id == l.primary
		if before, ok := q.asked[id]; id != "" && (!ok || before != beacons) {
			h := &wire.Hearing{Facts: true, Beacons: beacons}
			r.sendWireLoop(id, &wire.TreeMessage{Message: &wire.TreeMessage_Hearing{Hearing: h}})
		}
		asked[id] = beacons
	}
	q.asked = asked
	if !q.off && quietFor >= quietAfter {
		q.off = true
		if err := r.e.control.Leave(r.topic); err != nil {
			r.e.log.Debug("cannot leave room topic", "err", err)
		}
	}
}

// loudLoop comes back to the room's topic. Parents that were asked may go on passing on, until they are none any more.
func (r *Room) loudLoop() {
	off := r.topicless.off
	r.topicless = topicless{}
	if !off {
		return
	}
	if err := r.e.control.Join(r.topic); err != nil {
		r.e.log.Warn("cannot join room topic", "err", err)
	}
}

// maxPassTo bounds the peers that something is passed on to. Only children are.
const maxPassTo = 256

// passToLoop takes what a child asks to be passed on to it. It may ask before it has confirmed its place.
func (r *Room) passToLoop(from peer.ID, h *wire.Hearing) {
	if len(r.passTo) >= maxPassTo {
		children := r.links.Load().children
		for id := range r.passTo {
			if _, child := children[id]; !child {
				delete(r.passTo, id)
			}
		}
		if len(r.passTo) >= maxPassTo {
			return
		}
	}
	r.passTo[from] = h
	if b := r.beacon.Load(); b != nil && b.env != nil && h.Beacons && time.Since(b.at) < beaconMissed {
		r.passOn(from, b.env) // the next may be long in coming
	}
}

// passLoop passes an envelope that was published on to the children that are not on the topic.
func (r *Room) passLoop(typ wire.Type, env []byte) {
	l := r.links.Load()
	for _, id := range sortedKeys(r.passTo) {
		h := r.passTo[id]
		if _, child := l.children[id]; !child || !h.Facts || typ == wire.Type_BEACON && !h.Beacons || typ == wire.Type_ADVERT {
			continue
		}
		r.passOn(id, env)
	}
}

func (r *Room) passOn(to peer.ID, env []byte) {
	r.done.Go(func() {
		ctx, cancel := context.WithTimeout(r.ctx, time.Second)
		defer cancel()
		if err := r.e.control.Send(ctx, to, env); err != nil && r.ctx.Err() == nil {
			r.e.log.Debug("cannot pass on", "peer", to, "err", err)
		}
	})
}

// passedOn takes an envelope that came from a parent and may be another peer's.
func (e *Engine) passedOn(from peer.ID, m *wire.Message, env []byte) {
	r := e.roomByID(m.Room)
	if r == nil {
		return
	}
	if l := r.links.Load(); from != l.primary && from != l.backup {
		return // of a former parent, perhaps
	}
	if r.judge(m, env) != Accept {
		e.metrics.controlBad.Add(1)
		return
	}
	r.heard(m, env)
}
