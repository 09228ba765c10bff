package relay

import (
	"slices"

	"github.com/castd/castd/engine/wire"
)

// BurstPerPop is how many packets of the backlog one Pop returns at most. It keeps a child's live packets from waiting
// behind more than one write of backlog.
const BurstPerPop = 16

// maxBursts bounds the backlogs of a queue; the oldest gives way.
const maxBursts = 64

// burst is a cursor over packets of a store. It takes no place in the queue and pushes nothing out; what leaves the
// store before it comes past is not sent.
type burst struct {
	store      *Store
	stream     wire.StreamID
	next, last uint64
}

// Burst queues the backlog of a stream for a newcomer: the packets from number from to the newest one there is, behind live
// ones. The queue is already pushed to, so that nothing falls between backlog and live packets; the few that come both ways
// are the same packets. It replaces a backlog of that stream that has not been sent yet, and returns how many numbers it spans.
func Burst(q *Queue, store *Store, from uint64) int {
	last, ok := store.Highest()
	if !ok || last < from {
		return 0
	}
	if low, ok := store.Lowest(); ok {
		from = max(from, low)
	}
	b := burst{store: store, stream: store.Stream(), next: from, last: last}
	q.mu.Lock()
	q.bursts = slices.DeleteFunc(q.bursts, func(o burst) bool { return o.store == store })
	if len(q.bursts) >= maxBursts {
		q.bursts = slices.Delete(q.bursts, 0, 1)
	}
	at := len(q.bursts)
	for i := range q.bursts { // by lane: manifests first
		if lane(q.bursts[i].store.Kind()) > lane(store.Kind()) {
			at = i
			break
		}
	}
	q.bursts = slices.Insert(q.bursts, at, b)
	q.noteLocked()
	q.mu.Unlock()
	q.signal(true)
	return int(min(last-from+1, maxSpan))
}

// Backlog reports whether a burst has not been popped to its end yet.
func (q *Queue) Backlog() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.bursts) > 0
}

func (q *Queue) popBurstsLocked(dst []Item) int {
	n := 0
	for limit := min(len(dst), BurstPerPop); n < limit && len(q.bursts) > 0; {
		b := &q.bursts[0]
		it, ok := b.store.Next(b.next, b.last)
		if !ok {
			q.bursts = slices.Delete(q.bursts, 0, 1)
			continue
		}
		it.Backlog = true
		dst[n] = it
		n++
		b.next = it.Number + 1
	}
	return n
}

// dropBurstLocked gives up the backlog of a stream.
func (q *Queue) dropBurstLocked(stream wire.StreamID) {
	q.bursts = slices.DeleteFunc(q.bursts, func(b burst) bool { return b.stream == stream })
}
