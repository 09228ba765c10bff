package jitter

// The playout delay is let alone from a bit below the target to slack above it: a buffer that follows every change of the network
// is heard all the time. Once it is too long, it is shortened until settle above the target, so that clocks that drift are
// followed by a few stretches in a row and long rests.
//
// Packets are decoded at pulls only. What of a packet is left over for the next pull waits on the tape, on top of the playout
// delay: that is shortened as well, down to where nothing is left over. Beyond it, each frame less lets packets be decoded one
// pull earlier.
const (
	tolerance = Rate * 5 / 2000
	slack     = 20 * Rate / 1000
	settle    = 5 * Rate / 1000
	urgent    = 4 * slack // above the target: less alike sound will do as well

	between       = Rate / 10 // from one stretch to the next
	betweenUrgent = Rate / 25

	alikeEnough = 0.9
	alikeUrgent = 0.5
)

// wish is what the playout delay wants done with the sound.
type wish int

const (
	leave wish = iota
	shorten
	shortenFast
	lengthen
)

// control decides when to stretch.
type control struct {
	shortening bool
	last       int64 // time of the last stretch
	stretched  bool
}

// decide takes the playout delay with which a packet is decoded for a frame of the given length, and how much waited on the tape
// before it. It returns what to do, and how many samples are too many at most.
func (c *control) decide(now, delay, waiting, target, frame int64) (wish, int64) {
	excess := delay + waiting - target
	switch {
	case excess >= slack:
		c.shortening = true
	case excess < settle+minLag:
		c.shortening = false
	}
	fast := excess >= urgent
	pause := int64(between)
	if fast {
		pause = betweenUrgent
	}
	if c.stretched && now-c.last < pause {
		return leave, 0
	}
	if delay < target-tolerance {
		return lengthen, 0
	}
	most := min(excess, waiting+(delay-target)/frame*frame)
	if !c.shortening || most < minLag {
		return leave, 0
	}
	if fast {
		return shortenFast, most
	}
	return shorten, most
}

// done notes that a stretch was made.
func (c *control) done(now int64) { c.last, c.stretched = now, true }
