package engine

import (
	"github.com/castd/castd/engine/seal"
	"github.com/castd/castd/engine/uplink"
)

// WatchSeals has f called with the key, by its salt, and the nonce of each packet that e seals. It is called before e publishes.
func WatchSeals(e *Engine, f func(key, nonce [seal.NonceSize]byte)) { e.sealed = f }

// Held returns how many streams and slots a room holds, record streams included, and how many streams its playout has a place in.
func (r *Room) Held() (streams, slots, cursors int) {
	_ = r.call(r.ctx, func() { streams, slots = len(*r.all.Load()), len(r.slots) })
	done := make(chan struct{})
	r.leaf.calls <- func() { cursors = len(r.leaf.cursors); close(done) }
	<-done
	return streams, slots, cursors
}

// Stall keeps the room's goroutine busy until the channel is closed.
func (r *Room) Stall(until <-chan struct{}) { r.post(func() { <-until }) }

// Bear has the engine carry out a verdict in place of those of its uplink's controller, within a second.
func (e *Engine) Bear(v uplink.Verdict) { e.forced.Store(&v) }
