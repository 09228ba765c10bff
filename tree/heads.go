package tree

import (
	"slices"
	"time"
)

// The origin feeds a constant number of children, the heads, however many listen: its upload bounds nothing, and who takes over its
// part has but these to feed. Their subtrees share no peer, so that a backup in the other one survives whatever breaks the
// primary path.
//
// A handful of peers is fed by the origin itself as far as its slots go: nobody shall be relayed to without need. Nor
// is anybody refused by the origin while there is no free slot below the heads.

// small is how many peers below the origin make a room in which it does not restrict itself to heads.
func (c *Config) small() int { return 2 * c.Heads }

// offered is how many ordinary children this peer takes.
func (r *Router) offered() int {
	if r.headed {
		return min(r.cfg.Heads, r.slots)
	}
	return r.slots
}

// head decides whether the origin feeds heads only: where there are enough children that give slots, the room is not small,
// and below the heads there is room. To begin with it there must be room for twice as many as it will ask to go, as those who move
// have no slots to give meanwhile, or it would have to take them back at once and ask them again, for ever.
func (r *Router) head() {
	if !r.origin || r.cfg.Heads <= 0 || r.slots <= r.cfg.Heads {
		r.headed = false
		return
	}
	heads, room, below, fed := 0, 0, 0, 0
	for _, c := range r.children {
		if c.kind == Backup || !c.confirmed {
			continue
		}
		below += 1 + c.below
		fed++
		if c.kind == Ordinary && r.claims(c) > 0 {
			heads++
			room += c.freeBelow
		}
	}
	least := 1
	if !r.headed {
		least += 2 * max(0, fed-r.cfg.Heads)
	}
	headed := heads >= r.cfg.Heads && below > r.cfg.small() && room >= least
	switch {
	case headed && !r.headed:
		if r.now.Before(r.headRetry) {
			return
		}
		r.headedAt = r.now
	case !headed && r.headed && heads >= r.cfg.Heads: // for want of room, and not because a head has died
		if r.now.Sub(r.headedAt) >= headsProven {
			r.headTries = 0
		}
		r.headRetry = r.now.Add(headsPause << min(r.headTries, 6))
		r.headTries++
	}
	r.headed = headed
}

// An origin that had to turn away from its heads, since there was no room below them after all, tries again after headsPause, then
// twice as long each time, up to half an hour; where it fed heads for headsProven, from the beginning.
const (
	headsPause  = 30 * time.Second
	headsProven = 10 * time.Minute
)

// headLostFor is how long the origin helps any orphan out after one has said that a head is lost: until it knows by itself.
const headLostFor = 5 * time.Second

// headless tells whether an orphan says that it has lost one of the heads, which this peer may not know to be dead yet, or another said
// so a moment ago: what breaks a head may break others below it at once, and below the heads there is no room for all then.
func (r *Router) headless(m *MsgJoin) bool {
	if m.Kind == Orphan && slices.ContainsFunc(clampIDs(m.Avoid), func(id ID) bool { return r.child(id) != nil }) {
		if !r.helpsOut() {
			r.lostBelow = r.below()
		}
		r.headLost = r.now
	}
	return r.helpsOut()
}

// helpsOut tells whether an orphan said a moment ago that a head is lost.
func (r *Router) helpsOut() bool { return !r.headLost.IsZero() && r.now.Sub(r.headLost) < headLostFor }

// spares tells whether the origin keeps its places from one with so many below: while a head is lost they are for those with
// the most, each of whom brings back a part of the room, and who has few finds a place below these.
func (r *Router) spares(below int) bool {
	return r.origin && r.helpsOut() && below < r.lostBelow/(shareOfLost*(r.slots+r.cfg.reserve(r.slots)))
}

// shareOfLost is which part of an equal share of those below the origin is enough.
const shareOfLost = 8

// branchBelow is the branch of a child of this peer, and of all below it.
func (r *Router) branchBelow(c ID) uint32 {
	if r.origin {
		return BranchOf([]ID{r.cfg.Self, c})
	}
	return BranchOf(r.path)
}
