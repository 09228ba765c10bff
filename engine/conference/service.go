package conference

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/castd/castd/engine"
)

// Stats count since the Service began.
type Stats struct {
	Ticks   uint64 // that were run
	Skipped uint64 // that were left out, because the machine did not let them run for too long
	Late    uint64 // that were run more than half a tick after their time
	Posts   uint64 // wishes and reports of loss that were dropped, because too many waited
}

// Service mixes the conferences of a process. All methods are safe for concurrent use.
type Service struct {
	clock clock
	calls chan func() // capacity 64: who joins and leaves waits for room, what is repeated is dropped and counted
	wake  chan struct{}
	stop  chan struct{}
	done  chan struct{}
	end   sync.Once

	asleep                       atomic.Bool
	ticks, skipped, late, unsent atomic.Uint64

	// owned by the goroutine
	tables []*table // in the order in which they were opened
	next   uint64   // tick that was not run yet
}

var _ engine.Mixing = (*Service)(nil)

// New returns a Service with its goroutine.
func New() *Service {
	s := &Service{
		clock: clock{time.Now()}, calls: make(chan func(), 64), wake: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{}),
	}
	s.asleep.Store(true)
	go s.run()
	return s
}

// Open implements engine.Mixing.
func (s *Service) Open(everything func(*engine.MediaPacket)) (engine.Mix, error) {
	t, err := newTable(s, everything)
	if err != nil {
		return nil, err
	}
	if !s.call(func() { s.tables = append(s.tables, t) }) {
		t.mixer.Close()
		return nil, engine.ErrClosed
	}
	return t, nil
}

// Stats returns the counters.
func (s *Service) Stats() Stats {
	return Stats{Ticks: s.ticks.Load(), Skipped: s.skipped.Load(), Late: s.late.Load(), Posts: s.unsent.Load()}
}

// Close ends all conferences and the goroutine.
func (s *Service) Close() {
	s.end.Do(func() { close(s.stop) })
	<-s.done
}

// call has the goroutine call f and waits for it. It reports false where the Service is closed. The goroutine itself must not use it.
func (s *Service) call(f func()) bool {
	called := make(chan struct{})
	select {
	case s.calls <- func() { f(); close(called) }:
	case <-s.done:
		return false
	}
	select {
	case <-called:
		return true
	case <-s.done:
		return false
	}
}

// post has the goroutine call f soon, unless too much waits.
func (s *Service) post(f func()) {
	select {
	case s.calls <- f:
	default:
		s.unsent.Add(1)
	}
}

// rouse tells that there may be something to do at the next tick.
func (s *Service) rouse() {
	if s.asleep.Load() {
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
}

func (s *Service) run() {
	defer close(s.done)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-s.stop:
			for len(s.tables) > 0 {
				s.tables[0].clear()
			}
			return
		case f := <-s.calls:
			f()
			continue
		case <-s.wake:
			if s.asleep.CompareAndSwap(true, false) {
				s.next = s.clock.tick(time.Now()) + 1
			}
		case <-timer.C:
			s.advance(time.Now())
		}
		if s.rest() {
			timer.Stop()
		} else {
			timer.Reset(time.Until(s.clock.at(s.next)))
		}
	}
}

// rest goes to sleep where there is nothing to do, and reports whether it did.
func (s *Service) rest() bool {
	for _, t := range s.tables {
		if !t.rests() {
			return false
		}
	}
	s.asleep.Store(true)
	for _, t := range s.tables { // again: who wrote before that did not rouse
		if !t.rests() {
			s.asleep.Store(false)
			return false
		}
	}
	return true
}

// advance runs the ticks that are due.
func (s *Service) advance(now time.Time) {
	newest := s.clock.tick(now)
	first, skipped := due(s.next, newest)
	s.skipped.Add(skipped)
	for n := first; n <= newest; n++ {
		at := s.clock.at(n)
		if now.Sub(at) > tickLength/2 {
			s.late.Add(1)
		}
		s.ticks.Add(1)
		began := time.Now()
		for _, t := range s.tables {
			if !t.rests() {
				t.tick(n, at)
			}
		}
		// All rooms share the goroutine, and so each counts as large as all of them.
		share := float64(time.Since(began)) / float64(tickLength)
		for _, t := range s.tables {
			t.mixer.Load(share)
		}
	}
	s.next = max(s.next, newest+1)
}
