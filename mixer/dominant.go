package mixer

import (
	"math"
	"slices"
)

// The dominant speaker is found by the method of Volfin and Cohen ("Dominant speaker identification for multipoint
// videoconferencing", Computer Speech & Language 27, 2013): the speech activity of each participant is scored over three windows,
// and another takes over only when he scores higher in all three, by more the shorter the window is. So a cough or a door, long in no
// window but the first, changes nothing, and a real speaker is found after about half a second.
//
//	immediate   one tick: how many of bands levels it reaches above the quietest that is known of him
//	medium      100 ms: in how many of mediumTicks ticks at least activeBands were reached
//	long        1 s: how many of longMediums medium windows were more than half active
//
// A window of n places of which k are active scores the logarithm of how much likelier speech makes that (every place active with
// probability 1/2) than noise (its likelihood falls exponentially with k).
const (
	bands       = 13
	bandWidth   = loudestLevel / bands // 9 dB
	activeBands = 3                    // 27 dB
	mediumTicks = 5
	longMediums = 10

	// How much higher a challenger must score (C1, C2, C3 of the paper).
	beatsImmediate = 3
	beatsMedium    = 2
	beatsLong      = 0

	// decideTicks is how often a decision is made: 300 ms.
	decideTicks = 15
	// recencyList is how many of the latest speakers are remembered.
	recencyList = 10
)

// rates of the exponential noise model in each window.
const (
	noiseImmediate = 0.78
	noiseMedium    = 24
	noiseLong      = 47
)

// scores holds the score of each count in each window.
type scores struct {
	immediate [bands + 1]float64
	medium    [mediumTicks + 1]float64
	long      [longMediums + 1]float64
}

func newScores() *scores {
	s := &scores{}
	fill := func(to []float64, rate float64) {
		n := len(to) - 1
		for k := range to {
			choose, _ := math.Lgamma(float64(n + 1))
			a, _ := math.Lgamma(float64(k + 1))
			b, _ := math.Lgamma(float64(n - k + 1))
			to[k] = choose - a - b - float64(n)*math.Ln2 - math.Log(rate) + rate*float64(k)
		}
	}
	fill(s.immediate[:], noiseImmediate)
	fill(s.medium[:], noiseMedium)
	fill(s.long[:], noiseLong)
	return s
}

// speaking is the speech activity of one participant.
type speaking struct {
	reached [mediumTicks * longMediums]uint8 // bands, of the last second, a ring
	at      int
	least   int // the quietest level of late, which bands are counted from
	since   int // ticks since least was set anew
	soFar   int // the quietest since then
	any     bool
}

// leastTicks is how long the quietest level counts: 15 s.
const leastTicks = 15 * ticksPerSecond

// observe takes the level of a tick, 0 (silence) to 127.
func (s *speaking) observe(level int) {
	if !s.any {
		// Before anything is known, half of the scale counts as noise.
		s.any, s.least, s.soFar = true, loudestLevel/2, loudestLevel
	}
	s.soFar = min(s.soFar, level)
	s.least = min(s.least, max(level, 1))
	if s.since++; s.since >= leastTicks {
		s.least, s.soFar, s.since = max(1, s.soFar), loudestLevel, 0
	}
	s.reached[s.at] = uint8(max(0, min(bands, (level-s.least)/bandWidth)))
	s.at = (s.at + 1) % len(s.reached)
}

// counts of active places in the three windows that end with the last tick.
func (s *speaking) counts() (immediate, medium, long int) {
	for w := range longMediums {
		active := 0
		for i := range mediumTicks {
			at := (s.at - 1 - w*mediumTicks - i + 2*len(s.reached)) % len(s.reached)
			if s.reached[at] >= activeBands {
				active++
			}
			if w == 0 && i == 0 {
				immediate = int(s.reached[at])
			}
		}
		if w == 0 {
			medium = active
		}
		if active > mediumTicks/2 {
			long++
		}
	}
	return immediate, medium, long
}

// dominance is who speaks, over all participants.
type dominance struct {
	scores *scores
	recent []ID // the dominant speaker first, then who it was before
}

// decide looks for a challenger who beats the dominant speaker in all windows. Of several the one who beats him by most in the medium
// window wins, then the lowest ID.
func (d *dominance) decide(inputs []*input) (changed bool) {
	var at *input
	for _, in := range inputs {
		if len(d.recent) > 0 && in.id == d.recent[0] {
			at = in
		}
	}
	var ai, am, al int
	if at != nil {
		ai, am, al = at.speaking.counts()
	}
	var best *input
	margin := 0.0
	for _, in := range inputs {
		if in == at || in.muted {
			continue
		}
		i, m, l := in.speaking.counts()
		if at == nil {
			// Nobody to beat: whoever has spoken for a while.
			if score := d.scores.medium[m]; l > 0 && m > mediumTicks/2 && (best == nil || score > margin) {
				best, margin = in, score
			}
			continue
		}
		c2 := d.scores.medium[m] - d.scores.medium[am]
		if d.scores.immediate[i]-d.scores.immediate[ai] > beatsImmediate && c2 > beatsMedium && d.scores.long[l]-d.scores.long[al] > beatsLong &&
			(best == nil || c2 > margin) {
			best, margin = in, c2
		}
	}
	if best == nil {
		return false
	}
	d.forget(best.id)
	d.recent = slices.Insert(d.recent, 0, best.id)
	d.recent = d.recent[:min(len(d.recent), recencyList)]
	return true
}

// forget takes an ID off the list.
func (d *dominance) forget(id ID) {
	d.recent = slices.DeleteFunc(d.recent, func(x ID) bool { return x == id })
}
