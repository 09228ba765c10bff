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

// push appends the item to every child's queue but that of the peer it came from.
func (f *fanout) push(item relay.Item, from peer.ID) {
	for _, c := range f.children {
		if c.peer != from && (c.only == nil || c.only(item.Stream)) {
			c.queue.Push(item)
		}
	}
}

// child is a peer that is being fed: a child in the tree, or the hub that this peer publishes to. The room's feeder takes
// references from the queue, copies the packets out of their stores and hands them to the hop in batches. The queue is
// bounded and drops by relay's policy; the feeder never waits for the peer.
type child struct {
	// constant
	peer   peer.ID
	hop    Hop
	queue  *relay.Queue
	only   func(wire.StreamID) bool // nil: everything; constant
	part   portion                  // constant
	feeder *feeder

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

// newChild returns a child that f feeds.
func newChild(f *feeder, hop Hop, only func(wire.StreamID) bool) *child {
	c := &child{peer: hop.Peer(), hop: hop, queue: relay.NewQueue(childQueue), only: only, feeder: f}
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
