package uplink

import (
	"slices"
	"time"
)

// Shed says what children are not sent any more, besides what their own queues drop. Audio is always sent.
type Shed int

// Levels of shedding, each with all before it.
const (
	ShedNothing     Shed = iota
	ShedDiscardable      // pictures that no other needs, and the highest temporal layer
	ShedVideo            // all pictures
)

// Sample is what was measured since the one before.
type Sample struct {
	// Lag is how much later than due this process got to run, at the worst.
	Lag time.Duration
	// Children is one entry for each child that is fed.
	Children []Child
}

// Child is what was measured of a child.
type Child struct {
	Dropped      uint64 // packets that its queue did not deliver
	LossPermille uint32 // of what was sent to it, as it reports
}

// Verdict is what to do until the next one.
type Verdict struct {
	Slots      int  // ordinary children to take in all; those that are there stay
	Shed       Shed // of all children
	Overloaded bool
}

// Bounds of what counts as too much, and how fast it is acted upon. They are guesses on the safe side: acting late costs some loss,
// acting for nothing costs others their places.
const (
	// lagLimit is far above what a busy machine does to a process, and below what makes children look for another parent.
	lagLimit = 150 * time.Millisecond
	// lossLimit is in thousandths. Half of several children lose that much only where the line that they share is full, or where all
	// lines are bad, which keeping pictures back does not mend: losses keep newcomers away, and shed nothing.
	lossLimit = 100
	// few children tell nothing by their losses.
	few = 4
	// patience is how many samples in a row must show too much.
	patience = 3
	// calm is how long nothing may show before one step is taken back, and between two such steps.
	calm = 10 * time.Second
	// worse is how long a step may take to help before the next one.
	worse = 3 * time.Second
)

// Controller holds the state. It belongs to one goroutine.
type Controller struct {
	bad       int // samples in a row
	limit     int // of children; below 0: none
	shed      Shed
	changedAt time.Time
	calmAt    time.Time // since when nothing was too much
	overloads uint64
}

// NewController returns a controller of a peer that bears what it was told.
func NewController() *Controller { return &Controller{limit: -1} }

// Step takes a sample, about once a second, with the slots that the peer was configured with.
func (c *Controller) Step(now time.Time, slots int, s Sample) Verdict {
	if !TooMuch(s) {
		c.bad = 0
		if c.calmAt.IsZero() {
			c.calmAt = now
		}
		if now.Sub(c.calmAt) >= calm && now.Sub(c.changedAt) >= calm {
			c.relax(now, slots)
		}
		return c.verdict(slots)
	}
	c.bad++
	c.calmAt = time.Time{}
	if c.bad >= patience && (c.changedAt.IsZero() || now.Sub(c.changedAt) >= worse) {
		c.tighten(now, slots, s)
	}
	return c.verdict(slots)
}

// tighten goes one step further: first nobody else is taken, then discardable pictures go, then all.
func (c *Controller) tighten(now time.Time, slots int, s Sample) {
	children := len(s.Children)
	fresh := c.limit < 0 || c.limit > children
	if !fresh && !Drowning(s) {
		return
	}
	c.changedAt = now
	if c.limit < 0 {
		c.overloads++
	}
	c.limit = min(children, slots)
	if !fresh && children > 0 {
		c.shed = min(c.shed+1, ShedVideo)
	}
}

// relax takes one step back: layers first, because they were taken from those who are here.
func (c *Controller) relax(now time.Time, slots int) {
	switch {
	case c.shed > ShedNothing:
		c.shed--
	case c.limit >= 0:
		if c.limit += max(1, c.limit/4); c.limit >= slots {
			c.limit = -1
		}
	default:
		return
	}
	c.changedAt = now
}

func (c *Controller) verdict(slots int) Verdict {
	v := Verdict{Slots: slots, Shed: c.shed, Overloaded: c.limit >= 0}
	if c.limit >= 0 {
		v.Slots = min(slots, c.limit)
	}
	return v
}

// Overloads returns how often the peer began to bear too much.
func (c *Controller) Overloads() uint64 { return c.overloads }

// TooMuch reports whether a sample shows that the peer carries more than it can.
func TooMuch(s Sample) bool {
	if Drowning(s) {
		return true
	}
	if len(s.Children) < few {
		return false // what few lose may well be their own lines' doing
	}
	losses := make([]uint32, len(s.Children))
	for i, c := range s.Children {
		losses[i] = c.LossPermille
	}
	slices.Sort(losses)
	return losses[(len(losses)-1)/2] >= lossLimit // of the median child
}

// Drowning reports whether a sample shows that what the peer has to send does not go out: it gets to run too late, or the queues of
// most children drop. What ails one of several children is taken for that child's own trouble.
func Drowning(s Sample) bool {
	ill := 0
	for _, c := range s.Children {
		if c.Dropped > 0 {
			ill++
		}
	}
	return s.Lag >= lagLimit || 2*ill > len(s.Children)
}
