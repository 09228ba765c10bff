package recording

import "time"

const (
	// clockWindow is how often a publisher's clock is compared with this machine's.
	clockWindow = 10 * time.Second
	// clockStep is how far it is moved at a time, and how far off it must be.
	clockStep = 20_000 // microseconds
	// clockBegins is how long the quickest packet is followed at once, when a clock is new.
	clockBegins = 2_000_000
	// clockJump is what no path and no drift explains: the publisher's clock was set.
	clockJump = 3_000_000
)

// clock says where on this machine's clock a publisher's wall clock is, whose drift it follows slowly, so that all tracks of a publisher move
// together. The quickest packets count: what makes others later is the way. It is a value; times are microseconds since 1970.
type clock struct {
	known  bool
	offset int64 // of this machine's clock from the publisher's
	least  int64 // since the window began
	began  int64
	first  int64 // when it became known
}

// take notes a packet that came live.
func (c *clock) take(wall, arrived int64) {
	d := arrived - wall
	switch {
	case !c.known, d-c.offset > clockJump, d-c.offset < -clockJump:
		*c = clock{known: true, offset: d, least: d, began: arrived, first: arrived}
		return
	}
	c.least = min(c.least, d)
	if arrived-c.first < clockBegins && c.offset-c.least > clockStep {
		c.offset = c.least
	}
	if arrived-c.began < clockWindow.Microseconds() && arrived >= c.began {
		return
	}
	if off := c.least - c.offset; off > clockStep || off < -clockStep {
		c.offset += min(max(off, -clockStep), clockStep)
	}
	c.least, c.began = d, arrived
}

// settle takes the quickest packet so far as the truth, when nothing depends on it yet.
func (c *clock) settle() { c.offset = c.least }
