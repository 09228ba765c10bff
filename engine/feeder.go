package engine

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

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
)

// feeder sends to all children of a room: one goroutine, which a packet wakes once however many children there are, and a
// picture once. It exists while there are children.
type feeder struct {
	transport Transport     // constant
	wake      chan struct{} // constant; capacity 1
	kicked    atomic.Bool   // wake holds something, or is about to

	mu       sync.Mutex // guards all following fields
	children int
	stop     chan struct{} // of the goroutine that runs; nil if none does
	ended    chan struct{} // closed when that has ended
	ready    []*child      // who has something waiting, each once
	hold     *time.Timer
	held     bool
}

func newFeeder(t Transport) *feeder { return &feeder{transport: t, wake: make(chan struct{}, 1)} }

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
	f.ready, f.held = f.ready[:0], false
	if f.hold != nil {
		f.hold.Stop()
	}
	f.mu.Unlock()
	close(stop)
	<-ended
}

// enqueue notes that the child has something waiting. Without now it is part of a picture that is not complete.
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
	if !f.held {
		f.held = true
		if f.hold == nil {
			f.hold = time.AfterFunc(holdFor, f.kick)
		} else {
			f.hold.Reset(holdFor)
		}
	}
	f.mu.Unlock()
}

// kick wakes the goroutine. A packet for a hundred children asks for it a hundred times.
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
	pkts   [][]byte
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
	w := feeding{out: f.transport.NewOutbox(), items: make([]relay.Item, childBatch), buf: make([]byte, childBatch*wire.MaxPacket), pkts: make([][]byte, 0, childBatch)}
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var turn []*child
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
		turn, f.ready = f.ready, turn[:0]
		if f.held {
			f.held = false
			f.hold.Stop()
		}
		f.mu.Unlock()
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
			b := w.buf[i*wire.MaxPacket : (i+1)*wire.MaxPacket]
			if size, state := it.Store.Read(it, b); state == relay.StateUnconfirmed || state == relay.StateConfirmed {
				w.pkts = append(w.pkts, b[:size])
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
