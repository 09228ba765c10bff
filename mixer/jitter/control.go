package jitter

// The playout delay is let alone from a bit below the target to slack above it: a buffer that follows every change of the network
// is heard all the time. Once it is too long, it is shortened until settle above the target, so that clocks that drift are
// followed by a few stretches in a row and long rests.
//
// Packets are decoded at pulls only. What is left over of the last one waits on the tape for the next pull, on top of the playout
// delay: that is removed as well, down to where nothing is left over. Beyond it, a step less lets packets be decoded one pull
// earlier, or in the same pull as the one before.
const (
	tolerance = Rate * 5 / 2000 // below the target, for what is shortened; twice that much is lengthened
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

// decide takes the playout delay with which the last packet of a pull was decoded, how much of it is left over, and the shorter
// one of a packet and a frame. It returns what to do, and how many samples are too many at most.
func (c *control) decide(now, delay, left, target, step int64) (wish, int64) {
	excess := delay + left - target
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
	if delay < target-2*tolerance {
		return lengthen, 0
	}
	most := min(excess, left+max(0, delay-target+tolerance)/step*step)
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
