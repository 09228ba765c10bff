package engine

import (
	"math"

	"github.com/castd/castd/engine/wire"
	"github.com/castd/castd/tree"
)

// Audio from both parents costs a part of a slot that depends on what the room sends: all of it where there is sound alone, a few per
// cent beside a picture. The tree is told which, as this peer measures it; only then can it count what it gives away.

// shareOver is over how many seconds rates are averaged, so that a key frame or a pause does not show.
const shareOver = 16

// shareStep is by which part the share must differ from what the tree was told last.
const shareStep = 0.25

// audioShare measures the part of the room's octets that a second parent would send: sound, and the records that vouch for it. It
// belongs to the room's goroutine.
type audioShare struct {
	sound, video float64 // octets a second
	pictures     bool    // there was a live video stream
	told         float64 // 0: nothing yet
}

// second takes the octets of a second, and whether there is live sound and video. It returns the share, and whether the tree should be
// told: it is not while there is no sound, as there is none to share then.
func (a *audioShare) second(sound, video uint64, hears, sees bool) (share float64, news bool) {
	if sees != a.pictures {
		a.sound, a.video, a.pictures = 0, 0, sees // what was before says nothing of what is now
	}
	a.sound += (float64(sound) - a.sound) / shareOver
	a.video += (float64(video) - a.video) / shareOver
	switch {
	case !hears:
		return 0, false
	case !sees:
		share = 1
	case a.sound <= 0 || a.video <= 0: // one of them is yet to come
		return 0, false
	default:
		share = a.sound / (a.sound + a.video)
	}
	if share == a.told || share < 1 && a.told < 1 && math.Abs(share-a.told) < shareStep*a.told {
		return share, false
	}
	a.told = share
	return share, true
}

// audioShareLoop is called once a second.
func (r *Room) audioShareLoop() {
	var sound, video uint64
	hears, sees := false, false
	for _, s := range *r.all.Load() {
		n := s.bytes.Load()
		came := n - s.bytesBefore
		s.bytesBefore = n
		st := s.state.Load()
		live := st != nil && st.Live
		switch s.kind {
		case wire.KindVideo:
			video += came
			sees = sees || live
		case wire.KindAudio:
			hears = hears || live
			fallthrough
		default:
			sound += came
		}
	}
	if share, news := r.sharing.second(sound, video, hears, sees); news {
		r.step(tree.SetAudioShare{Share: share})
	}
}
