package mixer

// complexity lowers what encoders may spend before a tick is late, and raises it again slowly.
//
// The owner says after each tick how much of the 20 ms it took. From that and the number of encodes follows what one costs; when the
// encodes of the tick that is about to be mixed would take more than highWater at this rate, the complexity goes down at once, by
// one step for every tenth above. It goes up by one after calmTicks without more than lowWater.
type complexity struct {
	now, most int
	share     float64 // of the last ticks: up at once, down slowly
	encodes   int     // in the tick that share is of
	calm      int     // ticks since share was above lowWater, or the complexity changed
}

const (
	highWater = 0.6
	lowWater  = 0.35
	calmTicks = 5 * ticksPerSecond
)

// took takes how much of its 20 ms the last tick took.
func (c *complexity) took(share float64) {
	if !(share >= 0) { // not a number either
		return
	}
	if share >= c.share {
		c.share = share
	} else {
		c.share += (share - c.share) / 8
	}
}

// plan sets the complexity for a tick with so many encodes, and returns it.
func (c *complexity) plan(encodes int) int {
	expected := c.share
	if encodes > c.encodes && c.encodes > 0 {
		expected *= float64(encodes) / float64(c.encodes)
	}
	c.encodes = encodes
	switch {
	case expected > highWater:
		c.now = max(0, c.now-1-int((expected-highWater)*10))
		// What is expected from now on; the next ticks will say whether it holds.
		c.share = min(c.share, highWater)
		c.calm = 0
	case expected > lowWater:
		c.calm = 0
	default:
		if c.calm++; c.calm >= calmTicks && c.now < c.most {
			c.now++
			c.calm = 0
		}
	}
	return c.now
}
