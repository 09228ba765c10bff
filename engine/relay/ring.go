package relay

import "github.com/castd/castd/engine/wire"

// ring is a queue of items in one array, which grows and never shrinks.
type ring struct {
	items []Item // a power of two
	head  int    // index of the oldest
	n     int
}

func (r *ring) len() int { return r.n }

// at returns the item i places behind the oldest.
func (r *ring) at(i int) *Item { return &r.items[(r.head+i)&(len(r.items)-1)] }

func (r *ring) push(it Item) {
	if r.n == len(r.items) {
		items := make([]Item, max(16, 2*r.n))
		for i := range r.n {
			items[i] = *r.at(i)
		}
		r.items, r.head = items, 0
	}
	r.n++
	*r.at(r.n - 1) = it
}

// pop takes the oldest item; there is one.
func (r *ring) pop() Item {
	it := *r.at(0)
	*r.at(0) = Item{} // do not keep its store alive
	r.head = (r.head + 1) & (len(r.items) - 1)
	r.n--
	return it
}

// removeStream removes the stream's items with numbers below limit and returns how many.
func (r *ring) removeStream(stream wire.StreamID, limit uint64) int {
	kept := 0
	for i := range r.n {
		if it := r.at(i); it.Stream != stream || it.Number >= limit {
			*r.at(kept) = *it
			kept++
		}
	}
	removed := r.n - kept
	for i := kept; i < r.n; i++ {
		*r.at(i) = Item{}
	}
	r.n = kept
	return removed
}
