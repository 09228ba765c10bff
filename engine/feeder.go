package engine

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/castd/castd/engine/relay"
	"github.com/castd/castd/engine/wire"
)

// Pace of a feeder.
const (
	// A backlog goes out at up to childBatch packets each burstPause: 300 Mbit/s with large packets, which a receiver's
	// socket buffer takes without loss.
	burstPause = 2 * time.Millisecond
	// holdFor is how long packets of a picture wait for its last one, so that all go out by one system call. A picture is of no
	// use before its last packet is there.
	holdFor = time.Millisecond
	// manyPending packets are not made to wait for the end of their picture.
	manyPending = 32
)

// pendingItems bounds what waits for the feeder on the way to all children: more than a second of 1.5 Mbit/s. Where it is behind by
// more, each child's queue takes what waits, and decides what that child is to lose.
const pendingItems = 256

// feeder sends to all children of a room: one goroutine, which a packet wakes once however many children there are, and a
// picture once. It exists while there are children.
//
// What is new is told to it once, not to each child, and read from its store once: whom it goes to is decided when it goes out. A
// child with a backlog, or that something is kept back from, has it by its queue.
type feeder struct {
	transport Transport               // constant
	fan       *atomic.Pointer[fanout] // constant; who is sent what is new
	wake      chan struct{}           // constant; capacity 1
	kicked    atomic.Bool             // wake holds something, or is about to

	mu       sync.Mutex // guards all following fields
	children int
	stop     chan struct{} // of the goroutine that runs; nil if none does
	ended    chan struct{} // closed when that has ended
	pending  []pending     // what is new, for all children
	ready    []*child      // whose queue holds something, each once
	hold     *time.Timer
	held     bool
}

// pending is an item for the children, but not for the peer that it came from.
type pending struct {
	relay.Item
	from peer.ID
	late bool // an excerpt whose record packet may not come
}

func newFeeder(t Transport, fan *atomic.Pointer[fanout]) *feeder {
	return &feeder{transport: t, fan: fan, wake: make(chan struct{}, 1)}
}

// add makes sure that the goroutine runs.
func (f *feeder) add() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.children++
	if f.stop != nil {
		return
	}
	before := f.ended
	f.stop, f.ended = make(chan struct{}), make(chan struct{})
	go f.run(f.stop, before, f.ended)
}

// remove ends the goroutine with the last child.
func (f *feeder) remove() {
	f.mu.Lock()
	f.children--
	if f.children > 0 {
		f.mu.Unlock()
		return
	}
	stop, ended := f.stop, f.ended
	f.stop = nil
	clear(f.ready)
	clear(f.pending)
	f.ready, f.pending, f.held = f.ready[:0], f.pending[:0], false
	if f.hold != nil {
		f.hold.Stop()
	}
	f.mu.Unlock()
	close(stop)
	<-ended
}

// push has the item sent to all children that take it.
func (f *feeder) push(it pending) {
	f.mu.Lock()
	if f.stop == nil {
		f.mu.Unlock()
		return
	}
	var late []pending
	if len(f.pending) >= pendingItems {
		late, f.pending = f.pending, nil
	}
	f.pending = append(f.pending, it)
	now := it.Urgent() || len(f.pending) >= manyPending
	if !now {
		f.holdLocked()
	}
	f.mu.Unlock()
	for i := range late {
		f.queue(&late[i])
	}
	if now {
		f.kick()
	}
}

// queue puts the item into the queues of all children.
func (f *feeder) queue(it *pending) {
	for _, c := range f.fan.Load().children {
		if c.takes(it) {
			c.queue.Push(it.Item)
		}
	}
}

// waiting reports whether there is something that the goroutine has not taken yet.
func (f *feeder) waiting() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.pending) > 0
}

// enqueue notes that the child's queue holds something. Without now it is part of a picture that is not complete.
func (f *feeder) enqueue(c *child, now bool) {
	if !c.queued.Load() && c.queued.CompareAndSwap(false, true) {
		f.mu.Lock()
		f.ready = append(f.ready, c)
		f.mu.Unlock()
	}
	if now {
		f.kick()
		return
	}
	f.mu.Lock()
	f.holdLocked()
	f.mu.Unlock()
}

// holdLocked has the goroutine wait for the rest of a picture, but not for long.
func (f *feeder) holdLocked() {
	if f.held {
		return
	}
	f.held = true
	if f.hold == nil {
		f.hold = time.AfterFunc(holdFor, f.kick)
	} else {
		f.hold.Reset(holdFor)
	}
}

// kick wakes the goroutine.
func (f *feeder) kick() {
	if f.kicked.Load() || !f.kicked.CompareAndSwap(false, true) {
		return
	}
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// feeding is what the goroutine works with.
type feeding struct {
	out    Outbox
	items  []relay.Item
	buf    []byte
	shared [][]byte // what is new, each where it is not gone already
	pkts   [][]byte // what one child is sent
	paused []pausedChild
}

// pausedChild gets more of its backlog when the time has come.
type pausedChild struct {
	*child
	until time.Time
}

func (f *feeder) run(stop <-chan struct{}, before <-chan struct{}, ended chan<- struct{}) {
	defer close(ended)
	if before != nil {
		<-before
	}
	w := feeding{
		out: f.transport.NewOutbox(), items: make([]relay.Item, childBatch), buf: make([]byte, childBatch*wire.MaxPacket),
		shared: make([][]byte, childBatch), pkts: make([][]byte, 0, childBatch),
	}
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var turn []*child
	var fresh []pending
	for {
		var due <-chan time.Time
		if len(w.paused) > 0 {
			timer.Reset(time.Until(w.paused[0].until))
			due = timer.C
		}
		select {
		case <-stop:
			return
		case <-f.wake:
			f.kicked.Store(false) // before the list is taken: whoever is put into it from now on kicks again
		case <-due:
		}
		f.mu.Lock()
		fresh, f.pending = f.pending, fresh[:0]
		turn, f.ready = f.ready, turn[:0]
		if f.held {
			f.held = false
			f.hold.Stop()
		}
		f.mu.Unlock()
		slices.SortStableFunc(fresh, func(a, b pending) int { return a.Lane() - b.Lane() })
		for chunk := range slices.Chunk(fresh, childBatch) {
			w.spread(chunk, f.fan.Load().children)
		}
		clear(fresh)
		for i, c := range turn {
			c.queued.Store(false) // before the queue is looked at: what is pushed from now on enqueues the child again
			w.serve(c)
			turn[i] = nil
		}
		for now := time.Now(); len(w.paused) > 0 && !w.paused[0].until.After(now); {
			c := w.paused[0].child
			w.paused = slices.Delete(w.paused, 0, 1)
			c.paused, c.burst = false, 0
			w.serve(c)
		}
		w.out.Flush()
	}
}

// spread sends what is new to the children; it goes out with the next Flush.
func (w *feeding) spread(fresh []pending, children []*child) {
	for i := range fresh {
		w.shared[i] = w.read(fresh[i].Item, i)
	}
	for _, c := range children {
		c.turn.Lock()
		switch {
		case c.over:
		case c.queue.Plain():
			w.pkts = w.pkts[:0]
			for i := range fresh {
				if w.shared[i] != nil && c.takes(&fresh[i]) {
					w.pkts = append(w.pkts, w.shared[i])
				}
			}
			if len(w.pkts) > 0 {
				_ = w.out.WritePackets(c.hop, w.pkts) // see serve
			}
		default:
			for i := range fresh {
				if c.takes(&fresh[i]) {
					c.queue.Push(fresh[i].Item)
				}
			}
		}
		c.turn.Unlock()
	}
}

// read returns the packet in the place i of the feeder's memory, or nil where it is gone.
func (w *feeding) read(it relay.Item, i int) []byte {
	b := w.buf[i*wire.MaxPacket : (i+1)*wire.MaxPacket]
	size, state := it.Store.Read(it, b)
	if state != relay.StateUnconfirmed && state != relay.StateConfirmed {
		return nil
	}
	return b[:size]
}

// serve sends what waits for the child, up to a burst of its backlog; it goes out with the next Flush.
func (w *feeding) serve(c *child) {
	c.turn.Lock()
	defer c.turn.Unlock()
	for !c.over && !c.paused {
		n := c.queue.Pop(w.items)
		if n == 0 {
			return
		}
		w.pkts = w.pkts[:0]
		for i, it := range w.items[:n] {
			if b := w.read(it, i); b != nil {
				w.pkts = append(w.pkts, b)
			}
			if it.Backlog {
				c.burst++
			}
			w.items[i] = relay.Item{}
		}
		// Errors are the hop's to count; a dead hop ends this child through HopDown.
		_ = w.out.WritePackets(c.hop, w.pkts)
		if c.burst >= childBatch {
			c.paused = true
			w.paused = append(w.paused, pausedChild{c, time.Now().Add(burstPause)})
		}
	}
}
