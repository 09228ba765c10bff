package engine

import (
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/castd/castd/engine/seal"
	"github.com/castd/castd/engine/uplink"
	"github.com/castd/castd/tree"
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

// Replace puts another stream, which has begun anew, in the place of each of a room's, and has playout look at that moment, in which the
// room's list of streams is not made yet.
func (r *Room) Replace() {
	_ = r.call(r.ctx, func() {
		var next []*stream
		for _, s := range *r.media.Load() {
			next = append(next, r.newStream(s.slot, s.id, s.kind, s.state.Load(), nil))
		}
		r.e.index(next, nil)
		for range 2 { // once it forgets, once it plays
			done := make(chan struct{})
			r.leaf.changed.Store(true)
			r.leaf.calls <- func() { close(done) }
			<-done
		}
		r.restreamLoop()
	})
}

// Stall keeps the room's goroutine busy until the channel is closed.
func (r *Room) Stall(until <-chan struct{}) { r.post(func() { <-until }) }

// Bear has the engine carry out a verdict in place of those of its uplink's controller, within a second.
func (e *Engine) Bear(v uplink.Verdict) { e.forced.Store(&v) }

// Waver has the room send a backup child everything and then sound again, n times.
func (r *Room) Waver(child peer.ID, n int) {
	r.post(func() {
		for k := range 2 * n {
			list := slices.Clone(r.children)
			for i := range list {
				if peer.ID(list[i].Peer) == child {
					list[i].Copy = []tree.Copy{tree.CopyAll, tree.CopyAudio}[k%2]
				}
			}
			r.setChildrenLoop(list)
		}
	})
}

// OffTopic reports whether this peer has left the room's topic, what it has heard of the hub since, and the number of its access list.
func (r *Room) OffTopic() (off bool, hub peer.ID, age time.Duration, access uint64) {
	_ = r.call(r.ctx, func() {
		off = r.topicless.off
		if b := r.beacon.Load(); b != nil {
			hub, age = b.hub, time.Since(b.at)
		}
		if a := r.access.Load(); a != nil {
			access = a.Number
		}
	})
	return off, hub, age, access
}
