package guest

import (
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"

	"github.com/castd/castd/engine"
)

// screen is a section of a call in which a participant is sent the video of another one: a fixed receive slot, one RTP stream whose numbers
// and timestamps go on whoever is shown. It goes over to another stream where that one has a key frame.
type screen struct {
	playback
	mid  string // constant
	cast atomic.Pointer[cast]

	// Owned by the session's goroutine.
	since  time.Time // when what is next was wanted first
	sought time.Time // when a key frame was asked for last
}

// cast is what a screen shows, and what it goes over to. Values are immutable.
type cast struct{ now, next *engine.StreamState }

// showing returns the stream whose pictures are sent, or are to be sent next.
func (s *screen) showing() *engine.StreamState {
	c := s.cast.Load()
	if c.next != nil {
		return c.next
	}
	return c.now
}

// show has a stream shown from its next key frame on, or with nil none. What was shown goes on until then where it is of the same
// participant. It reports whether that is news.
func (s *screen) show(st *engine.StreamState) bool {
	for {
		old := s.cast.Load()
		next := &cast{next: st}
		switch {
		case st == nil:
			next = &cast{}
		case old.now != nil && old.now.ID == st.ID:
			next = &cast{now: old.now}
		case old.now != nil && old.now.Participant == st.Participant:
			next.now = old.now
		}
		if same(old.now, next.now) && same(old.next, next.next) {
			return false
		}
		if s.cast.CompareAndSwap(old, next) {
			return true
		}
	}
}

func same(a, b *engine.StreamState) bool {
	return a == b || a != nil && b != nil && a.ID == b.ID
}

// seekPatience is how long a new key frame may take before an old group of pictures will do.
// Nor may wishes have one delivered more often than every seekInterval.
const (
	seekPatience = time.Second
	seekInterval = castEvery * 9 / 10
)

// seek asks for a key frame of what is to be shown, where nothing of that has come yet. Where something else is playing meanwhile, it can
// wait for a new one. fresh says that it was not asked for before.
func (s *screen) seek(fresh bool, now time.Time) {
	c, sub := s.cast.Load(), s.sub.Load()
	if fresh {
		s.since = now
	}
	if c.next == nil || sub == nil || now.Sub(s.sought) < seekInterval {
		return // the next look asks
	}
	s.sought = now
	if c.now != nil && now.Sub(s.since) < seekPatience {
		(*sub).Seek(c.next.ID)
	} else {
		(*sub).Refresh(c.next.ID)
	}
}

// WritePacket takes a packet of any stream of the room, on the room's goroutine.
func (s *screen) WritePacket(p *engine.Packet) {
	c := s.cast.Load()
	if c.next != nil && c.next.ID == p.Stream.ID {
		if !p.Header.KeyFrame || !p.Header.FrameStart || !s.cast.CompareAndSwap(c, &cast{now: p.Stream}) {
			return
		}
	} else if c.now == nil || c.now.ID != p.Stream.ID {
		return
	}
	s.push(p)
}

// concerns reports whether feedback is about what the screen sends.
func (s *screen) concerns(p rtcp.Packet) bool {
	ssrc := s.video().ssrc
	switch p := p.(type) {
	case *rtcp.TransportLayerNack:
		return p.MediaSSRC == ssrc
	case *rtcp.PictureLossIndication:
		return p.MediaSSRC == ssrc
	case *rtcp.FullIntraRequest:
		for _, e := range p.FIR {
			if e.SSRC == ssrc {
				return true
			}
		}
	}
	return false
}
