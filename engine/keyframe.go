package engine

import (
	"time"

	"github.com/castd/castd/engine/wire"
)

// ask asks the source for a key frame, at most once in keyFrameGap.
func (ps *pubStream) ask(now time.Time) {
	if ps.cfg.KeyFrame == nil || now.Sub(ps.requested) < keyFrameGap {
		return
	}
	ps.requested = now
	ps.s.room.e.metrics.keyFrameWishes.Add(1)
	ps.s.room.done.Go(ps.cfg.KeyFrame)
}

// wish asks for a key frame on behalf of somebody who joined: the source where it is here, else the parent. Where the current
// group is younger than keyFrameGap it will do.
func (s *stream) wish(now time.Time) {
	if s.kind != wire.KindVideo || s.groupAge(now) < keyFrameGap {
		return
	}
	last := s.wishAt.Load()
	if now.UnixNano()-last < int64(keyFrameGap) || !s.wishAt.CompareAndSwap(last, now.UnixNano()) {
		return
	}
	if s.local {
		s.room.post(func() {
			for _, p := range s.room.pubs {
				p.mu.Lock()
				for _, ps := range p.streams {
					if ps.s == s {
						ps.ask(now)
					}
				}
				p.mu.Unlock()
			}
		})
		return
	}
	if h := s.room.e.hop(s.feeder(s.room.links.Load())); h != nil {
		_ = h.WriteControl(&wire.HopControl{Wishes: []*wire.KeyFrameWish{{Stream: uint64(s.id)}}})
	}
}
