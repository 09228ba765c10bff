package relay

import "slices"

// Fanout is a snapshot of the queues that a stream's packets go to. It never changes: whoever adds or removes a child makes
// a new one and swaps it in atomically, and packets never wait for that.
type Fanout struct {
	queues []*Queue
}

// NewFanout returns a Fanout to the queues.
func NewFanout(queues []*Queue) *Fanout { return &Fanout{queues: slices.Clone(queues)} }

// Push pushes the item to all queues but except, which may be nil: that of the peer it came from.
func (f *Fanout) Push(it Item, except *Queue) {
	if f == nil {
		return
	}
	for _, q := range f.queues {
		if q != except {
			q.Push(it)
		}
	}
}

// Len returns the number of queues.
func (f *Fanout) Len() int {
	if f == nil {
		return 0
	}
	return len(f.queues)
}
