package guest

import (
	"sync"
	"time"
)

// minTick bounds how often the keeper looks at its links: checks of a new viewer come at this pace at most.
const minTick = 20 * time.Millisecond

// keeper lets time pass for all links of a Service: one goroutine and one timer, however many there are. It sleeps while there
// is none.
type keeper struct {
	wake chan struct{} // capacity 1
	stop chan struct{}
	done sync.WaitGroup

	mu      sync.Mutex
	links   map[*link]struct{}
	running bool
	stopped bool
}

func newKeeper() *keeper {
	return &keeper{wake: make(chan struct{}, 1), stop: make(chan struct{}), links: map[*link]struct{}{}}
}

func (k *keeper) add(l *link) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.stopped {
		return
	}
	k.links[l] = struct{}{}
	if !k.running {
		k.running = true
		k.done.Go(k.run)
	}
	k.kick()
}

func (k *keeper) remove(l *link) {
	k.mu.Lock()
	delete(k.links, l)
	k.mu.Unlock()
}

// kick has the keeper look at its links soon.
func (k *keeper) kick() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// close ends the goroutine and waits for it.
func (k *keeper) close() {
	k.mu.Lock()
	first := !k.stopped
	k.stopped = true
	k.mu.Unlock()
	if first {
		close(k.stop)
	}
	k.done.Wait()
}

func (k *keeper) run() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var all []*link
	for {
		all = all[:0]
		k.mu.Lock()
		for l := range k.links {
			all = append(all, l)
		}
		k.mu.Unlock()
		now := time.Now()
		next := now.Add(time.Hour)
		for i, l := range all {
			due, alive := l.agent.Tick(now)
			if !alive {
				l.session.end(errLost())
			}
			if due.Before(next) {
				next = due
			}
			all[i] = nil
		}
		timer.Reset(max(minTick, next.Sub(now)))
		select {
		case <-k.stop:
			return
		case <-k.wake:
		case <-timer.C:
		}
	}
}
