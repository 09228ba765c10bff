package plugins

import (
	"math/rand/v2"
	"time"
)

// backoff says when a plugin that failed is started again, and when not any more. It is a value: its owner passes the time.
type backoff struct {
	failed []time.Time // within breakerTime, the oldest first
	row    int         // failures since it was last well for wellTime
}

const (
	firstDelay  = 100 * time.Millisecond
	leastDelay  = time.Second // of the second failure in a row; doubles from there
	mostDelay   = time.Minute
	wellTime    = time.Minute
	breakerTime = 10 * time.Minute
	breakerRuns = 5
)

// fail notes a failure of a plugin that ran since started. It returns how long to wait before the next start; false: it has failed too often.
func (b *backoff) fail(started, now time.Time, r *rand.Rand) (time.Duration, bool) {
	for len(b.failed) > 0 && now.Sub(b.failed[0]) > breakerTime {
		b.failed = b.failed[1:]
	}
	b.failed = append(b.failed, now)
	if now.Sub(started) >= wellTime {
		b.row = 0
	}
	b.row++
	if len(b.failed) >= breakerRuns {
		return 0, false
	}
	if b.row == 1 {
		return firstDelay, true
	}
	d := min(leastDelay<<min(b.row-2, 10), mostDelay)
	return d - time.Duration(r.Int64N(int64(d/4))), true
}
