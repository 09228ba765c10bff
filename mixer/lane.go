package mixer

// laneKey says what a lane carries. Everything for the shared lane of a Spec; less the input of minus; and what one listener wished for, or
// is played to him alone. With hold it is music, or a fade between that and the mix.
type laneKey struct {
	spec     Spec
	minus    ID
	listener ID
	hold     uint32
}

// lane is one encoder with what it carries.
type lane struct {
	key        laneKey
	enc        Encoder
	lim        limiter
	users      []ID
	wishes     []wish // of key.listener
	pcm        []float32
	out        [maxPacket]byte
	n          int     // octets of out
	level      float64 // of the last frame, in dB of full scale
	complexity int
}

// lowEnergy is the level below which a listener can change lanes without anybody hearing it.
const lowEnergy = -55.0

// find looks for a lane.
func (m *Mixer) find(key laneKey) *lane {
	for _, l := range m.lanes {
		if l.key == key {
			return l
		}
	}
	return nil
}

// open makes a lane and runs its encoder over what was heard in the last frames, so that a decoder that has heard them from another
// encoder goes on without a seam.
func (m *Mixer) open(key laneKey, wishes []wish) (*lane, error) {
	enc, err := m.encoder(key.spec)
	if err != nil {
		m.stats.EncodeErrors++
		return nil, err
	}
	var l *lane
	if n := len(m.spare); n > 0 {
		l, m.spare = m.spare[n-1], m.spare[:n-1]
	} else {
		l = &lane{pcm: make([]float32, 2*FrameSamples), users: make([]ID, 0, 8)}
	}
	l.key, l.enc, l.users, l.wishes, l.n, l.complexity, l.level = key, enc, l.users[:0], wishes, 0, -1, -120
	l.lim.init(key.spec.Channels)
	m.lanes = append(m.lanes, l)
	for age := history - 1; age > 0; age-- {
		m.render(l, age)
		m.encode(l)
	}
	return l, nil
}

// close gives a lane's encoder back.
func (m *Mixer) close(l *lane) {
	for i, other := range m.lanes {
		if other == l {
			m.lanes = append(m.lanes[:i], m.lanes[i+1:]...)
			break
		}
	}
	if len(m.idle[l.key.spec]) < m.cfg.Talkers+1 && l.enc.Reset() == nil {
		m.idle[l.key.spec] = append(m.idle[l.key.spec], l.enc)
	} else {
		l.enc.Close()
	}
	l.enc, l.wishes = nil, nil
	m.spare = append(m.spare, l)
}

// encoder takes an encoder that waits, or has one made.
func (m *Mixer) encoder(spec Spec) (Encoder, error) {
	if idle := m.idle[spec]; len(idle) > 0 {
		m.idle[spec] = idle[:len(idle)-1]
		return idle[len(idle)-1], nil
	}
	return m.cfg.Encoders(spec)
}

// render makes what a lane carries in the frame of an age: 0 is this tick, 1 the one before.
func (m *Mixer) render(l *lane, age int) {
	channels := l.key.spec.Channels
	pcm := l.pcm[:channels*FrameSamples]
	if age == 0 {
		copy(pcm, m.full[channels-1])
	} else {
		m.sum(pcm, channels, age)
	}
	for _, s := range m.slots {
		if s.in != nil && s.in.id == l.key.minus {
			s.frames[m.frameAt(age)].addTo(pcm, channels, -1)
		}
	}
	if l.key.hold != noHold {
		m.hold(l.key.hold, pcm, channels, age)
	} else if age == 0 {
		for i := range l.wishes {
			m.grant(&l.wishes[i], l, pcm)
		}
	}
	if l.key.listener != 0 {
		m.addSounds(pcm, channels, age, l.key.listener)
	}
	l.level = decibels(power(pcm))
	l.lim.run(pcm, m.scratch[:len(pcm)])
}

// sum adds up what all slots contributed to the frame of an age.
func (m *Mixer) sum(pcm []float32, channels, age int) {
	clear(pcm)
	for _, s := range m.slots {
		s.frames[m.frameAt(age)].addTo(pcm, channels, 1)
	}
	m.addSounds(pcm, channels, age, 0)
}

// frameAt is the place of the frame of an age in the rings of slots.
func (m *Mixer) frameAt(age int) int { return (m.at + history - age) % history }

// grant changes one input in a mix to what its listener wishes: it adds the difference to what is in the mix already. Gains run
// within the frame from what they were.
func (m *Mixer) grant(w *wish, l *lane, pcm []float32) {
	in := m.input(w.input)
	if in == nil || in.slot == nil || in.id == l.key.minus {
		w.known = false
		return
	}
	f := &in.slot.frames[m.frameAt(0)]
	place := in.place
	if w.moved {
		place = w.place
	}
	left, right := pan(place)
	to := [3]float32{w.gain, w.gain * left, w.gain * right}
	if !w.known {
		w.now, w.known = to, true
	}
	from := w.now
	w.now = to
	if !f.some {
		return
	}
	if l.key.spec.Channels == 1 {
		step := (to[0] - from[0]) / FrameSamples
		for i, x := range f.mono {
			pcm[i] += (from[0] + step*float32(i+1) - 1) * x
		}
		return
	}
	base, channels := f.mono, 1
	if f.two {
		base, channels = f.base, 2
	}
	placed(m.scratch, base, channels, [2]float32{from[1], from[2]}, [2]float32{to[1], to[2]})
	addTimes(pcm, m.scratch[:len(pcm)], 1)
	f.addTo(pcm, 2, -1)
}

// encode encodes what render has made.
func (m *Mixer) encode(l *lane) {
	if l.complexity != m.load.now && l.enc.SetComplexity(m.load.now) == nil {
		l.complexity = m.load.now
	}
	n, err := l.enc.Encode(l.pcm[:l.key.spec.Channels*FrameSamples], l.out[:])
	m.stats.Encodes++
	if err != nil {
		m.stats.EncodeErrors++
		n = 0
	}
	l.n = n
}
