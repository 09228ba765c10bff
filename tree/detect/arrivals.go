// Package detect tells from the arrivals on a hop how long a silence has to last until it means that the other end is gone.
//
// Each end of a hop that feeds something live sends at least one packet every FillIn: media, or a pulse where there is none.
// What the network adds to that differs a lot between a cable and a bad wireless link, so that the limit follows the
// distribution of the silences that were heard:
//
//	limit = 3 * interval + 2 * (p99.5 - p50)    at least Least, at most Most
//
// where interval is how often the hop carries media; pulses that fill its silences come when they are due and say nothing of it. A suspicion
// only asks the backup to help out; a limit that is a little short costs a burst now and then, one that is long costs a
// pause at each failure.
//
// The package is pure. An Arrivals belongs to one goroutine.
package detect

import "time"

const (
	// FillIn is the longest that a sender with something live is silent by intention.
	FillIn = 60 * time.Millisecond
	// Least and Most bound the limit.
	Least = 80 * time.Millisecond
	Most  = 250 * time.Millisecond
	// Start is the limit until enough has been heard.
	Start = 200 * time.Millisecond

	// together is how close packets come to count as one arrival: those of a picture are sent at once.
	together = 5 * time.Millisecond
	bucket   = 5 * time.Millisecond
	buckets  = 64   // the last one holds all that is longer
	enough   = 64   // silences until the distribution counts
	window   = 2048 // silences that are remembered, about: at so many their counts are halved
)

// Arrivals is the distribution of the silences between arrivals on a hop. The zero value is ready.
type Arrivals struct {
	last   time.Time
	media  bool // the last arrival was media
	count  [buckets]uint32
	total  uint32
	passed int // since Limit was computed
	limit  time.Duration
}

// Note takes the arrival of a packet, of media or another, and reports whether the limit has changed.
func (a *Arrivals) Note(now time.Time, media bool) (changed bool) {
	silence := now.Sub(a.last)
	first := a.last.IsZero() || !media || !a.media
	a.last, a.media = now, media
	// A silence beyond the limit is a failure, or this process was not running: it says nothing of the network.
	if first || silence < together || silence >= buckets*bucket {
		return false
	}
	a.count[silence/bucket]++
	if a.total++; a.total == window {
		a.total = 0
		for i := range a.count {
			a.count[i] /= 2
			a.total += a.count[i]
		}
	}
	if a.passed++; a.passed < enough {
		return false
	}
	a.passed = 0
	old := a.limit
	a.limit = Limit(a.quantile(500), a.quantile(995))
	return a.limit != old
}

// Limit returns how long a silence has to last to be suspicious.
func (a *Arrivals) Limit() time.Duration {
	if a.limit == 0 {
		return Start
	}
	return a.limit
}

// quantile returns the silence that so many thousandths do not exceed.
func (a *Arrivals) quantile(permille uint32) time.Duration {
	left := (uint64(a.total)*uint64(permille) + 999) / 1000
	for i, n := range a.count {
		if uint64(n) >= left {
			return time.Duration(i+1) * bucket
		}
		left -= uint64(n)
	}
	return buckets * bucket
}

// Limit returns the limit for silences of which half do not exceed p50 and 995 in 1,000 not p995.
func Limit(p50, p995 time.Duration) time.Duration {
	limit := max(3*min(p50, FillIn), FillIn) + 2*(p995-min(p50, p995))
	return min(max(limit, Least), Most)
}
