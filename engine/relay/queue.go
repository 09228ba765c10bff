package relay

import (
	"sync"
	"sync/atomic"

	"github.com/castd/castd/engine/wire"
)

// What a slow child gets, and what not.
//
// A queue holds references, so a child that stands still costs no copies of packets, and what has left the store by the
// time it is popped is simply not sent. Three lanes are popped in this order: record streams, because nothing can be played
// without them, then audio, then video. The backlog of a newcomer comes after all of them, a few packets at each Pop. The
// first two lanes are thin enough never to starve the third.
//
// When more is pushed than is popped, the child loses, in this order:
//
//  1. From half of the bound on: discardable frames and the highest temporal layer. No other frame refers to them.
//  2. At the bound: of the video stream that has most in the queue, everything before the newest start of a group that
//     waits there; if that is nothing, or there is no such start, everything, and then everything until the next start of a group.
//     Once a frame is missing, what refers to it only wastes the line, and a cut catches up in time as well.
//  3. If there is no video in the queue: the oldest audio, and if there is none either, the oldest of the record.
//
// A child finds out by the numbers that it misses. It asks for them, in vain while its queue is as full; a number that
// belongs before a cut is refused, so that such repairs do not keep out what can still be played.

// Item refers to one packet on its way to a child.
type Item struct {
	Store  *Store // where the packet is; Store.Read copies it
	Stream wire.StreamID
	Number uint64
	Size   int // octets
	Kind   wire.Kind

	KeyFrame, Discardable, FrameStart, FrameEnd bool
	Spatial, Temporal                           uint8

	Second  bool // the second variant of an unconfirmed number
	Backlog bool // from a Burst
}

// Urgent reports whether the item is to go out at once: it is no part of a picture that is not complete.
func (it *Item) Urgent() bool { return it.Kind != wire.KindVideo || it.FrameEnd }

// Lane orders items as a queue pops them: the record first, then audio, then video.
func (it *Item) Lane() int { return lane(it.Kind) }

func (it *Item) startsGroup() bool { return it.KeyFrame && it.FrameStart && it.Spatial == 0 }

// Drops count items that a queue did not deliver, by what they were.
type Drops struct {
	Discardable uint64 // video that no other frame needs
	Video       uint64
	Audio       uint64
	Record      uint64
	Shed        uint64 // video that the queue was told not to take
}

// manyWaiting packets of video are not made to wait for the end of their picture.
const manyWaiting = 32

// maxQueueStreams bounds the video streams that a queue keeps state of. Items of further ones are dropped.
const maxQueueStreams = 256

// Queue is what is on its way to one child. Push never waits. Any goroutine may push; one pops.
//
// Capacity: bound live items and 64 bursts. Nobody blocks. The comment at the top of queue.go says what is dropped, Dropped
// counts it.
type Queue struct {
	bound  int            // constant
	wake   chan struct{}  // constant
	notify func(now bool) // constant once there is something in the queue; nil: wake tells

	plain atomic.Bool // see Plain

	mu      sync.Mutex
	lanes   [3]ring // by lane
	streams map[wire.StreamID]*videoState
	bursts  []burst
	drops   Drops
	shed    int // what is refused however short the queue is; see Shed
}

// The lanes in the order in which they are popped.
const (
	laneRecord = iota
	laneAudio
	laneVideo
)

func lane(k wire.Kind) int {
	switch k {
	case wire.KindRecord, wire.KindExcerpt:
		return laneRecord
	case wire.KindAudio:
		return laneAudio
	default:
		return laneVideo
	}
}

// videoState is what a queue remembers of a video stream.
type videoState struct {
	queued   int
	temporal uint8  // highest layer seen
	skipping bool   // nothing is taken until a group starts
	from     uint64 // after a cut: numbers below are refused
	newest   uint64 // highest number seen
}

// NewQueue returns an empty queue for bound items; 0 or less means 1024: half a second of 15 Mbit/s. More delays a slow
// child further before it is cut, less cuts on shorter stalls.
func NewQueue(bound int) *Queue {
	if bound <= 0 {
		bound = 1024
	}
	q := &Queue{bound: bound, wake: make(chan struct{}, 1), streams: make(map[wire.StreamID]*videoState)}
	q.plain.Store(true)
	return q
}

// Push appends an item. It reports whether the item was taken; it may still be dropped later.
func (q *Queue) Push(it Item) bool {
	q.mu.Lock()
	taken := q.pushLocked(it)
	now := it.Urgent() || q.lanes[laneVideo].len() >= manyWaiting
	q.noteLocked()
	q.mu.Unlock()
	if taken {
		q.signal(now)
	}
	return taken
}

// Plain reports that nothing waits and nothing is kept back, so that what is new need not come by the queue at all. Who sends past the
// queue is the one who pops.
func (q *Queue) Plain() bool { return q.plain.Load() }

// noteLocked keeps plain up to date.
func (q *Queue) noteLocked() {
	plain := q.shed == 0 && q.lenLocked() == 0 && len(q.bursts) == 0
	if plain {
		for _, st := range q.streams {
			plain = plain && !st.skipping
		}
	}
	if plain != q.plain.Load() {
		q.plain.Store(plain)
	}
}

// Pop moves waiting items to dst and returns how many: live ones first, then up to BurstPerPop of the backlog. Whoever pops
// does so until it returns 0, and then waits for Wake.
func (q *Queue) Pop(dst []Item) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	defer q.noteLocked()
	n := 0
	for l := range q.lanes {
		r := &q.lanes[l]
		for n < len(dst) && r.len() > 0 {
			dst[n] = r.pop()
			if l == laneVideo {
				q.streams[dst[n].Stream].queued--
			}
			n++
		}
	}
	return n + q.popBurstsLocked(dst[n:])
}

// Wake returns a channel that becomes ready when something was pushed.
func (q *Queue) Wake() <-chan struct{} { return q.wake }

// Len returns how many live items wait.
func (q *Queue) Len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.lenLocked()
}

// Dropped returns the counters of what was not delivered.
func (q *Queue) Dropped() Drops {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.drops
}

// Forget drops what there is of a stream that has ended, uncounted.
func (q *Queue) Forget(stream wire.StreamID) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for l := range q.lanes {
		q.lanes[l].removeStream(stream, wire.MaxNumber+1)
	}
	q.dropBurstLocked(stream)
	delete(q.streams, stream)
	q.noteLocked()
}

// Notify has f called after each push, in place of Wake; now is false for a packet of a picture that more packets will come of
// soon. It is called before the first push; f must not block.
func (q *Queue) Notify(f func(now bool)) { q.notify = f }

func (q *Queue) signal(now bool) {
	if q.notify != nil {
		q.notify(now)
		return
	}
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

func (q *Queue) lenLocked() int {
	return q.lanes[laneRecord].len() + q.lanes[laneAudio].len() + q.lanes[laneVideo].len()
}
