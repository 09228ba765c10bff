package guest

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/castd/castd/engine/udp"
)

// Pace of the writers.
const (
	// burst packets of a backlog are sent without a pause; then the viewer's socket gets a moment to empty its buffer.
	burst      = 16
	burstPause = time.Millisecond
	// holdFor is how long packets of a picture wait for its last one, so that all go out by one system call. A picture is of no
	// use before its last packet is there.
	holdFor = 3 * time.Millisecond
	// holdMost packets of a picture wait; more are many enough to be sent at once.
	holdMost = 32
	// perWriter viewers share a writer before another one is used.
	perWriter = 128
	// batchSize is how many octets a writer collects before it sends: what fits a processor's cache.
	batchSize = 192 << 10
)

// writer sends to many viewers and participants of conferences: its one goroutine takes what waits in their queues, encrypts it for each
// and hands all of it to the sockets in batches. A packet for a hundred viewers wakes one goroutine, not a hundred. It sleeps while there is nothing to
// send.
type writer struct {
	service *Service
	wake    chan struct{} // capacity 1
	stop    chan struct{}
	done    sync.WaitGroup

	mu      sync.Mutex  // guards all following fields
	ready   []recipient // who has something to be sent, each once
	viewers int
	running bool
	closed  bool
	hold    *time.Timer // wakes the goroutine; set while held
	held    bool

	// Owned by the goroutine.
	batches []*udp.Batch
	packets [burst]*packet
	paused  []pausedViewer
}

// recipient is somebody to whom packets are sent.
type recipient interface {
	// waits is set while he is in the writer's list.
	waits() *atomic.Bool
	// serve puts what waits for him into the writer's batches. It is called on the writer's goroutine.
	serve(w *writer, now time.Time)
}

// pausedViewer has more to send when the time has come.
type pausedViewer struct {
	*playback
	until time.Time
}

func newWriter(s *Service) *writer {
	return &writer{service: s, wake: make(chan struct{}, 1), stop: make(chan struct{})}
}

// enlist returns the writer for one more viewer: the first that has room, so that few of them have much to do at a time, or the
// one that has the least.
func (s *Service) enlist() *writer {
	s.mu.Lock()
	defer s.mu.Unlock()
	least := s.writers[0]
	for _, w := range s.writers {
		if w.viewers < perWriter {
			least = w
			break
		}
		if w.viewers < least.viewers {
			least = w
		}
	}
	least.viewers++
	least.mu.Lock()
	defer least.mu.Unlock()
	if !least.running {
		least.running = true
		least.done.Go(least.run)
	}
	return least
}

// dismiss is what enlist's viewer does at his end.
func (s *Service) dismiss(w *writer) {
	s.mu.Lock()
	w.viewers--
	s.mu.Unlock()
}

// close ends the goroutine and waits for it.
func (w *writer) close() {
	w.mu.Lock()
	w.running = true // for good
	if w.hold != nil {
		w.hold.Stop()
	}
	if !w.closed {
		w.closed = true
		close(w.stop)
	}
	w.mu.Unlock()
	w.done.Wait()
}

// enqueue notes that somebody has something to be sent: now, or where it is part of a picture when that is complete.
func (w *writer) enqueue(v recipient, now bool) {
	if waits := v.waits(); !waits.Load() && waits.CompareAndSwap(false, true) {
		w.mu.Lock()
		w.ready = append(w.ready, v)
		w.mu.Unlock()
	}
	if now {
		w.kick()
		return
	}
	w.mu.Lock()
	if !w.held {
		w.held = true
		if w.hold == nil {
			w.hold = time.AfterFunc(holdFor, w.kick)
		} else {
			w.hold.Reset(holdFor)
		}
	}
	w.mu.Unlock()
}

func (w *writer) kick() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *writer) run() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var turn []recipient
	for {
		var due <-chan time.Time
		if len(w.paused) > 0 {
			timer.Reset(time.Until(w.paused[0].until))
			due = timer.C
		}
		select {
		case <-w.stop:
			return
		case <-w.wake:
		case <-due:
		}
		now := time.Now()
		w.mu.Lock()
		turn, w.ready = w.ready, turn[:0]
		if w.held {
			w.held = false
			w.hold.Stop()
		}
		w.mu.Unlock()
		for i, v := range turn {
			v.waits().Store(false) // before the queue is looked at: what is pushed from now on enqueues him again
			v.serve(w, now)
			turn[i] = nil
		}
		for len(w.paused) > 0 && !w.paused[0].until.After(now) {
			v := w.paused[0].playback
			w.paused = slices.Delete(w.paused, 0, 1)
			v.paused = false
			v.serve(w, now)
		}
		w.flush()
	}
}

// outlet returns where what is sent over a link goes; ok is false while the link cannot take anything.
func (w *writer) outlet(l *link) (out outlet, ok bool) {
	out = outlet{path: l.agent.Path(), srtp: l.out.Load()}
	if out.path == nil || out.srtp == nil {
		return outlet{}, false
	}
	out.batch = w.batch(out.path.Socket)
	return out, true
}

// count adds up what went into an outlet.
func (w *writer) count(out *outlet) {
	w.service.count.out.Add(out.packets)
	w.service.count.failed.Add(out.failed)
}

// batch returns the batch for the socket.
func (w *writer) batch(s *udp.Socket) *udp.Batch {
	for _, b := range w.batches {
		if b.Socket() == s {
			return b
		}
	}
	const most = 16 // addresses of this machine that viewers use at a time
	if len(w.batches) >= most {
		w.flush()
		w.batches = nil
	}
	b := s.NewBatch(batchSize)
	w.batches = append(w.batches, b)
	return b
}

func (w *writer) flush() {
	for _, b := range w.batches {
		if failed := uint64(b.Flush().Failed); failed > 0 {
			w.service.count.failed.Add(failed)
			w.service.count.out.Add(-failed)
		}
	}
}
