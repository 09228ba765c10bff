package guest

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/wire"
)

// Bounds of a viewer's queue, in packets. They are wide because a group of pictures, up to 8 MB, comes at once when a viewer
// begins; live packets never wait for more than a scheduling delay.
const (
	queueSize    = 8192
	queueReserve = 512 // for audio
)

// item is a packet on its way to a viewer.
type item struct {
	stream   *engine.StreamState
	header   wire.Header // Ext aliases ext
	payload  []byte      // from a pool
	ext      []byte      // from the pool's buffer too
	backlog  bool
	liveTime uint32
	wallUs   int64
	arrived  time.Time
	buffer   *buffer
}

// buffer holds the payload and the header extensions of one packet.
type buffer struct{ b []byte }

// bufferPool hands out packet buffers.
type bufferPool struct{ pool sync.Pool }

func (p *bufferPool) get() *buffer {
	if b, ok := p.pool.Get().(*buffer); ok {
		return b
	}
	return &buffer{b: make([]byte, 0, wire.MaxPacket)}
}

func (p *bufferPool) put(b *buffer) {
	if b != nil {
		p.pool.Put(b)
	}
}

// queue is between a room's goroutine, which never waits, and a viewer's writer. Its capacity is queueSize packets. What does
// not fit: video, up to its next key frame, counted as VideoDropped; audio only when the reserve is full too, AudioDropped.
type queue struct {
	audioDropped, videoDropped *atomic.Uint64 // constant
	wake                       chan struct{}  // constant, of capacity 1

	mu    sync.Mutex // guards all following fields
	ring  []item     // grows to queueSize
	head  int
	count int
	skip  bool // video is dropped until the next key frame
}

func newQueue(audioDropped, videoDropped *atomic.Uint64) *queue {
	return &queue{audioDropped: audioDropped, videoDropped: videoDropped, wake: make(chan struct{}, 1)}
}

// push appends the item, or returns false if it was dropped.
func (q *queue) push(it *item) bool {
	q.mu.Lock()
	ok := q.admitLocked(&it.header)
	if ok {
		if q.count == len(q.ring) {
			q.growLocked()
		}
		q.ring[(q.head+q.count)%len(q.ring)] = *it
		q.count++
	}
	q.mu.Unlock()
	if ok {
		select {
		case q.wake <- struct{}{}:
		default:
		}
	}
	return ok
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

func (q *queue) growLocked() {
	grown := make([]item, max(64, 2*len(q.ring)))
	for i := range q.count {
		grown[i] = q.ring[(q.head+i)%len(q.ring)]
	}
	q.ring, q.head = grown, 0
}

// pop removes the oldest item.
func (q *queue) pop(it *item) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.count == 0 {
		return false
	}
	*it = q.ring[q.head]
	q.ring[q.head] = item{}
	q.head = (q.head + 1) % len(q.ring)
	q.count--
	if q.count == 0 && len(q.ring) > 1024 {
		q.ring, q.head = nil, 0 // what a backlog made grow
	}
	return true
}
