package mixer

import "slices"

// input finds an input, or nil.
func (m *Mixer) input(id ID) *input {
	i, ok := slices.BinarySearchFunc(m.inputs, id, func(in *input, id ID) int { return int(in.id) - int(id) })
	if !ok {
		return nil
	}
	return m.inputs[i]
}

func (m *Mixer) listener(id ID) *listener {
	i, ok := slices.BinarySearchFunc(m.listeners, id, func(l *listener, id ID) int { return int(l.id) - int(id) })
	if !ok {
		return nil
	}
	return m.listeners[i]
}

// AddInput adds a participant who sends. One that is there already stays as it is.
func (m *Mixer) AddInput(id ID) {
	i, ok := slices.BinarySearchFunc(m.inputs, id, func(in *input, id ID) int { return int(in.id) - int(id) })
	if ok || id == 0 {
		return
	}
	in := &input{id: id, gain: 1, loudest: -1, playing: -1, real: -1}
	in.activity.floor = floorFirst
	m.inputs = slices.Insert(m.inputs, i, in)
	m.audiences()
	m.ranking = slices.Grow(m.ranking[:0], len(m.inputs))
}

// RemoveInput takes a participant out who no longer sends.
func (m *Mixer) RemoveInput(id ID) {
	in := m.input(id)
	if in == nil {
		return
	}
	if m.passing(in) {
		m.passStop()
	}
	if in.slot != nil {
		in.slot.release()
	}
	m.dominance.forget(id)
	m.inputs = slices.DeleteFunc(m.inputs, func(x *input) bool { return x == in })
	m.audiences()
	m.ranking = m.ranking[:0]
	m.dirty = true
}

// Pin makes an input heard before all louder ones when it talks.
func (m *Mixer) Pin(id ID, pinned bool) {
	if in := m.input(id); in != nil {
		in.pinned = pinned
	}
}

// Mute silences an input for everybody.
func (m *Mixer) Mute(id ID, muted bool) {
	if in := m.input(id); in != nil {
		in.muted = muted
	}
}

// Adjust sets the gain of an input, as a factor from 0 to 16, and its place from -1 (left) to 1 (right), for everybody. A place other
// than the middle makes the room stereo.
func (m *Mixer) Adjust(id ID, gain, place float32) {
	if in := m.input(id); in != nil {
		in.gain, in.place = bounded(gain, 0, 16), bounded(place, -1, 1)
	}
}

// bounded brings a number between two others, and what is none to the lower.
func bounded(x, low, high float32) float32 {
	if !(x >= low) {
		return low
	}
	return min(x, high)
}

// AddListener adds somebody who listens, or changes what he can take: at most so many channels, and for each of them so many bits a second.
func (m *Mixer) AddListener(id ID, channels, bitrate int) {
	if id == 0 {
		return
	}
	l := m.listener(id)
	if l == nil {
		l = &listener{id: id, since: m.tick}
		i, _ := slices.BinarySearchFunc(m.listeners, id, func(l *listener, id ID) int { return int(l.id) - int(id) })
		m.listeners = slices.Insert(m.listeners, i, l)
		m.forwarded = slices.Grow(m.forwarded[:0], len(m.listeners))
		m.audiences()
	}
	l.channels, l.bitrate = max(1, min(2, channels)), bitrate
	m.dirty = true
}

// RemoveListener takes a listener out.
func (m *Mixer) RemoveListener(id ID) {
	l := m.listener(id)
	if l == nil {
		return
	}
	m.leave(l)
	if l.held {
		m.onHold--
	}
	for _, p := range m.players {
		if p.to == id {
			p.sound = nil
		}
	}
	m.listeners = slices.DeleteFunc(m.listeners, func(x *listener) bool { return x == l })
	m.audiences()
	m.dirty = true
}

// audiences finds out which inputs somebody would hear, and whether it is one only, where that matters.
func (m *Mixer) audiences() {
	m.sole = nil
	if !m.cfg.Plain {
		return
	}
	heard := 0
	for _, in := range m.inputs {
		in.alone = len(m.listeners) == 0 || len(m.listeners) == 1 && m.listeners[0].id == in.id
		if !in.alone {
			m.sole = in
			heard++
		}
	}
	if heard != 1 {
		m.sole = nil
	}
}

// Loss tells what part of the packets to a listener is lost, in percent, as he reports it about once a second (RFC 3550, section 6.4.1).
func (m *Mixer) Loss(id ID, percent float64) {
	if l := m.listener(id); l != nil && percent >= 0 {
		was := l.class.class
		l.class.observe(m.tick, percent)
		m.dirty = m.dirty || l.class.class != was
	}
}

// Wish sets what a listener wants an input to be like for himself only: a factor from 0 to 16. It costs an encoder while that input is
// heard; a factor of 1 ends it.
func (m *Mixer) Wish(listener, input ID, gain float32) {
	m.wish(listener, input, func(w *wish) { w.gain = bounded(gain, 0, 16) })
}

// WishPlace sets where a listener wants an input to be, from -1 (left) to 1 (right), for himself only, and Unwish that he does no more.
func (m *Mixer) WishPlace(listener, input ID, place float32) {
	m.wish(listener, input, func(w *wish) { w.place, w.moved = bounded(place, -1, 1), true })
}

// Unwish ends all that a listener has wished of an input.
func (m *Mixer) Unwish(listener, input ID) {
	m.wish(listener, input, func(w *wish) { w.gain, w.moved = 1, false })
}

func (m *Mixer) wish(listener, input ID, set func(*wish)) {
	l := m.listener(listener)
	if l == nil || input == 0 {
		return
	}
	set(l.wants(input))
	l.tidy()
	if l.lane != nil && l.lane.key.listener == l.id {
		l.lane.wishes = l.wishes
	}
	m.dirty = true
}
