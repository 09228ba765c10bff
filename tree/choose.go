package tree

import (
	"math/rand/v2"
	"slices"
	"time"
)

// The choice among parents. It goes by the delay from the origin that a place will have: what the parent says of its own, and half
// the round trip to it. To that comes for each level what its failure costs, 200 ms of trouble times the chance of one in the
// next five minutes, at a turnover of 1 % a minute. The other penalties are guesses, far enough apart to order the cases.
const (
	riskCost    = 10 * time.Millisecond // of a level
	levelCost   = 50 * time.Millisecond // of one whose delay is not known: about a hop across a continent
	farCost     = 40 * time.Millisecond // half the round trip to a peer whose coordinate is not known
	reserveCost = 20 * time.Millisecond // an orphan that must move again
	blindCost   = 10 * time.Second      // full; only worth a try for one that may displace a leaf
	spareCost   = time.Second           // each step down in a backup's quality
)

// offer is what a candidate answered to a probe.
type offer struct {
	path          []ID // ends with the candidate
	free, reserve uint32
	rtt           time.Duration
	delay         time.Duration // 0: not known
	crowded       bool          // takes no more idle children
}

// placeCost returns how good a place is, smaller being better, below a peer at this depth with this delay from the origin.
func placeCost(depth int, delay, rtt time.Duration) time.Duration {
	if delay == 0 {
		delay = time.Duration(depth) * levelCost
	}
	return delay + rtt/2 + time.Duration(depth)*riskCost
}

// hasteCost is what the way to a peer costs one that has nothing meanwhile: an answer and a hop take three round trips and more. A better place
// can be looked for afterwards.
func hasteCost(rtt time.Duration) time.Duration { return 3 * rtt }

// better tells whether a place is worth a move: it must be better by a fifth and by 20 ms, or moves would never end.
func better(cost, now time.Duration) bool {
	return cost < now-now/5 && cost < now-20*time.Millisecond
}

// cost returns how much an offer is worth to one that asks for a place of this kind and itself gives slots; smaller is better,
// and false means unusable. quality is spareQuality, for backups.
func (o offer) cost(kind ChildKind, slots, quality int) (time.Duration, bool) {
	c := placeCost(len(o.path)-1, o.delay, o.rtt)
	switch kind {
	case Backup: // how deep does not matter, and if it did all would ask the same few
		return o.rtt + time.Duration(3-quality)*spareCost, quality > 0 && !o.crowded && o.free+o.reserve > 0
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
