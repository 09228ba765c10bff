package relay

import (
	"sync"

	"github.com/castd/castd/engine/wire"
)

// Pending remembers what one child asked for while this peer did not have it, so that it can be sent when it comes. It
// holds a bounded number; the oldest gives way, and the child asks again. It is safe for concurrent use.
type Pending struct {
	mu    sync.Mutex
	asked map[pendingKey]int // index in order
	order []pendingSlot      // a ring in the order of asking
	next  int
}

type pendingKey struct {
	stream wire.StreamID
	number uint64
}

type pendingSlot struct {
	key  pendingKey
	used bool
}

// NewPending returns an empty Pending for bound numbers; 0 or less means 1024.
func NewPending(bound int) *Pending {
	if bound <= 0 {
		bound = 1024
	}
	return &Pending{asked: make(map[pendingKey]int), order: make([]pendingSlot, 0, min(bound, 16)), next: -bound}
}

// Ask notes that the child wants the number of the stream. Asking again changes nothing.
func (p *Pending) Ask(stream wire.StreamID, number uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	k := pendingKey{stream, number}
	if _, ok := p.asked[k]; ok {
		return
	}
	if p.next < 0 { // still growing: next counts up to 0
		p.order = append(p.order, pendingSlot{key: k, used: true})
		p.asked[k] = len(p.order) - 1
		p.next++
		return
	}
	at := p.next % len(p.order)
	p.next = at + 1
	if old := p.order[at]; old.used {
		delete(p.asked, old.key)
	}
	p.order[at] = pendingSlot{key: k, used: true}
	p.asked[k] = at
}

// Take reports whether the child wants the number, and forgets that.
func (p *Pending) Take(stream wire.StreamID, number uint64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	k := pendingKey{stream, number}
	at, ok := p.asked[k]
	if ok {
		delete(p.asked, k)
		p.order[at] = pendingSlot{}
	}
	return ok
}

// Len returns how many numbers the child waits for.
func (p *Pending) Len() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.asked)
}
