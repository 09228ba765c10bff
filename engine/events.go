package engine

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// bus delivers events to whoever listens. Each listener has a queue of 256 events; what does not fit is dropped and counted.
type bus struct {
	totals  *totals // counts all of them; constant
	dropped atomic.Uint64

	mu        sync.Mutex
	listeners map[chan Event]struct{}
}

func newBus(t *totals) *bus { return &bus{totals: t, listeners: make(map[chan Event]struct{})} }

func (b *bus) emit(ev Event) {
	ev.Time = EventTime(time.Now())
	b.totals.event(&ev)
	b.mu.Lock()
	defer b.mu.Unlock()
	for l := range b.listeners {
		select {
		case l <- ev:
		default:
			b.dropped.Add(1)
		}
	}
}

// listen delivers until ctx ends; then the channel is closed.
func (b *bus) listen(ctx context.Context) <-chan Event {
	l := make(chan Event, 256)
	b.mu.Lock()
	b.listeners[l] = struct{}{}
	b.mu.Unlock()
	context.AfterFunc(ctx, func() {
		b.mu.Lock()
		delete(b.listeners, l)
		close(l)
		b.mu.Unlock()
	})
	return l
}

func ptr[T any](v T) *T { return &v }

// Emit delivers an event to everyone who listens to Events; for parts around the engine. Its time is set.
func (e *Engine) Emit(ev Event) { e.events.emit(ev) }
