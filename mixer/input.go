package mixer

// Header is what a packet says of itself without being decoded.
type Header struct {
	// Level is the audio level in -dBov, 0 (loudest) to 127 (silence; RFC 6464). It counts only if Known.
	Level uint8
	Known bool
	// Passable: the packet is Opus of exactly 20 ms and could be sent on to every listener as it is.
	Passable bool
}

// input is what the mixer knows of a participant who sends.
type input struct {
	id     ID
	pinned bool
	muted  bool
	held   bool    // he is on hold
	alone  bool    // nobody but he himself would hear it, so that nothing of it is wanted but who talks
	gain   float32 // asked for
	place  float32 // between left and right

	// Of the packets, not decoded.
	heard    bool // a packet came since the last Select
	passable bool // and all since then were
	loudest  int  // of them, 0 (silence) to 127; -1 without a level
	missing  int  // ticks without a packet
	claims   bool // some said how loud they are
	playing  int  // what the packet that plays in this tick says, 0 to 127; -1 without a level
	activity activity
	speaking speaking

	// Of the sound, while it has a slot.
	loud  loudness
	slot  *slot
	trust float64 // dB that the level it claims is above the truth, as a number below 0
	empty int     // frames that it claimed and that never played, see found
	real  float64 // level of the last frame, 0 to 127, and -1 without one
}

// activity is the level of an input as it follows from packets: what the loudest are chosen by.
type activity struct {
	level  float64 // smoothed, 0 (silence) to 127
	now    float64 // of this tick
	floor  float64 // of its noise
	last   uint64  // tick of the last activity
	active bool    // it talks now
	ever   bool
}

const (
	loudestLevel = 127
	// silentAfter is how many ticks without a packet are taken for a loss before they are taken for silence.
	silentAfter = 3
	// smoothing is the weight of the newest level: half of it is forgotten in a tick.
	smoothing = 0.5
	// The floor follows the level down within about 10 ticks and up by 1 dB a second, and is never above floorMost: who talks without a
	// pause is no noise. The first guess is floorFirst.
	floorFirst = 40
	floorMost  = 80
	floorDown  = 0.1
	floorUp    = 1.0 / ticksPerSecond
	// An input is active from 8 dB above its floor, and from -62 dBov, on.
	aboveFloor  = 8
	leastActive = loudestLevel - 62
	// unknownLevel is taken for the level of packets that tell none, until they are decoded.
	unknownLevel = loudestLevel - 35
	// hangover is how many ticks an input counts as talking after it did.
	hangover = 20
)

// observe takes the level of a tick, -1 for none.
func (a *activity) observe(tick uint64, level float64) {
	if level < 0 {
		level = a.level // a packet is late or lost: nothing is known
	}
	a.now = level
	a.level += smoothing * (level - a.level)
	if level < a.floor {
		a.floor += floorDown * (level - a.floor)
	} else {
		a.floor = min(a.floor+floorUp, floorMost)
	}
	a.active = level >= leastActive && level >= a.floor+aboveFloor
	if a.active {
		a.last, a.ever = tick, true
	}
}

// recent says whether it was active within the last ticks.
func (a *activity) recent(tick, within uint64) bool {
	return a.ever && tick-a.last <= within
}

// observe brings what is known of an input's packets up to a tick.
func (in *input) observe(tick uint64) {
	level := float64(in.loudest)
	switch {
	case !in.heard:
		in.passable = false
		switch in.missing++; {
		case in.missing <= silentAfter:
			level = -1
		case !in.claims && in.real >= 0:
			level = in.real // of what is still being played
		default:
			level = 0
		}
	case in.loudest < 0:
		if level = unknownLevel; in.real >= 0 {
			level = in.real
		}
	default:
		// Who claims to be louder than he is, is ranked by what he was found to be.
		level = max(0, level+in.trust)
	}
	if in.playing >= 0 {
		level = max(level, float64(in.playing)+in.trust)
	}
	if in.heard {
		in.missing = 0
	}
	if in.slot == nil {
		in.trust = min(0, in.trust+trustBack)
	}
	in.activity.observe(tick, level)
	in.speaking.observe(int(in.activity.now))
	in.heard, in.loudest, in.playing = false, -1, -1
}

// trustBack is how many dB of trust come back in a tick in which somebody is not decoded: 1 dB a second. Who was found to claim too much is
// tried again some time.
const trustBack = 1.0 / ticksPerSecond

const (
	// mostEmpty is how many frames of somebody who has a slot, and whose packets say that he talks, may be emptyBelow dB below that where
	// nothing of him plays: 1 s, as the jitter buffer delays him when he begins, and the network may stand still. Each that plays makes up for
	// emptyBack that do not. Beyond that each costs emptyCosts dB of trust: who sends what no buffer can play, by jumping with his clock or his
	// numbers, does not keep others out.
	mostEmpty  = ticksPerSecond
	emptyBelow = 12
	emptyBack  = 3
	emptyCosts = 12
)

// found takes the true level of a frame, as its power, and compares it with the claim of the packet that it comes from. Where that is
// lost nothing follows.
func (in *input) found(power float64) {
	in.real = max(0, min(loudestLevel, loudestLevel+decibels(power)))
	if in.playing < 0 {
		if in.claims && in.real+emptyBelow < in.activity.level {
			if in.empty++; in.empty > mostEmpty {
				in.empty, in.trust = mostEmpty, max(-loudestLevel, in.trust-emptyCosts)
			}
		}
		return
	}
	in.empty = max(0, in.empty-emptyBack)
	const tolerance = 6 // the level may be measured otherwise, or over other samples
	in.trust += (min(0, in.real+tolerance-float64(in.playing)) - in.trust) / 10
}

// talks reports whether what plays in this tick is talk.
func (in *input) talks() bool {
	if in.playing < 0 {
		return in.activity.active && !in.claims
	}
	level := float64(in.playing) + in.trust
	return level >= leastActive && level >= in.activity.floor+aboveFloor
}
