package engine

import (
	"sync"
	"sync/atomic"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/castd/castd/engine/relay"
	"github.com/castd/castd/engine/wire"
)

// fanout is the immutable list of those who are sent what this peer has.
type fanout struct {
	children []*child
}

func (f *fanout) empty() bool { return len(f.children) == 0 }

// child is a peer that is being fed: a child in the tree, or the hub that this peer publishes to. What is new goes past the queue
// while that is plain. Else it comes by the queue, as the backlog does, which is bounded and drops by relay's policy. The room's
// feeder never waits for the peer.
type child struct {
	// constant
	peer   peer.ID
	hop    Hop
	queue  *relay.Queue
	only   func(portion, wire.StreamID) bool // says what belongs to a portion; nil: everything
	feeder *feeder

	part atomic.Int32 // a portion. It changes while packets are under way, and none is left out that belongs to both

	queued atomic.Bool // in the feeder's list

	turn sync.Mutex // held by the feeder while it serves this child; guards the following field
	over bool

	// owned by the feeder
	burst  int
	paused bool
}

const (
	childQueue = 1024 // packets; half a second of 12 Mbit/s, more than any child may lag behind
	childBatch = 64
)

// takes reports whether the child is sent an item. Whoever is sent the records makes excerpts of them.
func (c *child) takes(it *pending) bool {
	if it.Kind == wire.KindExcerpt && !it.late && portion(c.part.Load()) != audioOnly {
		return false
	}
	return c.peer != it.from && c.has(it.Stream)
}

// has reports whether a stream is part of what the child is sent.
func (c *child) has(id wire.StreamID) bool {
	return c.only == nil || c.only(portion(c.part.Load()), id)
}

// newChild returns a child that f feeds with a portion of what there is.
func newChild(f *feeder, hop Hop, part portion, only func(portion, wire.StreamID) bool) *child {
	c := &child{peer: hop.Peer(), hop: hop, queue: relay.NewQueue(childQueue), only: only, feeder: f}
	c.part.Store(int32(part))
	c.queue.Notify(func(now bool) { f.enqueue(c, now) })
	f.add()
	return c
}

// close returns when nothing more is sent to the child.
func (c *child) close() {
	c.turn.Lock()
	c.over = true
	c.turn.Unlock()
	c.feeder.remove()
}
