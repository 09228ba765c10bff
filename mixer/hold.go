package mixer

import "slices"

// A listener on hold hears music in place of the mix, and is not heard. All of them share the lanes of the steady hold. Between that and the
// mix there is a fade: those who go the same way on the same tick share a fade, and so one lane for each Spec.
const (
	noHold     = 0 // hears the mix
	steadyHold = 1 // hears music; larger numbers are those of fades
	// holdFade is how many ticks the change from the mix to music takes, and back: 0.6 s.
	holdFade = 30
	// maxFades bounds the fades at a time, as each costs an encoder. Beyond that the change has none.
	maxFades = 8
)

// holdChange is a fade.
type holdChange struct {
	id    uint32
	on    bool   // towards music
	began uint64 // the first tick
	known bool   // began is
}

// Music makes what listeners on hold hear: 20 ms of it in mono for a tick. A standby plays the same on the same ticks.
type Music func(tick uint64, pcm []float32)

// Hold puts a participant on hold, or takes him off it: he hears music, and is not heard. For the audience's ID it is all who only listen.
func (m *Mixer) Hold(id ID, on bool) {
	if in := m.input(id); in != nil {
		in.held = on
	}
	l := m.listener(id)
	if l == nil || l.held == on {
		return
	}
	l.held = on
	m.dirty = true
	if on {
		m.onHold++
	} else {
		m.onHold--
	}
	switch fade := m.fade(on); {
	case fade != nil && m.tick > l.since:
		l.hold = fade.id
	case on:
		l.hold = steadyHold
	default:
		l.hold = noHold
	}
}

// fade returns the one that those share who go on hold, or off it, on the next tick, or nil where there would be too many.
func (m *Mixer) fade(on bool) *holdChange {
	for i := range m.fades {
		if c := &m.fades[i]; c.on == on && !c.known {
			return c
		}
	}
	if len(m.fades) >= maxFades {
		return nil
	}
	m.lastFade = max(m.lastFade, steadyHold) + 1
	m.fades = append(m.fades, holdChange{id: m.lastFade, on: on})
	return &m.fades[len(m.fades)-1]
}

// endFades moves on those whose fade is over, and forgets fades that nobody is in.
func (m *Mixer) endFades() {
	if len(m.fades) == 0 {
		return
	}
	for i := range m.fades {
		c := &m.fades[i]
		if !c.known {
			c.began, c.known = m.tick, true
		}
		if m.tick-c.began < holdFade {
			continue
		}
		for _, l := range m.listeners {
			if l.hold != c.id {
				continue
			}
			if l.hold, m.dirty = noHold, true; c.on {
				l.hold = steadyHold
			}
		}
	}
	m.fades = slices.DeleteFunc(m.fades, func(c holdChange) bool {
		return !slices.ContainsFunc(m.lanes, func(l *lane) bool { return l.key.hold == c.id }) &&
			!slices.ContainsFunc(m.listeners, func(l *listener) bool { return l.hold == c.id })
	})
}

// playMusic makes the music of this tick, where somebody hears it.
func (m *Mixer) playMusic() {
	f := &m.music[m.at]
	if f.some = m.onHold > 0 || len(m.fades) > 0; !f.some {
		return
	}
	if f.mono == nil {
		f.mono = make([]float32, FrameSamples)
	}
	m.cfg.Music(m.tick, f.mono)
}

// holdGains returns how loud music is in a lane at the beginning and the end of the frame of an age; the mix has the rest of 1.
func (m *Mixer) holdGains(hold uint32, age int) (from, to float32) {
	if hold == steadyHold {
		return 1, 1
	}
	i := slices.IndexFunc(m.fades, func(c holdChange) bool { return c.id == hold })
	if i < 0 {
		return 0, 0
	}
	c := m.fades[i]
	at := int64(m.tick) - int64(c.began) - int64(age)
	from = float32(max(0, min(at, holdFade))) / holdFade
	to = float32(max(0, min(at+1, holdFade))) / holdFade
	if !c.on {
		return 1 - from, 1 - to
	}
	return from, to
}

// hold puts music in place of a mix, as much as the lane's listeners are to hear.
func (m *Mixer) hold(hold uint32, pcm []float32, channels, age int) {
	from, to := m.holdGains(hold, age)
	if from == 0 && to == 0 {
		return
	}
	ramp(pcm, channels, 1-from, 1-to)
	f := &m.music[m.frameAt(age)]
	if !f.some {
		return
	}
	step := (to - from) / FrameSamples
	for i, x := range f.mono {
		x *= from + step*float32(i+1)
		for c := range channels {
			pcm[i*channels+c] += x
		}
	}
}
