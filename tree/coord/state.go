package coord

import (
	"math"
	"math/rand/v2"
	"time"
)

const (
	// errorGain and forceGain are Vivaldi's c_e and c_c: larger ones learn sooner and come to rest later.
	errorGain = 0.25
	forceGain = 0.25
	// window is the number of measurements that the adjustment is the mean of.
	window = 20
	// maxRTT bounds what is learned from one measurement.
	maxRTT = 5 * time.Second
)

// State is a peer's own coordinate, with what it takes to improve it.
type State struct {
	c     Coord
	off   [window]float32 // measured minus foretold, milliseconds
	next  int
	count int
	last  [recent]sample // of the first measurements
}

// sample is a measurement.
type sample struct {
	ms    float64
	other Coord
}

const (
	// recent is how many measurements a newcomer goes over again, replays how often after each new one: few as they are,
	// one step along each leaves it far from where they together say that it stands.
	recent  = 8
	replays = 3
)

// Coord returns the present coordinate; the zero Coord before the first measurement.
func (s *State) Coord() Coord { return s.c }

// Anchor gives a peer that measures nobody a place to begin with, so that others find theirs around it.
func (s *State) Anchor() {
	if !s.c.Known() {
		s.c.Height, s.c.Err = minHeight, 1
	}
}

// Learn takes a measured round trip to a peer with the coordinate other. Where that peer has none, it only notes that it is there.
func (s *State) Learn(rtt time.Duration, other Coord, rng *rand.Rand) {
	if rtt <= 0 || rtt > maxRTT {
		return
	}
	other = other.Clamp()
	if !s.c.Known() {
		s.c.Height, s.c.Err = minHeight, maxError
	}
	if !other.Known() {
		other.Height, other.Err = minHeight, maxError
	}
	ms := float64(rtt) / float64(time.Millisecond)
	s.learn(ms, other, rng)
	if s.count < window {
		s.last[s.next%recent] = sample{ms, other}
		for range replays {
			for i := range min(s.count+1, recent) {
				m := s.last[i]
				s.move(forceGain*(m.ms-raw(s.c, m.other)), m.other, rng)
			}
		}
	}
	s.adjust(ms - raw(s.c, other))
	s.c = s.c.bounded()
}

// learn is one step of Vivaldi.
func (s *State) learn(ms float64, other Coord, rng *rand.Rand) {
	foretold := raw(s.c, other)
	wrong := math.Abs(foretold-ms) / ms
	total := float64(s.c.Err) + float64(other.Err)
	weight := float64(s.c.Err) / total
	e := wrong*errorGain*weight + float64(s.c.Err)*(1-errorGain*weight)
	s.c.Err = float32(min(max(e, minError), maxError))
	s.move(forceGain*weight*(ms-foretold), other, rng)
}

// move pushes the coordinate away from other by so many milliseconds, or towards it where that is negative.
func (s *State) move(by float64, other Coord, rng *rand.Rand) {
	var unit [Dims]float64
	length := 0.0
	for i := range unit {
		unit[i] = float64(s.c.Vec[i]) - float64(other.Vec[i])
		length += unit[i] * unit[i]
	}
	length = math.Sqrt(length)
	apart := length
	if length < 1e-3 { // at the same point: anywhere
		length = 0
		for i := range unit {
			unit[i] = rng.Float64() - 0.5
			length += unit[i] * unit[i]
		}
		length = max(math.Sqrt(length), 1e-3)
		apart = 0
	}
	for i := range unit {
		s.c.Vec[i] += float32(by * unit[i] / length)
	}
	if apart > 0 {
		h := (float64(s.c.Height)+float64(other.Height))*by/apart + float64(s.c.Height)
		s.c.Height = float32(max(h, minHeight))
	}
}

// adjust takes what the coordinates did not foretell; half of the mean is this peer's, half the others'.
func (s *State) adjust(off float64) {
	s.off[s.next] = float32(off)
	s.next = (s.next + 1) % window
	s.count = min(s.count+1, window)
	if s.count < window {
		return
	}
	sum := 0.0
	for _, v := range s.off {
		sum += float64(v)
	}
	s.c.Adjust = float32(sum / (2 * window))
}

// bounded keeps an own coordinate in the limits that others hold it to.
func (c Coord) bounded() Coord {
	for i, v := range c.Vec {
		c.Vec[i] = min(max(v, -maxPart), maxPart)
	}
	c.Height = min(c.Height, maxPart)
	c.Adjust = min(max(c.Adjust, -maxPart), maxPart)
	return c
}
