//go:build linux

package e2e_test

import (
	"runtime"
	"sync"
	"testing"
	"time"
)

// lagWatch notes how late a thread of this process wakes up: what is measured here while that is much, this process or the machine
// has caused, and not who is measured.
type lagWatch struct {
	mu  sync.Mutex
	all []lagAt // those worth remembering, in order of time
}

type lagAt struct{ at, late time.Duration } // clock

// Each lagEvery the thread wakes; what is less than lagLeast is not worth a note.
const (
	lagEvery = 4 * time.Millisecond
	lagLeast = 3 * time.Millisecond
)

// watchLag begins to note, until the test ends.
func watchLag(t *testing.T) *lagWatch {
	t.Helper()
	w := &lagWatch{}
	quit := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		for {
			select {
			case <-quit:
				return
			default:
			}
			due := clock() + lagEvery
			time.Sleep(lagEvery)
			if now := clock(); now-due >= lagLeast {
				w.mu.Lock()
				w.all = append(w.all, lagAt{now, now - due})
				w.mu.Unlock()
			}
		}
	}()
	t.Cleanup(func() {
		close(quit)
		<-done
	})
	return w
}

// worst returns the greatest lag between two times.
func (w *lagWatch) worst(from, to time.Duration) (late time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := len(w.all) - 1; i >= 0 && w.all[i].at >= from; i-- {
		if l := w.all[i]; l.at-l.late <= to {
			late = max(late, l.late)
		}
	}
	return late
}
