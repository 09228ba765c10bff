package tree

import (
	"slices"
	"time"
)

// What a newcomer does where a place is hard to find: those who answer are full, or no hop comes up with those who have room.

// settleAfter is how long a newcomer looks for an ordinary place only, from its first probe on.
const settleAfter = 1500 * time.Millisecond

// settleFor lets a newcomer take a place on a reserve as well, and look for an ordinary one from there: while many come at once, those
// with free slots are few and far between, and most of the reserves idle. One with others below it that needs such a place gets it
// nevertheless (smaller).
func (s *search) settleFor() {
	s.kind, s.settle = Orphan, 0
	for i := range s.asks {
		if a := &s.asks[i]; a.reserve > 0 && (!a.usable || a.reserve < a.cost) {
			a.usable, a.cost = true, a.reserve
		}
	}
}

// roomElsewhere tells whether somebody but the origin is known to have a free slot. Where there is none, who sat on a reserve would stay, and
// nothing would be kept for those who lose their parent.
func (r *Router) roomElsewhere() bool {
	return slices.ContainsFunc(r.cache.list, func(e entry) bool { return e.Free > 0 && e.Depth > 0 })
}

// behindWall tells whether a newcomer has met a peer that a hop does not come up with. It will meet more of them: they have room for the
// very reason that others cannot reach them. So it goes on to ask, rather than wait for each hop in turn.
func (s *search) behindWall(now instant) bool {
	return s.reason == ReasonJoin && (s.walls > 0 || slices.ContainsFunc(s.attempts, func(a attempt) bool { return a.accepted != nil && a.late(now) }))
}
