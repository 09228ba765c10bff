package tree

import (
	"slices"
	"time"
)

// What a child says of itself, against what it is seen to do. Slots are claimed, not shown, and a place is given for them. A child that
// claims them and feeds nobody would keep that place for good, and where such children hold all the places of an origin, those who
// have found them out have nowhere to go. So the claim of a child is put to the test when others are in need of what it claims: who
// is refused here for want of room is sent to it. Where several are refused for some time and nothing comes to hang below it, and
// where two peers say independently that it withheld media from them, or forged it, it is in doubt: its slots count as none, so that it
// makes room for anybody who gives some, as a leaf would. Nor does it help to claim that many hang below; see sought. A child that nobody needs is never in doubt: that it is empty says nothing.
//
// Doubt is this peer's own and for a while. An accusation may be false; it costs the accused no media, as displacement is
// make-before-break, and wins the accuser nothing that a claim of many slots would not.

const (
	// testLeast is how many are refused until an empty child is in doubt, and testFor how long that takes at least: who is sent to a child
	// needs some round trips, and what hangs below it is told once a second. testOver is when a test that led to nothing begins anew.
	testLeast = 3
	testFor   = 10 * time.Second
	testOver  = 40 * time.Second
	// vainFor is how long somebody has had no place until that says something of those whom it was sent to.
	vainFor = 10 * time.Second
	// doubtFor is how long the slots of a peer in doubt count as none.
	doubtFor = 5 * time.Minute
	// maxAccused bounds the peers that a join accuses.
	maxAccused = 4
)

// believed is how many of the slots that a peer claims count.
func (r *Router) believed(peer ID, slots uint32) uint32 {
	if slots == 0 || r.doubts.has(peer, r.now) {
		return 0
	}
	return slots
}

// claims is how many of a child's slots count.
func (r *Router) claims(c *child) uint32 { return r.believed(c.peer, c.slots) }

// tested notes that one who was refused here for want of room has been sent to some of the children.
func (r *Router) tested(from ID, m *MsgJoin, named []Candidate) {
	r.sought(from, m, named)
	for _, n := range named {
		c := r.child(n.Peer)
		if c == nil || c.kind == Backup || c.slots == 0 || c.below > 0 {
			continue
		}
		if c.tests == 0 || r.now.Sub(c.testedAt) > testOver {
			c.tests, c.testedAt = 0, r.now
		}
		if c.tests++; c.tests >= testLeast && r.now.Sub(c.testedAt) >= testFor {
			r.doubt(c)
		}
	}
}

// sought notes that one who gives slots is sent to some of the children and has had no place for long. What hangs below a child is its
// own word as well, and where it says that there are many, nobody can tell how many of them there are. But below everybody there are
// leaves in the end; one that has slots has room, and one that has none makes room for who has. So who gives slots finds a place
// below any child that tells the truth, and where several of them have found none for long, it does not.
func (r *Router) sought(from ID, m *MsgJoin, named []Candidate) {
	if r.believed(from, m.Slots) == 0 || time.Duration(m.Waits)*time.Second < vainFor {
		return
	}
	for _, n := range named {
		c := r.child(n.Peer)
		if c == nil || c.kind == Backup || c.slots == 0 {
			continue
		}
		if r.now.Sub(c.vainAt) > testOver {
			c.vain, c.vainAt = c.vain[:0], r.now
		}
		if !slices.Contains(c.vain, from) {
			c.vain = append(c.vain, from)
		}
		if len(c.vain) >= testLeast {
			r.doubt(c)
		}
	}
}

// accuse notes whom a peer says not to have been fed by, where that is a child. Two have to say so.
func (r *Router) accuse(from ID, accused []ID) {
	if r.doubts.has(from, r.now) {
		return
	}
	for _, id := range accused[:min(len(accused), maxAccused)] {
		c := r.child(id)
		if c == nil || !c.confirmed {
			continue
		}
		if c.accuser == "" || r.now.Sub(c.accusedAt) > doubtFor {
			c.accuser, c.accusedAt = from, r.now
		}
		if c.accuser != from {
			r.doubt(c)
		}
	}
}

func (r *Router) doubt(c *child) {
	c.tests, c.vain, c.accuser = 0, c.vain[:0], ""
	if !r.doubts.has(c.peer, r.now) {
		r.doubts.add(c.peer, r.now.Add(doubtFor), false)
		r.changed()
	}
}

// accused lists the peers that have withheld media from this one, or forged it, the latest last.
func (r *Router) accused() []ID {
	var out []ID
	for _, s := range r.shuns {
		if s.sure && r.now.Before(s.until) {
			out = append(out, s.peer)
		}
	}
	return slices.Clip(out[max(0, len(out)-maxAccused):])
}
