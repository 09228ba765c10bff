package treesim

import (
	"slices"

	"github.com/castd/castd/tree"
)

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
	evFed                 // the first media of parent b has come to a
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

// queue is a calendar (Brown, CACM 1988): events of the next seconds lie in a ring of buckets of about a millisecond each, in no
// order, and the bucket whose time has come is sorted. So an event is moved twice, and what is looked at lies together; a heap of a
// million events costs a dozen cache lines for each. What is farther away waits in a 4-ary heap.
type queue struct {
	ring    [buckets][]node
	today   []node // the bucket that is being read, sorted
	read    int    // how many of it are
	day     int64  // number of that bucket
	pending int    // in the ring and in today
	far     heap

	pool []payload
	free []uint32
	seq  uint64
}

const (
	bucketBits = 20 // a bucket is 2^20 ns long
	buckets    = 4096
)

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
	q.put(node{at, q.seq, i})
}

func (q *queue) put(n node) {
	switch day := n.at >> bucketBits; {
	case day >= q.day+buckets:
		q.far.push(n)
		return
	case day > q.day:
		b := &q.ring[day%buckets]
		*b = append(*b, n)
	default:
		k := len(q.today)
		q.today = append(q.today, n)
		for k > q.read && n.less(q.today[k-1]) {
			q.today[k] = q.today[k-1]
			k--
		}
		q.today[k] = n
	}
	q.pending++
}

// next returns when the earliest event is; false where there is none.
func (q *queue) next() (int64, bool) {
	for q.read == len(q.today) {
		if q.pending == 0 {
			if len(q.far) == 0 {
				return 0, false
			}
			q.day = max(q.day, q.far[0].at>>bucketBits-1)
		}
		q.day++
		q.pending -= q.read
		b := &q.ring[q.day%buckets]
		q.today, *b, q.read = *b, q.today[:0], 0
		for len(q.far) > 0 && q.far[0].at>>bucketBits < q.day+buckets {
			n := q.far.pop()
			if n.at>>bucketBits == q.day {
				q.today = append(q.today, n)
				q.pending++
				continue
			}
			q.put(n)
		}
		slices.SortFunc(q.today, func(a, b node) int {
			if a.less(b) {
				return -1
			}
			return 1
		})
	}
	return q.today[q.read].at, true
}

// pop returns the earliest event; next has told that there is one.
func (q *queue) pop() (int64, payload) {
	n := q.today[q.read]
	q.read++
	p := q.pool[n.i]
	q.pool[n.i] = payload{}
	q.free = append(q.free, n.i)
	return n.at, p
}

// heap is a 4-ary one: half as deep as a binary one.
type heap []node

func (h *heap) push(n node) {
	*h = append(*h, n)
	k := len(*h) - 1
	for k > 0 {
		up := (k - 1) / 4
		if !n.less((*h)[up]) {
			break
		}
		(*h)[k] = (*h)[up]
		k = up
	}
	(*h)[k] = n
}

// pop returns the least; there must be one.
func (h *heap) pop() node {
	list := *h
	top, last := list[0], list[len(list)-1]
	list = list[:len(list)-1]
	*h = list
	if n := len(list); n > 0 {
		k := 0
		for {
			first := 4*k + 1
			if first >= n {
				break
			}
			least := first
			for c := first + 1; c < min(first+4, n); c++ {
				if list[c].less(list[least]) {
					least = c
				}
			}
			if !list[least].less(last) {
				break
			}
			list[k] = list[least]
			k = least
		}
		list[k] = last
	}
	return top
}
