package tree

import (
	"hash/fnv"
	"math"
	"time"

	"github.com/castd/castd/tree/coord"
)

// Where this peer stands: its delay from the origin, its branch, what hangs below it.

// BranchOf tells which child of the origin a path runs through, as a number that is never 0; it is 0 for the origin's own path and
// for none. Two peers in different branches share no peer on their paths but the origin.
func BranchOf(path []ID) uint32 {
	if len(path) < 2 {
		return 0
	}
	h := fnv.New32a()
	h.Write([]byte(path[1]))
	return max(h.Sum32(), 1)
}

// hopCost is what a relay adds to the delay of the network.
const hopCost = time.Millisecond

// delay is what media takes from the origin to this peer, as far as round trips tell.
func (r *Router) delay() time.Duration {
	p := r.parent
	if p == nil {
		return 0
	}
	return clampDelay(p.delay + p.rtt/2 + hopCost)
}

// cost is that of the place this peer has (placeCost).
func (r *Router) cost() time.Duration {
	p := r.parent
	if p == nil {
		return math.MaxInt64 // anything is better than no place
	}
	return placeCost(max(0, len(p.path)-1), p.delay, p.rtt)
}

// improve looks for a better place: on a reserve for an ordinary one, else for one that is better by far, where there is hope.
func (r *Router) improve() {
	if r.parent.kind == Orphan {
		r.seekPlace(Ordinary, ReasonOptimize, nil)
		return
	}
	s := &search{kind: Ordinary, reason: ReasonOptimize, width: 1, look: true}
	if !r.hope(s) {
		r.searchEnded(s)
		return
	}
	r.seek = s
}

// hope tells whether a candidate may be better by far than the place there is, as coordinates foretell.
func (r *Router) hope(s *search) bool {
	now, c := r.cost(), r.coord.Coord()
	for i := range r.cache.list {
		if e := &r.cache.list[i]; r.promising(e, now, c) && !r.barred(s, e.Peer) {
			return true
		}
	}
	return false
}

// promising tells whether a place below a candidate may be better by far than one of this cost, for a peer at c.
func (r *Router) promising(e *entry, cost time.Duration, c coord.Coord) bool {
	return (e.Free > 0 || r.slots > 0) && r.now >= e.retry && better(e.estimate(c), cost)
}

// measured takes a round trip to a peer that said where it stands.
func (r *Router) measured(rtt time.Duration, c coord.Coord) {
	r.coord.Learn(rtt, c, r.dir)
}

// below counts the peers below this one, as its children tell.
func (r *Router) below() int { return r.tally().below }

// freeBelow counts the free slots of this peer and of those below it.
func (r *Router) freeBelow() int { return r.free() + r.tally().freeBelow }

// self describes this peer.
func (r *Router) self() Candidate {
	return Candidate{
		Peer: r.cfg.Self, Addrs: r.addrs, Depth: uint32(r.depth()), Free: uint32(r.free()), Slots: uint32(r.slots),
		Delay: r.delay(), Coord: r.coord.Coord(), Branch: BranchOf(r.path),
	}
}

// maxBelow bounds what a child may claim to have below it.
const maxBelow = 1 << 20

// aggregate takes what a child says of those below it, and reports whether that is new.
func (c *child) aggregate(p Pulse) bool {
	below, freeBelow := c.below, c.freeBelow
	c.below, c.freeBelow = min(max(p.Below, 0), maxBelow), min(max(p.FreeBelow, 0), maxBelow)
	c.free = uint32(min(max(p.Free, 0), MaxSlots))
	if c.below > 0 {
		c.tests = 0
	}
	return c.below != below || c.freeBelow != freeBelow
}

// Candidate describes the peer that the status is of, without its name and addresses.
func (s Status) Candidate() Candidate {
	return Candidate{
		Depth: uint32(s.Depth), Free: uint32(s.Free), Slots: uint32(s.Slots), Delay: s.Delay, Coord: s.Coord, Branch: BranchOf(s.Path),
	}
}
