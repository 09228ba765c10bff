package mixer

import "slices"

// A listener moves to another lane when he begins or stops to talk, changes his wishes, or his path changes. A decoder that hears the
// packets of one encoder and then of another makes a click unless both encoders come from the same sound. So:
//
//   - Who is about to hear himself, or what he has muted, moves at once, to a lane of his own which is opened for that and run over
//     the last frames first. Before this tick both lanes carried the same, as his input was in neither.
//   - Who no longer needs a lane of his own goes back to the shared one when the sound is low, or at the latest after patience. By then both
//     have carried the same for long enough.
//
// Where nobody is in the shared lane it does not run, and talkers stay where they are as long as there is room for it: at most
// Config.Talkers own lanes and the shared one run for a Spec. The oldest who waits goes back early where that would be exceeded.
const (
	// patience is how long a listener waits for a quiet moment: 0.5 s.
	patience = 25
	// converged is how long two lanes must have carried the same.
	converged = history
)

// wanted is the lane that a listener should be in.
func (m *Mixer) wanted(l *listener) laneKey {
	key, stereo := laneKey{hold: l.hold}, m.stereo
	if in := m.input(l.id); in != nil && in.slot != nil {
		key.minus = l.id
	}
	for i := range l.wishes {
		if in := m.input(l.wishes[i].input); in != nil && in.slot != nil && in.id != l.id {
			key.listener = l.id
			stereo = stereo || l.wishes[i].moved
		}
	}
	if m.hears(l.id) {
		key.listener = l.id
	}
	key.spec = l.spec(stereo)
	return key
}

// settle brings every listener to his lane. Listeners are looked at only when something has changed, or while somebody waits.
func (m *Mixer) settle() {
	if !m.dirty && m.waiting == 0 {
		return
	}
	m.dirty, m.waiting = false, 0
	// First who may wait, as that may free lanes for who may not.
	for _, l := range m.listeners {
		if m.pass.over(l) {
			m.leave(l)
			continue
		}
		key := m.wanted(l)
		if l.lane == nil || l.lane.key == key {
			l.waiting = 0
		} else if !m.urgent(l, key) {
			m.wait(l, key)
		}
	}
	for _, l := range m.listeners {
		if m.pass.over(l) {
			continue
		}
		key := m.wanted(l)
		if l.lane == nil || l.lane.key != key && m.urgent(l, key) {
			m.move(l, key)
		}
	}
}

// urgent: the lane that he is in carries something that he must not hear, or is of another kind than he can take.
func (m *Mixer) urgent(l *listener, key laneKey) bool {
	at := l.lane.key
	return key.minus != 0 && key.minus != at.minus || key.listener != 0 && key.listener != at.listener ||
		key.hold != at.hold && (key.hold > steadyHold || at.hold <= steadyHold) // a fade begins, or there was no room for one
}

// wait moves a listener who is in no hurry when it is quiet or he has waited for long.
func (m *Mixer) wait(l *listener, key laneKey) {
	to := m.find(key)
	if to == nil && key.spec == l.lane.key.spec && key.hold == l.lane.key.hold && m.running(key.spec) <= m.cfg.Talkers && l.lane.key.listener == 0 {
		l.waiting = 0 // where he is, he hears the same
		return
	}
	l.waiting++
	m.waiting++
	if l.waiting < converged || l.waiting < patience && l.lane.level > lowEnergy {
		return
	}
	m.move(l, key)
	m.waiting--
}

// makeRoom sends talkers who wait back to the shared lane when one more own lane would be too many.
func (m *Mixer) makeRoom(key laneKey) {
	if key.minus == 0 || key.listener != 0 {
		return
	}
	for own := m.own(key.spec); own >= m.cfg.Talkers; own = m.own(key.spec) {
		var oldest *listener
		for _, l := range m.listeners {
			if !l.moving && l.lane != nil && l.lane.key.spec == key.spec && l.lane.key.minus != 0 && l.lane.key.listener == 0 && m.wanted(l) != l.lane.key &&
				(oldest == nil || l.waiting > oldest.waiting) {
				oldest = l
			}
		}
		if oldest == nil {
			return
		}
		if m.move(oldest, m.wanted(oldest)); m.own(key.spec) >= own {
			return // it failed
		}
	}
}

// own counts the lanes of talkers of a Spec; lanes for wishes are paid by who wishes.
func (m *Mixer) own(spec Spec) (n int) {
	for _, l := range m.lanes {
		if l.key.spec == spec && l.key.minus != 0 && l.key.listener == 0 && l.key.hold == noHold {
			n++
		}
	}
	return n
}

// running counts these and the shared one.
func (m *Mixer) running(spec Spec) (n int) {
	for _, l := range m.lanes {
		if l.key.spec == spec && l.key.listener == 0 && l.key.hold == noHold {
			n++
		}
	}
	return n
}

// move brings a listener to a lane, which is opened if need be, and closes the one that he leaves if he was the last.
func (m *Mixer) move(l *listener, key laneKey) {
	to := m.find(key)
	if to == nil {
		l.moving = true
		m.makeRoom(key)
		l.moving = false
		to = m.find(key) // somebody else may have opened it on the way
	}
	if to == nil {
		wishes := l.wishes
		if key.listener == 0 {
			wishes = nil
		}
		if l.lane != nil {
			// What he wishes begins from what he has heard so far, unless the input itself begins.
			for i := range wishes {
				m.begin(&wishes[i], l.lane)
			}
		}
		var err error
		if to, err = m.open(key, wishes); err != nil {
			m.dirty = true // another try with the next tick
			return
		}
	}
	m.leave(l)
	to.users = append(to.users, l.id)
	l.lane, l.waiting = to, 0
}

// begin sets a wish to what its listener heard in another lane.
func (m *Mixer) begin(w *wish, from *lane) {
	if in := m.input(w.input); in != nil && in.slot != nil && !in.slot.entering && from.key.listener == 0 {
		left, right := pan(in.place)
		w.now, w.known = [3]float32{1, left, right}, true
	}
}

// leave takes a listener out of his lane.
func (m *Mixer) leave(l *listener) {
	if l.lane == nil {
		return
	}
	i := slices.Index(l.lane.users, l.id)
	l.lane.users = slices.Delete(l.lane.users, i, i+1)
	if len(l.lane.users) == 0 {
		m.close(l.lane)
	}
	l.lane = nil
}
