package jitter

// Priorities of what the queue holds for a timestamp: the lower one is the better.
const (
	primary  = 0 // the packet itself; a redundant block has its distance
	fecGrade = 1 << 8
)

// entry is a packet or a secondary that waits to be decoded.
type entry struct {
	at       int64 // timestamp on the buffer's timeline
	duration int64 // samples
	arrival  int64
	rtp      int64 // what to add to at for the sender's timestamp
	seq      int64 // extended; of a secondary the number of the packet that it stands for, as far as that can be told
	grade    int
	level    Level
	dtx      bool
	stream   int // of which encoder
	payload  []byte
}

// end is the timestamp after the last sample.
func (e *entry) end() int64 { return e.at + e.duration }

// queue holds what waits, ordered by timestamp, one entry for each. It never holds more than it was made for: the caller
// makes room before it adds. Payloads are copied into slots that are used again.
type queue struct {
	slots []entry
	order []int16 // of slots in use, by timestamp
	free  []int16
}

func newQueue(size int) queue {
	q := queue{slots: make([]entry, size), order: make([]int16, 0, size), free: make([]int16, 0, size)}
	for i := range size {
		q.free = append(q.free, int16(size-1-i))
	}
	return q
}

func (q *queue) len() int   { return len(q.order) }
func (q *queue) full() bool { return len(q.free) == 0 }

// first returns the entry with the lowest timestamp; nil if there is none. It holds until the queue changes.
func (q *queue) first() *entry {
	if len(q.order) == 0 {
		return nil
	}
	return &q.slots[q.order[0]]
}

// last returns the entry with the highest timestamp; nil if there is none.
func (q *queue) last() *entry {
	if len(q.order) == 0 {
		return nil
	}
	return &q.slots[q.order[len(q.order)-1]]
}

// find returns where in order a timestamp is, or belongs. New packets are mostly the last, so it looks from there.
func (q *queue) find(at int64) (i int, found bool) {
	i = len(q.order)
	for i > 0 && q.slots[q.order[i-1]].at >= at {
		i--
	}
	return i, i < len(q.order) && q.slots[q.order[i]].at == at
}

// covered says whether the samples from at to end are there, at least in part.
func (q *queue) covered(at, end int64) bool {
	i, found := q.find(at)
	if found {
		return true
	}
	if i > 0 && q.slots[q.order[i-1]].end() > at {
		return true
	}
	return i < len(q.order) && q.slots[q.order[i]].at < end
}

// outcome is what became of an entry that was added.
type outcome int

const (
	added     outcome = iota
	replaced          // it took the place of a worse one
	duplicate         // there is one as good or better
)

// add puts in a copy of an entry. There has to be room.
func (q *queue) add(e entry) outcome {
	i, found := q.find(e.at)
	if found {
		old := &q.slots[q.order[i]]
		if old.grade <= e.grade {
			return duplicate
		}
		e.payload = append(old.payload[:0], e.payload...)
		*old = e
		return replaced
	}
	slot := q.free[len(q.free)-1]
	q.free = q.free[:len(q.free)-1]
	e.payload = append(q.slots[slot].payload[:0], e.payload...)
	q.slots[slot] = e
	q.order = append(q.order, 0)
	copy(q.order[i+1:], q.order[i:])
	q.order[i] = slot
	return added
}

// drop removes the first entry.
func (q *queue) drop() {
	q.free = append(q.free, q.order[0])
	copy(q.order, q.order[1:])
	q.order = q.order[:len(q.order)-1]
}
