package engine

import (
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// splice makes one flow of packets of several that are on the same timeline: of the mixer's and of its standby's. The packets of one are
// passed on; those of the others wait for a while, so that nothing is missing where one of them goes on. Time decides when that is: a flow
// is given up when another has come further than it and it was silent for spliceSilence. The flow of the peer that mixes by its term is gone back to when
// it has been there for handBack. Each timestamp is passed on once. It belongs to one goroutine.
//
// T is a packet. copy makes one that may be kept in place of another, whose memory it may use.
type splice[T any] struct {
	copy func(to, from *T)

	any    bool
	from   peer.ID   // whose packets are passed on
	begun  bool      // some of it were, since it was chosen
	since  uint32    // timestamp of the last packet of the one before, if any
	last   uint32    // and of the newest that was passed on
	number int64     // of it
	at     time.Time // when
	flows  []*flow[T]
	out    []spliced[T]
}

// spliced is a packet that is passed on.
type spliced[T any] struct {
	packet    *T // valid until the next one is offered
	number    int64
	timestamp uint32
}

// flow is one of those that a splice has packets of.
type flow[T any] struct {
	from    peer.ID
	begun   bool
	number  int64  // is added to its numbers
	shift   uint32 // and to its timestamps
	apart   bool   // its timeline is another one than that of the others, see relate
	reached uint32 // timestamp of the newest packet that has come
	at      time.Time
	steady  time.Time // since when it has come without a pause
	waiting [waitingMost]waitingPacket[T]
	head, n int
}

type waitingPacket[T any] struct {
	number    int64
	timestamp uint32
	packet    T
}

const (
	// waitingMost is how many packets of a flow wait: half a second of them.
	waitingMost = 25
	// maxFlows bounds the flows; of more, those that were silent for longest go.
	maxFlows = 4
	// spliceSilence is how long a flow may pause that another goes on with. Shorter: less of a pause, and more changes for nothing but
	// jitter, each of which a decoder hears a little.
	spliceSilence = 60 * time.Millisecond
	// handBack is how long the flow of whoever mixes by his term must have come before it is gone back to, and flowPause what breaks that.
	handBack  = time.Second
	flowPause = 200 * time.Millisecond
	// sameTimeline is how far packets of one timeline are apart at most, in samples: 2 s. One that is not on it begins where the last
	// one ended, after otherPause without a packet.
	sameTimeline = 96000
	otherPause   = 500 * time.Millisecond
)

// flow returns that of a peer.
func (s *splice[T]) flow(from peer.ID) *flow[T] {
	oldest := 0
	for i, f := range s.flows {
		if f.from == from {
			return f
		}
		if o := s.flows[oldest]; o.from == s.from || f.from != s.from && f.at.Before(o.at) {
			oldest = i
		}
	}
	f := &flow[T]{from: from}
	if len(s.flows) < maxFlows {
		s.flows = append(s.flows, f)
	} else {
		s.flows[oldest] = f
	}
	return f
}

// expected is the timestamp of a packet that comes now. After an hour of silence nobody counts how long it was.
func (s *splice[T]) expected(now time.Time) uint32 {
	return s.last + uint32(min(now.Sub(s.at), time.Hour)*48000/time.Second)
}

// reach notes that a packet has come of a flow, which may be offered later.
func (s *splice[T]) reach(from peer.ID, timestamp uint32, now time.Time) {
	f := s.flow(from)
	if at := timestamp + f.shift; !f.begun || int32(at-f.reached) > 0 {
		if !f.begun || now.Sub(f.at) >= flowPause {
			f.steady = now
		}
		f.reached, f.at, f.begun = at, now, true
	}
}

// offer takes a packet, and returns those that are to be passed on, in order, valid until the next call. lead is who mixes by his term.
func (s *splice[T]) offer(from, lead peer.ID, number int64, timestamp uint32, p *T, now time.Time) []spliced[T] {
	s.out = s.out[:0]
	s.reach(from, timestamp, now)
	f := s.flow(from)
	if !s.any {
		s.any, s.from, s.begun, s.since = true, from, true, timestamp-sameTimeline
	}
	if !s.align(f, timestamp, now) {
		return nil
	}
	at := timestamp + f.shift
	if s.from == from {
		if int32(at-s.since) > 0 {
			s.pass(f, number, at, p, now)
		}
		return s.out
	}
	f.wait(number, at, p, s.copy)
	old := s.flow(s.from)
	gone := now.Sub(old.at) >= spliceSilence && int32(f.reached-old.reached) > 0
	back := from == lead && now.Sub(f.steady) >= handBack
	if gone || back {
		s.change(f, now)
	}
	return s.out
}

// align puts a flow onto the timeline of what was passed on. It reports whether it is there.
func (s *splice[T]) align(f *flow[T], timestamp uint32, now time.Time) bool {
	if s.at.IsZero() {
		return true // it makes the timeline
	}
	next := s.expected(now)
	near := func(shift uint32) bool { return distance32(timestamp+shift, next) <= sameTimeline }
	shift, own := f.shift, s.flow(s.from)
	switch {
	case !f.apart && !own.apart && near(own.shift):
		shift = own.shift // another mixer's timeline, on which both are now
	case near(shift):
	case f == own || now.Sub(s.at) >= otherPause:
		shift = s.last + uint32(max(1, (next-s.last+480)/960))*960 - timestamp // another timeline: it goes on here
	default:
		f.n = 0
		return false
	}
	if shift != f.shift {
		f.shift, f.reached, f.n = shift, timestamp+shift, 0
	}
	if int32(s.last-s.since) > sameTimeline {
		s.since = s.last - sameTimeline // half the range of timestamps must not pass
	}
	return true
}

// relate says that the timestamps of a flow are by so much above those of another one, which is on a timeline of its own, for the same
// sound.
func (s *splice[T]) relate(above, below peer.ID, by uint32) {
	a, b := s.flow(above), s.flow(below)
	b.apart = true
	moved, shift := b, a.shift+by
	switch s.from {
	case above:
	case below:
		moved, shift = a, b.shift-by
	default:
		return // it has yet to be brought to the timeline of what is heard
	}
	if moved.shift != shift {
		moved.reached += shift - moved.shift
		moved.shift, moved.n = shift, 0
	}
}

// change goes on with another flow, from what was passed on last.
func (s *splice[T]) change(f *flow[T], now time.Time) {
	s.from, s.since, s.begun = f.from, s.last, false
	for ; f.n > 0; f.n-- {
		w := &f.waiting[f.head]
		f.head = (f.head + 1) % waitingMost
		if int32(w.timestamp-s.since) > 0 {
			s.pass(f, w.number, w.timestamp, &w.packet, now)
		}
	}
}

// pass passes a packet on. Numbers go on where another flow begins: one for each 20 ms of a short pause, for a long one, in which nobody
// spoke, one.
func (s *splice[T]) pass(f *flow[T], number int64, at uint32, p *T, now time.Time) {
	if !s.begun {
		step := int64(at-s.last) / 960
		if step < 1 || step > waitingMost {
			step = 1
		}
		f.number, s.begun = s.number+step-number, true
	}
	number += f.number
	s.out = append(s.out, spliced[T]{p, number, at})
	if s.at.IsZero() || int32(at-s.last) > 0 {
		s.last, s.at = at, now
	}
	s.number = max(s.number, number)
}

// wait keeps a packet. One that comes late has no place among them.
func (f *flow[T]) wait(number int64, at uint32, p *T, copy func(to, from *T)) {
	if f.n > 0 {
		if newest := &f.waiting[(f.head+f.n-1)%waitingMost]; int32(at-newest.timestamp) <= 0 {
			return
		}
	}
	if f.n == waitingMost {
		f.head, f.n = (f.head+1)%waitingMost, f.n-1
	}
	w := &f.waiting[(f.head+f.n)%waitingMost]
	w.number, w.timestamp = number, at
	copy(&w.packet, p)
	f.n++
}

// distance32 is how far two timestamps are apart.
func distance32(a, b uint32) int64 {
	d := int64(int32(a - b))
	return max(d, -d)
}
