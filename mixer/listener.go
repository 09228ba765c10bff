package mixer

import "slices"

// listener is somebody who gets a mix: all inputs but the one of his own ID.
type listener struct {
	id       ID
	channels int // that he wants at most
	bitrate  int // for one channel; two get twice as much
	class    lossClass
	wishes   []wish // gains and places of his own for inputs, by ID

	held  bool   // he was put on hold
	hold  uint32 // noHold, steadyHold or the fade that he is in
	since uint64 // tick before the first that he hears

	lane    *lane // nil before the first tick, and while packets are passed on to him
	waiting int   // ticks since he should be in another
	moving  bool  // he is on his way to one that is opened for him
}

// wish is what a listener wants one input to be like, for himself only.
type wish struct {
	input ID
	gain  float32 // factor; 0 mutes
	place float32 // between left and right
	moved bool    // place is his own as well
	now   [3]float32
	known bool // now holds the gains at the end of the last frame: mono, left, right
}

// lossClass groups listeners by the loss of their paths, so that only those with loss pay for FEC: 0 to 2 %, 2 to 8 %, above.
type lossClass struct {
	class int
	calm  bool   // the last reports were those of a better class
	good  uint64 // since this tick
}

const (
	lossClasses = 3
	// goodTicks is how long the loss must have been better before a listener moves to a better class: 10 s.
	goodTicks = 10 * ticksPerSecond
)

// observe takes a measured loss in percent. Worse counts at once, better only well below the limit and for a while.
func (c *lossClass) observe(tick uint64, percent float64) {
	limits := [lossClasses - 1]float64{2, 8}
	worse := 0
	for worse < len(limits) && percent > limits[worse] {
		worse++
	}
	c.class = max(c.class, worse)
	if c.class == 0 || percent >= 0.75*limits[c.class-1] {
		c.calm = false
		return
	}
	if !c.calm {
		c.calm, c.good = true, tick
	}
	if tick-c.good >= goodTicks {
		c.class, c.calm = c.class-1, false
	}
}

// loss is what encoders of the class expect, in percent.
func (c *lossClass) loss() int {
	return [lossClasses]int{0, 5, 15}[c.class]
}

// spec is what a listener's encoder should be made for: two channels only where the room has them.
func (l *listener) spec(stereo bool) Spec {
	if stereo && l.channels == 2 {
		return Spec{Channels: 2, Bitrate: 2 * l.bitrate, Loss: l.class.loss()}
	}
	return Spec{Channels: 1, Bitrate: l.bitrate, Loss: l.class.loss()}
}

// wants finds or makes the wish for an input.
func (l *listener) wants(id ID) *wish {
	i, ok := slices.BinarySearchFunc(l.wishes, id, func(w wish, id ID) int { return int(w.input) - int(id) })
	if !ok {
		l.wishes = slices.Insert(l.wishes, i, wish{input: id, gain: 1})
	}
	return &l.wishes[i]
}

// tidy drops wishes for nothing.
func (l *listener) tidy() {
	l.wishes = slices.DeleteFunc(l.wishes, func(w wish) bool { return w.gain == 1 && !w.moved })
}
