package tree

// Audio from both parents. A backup child may be sent audio besides being connected: whatever breaks one of its paths then
// costs no sound at all. That takes Config.AudioShare of a slot, and only what is left over is given: of slots and
// reserve together where audio is small beside the video, of ordinary slots alone where audio is all there is, so that nobody goes
// without a place because others have two. Those who feed others come first, then who has been here longest.
//
// Orphans that have just come to the reserve do not count, as most of them move on: where a parent has died, the idle children who were
// not the first to ask need the audio until they have another parent, and would lose it at that very moment. For the few seconds a peer
// sends at most half a slot more for each place of the reserve, mostly a quarter.

// smallShare is the part of a slot up to which audio may lean on the reserve: five idle children to each of its places cost a
// quarter of it.
const smallShare = 0.1

// shareAudio decides which backup children are sent audio, given the free slots with the reserve and without it.
func (r *Router) shareAudio(withReserve, without int) {
	room := float64(without)
	switch {
	case r.headed || r.share <= 0:
		room = 0 // the origin's streams are as many as its heads
	case r.share <= smallShare:
		room = float64(withReserve)
	}
	left := 0
	if r.share > 0 {
		left = int(room / r.share)
	}
	fits := 0
	for _, c := range r.children {
		if c.kind == Backup && c.confirmed {
			fits++
		} else if c.audio {
			c.audio = false
		}
	}
	if fits <= left {
		for _, c := range r.children {
			if c.kind == Backup && c.confirmed && !c.audio {
				c.audio = true
				r.accept(c)
			}
		}
		return
	}
	for _, c := range r.children {
		if c.kind != Backup || !c.confirmed {
			continue
		}
		if want := r.audioRank(c) < left; want != c.audio {
			c.audio = want
			r.accept(c)
		}
	}
}

// audioRank is how many backup children are before c.
func (r *Router) audioRank(c *child) int {
	n := 0
	for _, o := range r.children {
		if o == c || o.kind != Backup || !o.confirmed {
			continue
		}
		switch feeds, other := c.slots > 0, o.slots > 0; {
		case feeds != other:
			if other {
				n++
			}
		case o.since.Before(c.since) || o.since.Equal(c.since) && o.peer < c.peer:
			n++
		}
	}
	return n
}
