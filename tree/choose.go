package tree

import (
	"math/rand/v2"
	"slices"
	"time"
)

// The choice among parents that answered. A level costs about what a hop across a continent does, so that depth and round
// trip add up to the delay to expect; the penalties are guesses, far enough apart to order the cases.
const (
	levelCost   = 50 * time.Millisecond
	reserveCost = 20 * time.Millisecond // an orphan that must move again
	blindCost   = 10 * time.Second      // full; only worth a try for one that may displace a leaf
	spareCost   = time.Second           // each step down in a backup's quality
)

// offer is what a candidate answered to a probe.
type offer struct {
	path          []ID // ends with the candidate
	free, reserve uint32
	rtt           time.Duration
}

// cost returns how much an offer is worth to one that asks for a place of this kind and itself gives slots; smaller is better,
// and false means unusable. quality is spareQuality, for backups.
func (o offer) cost(kind ChildKind, slots, quality int) (time.Duration, bool) {
	c := time.Duration(len(o.path)-1)*levelCost + o.rtt
	switch kind {
	case Backup: // how deep does not matter, and if it did all would ask the same few
		return o.rtt + time.Duration(3-quality)*spareCost, quality > 0 && o.free+o.reserve > 0
	case Orphan:
		if o.free == 0 && o.reserve > 0 {
			return c + reserveCost, true
		}
	}
	if o.free > 0 {
		return c, true
	}
	return c + blindCost, slots > 0
}

// spareQuality says how good a backup with the path spare is for self, whose own path is given, under parent: 3 shares nothing
// but the origin, 2 has other peers in common, 1 is the origin itself, 0 is none: itself below self or below the parent.
func spareQuality(self, parent ID, path, spare []ID) int {
	if len(spare) == 0 || len(path) == 0 || slices.Contains(spare, self) || spare[len(spare)-1] == parent {
		return 0
	}
	if len(spare) == 1 {
		return 1
	}
	if parent != path[0] && slices.Contains(spare, parent) {
		return 0
	}
	for _, id := range spare[1:] {
		if slices.Contains(path[1:], id) {
			return 2
		}
	}
	return 3
}

// backoff returns the pause after the n-th failure in a row, from 1: lo doubled n-1 times, at most hi, +-50 %.
func backoff(n int, lo, hi time.Duration, rng *rand.Rand) time.Duration {
	d := lo
	for i := 1; i < n && d < hi; i++ {
		d *= 2
	}
	return spread(min(d, hi), rng)
}

// spread returns d +-50 %.
func spread(d time.Duration, rng *rand.Rand) time.Duration {
	return d/2 + time.Duration(rng.Int64N(int64(d)+1))
}
