package relay

import (
	"slices"
	"time"
)

// lack makes the numbers from first to before end missing, but for skipped ones and those that are already.
func (r *Repair) lack(first, end uint64, now, due time.Time, mark uint64) {
	if first >= end {
		return
	}
	if n := end - first; n > uint64(r.cfg.Bound) {
		r.stats.Abandoned += n - uint64(r.cfg.Bound)
		first = end - uint64(r.cfg.Bound)
	}
	at, _ := r.find(first)
	for n := first; n < end; n++ {
		if last, ok := r.skips.covers(n); ok {
			n = last
			continue
		}
		for at < len(r.missing) && r.missing[at].number < n {
			at++
		}
		h := hole{number: n, seen: now, due: due, mark: mark}
		if at == len(r.missing) || r.missing[at].number != n {
			r.missing = slices.Insert(r.missing, at, h)
		} else if r.missing[at].dead {
			r.missing[at] = h
			r.dead--
		}
	}
	for i := 0; r.Len() > r.cfg.Bound; i++ {
		if !r.missing[i].dead {
			r.abandon(i)
		}
	}
	r.compact()
}

// abandon gives the hole up.
func (r *Repair) abandon(i int) {
	r.stats.Abandoned++
	r.given.add(r.missing[i].number)
	r.bury(i)
}

// bury marks the hole as dead. It stays in its place until compact, so that closing many is cheap.
func (r *Repair) bury(i int) {
	if !r.missing[i].dead {
		r.missing[i].dead = true
		r.dead++
	}
}

// compact removes dead holes when they are many.
func (r *Repair) compact() {
	if r.dead == len(r.missing) {
		r.missing, r.dead = r.missing[:0], 0
	} else if r.dead > 32 && r.dead > len(r.missing)/2 {
		r.missing = slices.DeleteFunc(r.missing, func(h hole) bool { return h.dead })
		r.dead = 0
	}
}

// span is a range of numbers, both inclusive.
type span struct{ first, last uint64 }

// maxSpans bounds what is remembered of skips; the lowest are forgotten.
const maxSpans = 1024

// spans is a set of numbers: ranges in order that do not touch.
type spans []span

// add adds the numbers first to last.
func (s *spans) add(first, last uint64) {
	// The ranges from i to before j overlap or touch the new one.
	i, _ := slices.BinarySearchFunc(*s, first, func(o span, n uint64) int {
		if o.last+1 < n {
			return -1
		}
		return 1
	})
	j := i
	for j < len(*s) && (*s)[j].first <= last+1 {
		first, last = min(first, (*s)[j].first), max(last, (*s)[j].last)
		j++
	}
	*s = slices.Replace(*s, i, j, span{first, last})
	if len(*s) > maxSpans {
		*s = slices.Delete(*s, 0, 1)
	}
}

// covers reports whether n is in the set, and the last number of its range.
func (s spans) covers(n uint64) (last uint64, ok bool) {
	i, _ := slices.BinarySearchFunc(s, n, func(o span, n uint64) int {
		if o.last < n {
			return -1
		}
		return 1
	})
	if i < len(s) && s[i].first <= n {
		return s[i].last, true
	}
	return 0, false
}

// numberRing remembers the newest maxGiven numbers that were added.
type numberRing struct {
	numbers []uint64 // plus one; 0 is free
	next    int
}

func (r *numberRing) add(n uint64) {
	if len(r.numbers) < maxGiven {
		r.numbers = append(r.numbers, n+1)
		return
	}
	r.numbers[r.next] = n + 1
	r.next = (r.next + 1) % maxGiven
}

// take forgets n and reports whether it was there.
func (r *numberRing) take(n uint64) bool {
	i := slices.Index(r.numbers, n+1)
	if i < 0 {
		return false
	}
	r.numbers[i] = 0
	return true
}
