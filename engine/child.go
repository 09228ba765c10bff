package engine

import (
	"context"
	"sync"
	"time"

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

// child is a peer that is being fed: a child in the tree, or the hub that this peer publishes to. Its goroutine takes
// references from the queue, copies the packets out of their stores and hands them to the hop in batches. The queue is
// bounded and drops by relay's policy; the goroutine never waits for the peer.
type child struct {
	// constant
	peer  peer.ID
	hop   Hop
	queue *relay.Queue
	only  func(wire.StreamID) bool // nil: everything; constant

	cancel context.CancelFunc
	done   sync.WaitGroup
}

const (
	childQueue = 1024 // packets; half a second of 12 Mbit/s, more than any child may lag behind
	childBatch = 64
	// A backlog goes out at up to childBatch packets each burstPause: 300 Mbit/s with large packets, which a receiver's
	// socket buffer takes without loss.
	burstPause = 2 * time.Millisecond
)

func newChild(hop Hop, only func(wire.StreamID) bool) *child {
	ctx, cancel := context.WithCancel(context.Background())
	c := &child{peer: hop.Peer(), hop: hop, queue: relay.NewQueue(childQueue), only: only, cancel: cancel}
	c.done.Go(func() { c.run(ctx) })
	return c
}

func (c *child) close() {
	c.cancel()
	c.done.Wait()
}

func (c *child) run(ctx context.Context) {
	items := make([]relay.Item, childBatch)
	buf := make([]byte, childBatch*wire.MaxPacket)
	pkts := make([][]byte, 0, childBatch)
	burst := 0
	for {
		n := c.queue.Pop(items)
		if n == 0 {
			select {
			case <-ctx.Done():
				return
			case <-c.queue.Wake():
			}
			continue
		}
		pkts = pkts[:0]
		for i, it := range items[:n] {
			b := buf[i*wire.MaxPacket : (i+1)*wire.MaxPacket]
			if size, state := it.Store.Read(it, b); state == relay.StateUnconfirmed || state == relay.StateConfirmed {
				pkts = append(pkts, b[:size])
			}
			if it.Backlog {
				burst++
			}
			items[i] = relay.Item{}
		}
		// Errors are the hop's to count; a dead hop ends this child through HopDown.
		_, _ = c.hop.WritePackets(pkts)
		if burst < childBatch {
			if ctx.Err() != nil {
				return
			}
			continue
		}
		burst = 0
		select {
		case <-ctx.Done():
			return
		case <-time.After(burstPause):
		}
	}
}
