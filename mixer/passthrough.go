package mixer

import "math"

// passthrough is for the room in which one participant talks to many: his packets are sent on as they are, nothing is decoded and (but for
// the silence that he hears himself) nothing encoded.
//
// It begins when he has been the only one for a while, in a quiet moment, and only where the mix would be the same: no gain is at work
// on him, no listener has a path with losses, a lower bitrate or wishes of his own. It ends when anything of that changes. As a decoder
// that hears packets of two encoders in turn needs both to come from the same sound, the lanes are then run for passOutTicks, over his
// sound only, before their packets are used; his packets go on meanwhile. Whoever begins to talk is heard after that, by 40 ms late.
//
// Between two participants (Config.Plain) it is the rule: it begins as soon as one of them talks, whatever his gain would be, and whatever
// is lost on the way, against which he has his own means.
type passthrough struct {
	in      *input  // whose packets are passed on; nil for nobody
	leaving int     // ticks until lanes are used again; 0 while nothing else is in sight
	alone   int     // ticks that there has been only one
	mean    float64 // of his levels while he talks, over about 2 s of talk
	began   float64 // the mean when it began
}

const (
	passInTicks  = ticksPerSecond
	passOutTicks = history - 1
	// passSoleTicks is how long a quiet moment is waited for where only one can be heard: 2 s.
	passSoleTicks = 2 * ticksPerSecond
	// passGain is what gain may be at work, in dB.
	passGain = 0.3
	// passDrift is how much louder or softer he may become before his gain is looked at again, in dB.
	passDrift = 6
)

// over says that a listener gets packets passed on, and needs no lane.
func (p *passthrough) over(l *listener) bool {
	return p.in != nil && p.leaving == 0 && l.id != p.in.id && l.hold == noHold
}

// passing says that an input's packets are passed on.
func (m *Mixer) passing(in *input) bool { return m.pass.in == in }

// passes decides about this tick, after it is known who is heard.
func (m *Mixer) passes() {
	p := &m.pass
	if p.in == nil {
		m.passIn()
		return
	}
	if p.leaving > 0 {
		if p.leaving--; p.leaving == 0 {
			m.passStop()
		}
		return
	}
	in := p.in
	p.hear(in)
	switch {
	case in.slot == nil || in.slot.leaving || in.muted || in.held || in.missing == 0 && !in.passable:
		m.passStop() // there is nothing to go over from
	case len(m.ranking) > 1 && !in.activity.recent(m.tick, hangover):
		m.passStop() // nobody is heard at the moment
	case len(m.ranking) > 1 || !m.passFits(in) || m.sole != in && math.Abs(p.mean-p.began) > passDrift:
		p.leaving = passOutTicks
		m.dirty = true
	}
}

func (m *Mixer) passStop() {
	m.pass = passthrough{}
	m.dirty = true
}

// passIn begins when the moment is right.
func (m *Mixer) passIn() {
	p := &m.pass
	if len(m.ranking) != 1 || m.occupied() != 1 {
		p.alone = 0
		return
	}
	in := m.ranking[0]
	beginning := in.slot != nil && in.slot.entering
	if in.slot == nil || beginning && m.sole != in || in.slot.leaving || !in.passable {
		p.alone = 0
		return
	}
	if p.alone == 0 {
		p.mean = in.activity.now
	}
	p.hear(in)
	if m.sole == in {
		// Nothing is lost by waiting but that he is decoded, and where he has just begun to talk there is nothing to wait for.
		if p.alone++; !m.passFits(in) || !beginning && in.slot.level > lowEnergy && p.alone < passSoleTicks {
			return
		}
		in.loud = loudness{} // what he is brought to, when he is mixed again, begins with what he is
		p.in, p.began = in, p.mean
		m.dirty = true
		return
	}
	if p.alone++; p.alone < passInTicks || in.slot.level > lowEnergy || in.activity.now > loudestLevel+lowEnergy || !m.passFits(in) {
		return
	}
	p.in, p.began = in, p.mean
	m.dirty = true
}

// hear keeps the mean level, which is all that is known of how loud somebody is who is not decoded.
func (p *passthrough) hear(in *input) {
	if in.activity.active {
		p.mean += (in.activity.now - p.mean) / (2 * ticksPerSecond)
	}
}

// passFits says whether what an input sends is what every listener would get.
func (m *Mixer) passFits(in *input) bool {
	sole := m.sole == in
	if len(m.players) > 0 || len(m.fades) > 0 || in.held || in.gain != 1 || !sole && math.Abs(in.loud.gain) > passGain || in.place != 0 {
		return false
	}
	for _, l := range m.listeners {
		if l.id == in.id || l.hold != noHold {
			continue
		}
		if l.class.class > 0 && !sole {
			return false
		}
		for i := range l.wishes {
			if l.wishes[i].input == in.id {
				return false
			}
		}
	}
	return true
}

// occupied counts slots in use.
func (m *Mixer) occupied() (n int) {
	for _, s := range m.slots {
		if s.in != nil {
			n++
		}
	}
	return n
}
