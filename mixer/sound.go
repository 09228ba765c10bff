package mixer

import "slices"

// Sound is what the mixer itself brings into a mix: a tone, or an announcement. It belongs to the mixer's goroutine once it is played.
type Sound interface {
	// Next fills a frame with the next 20 ms in mono, and reports whether there was anything left of the sound. It must not block.
	Next(pcm []float32) bool
}

const (
	// maxSounds bounds the sounds that are played at once, and maxPrivate those of them that one listener alone hears, as each of these
	// costs an encoder.
	maxSounds  = 32
	maxPrivate = 16
)

// player plays a sound. Like a slot it keeps what it contributed to the last frames, for encoders that begin.
type player struct {
	sound  Sound
	to     ID // who alone hears it; 0: all but those on hold
	frames [history]frame
	ended  int // ticks since it did
}

// Play has all hear a sound who are not on hold, or with to that listener alone, even then. It reports false where too many sounds play
// already.
func (m *Mixer) Play(s Sound, to ID) bool {
	private := 0
	for _, p := range m.players {
		if p.to != 0 {
			private++
		}
	}
	if len(m.players) >= maxSounds || to != 0 && (private >= maxPrivate || m.listener(to) == nil) {
		m.stats.SoundsRefused++
		return false
	}
	p := &player{sound: s, to: to}
	for i := range p.frames {
		p.frames[i].mono = make([]float32, FrameSamples)
	}
	m.players = append(m.players, p)
	m.dirty = true
	return true
}

// Stop ends a sound that is played.
func (m *Mixer) Stop(s Sound) {
	for _, p := range m.players {
		if p.sound == s {
			p.sound = nil
		}
	}
}

// sound makes the frames of all sounds for this tick. They wait while packets are passed on: nothing could be added to these.
func (m *Mixer) sound() {
	over := false
	for _, p := range m.players {
		f := &p.frames[m.at]
		f.some = false
		if m.pass.in != nil && p.sound != nil {
			continue
		}
		if p.sound != nil && p.sound.Next(f.mono) {
			f.some = true
			continue
		}
		p.sound = nil
		p.ended++
		over = over || p.ended > history
	}
	if over {
		m.players = slices.DeleteFunc(m.players, func(p *player) bool { return p.ended > history })
		m.dirty = true
	}
}

// hears reports whether a sound is for a listener alone.
func (m *Mixer) hears(id ID) bool {
	return slices.ContainsFunc(m.players, func(p *player) bool { return p.to == id })
}

// addSounds adds up what was played in the frame of an age to one listener, or with 0 to all.
func (m *Mixer) addSounds(pcm []float32, channels, age int, to ID) {
	for _, p := range m.players {
		if p.to == to {
			p.frames[m.frameAt(age)].addTo(pcm, channels, 1)
		}
	}
}
