package treesim

import "github.com/castd/castd/tree"

// kind says what an event is; the comments name what its fields hold.
type kind uint8

const (
	evArrive  kind = iota // a new peer comes; x: life in ns, 0 for ever
	evDepart              // a: whose life is over
	evGone                // a: the end of a goodbye
	evTick                // a: its router's deadline may have come
	evMessage             // a hears msg from b
	evUnreach             // a learns that b cannot be reached
	evOpen                // the hop that a opens to b is set up
	evHopUp               // a learns that its hop to b is there already
	evHopDown             // a learns that its hop to b (incarnation x) is gone
	evFeed                // a gets streams x from b from now on, after cause y; z: order
	evPulses              // a says what has changed to those it has hops to
	evPulse               // a hears a pulse from b; x, y: what it says, z: when the media that it tells of was new
	evAlive               // a heard b last at x, or hears it again
	evBroken              // a sees the end of b's process
	evAdvert              // a, which looks for somebody, hears an advert
	evAsk                 // a asks peers in reach about the room
	evFirst               // a begins to look for a place
	evRefresh             // a, which gets no media, hears further pulses
	evCorrect             // a learns what it can really feed
	evLoop                // a was in a loop a second ago
	evPlaced              // has a, which asked 5 s ago, a place?
	evSweep               // paths are checked, the timeline is written
	evFault               // the next fault of the scenario
	evHeal                // a fault of kind x ends; a: whose
	evStale               // a closes its hop to b (incarnation x), if that is still silent
	evSample              // a point of the timeline
)

// payload is what an event carries. Events are not closures, so that millions of them cost little.
type payload struct {
	kind    kind
	a, b    int32
	x, y, z int64
	msg     tree.Message
}

// node orders events by time, and those of one time by when they were made.
type node struct {
	at  int64
	seq uint64
	i   uint32 // of the payload
}

func (n node) less(m node) bool { return n.at < m.at || n.at == m.at && n.seq < m.seq }

// queue is a 4-ary heap of events: half as deep as a binary one, so that a pop touches fewer cache lines.
type queue struct {
	heap []node
	pool []payload
	free []uint32
	seq  uint64
	peak int
}

func (q *queue) push(at int64, p payload) {
	var i uint32
	if n := len(q.free); n > 0 {
		i, q.free = q.free[n-1], q.free[:n-1]
		q.pool[i] = p
	} else {
		i = uint32(len(q.pool))
		q.pool = append(q.pool, p)
	}
	q.seq++
	n := node{at, q.seq, i}
	q.heap = append(q.heap, n)
	k := len(q.heap) - 1
	for k > 0 {
		up := (k - 1) / 4
		if !n.less(q.heap[up]) {
			break
		}
		q.heap[k] = q.heap[up]
		k = up
	}
	q.heap[k] = n
	q.peak = max(q.peak, len(q.heap))
}

// pop returns the earliest event; there must be one.
func (q *queue) pop() (int64, payload) {
	top := q.heap[0]
	last := q.heap[len(q.heap)-1]
	q.heap = q.heap[:len(q.heap)-1]
	if n := len(q.heap); n > 0 {
		k := 0
		for {
			first := 4*k + 1
			if first >= n {
				break
			}
			least := first
			for c := first + 1; c < min(first+4, n); c++ {
				if q.heap[c].less(q.heap[least]) {
					least = c
				}
			}
			if !q.heap[least].less(last) {
				break
			}
			q.heap[k] = q.heap[least]
			k = least
		}
		q.heap[k] = last
	}
	p := q.pool[top.i]
	q.pool[top.i] = payload{}
	q.free = append(q.free, top.i)
	return top.at, p
}
