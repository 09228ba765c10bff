package tree

import "slices"

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
// and below the heads there is room.
func (r *Router) head() {
	if !r.origin || r.cfg.Heads <= 0 || r.slots <= r.cfg.Heads {
		r.headed = false
		return
	}
	heads, room, below := 0, 0, 0
	for _, c := range r.children {
		if c.kind == Backup || !c.confirmed {
			continue
		}
		below += 1 + c.below
		if c.kind == Ordinary && c.slots > 0 {
			heads++
			room += c.freeBelow
		}
	}
	headed := heads >= r.cfg.Heads && below > r.cfg.small() && room > 0
	if headed && !r.headed {
		r.headedAt = r.now
	}
	r.headed = headed
}

// headless tells whether an orphan says that it has lost one of the heads, which this peer may not know to be dead yet.
func (r *Router) headless(m *MsgJoin) bool {
	return slices.ContainsFunc(clampIDs(m.Avoid), func(id ID) bool { return r.child(id) != nil })
}

// branchBelow is the branch of a child of this peer, and of all below it.
func (r *Router) branchBelow(c ID) uint32 {
	if r.origin {
		return BranchOf([]ID{r.cfg.Self, c})
	}
	return BranchOf(r.path)
}
