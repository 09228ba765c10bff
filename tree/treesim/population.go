package treesim

import (
	"math"
	"math/rand/v2"
)

// Upload. A class is what peers of one kind have, as ordinary slots of a 1.5 Mbit/s programme by the rule
// C = floor(0.75 U / (1.05 rate)), of which a fifth and at least one is the reserve.
type class struct {
	upload float64 // Mbit/s
	share  float64 // before it is fitted to the resource index
}

const (
	programme = 1.5 // Mbit/s, audio included
	audioPart = 0.064 / programme
	// estimateDev is the deviation of the logarithm of what a peer believes of its upload over what it has: 19 of 20 believe
	// between 0.33 and 3 times of it.
	estimateDev = 0.56
	// fullUse is how much of its true upload a peer can spend on children: the rest of a slot's margin.
	fullUse = 0.95
	// thinner is how many more children than that an uplink can carry while it leaves out the discardable layer of the video.
	thinner = 1.3
	// correctAfter is how long an uplink's controller takes to see that it is full.
	correctAfter = 3e9
	maxSlots     = 64
)

// mixes are the shares of uploads by resource index: ordinary slots of all peers over their number.
var mixes = map[float64][]class{
	0.9:  {{1, 0.68}, {5, 0.25}, {20, 0.065}, {100, 0.005}},
	1.15: {{1, 0.62}, {5, 0.28}, {20, 0.09}, {100, 0.007}},
	1.3:  {{1, 0.59}, {5, 0.30}, {20, 0.10}, {100, 0.008}},
	2:    {{1, 0.48}, {5, 0.35}, {20, 0.15}, {100, 0.016}},
	5:    {{1, 0.29}, {5, 0.30}, {20, 0.35}, {100, 0.06}},
}

// capacity splits C into ordinary slots and reserve.
func capacity(upload float64) (slots int) {
	c := int(0.75 * upload / (1.05 * programme))
	if c < 2 {
		return 0
	}
	c = min(c, maxSlots)
	return c - max(1, int(math.Ceil(0.2*float64(c))))
}

// uploads draws what peers have and what they believe of it.
type uploads struct {
	classes []class
	scale   float64 // of the shares of those who give
}

// newUploads fits the shares, so that what peers will use after estimates that are too high have been corrected comes to index.
func newUploads(index float64) uploads {
	u := uploads{classes: mixes[index], scale: 1}
	const n = 40000
	for range 4 {
		r := rand.New(rand.NewPCG(1, 2))
		sum := 0
		for range n {
			upload, believed := u.draw(r)
			sum += min(capacity(upload), capacity(believed))
		}
		u.scale *= index * n / float64(sum)
	}
	return u
}

func (u uploads) draw(r *rand.Rand) (upload, believed float64) {
	x, c := r.Float64(), u.classes[0]
	for _, k := range u.classes[1:] {
		if x -= k.share * u.scale; x < 0 {
			c = k
			break
		}
	}
	upload = c.upload * math.Exp(0.15*r.NormFloat64())
	return upload, upload * math.Exp(estimateDev*r.NormFloat64())
}

// feeds is how many children with all streams an upload really carries, and with the discardable layer left out.
func feeds(upload float64) (full, thin int) {
	c := fullUse * upload / (1.05 * programme)
	return int(c), int(c * thinner)
}

// Sessions: heavy-tailed, and a fifth of those who come go soon.
const (
	sessionDev = 1.5
	shortStay  = 0.2
	shortMin   = 5e9
	shortMax   = 60e9
)

// session draws how long somebody stays who comes now; the mean, in ns, is of those who stay.
func session(r *rand.Rand, mean float64) int64 {
	if r.Float64() < shortStay {
		return int64(shortMin + r.Float64()*(shortMax-shortMin))
	}
	return int64(math.Exp(math.Log(mean) - sessionDev*sessionDev/2 + sessionDev*r.NormFloat64()))
}

// residual draws how long somebody still stays who has been there when the audience was looked at: long stays are met more
// often than they begin.
func residual(r *rand.Rand, mean float64) int64 {
	whole := math.Exp(math.Log(mean) + sessionDev*sessionDev/2 + sessionDev*r.NormFloat64())
	return int64(whole * r.Float64())
}
