package tree

// enoughKnown is how many peers that had room a peer is to know at all times, beside its two parents.
const enoughKnown = 3

// Prepared reports whether this peer knows where to go when its parent dies: it has a second parent, and knows three others that are
// not its children, answered when they were last asked, and had a free slot when they were last heard of. The origin goes nowhere.
// In a room of a few peers nobody is prepared.
func (r *Router) Prepared() bool {
	if r.origin {
		return true
	}
	if r.parent == nil || r.backup == nil {
		return false
	}
	known := 0
	for i := range r.cache.list {
		e := &r.cache.list[i]
		if e.Free > 0 && e.failures == 0 && e.Peer != r.parent.peer && e.Peer != r.backup.peer && r.child(e.Peer) == nil {
			known++
		}
	}
	return known >= enoughKnown
}
