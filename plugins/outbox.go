package plugins

import (
	"sync"
	"time"

	"google.golang.org/grpc/mem"

	"github.com/castd/castd/plugins/sdk/protocol"
)

// Limits of what waits for a plugin in a room.
const (
	batchTime  = 20 * time.Millisecond  // what comes in this time goes in one message
	batchSize  = 60 << 10               // octets at which a batch is closed before
	maxWait    = 500 * time.Millisecond // what is older is dropped, the oldest batch first
	maxWaiting = 8 << 20                // octets that may wait in any case
	maxEvents  = 256                    // events that wait; of more the oldest are dropped
)

// outbox holds what is on its way to a plugin in a room: batches of encoded packets, what was dropped, and what happened. It is a value: who
// owns it passes the time. Media is added on the room's goroutine, and adding allocates nothing but now and then a buffer.
type outbox struct {
	number  uint64 // of the last message
	open    batch
	ready   []batch // closed, the oldest first
	waiting int     // octets of ready
	gapped  []*track
	streams *protocol.StreamList // that the plugin has not been told
	events  []*protocol.Event

	packets, dropped, droppedBatches, droppedEvents uint64
}

// batch is packets of all streams, encoded as parts of a ToPlugin.
type batch struct {
	bytes   []byte
	spans   []span
	packets int
	begun   time.Time
	serial  uint64
}

// span is a stream's part in a batch.
type span struct {
	track       *track
	first, last uint64
}

// track is a stream as the plugin knows it.
type track struct {
	id uint32
	// of the outbox
	serial            uint64 // of the batch that it was added to last
	span              int    // where in it
	gap               bool   // packets were dropped that the plugin has not been told of
	gapFirst, gapLast uint64
}

// buffers keeps the buffers of batches: they are used again when they have been sent.
type buffers struct{ pool sync.Pool }

var _ mem.BufferPool = (*buffers)(nil)

// Get implements mem.BufferPool.
func (p *buffers) Get(int) *[]byte {
	if b, ok := p.pool.Get().(*[]byte); ok {
		return b
	}
	b := make([]byte, 0, batchSize+4<<10)
	return &b
}

// Put implements mem.BufferPool.
func (p *buffers) Put(b *[]byte) {
	if cap(*b) > 4*batchSize {
		return
	}
	*b = (*b)[:0]
	p.pool.Put(b)
}

// add takes a packet. It reports whether there was nothing to send before, or is something to send at once.
func (o *outbox) add(now time.Time, t *track, m *protocol.Media, pool *buffers) (wake bool) {
	if o.open.packets > 0 && now.Sub(o.open.begun) >= batchTime {
		o.shut(now, pool)
		wake = true
	}
	b := &o.open
	if b.packets == 0 {
		if b.bytes == nil {
			b.bytes = (*pool.Get(0))[:0]
		}
		b.serial++
		b.begun = now
		wake = true
	}
	b.bytes = protocol.AppendToPlugin(b.bytes, m)
	b.packets++
	if t.serial == b.serial {
		s := &b.spans[t.span]
		s.first, s.last = min(s.first, m.Number), max(s.last, m.Number) // voices may come out of order
	} else {
		t.serial, t.span = b.serial, len(b.spans)
		b.spans = append(b.spans, span{t, m.Number, m.Number})
	}
	if len(b.bytes) >= batchSize {
		o.shut(now, pool)
		wake = true
	}
	return wake
}

// shut closes the open batch, and drops those that have waited too long.
func (o *outbox) shut(now time.Time, pool *buffers) {
	o.ready = append(o.ready, o.open)
	o.waiting += len(o.open.bytes)
	o.open = batch{serial: o.open.serial}
	for len(o.ready) > 1 && (now.Sub(o.ready[0].begun) > maxWait || o.waiting > maxWaiting) {
		b := o.pop()
		for _, s := range b.spans {
			o.lost(s)
		}
		o.dropped += uint64(b.packets)
		o.droppedBatches++
		pool.Put(&b.bytes)
	}
}

func (o *outbox) pop() batch {
	b := o.ready[0]
	n := copy(o.ready, o.ready[1:])
	o.ready[n] = batch{}
	o.ready = o.ready[:n]
	o.waiting -= len(b.bytes)
	return b
}

// lost notes that a plugin does not get a span.
func (o *outbox) lost(s span) {
	t := s.track
	if !t.gap {
		t.gap, t.gapFirst, t.gapLast = true, s.first, s.last
		o.gapped = append(o.gapped, t)
	}
	t.gapFirst, t.gapLast = min(t.gapFirst, s.first), max(t.gapLast, s.last)
}

// event adds what happened.
func (o *outbox) event(e *protocol.Event) {
	if len(o.events) >= maxEvents {
		o.events = append(o.events[:0], o.events[1:]...)
		o.droppedEvents++
	}
	o.events = append(o.events, e)
}

// take returns the next message, encoded in a buffer of pool's. Where nothing is due it says after what time something will be; 0: when
// something is added.
func (o *outbox) take(now time.Time, pool *buffers) (message []byte, wait time.Duration, err error) {
	if len(o.ready) == 0 && o.open.packets > 0 {
		if wait := batchTime - now.Sub(o.open.begun); wait > 0 && o.streams == nil && len(o.events) == 0 {
			return nil, wait, nil
		}
		o.shut(now, pool)
	}
	if len(o.ready) == 0 && o.streams == nil && len(o.events) == 0 {
		return nil, 0, nil
	}
	var b batch
	if len(o.ready) > 0 {
		b = o.pop()
	} else {
		b.bytes = (*pool.Get(0))[:0]
	}
	o.packets += uint64(b.packets)
	o.number++
	head := protocol.ToPlugin{Number: o.number, TimeUs: now.UnixMicro(), Streams: o.streams, Events: o.events}
	for _, t := range o.gapped {
		head.Gaps = append(head.Gaps, &protocol.Gap{Track: t.id, First: t.gapFirst, Last: t.gapLast})
		t.gap = false
	}
	o.gapped, o.streams, o.events = o.gapped[:0], nil, nil
	message, err = protocol.Append(b.bytes, &head)
	return message, 0, err
}
