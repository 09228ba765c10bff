package tree

import (
	"testing"
	"time"
)

// Who has lost its place takes what can be had soonest, others what is best; and the origin is asked first only by those who were below one of
// its own children.
func TestWhoIsAskedFirst(t *testing.T) {
	const ms = time.Millisecond
	entryAt := func(depth uint32, free uint32, delay, rtt time.Duration) *entry {
		return &entry{Candidate: Candidate{Depth: depth, Free: free, Delay: delay}, rtt: rtt}
	}
	near, far := entryAt(5, 1, 150*ms, 20*ms), entryAt(2, 1, 30*ms, 200*ms)
	origin, full := entryAt(0, 0, 0, 30*ms), entryAt(3, 1, 60*ms, 60*ms)
	for _, c := range []struct {
		name       string
		a          asker
		first, who *entry
	}{
		{"a newcomer takes the better place", asker{}, far, near},
		{"an orphan takes the nearer peer", asker{urgent: true}, near, far},
		{"an orphan leaves the origin alone", asker{urgent: true}, full, origin},
		{"one that has lost a head asks the origin", asker{urgent: true, headless: true}, origin, full},
	} {
		if x, y := c.first.rank(c.a), c.who.rank(c.a); x >= y {
			t.Errorf("%s: ranks %v and %v", c.name, x, y)
		}
	}
}
