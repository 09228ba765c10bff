package engine

import (
	"context"
	"sync"
)

// changes tells those who watch an engine's rooms that something about them is different.
type changes struct {
	mu       sync.Mutex // guards what follows
	watchers map[chan struct{}]bool
}

func (c *changes) tell() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for w := range c.watchers {
		select {
		case w <- struct{}{}:
		default: // he has not looked since the last time
		}
	}
}

// Changed returns a channel that gets a value when this peer has entered or left a room, or when the title, streams or participants of one
// are others than before: for who would else have to ask for RoomInfo time and again. Several changes may be told as one. It ends with ctx.
func (e *Engine) Changed(ctx context.Context) <-chan struct{} {
	c := &e.changes
	w := make(chan struct{}, 1)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.watchers == nil {
		c.watchers = make(map[chan struct{}]bool)
	}
	c.watchers[w] = true
	context.AfterFunc(ctx, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.watchers, w)
	})
	return w
}
