package tree

import (
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// cacheSize bounds the peers remembered. A random sample of 64 parents with free slots places a peer within a few per cent of
// what knowledge of all of them would.
const cacheSize = 64

// entry is what is known of a candidate.
type entry struct {
	Candidate
	seen     time.Time     // when it was last described
	rtt      time.Duration // 0: not measured
	failures int           // in a row
	retry    time.Time     // not asked before, unless there is nobody else
}

// cache holds candidates, sorted by id so that nothing depends on the order of a map. When it is full the worst goes.
type cache struct{ list []*entry }

func (c *cache) find(id ID) *entry {
	if i, ok := c.search(id); ok {
		return c.list[i]
	}
	return nil
}

func (c *cache) search(id ID) (int, bool) {
	return slices.BinarySearchFunc(c.list, id, func(e *entry, id ID) int { return strings.Compare(string(e.Peer), string(id)) })
}

// add merges a description and reports whether it is of a peer unknown before, or one that has got room.
func (c *cache) add(now time.Time, d Candidate) bool {
	i, ok := c.search(d.Peer)
	if ok {
		e := c.list[i]
		news := e.Free == 0 && d.Free > 0
		if len(d.Addrs) == 0 {
			d.Addrs = e.Addrs
		}
		e.Candidate, e.seen = d, now
		return news
	}
	e := &entry{Candidate: d, seen: now}
	c.list = slices.Insert(c.list, i, e)
	if len(c.list) <= cacheSize {
		return true
	}
	worst := 0
	for i, e := range c.list {
		w := c.list[worst]
		if d := e.value(now) - w.value(now); d > 0 || d == 0 && e.seen.Before(w.seen) {
			worst = i
		}
	}
	gone := c.list[worst]
	c.list = slices.Delete(c.list, worst, worst+1)
	return gone != e
}

func (c *cache) remove(id ID) {
	if i, ok := c.search(id); ok {
		c.list = slices.Delete(c.list, i, i+1)
	}
}

// failed notes that a peer did not answer. It is asked again after a pause that doubles, up to a minute.
func (c *cache) failed(now time.Time, id ID) {
	if e := c.find(id); e != nil {
		e.retry = now.Add(min(time.Second<<min(e.failures, 6), time.Minute))
		e.failures++
		e.rtt = 0
	}
}

// answered notes that it did.
func (c *cache) answered(id ID) {
	if e := c.find(id); e != nil {
		e.failures, e.retry = 0, time.Time{}
	}
}

// value orders entries for eviction, larger is worse: each failure weighs like eight levels, age like one per ten seconds, want of a
// free slot like two.
func (e *entry) value(now time.Time) int {
	return e.rank() + 8*e.failures + int(now.Sub(e.seen)/(10*time.Second))
}

// rank orders entries for asking, smaller first. Who is full is asked later than who is one level deeper and is not.
func (e *entry) rank() int {
	v := int(min(e.Depth, MaxPath))
	if e.Free == 0 {
		v += 2
	}
	return v
}

// order returns the entries that skip does not exclude, best first, equals in random order so that not everybody asks the same.
// Those that failed lately come last. Where flat is set depth does not count.
func (c *cache) order(now time.Time, rng *rand.Rand, flat bool, skip func(ID) bool) []*entry {
	out := make([]*entry, 0, len(c.list))
	for _, e := range c.list {
		if !skip(e.Peer) {
			out = append(out, e)
		}
	}
	rng.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	slices.SortStableFunc(out, func(a, b *entry) int {
		fa, fb := now.Before(a.retry), now.Before(b.retry)
		switch {
		case fa && fb:
			return a.retry.Compare(b.retry)
		case fa:
			return 1
		case fb:
			return -1
		}
		if flat {
			return int(min(b.Free, 1)) - int(min(a.Free, 1))
		}
		return a.rank() - b.rank()
	})
	return out
}
