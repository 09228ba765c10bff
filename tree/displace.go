package tree

import (
	"slices"
	"time"

	"github.com/castd/castd/tree/coord"
)

// Who has which place below a peer. A peer that gives much stands above those who give less, or leaves would hold every place there
// is and the tree were deep: bandwidth-ordered trees are near the least depth. So a parent that is full gives the place of
// its weakest child to a newcomer that is worth twice as much, and the weakest goes below the newcomer, with all that is below
// itself, make-before-break.
//
// What a child is worth is what it gives, and up to twice that the longer it has been a child here, and the less the farther away it
// is: all below wait for that way, and those who are near feel it most. Only this parent's own observation counts: ages that travel would have
// to be believed or signed, and a peer that says that it gives much and does not is left by its children soon, whatever its age.

// provenAfter is the time after which a child is worth twice what it gives.
const provenAfter = 30 * time.Minute

// farAway is the round trip that makes a child worth half of one that is near.
const farAway = 100 * time.Millisecond

// worth orders children. What counts of the slots is at most 64, of the time as a child at most provenAfter.
func worth(slots uint32, since, rtt time.Duration) int64 {
	proven := int64((provenAfter + min(max(since, 0), provenAfter)) / time.Second)
	return int64(min(slots, 64)) * proven * 1000 * int64(farAway/time.Microsecond) / int64((farAway+rtt)/time.Microsecond)
}

// worth is that of a child.
func (r *Router) worth(c *child) int64 {
	return worth(r.claims(c), r.now.Sub(c.since), r.rttOf(c))
}

// away is the round trip to expect to a newcomer.
func (r *Router) away(c coord.Coord) time.Duration {
	return foretold(r.coord.Coord(), c)
}

// rttOf is the round trip to a child, measured or foretold.
func (r *Router) rttOf(c *child) time.Duration {
	if c.rtt > 0 {
		return c.rtt
	}
	return r.away(c.coord)
}

// weaker finds the child that makes room for one that gives slots, c being the place that one has, or nil. An ordinary one moves to
// the reserve until it has found another place; where the reserve is taken by one that gives nothing, that one is fed no longer, for
// leaves would else hold every place for good, with those who could feed them outside.
func (r *Router) weaker(c *child, slots uint32, at coord.Coord) *child {
	if slots == 0 || !r.displacedAt.IsZero() && r.now.Sub(r.displacedAt) < r.cfg.DisplaceGap {
		return nil
	}
	kind := Ordinary
	if r.room(c) <= 0 {
		kind = Orphan
	}
	v := r.weakest(kind, c)
	if v == nil || kind == Orphan && r.claims(v) > 0 || 2*r.worth(v) > worth(slots, 0, r.away(at)) {
		return nil
	}
	return v
}

// weakest finds the child of a kind that is worth least, of several the newest, as the oldest has shown that it stays. Those whose
// place is promised to another, or who are on their way, do not count.
func (r *Router) weakest(kind ChildKind, without *child) *child {
	var best *child
	var least int64
	for _, c := range r.children {
		if c.kind != kind || c == without || !c.confirmed || !c.until.IsZero() {
			continue
		}
		w := r.worth(c)
		if best != nil && (w > least || w == least && !c.since.After(best.since)) || r.promised(c) {
			continue
		}
		best, least = c, w
	}
	return best
}

// promised tells whether a child's place is promised to another.
func (r *Router) promised(c *child) bool {
	return slices.ContainsFunc(r.children, func(o *child) bool { return o.victim == c.peer })
}

// displace makes v leave its place to c, which has just taken it.
func (r *Router) displace(v, c *child) {
	r.displacedAt = r.now
	n := Candidate{
		Peer: c.peer, Addrs: c.addrs, Depth: uint32(len(r.path)), Free: c.slots, Slots: c.slots, Coord: c.coord,
		Delay: r.delay() + foretold(r.coord.Coord(), c.coord)/2, Branch: r.branchBelow(c.peer),
	}
	list := first(n, r.candidates(v.asking(), maxProbes))
	if v.kind == Ordinary {
		v.kind, v.until = Orphan, r.now.Add(r.cfg.DisplaceTimeout)
		r.changed()
		r.send(v.peer, &MsgLeave{Reason: LeaveDisplaced, Candidates: list})
		return
	}
	r.stand(v, list)
}

// shed makes v look for another place; it is fed until it has one, but no longer than DisplaceTimeout unless there is room.
func (r *Router) shed(v *child) {
	r.displacedAt = r.now
	v.kind, v.until = Orphan, r.now.Add(r.cfg.DisplaceTimeout)
	r.changed()
	r.send(v.peer, &MsgLeave{Reason: LeaveDisplaced, Candidates: r.candidates(v.asking(), maxProbes)})
}

// roomy tells whether all that are fed have a slot, so that nobody has to be cut off.
func (r *Router) roomy() bool { return r.used(Ordinary, nil)+r.used(Orphan, nil) <= r.slots }

// goOn feeds a child that was asked to leave for another while, and names others to ask.
func (r *Router) goOn(c *child) {
	c.until = r.now.Add(r.cfg.DisplaceTimeout)
	r.changed()
	r.send(c.peer, &MsgLeave{Reason: LeaveDisplaced, Candidates: r.candidates(c.asking(), maxProbes)})
}

// settledFor tells whether the children are in order, and nothing but what is in the tally can change that.
func (r *Router) settledFor(t *tally) bool {
	return t.settled == r.order() && t.used[Orphan] == 0 && t.used[Ordinary] <= r.offered()
}

func (r *Router) order() settled { return settled{true, r.slots, r.share, r.headed} }

// settle brings the children in order: free slots go to those who sit on the reserve, the longest first; one of them that gives more
// than an ordinary one changes places with it, though not at once, for a failure shall move nobody but those whom it has hit; and where
// slots have become fewer, the weakest is asked to go.
func (r *Router) settle() {
	r.head()
	if r.path == nil || len(r.children) == 0 {
		return
	}
	if r.settledFor(r.tally()) {
		return
	}
	var up *child // on the reserve the longest
	var best *child
	used, fed, passing := 0, 0, 0
	for _, c := range r.children {
		switch c.kind {
		case Ordinary:
			if c.victim != "" && r.child(c.victim) != nil {
				continue // it comes when another goes
			}
			used++
			fed++
		case Orphan:
			fed++
			if r.now.Sub(c.since) < r.cfg.Dwell {
				passing++
			}
			if !c.confirmed {
				continue
			}
			if c.until.IsZero() && r.claims(c) > 0 && r.now.Sub(c.since) >= r.cfg.Dwell && (best == nil || r.worth(c) > r.worth(best)) {
				best = c
			}
			if up == nil || c.since.Before(up.since) {
				up = c
			}
		}
	}
	offered := r.offered()
	switch {
	case used > offered:
		if r.now.Sub(r.displacedAt) >= r.shedGap() && (!r.headed || r.now.Sub(r.headedAt) >= r.cfg.Dwell) {
			if v := r.weakest(Ordinary, nil); v != nil {
				r.shed(v)
			}
		}
	case used < offered && up != nil:
		up.kind, up.until = Ordinary, 0
		r.changed()
		r.accept(up)
		r.settle()
		return
	case best != nil && (r.displacedAt.IsZero() || r.now.Sub(r.displacedAt) >= r.cfg.DisplaceGap):
		if v := r.weakest(Ordinary, best); v != nil && 2*r.worth(v) <= r.worth(best) {
			best.kind = Ordinary
			r.changed()
			r.displace(v, best)
			r.accept(best)
		}
	}
	r.tally().settled = r.order()
	r.shareCopies(max(0, r.slots+r.cfg.reserve(r.slots)-fed+passing), max(0, r.slots-fed)) // where it changes anything, the tally is forgotten
}

// shedGap is the least time between two children asked to go because there are too many.
func (r *Router) shedGap() time.Duration { return r.cfg.DisplaceGap / 4 }
