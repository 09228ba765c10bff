package engine

import (
	"slices"
	"sync"
	"time"

	"github.com/castd/castd/engine/wire"
)

type subscription struct {
	leaf *leaf
	sink Sink
	opts SinkOptions
	once sync.Once
}

// Subscribe implements Media.
func (r *Room) Subscribe(s Sink, o SinkOptions) (Subscription, error) {
	sub := &subscription{leaf: r.leaf, sink: s, opts: o}
	r.leaf.active.Add(1)
	if o.Guest {
		r.leaf.watched.Add(1)
	}
	select {
	case r.leaf.calls <- func() { r.leaf.attach(sub) }:
		return sub, nil
	case <-r.ctx.Done():
		return nil, ErrClosed
	}
}

// Close implements Subscription. It returns when the sink will not be called again.
func (s *subscription) Close() {
	s.once.Do(func() {
		l := s.leaf
		done := make(chan struct{})
		select {
		case l.calls <- func() {
			l.subs = slices.DeleteFunc(l.subs, func(o *subscription) bool { return o == s })
			close(done)
		}:
			select {
			case <-done:
			case <-l.done:
			}
		case <-l.done:
		}
		l.active.Add(-1)
		if s.opts.Guest {
			l.watched.Add(-1)
		}
	})
}

// Refresh implements Subscription.
func (s *subscription) Refresh(id wire.StreamID) { s.again(id, true) }

// Seek implements Subscription.
func (s *subscription) Seek(id wire.StreamID) { s.again(id, false) }

// again delivers the cached group of a stream, if it is new or wanted however old it is, and asks for a key frame where that is due.
func (s *subscription) again(id wire.StreamID, old bool) {
	l := s.leaf
	select {
	case l.calls <- func() {
		if c := l.cursors[id]; c != nil && slices.Contains(l.subs, s) {
			now := time.Now()
			if old || c.s.groupAge(now) < keyFrameGap {
				l.replay(s, c)
			}
			c.s.wish(now)
		}
	}:
	default: // the sink will ask again
	}
}
