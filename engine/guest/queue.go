package guest

import (
	"sync"
	"sync/atomic"

	"github.com/castd/castd/engine/wire"
)

// Bounds of a viewer's queue, in packets. They are wide because a group of pictures, up to 8 MB, comes at once when a viewer
// begins; live packets never wait for more than a scheduling delay.
const (
	queueSize    = 8192
	queueReserve = 512 // for audio
)

// queue is between a room's goroutine, which never waits, and the writer. Its capacity is queueSize packets. What does not fit:
// video, up to its next key frame, counted as VideoDropped; audio only when the reserve is full too, AudioDropped.
type queue struct {
	audioDropped, videoDropped *atomic.Uint64 // constant

	mu    sync.Mutex // guards all following fields
	ring  []*packet  // grows to queueSize
	head  int
	count int
	skip  bool // video is dropped until the next key frame
}

func newQueue(audioDropped, videoDropped *atomic.Uint64) *queue {
	return &queue{audioDropped: audioDropped, videoDropped: videoDropped}
}

// push appends the packet and returns how many are waiting, 0 if it was dropped.
func (q *queue) push(p *packet) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.admitLocked(&p.header) {
		return 0
	}
	if q.count == len(q.ring) {
		q.growLocked()
	}
	q.ring[(q.head+q.count)&(len(q.ring)-1)] = p
	q.count++
	return q.count
}

func (q *queue) admitLocked(h *wire.Header) bool {
	if h.Kind != wire.KindVideo {
		if q.count < queueSize {
			return true
		}
		q.audioDropped.Add(1)
		return false
	}
	if q.skip && h.KeyFrame && h.FrameStart && q.count < queueSize/2 {
		q.skip = false
	}
	if q.count >= queueSize-queueReserve {
		q.skip = true
	}
	if q.skip {
		q.videoDropped.Add(1)
	}
	return !q.skip
}

// growLocked doubles the ring, whose length is a power of two.
func (q *queue) growLocked() {
	grown := make([]*packet, max(16, 2*len(q.ring)))
	for i := range q.count {
		grown[i] = q.ring[(q.head+i)&(len(q.ring)-1)]
	}
	q.ring, q.head = grown, 0
}

// pop removes the oldest packets, up to len(dst) of them, and returns how many, and how many remain.
func (q *queue) pop(dst []*packet) (n, left int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	n = min(len(dst), q.count)
	for i := range n {
		at := (q.head + i) & (len(q.ring) - 1)
		dst[i] = q.ring[at]
		q.ring[at] = nil
	}
	q.count -= n
	if n > 0 {
		q.head = (q.head + n) & (len(q.ring) - 1)
	}
	if q.count == 0 && len(q.ring) > 1024 {
		q.ring, q.head = nil, 0 // what a backlog made grow
	}
	return n, q.count
}
