package tree

import (
	"cmp"
	"slices"
	"strings"
)

// Media from both parents. A backup child may be sent audio besides being connected, or all that there is: whatever breaks one of its
// paths then costs nothing at all, neither itself nor anybody below it. Only what is left over is given. Audio takes
// Config.AudioShare of a slot: of slots and reserve together where it is small beside the video, of ordinary slots alone where audio is
// all there is, so that nobody goes without a place because others have two. Those who feed others come first, then who has
// been here longest. The whole programme takes a slot, and goes to those who have peers below them, the most first: one such copy
// spares many a gap. It gives way as soon as somebody needs the slot for a place.
//
// For audio, orphans that have just come to the reserve do not count, as most of them move on: where a parent has died, the idle
// children who were not the first to ask need the audio until they have another parent, and would lose it at that very moment. For the
// few seconds a peer sends at most half a slot more for each place of the reserve, mostly a quarter.

// smallShare is the part of a slot up to which audio may lean on the reserve: five idle children to each of its places cost a
// quarter of it.
const smallShare = 0.1

// shareCopies decides what backup children are sent, given the free slots with the reserve and without it.
func (r *Router) shareCopies(withReserve, without int) {
	list := r.seconds[:0]
	for _, c := range r.children {
		if c.kind == Backup && c.confirmed {
			c.want = CopyNone
			list = append(list, c)
		} else if c.copy != CopyNone {
			c.copy = CopyNone // who changes its kind is told so by that
			r.changed()
		}
	}
	r.seconds = list
	if len(list) == 0 {
		return
	}
	if !r.headed { // else the origin's streams are as many as its heads
		sound := r.soundCopies(list, withReserve, without)
		if r.share < 1 {
			r.wholeCopies(list, min(without, int(float64(withReserve)-r.share*float64(sound))))
		}
	}
	for _, c := range r.children {
		if c.kind == Backup && c.confirmed && c.copy != c.want {
			c.copy = c.want
			r.accept(c)
		}
	}
}

// spare is how many slots neither a child nor a copy has.
func (r *Router) spare() uint32 {
	if r.path == nil || r.headed || r.share >= 1 {
		return 0
	}
	t := r.tally()
	return uint32(max(0, r.slots-t.used[Ordinary]-t.used[Orphan]-t.copies))
}

// soundCopies chooses who is to have audio, and returns how many.
func (r *Router) soundCopies(list []*child, withReserve, without int) int {
	room := float64(without)
	if r.share <= smallShare {
		room = float64(withReserve)
	}
	n := len(list)
	if r.share > 0 {
		n = min(n, int(room/r.share))
	}
	if n < len(list) {
		slices.SortFunc(list, func(a, b *child) int {
			return cmp.Or(compareBool(b.slots > 0, a.slots > 0), cmp.Compare(a.since, b.since), strings.Compare(string(a.peer), string(b.peer)))
		})
	}
	for _, c := range list[:n] {
		c.want = CopyAudio
	}
	return n
}

// wholeCopies chooses n of those with audio who are to have everything.
func (r *Router) wholeCopies(list []*child, n int) {
	for ; n > 0; n-- {
		var most *child
		for _, c := range list {
			if c.want == CopyAudio && c.below > 0 && (most == nil || c.weight() > most.weight()) {
				most = c
			}
		}
		if most == nil {
			return
		}
		most.want = CopyAll
	}
}

// weight orders those who may have the whole programme; who has it keeps it until another has twice as many below.
func (c *child) weight() int {
	if c.copy == CopyAll {
		return 2 * c.below
	}
	return c.below
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}
