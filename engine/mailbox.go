package engine

import (
	"context"
	"sync"
)

// mailboxSize bounds the messages of others that wait for a room.
const mailboxSize = 1024

// innerMail holds calls for the room's goroutine that must not be lost: hops that came or went, what was started and is done. There
// are never many of them, and however many messages others send, these are taken first.
type innerMail struct {
	wake chan struct{} // capacity 1

	mu    sync.Mutex
	calls []func()
}

// tell hands f to the room's goroutine, whatever else that has to do. It never blocks. For what others send there is post.
func (r *Room) tell(f func()) {
	r.inner.mu.Lock()
	r.inner.calls = append(r.inner.calls, f)
	r.inner.mu.Unlock()
	select {
	case r.inner.wake <- struct{}{}:
	default:
	}
}

// innerLoop makes the calls of this peer's own that wait.
func (r *Room) innerLoop() {
	r.inner.mu.Lock()
	calls := r.inner.calls
	r.inner.calls = nil
	r.inner.mu.Unlock()
	for _, f := range calls {
		f()
	}
}

// post hands f to the room's goroutine. A full mailbox drops it, which post reports by false.
func (r *Room) post(f func()) bool {
	select {
	case r.mailbox <- f:
		return true
	default:
		r.e.metrics.mailboxFull.Add(1)
		return false
	}
}

// call runs f on the room's goroutine and waits for it.
func (r *Room) call(ctx context.Context, f func()) error {
	done := make(chan struct{})
	select {
	case r.mailbox <- func() { f(); close(done) }:
	case <-ctx.Done():
		return ctx.Err()
	case <-r.ctx.Done():
		return ErrClosed
	}
	select {
	case <-done:
		return nil
	case <-r.ctx.Done():
		return ErrClosed
	}
}
