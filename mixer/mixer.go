package mixer

import "slices"

// Mixer mixes one room. See the package's comment for what to call when.
type Mixer struct {
	cfg Config

	inputs    []*input    // by ID
	listeners []*listener // by ID
	slots     []*slot     // Config.Talkers
	lanes     []*lane     // in the order in which they were opened
	spare     []*lane
	idle      map[Spec][]Encoder

	tick    uint64
	number  uint64
	started bool
	chosen  bool // Select was called for the tick, Mix not yet
	marker  bool
	at      int // of the newest frame in the rings of slots

	parked  bool
	awake   bool   // a packet came that might end that
	last    uint64 // tick of the last activity
	stereo  bool   // listeners who can get two channels
	wide    uint64 // tick on which there was last something to hear in two
	dirty   bool   // somebody may be in the wrong lane
	waiting int    // listeners who wait to change lanes

	players  []*player
	music    [history]frame // a ring, like those of slots
	fades    []holdChange
	lastFade uint32 // the newest of their ids
	onHold   int    // listeners

	pass      passthrough
	sole      *input // the only one that is heard by others, where Config.Plain says that this matters; else nil
	load      complexity
	dominance dominance
	stats     Stats

	// Buffers that live as long as the mixer.
	full      [2][]float32 // the sum of all slots, in mono and stereo
	scratch   []float32
	ranking   []*input
	wants     []Want
	packets   []Packet
	forwarded []ID
	talkers   []Talker
	positions []Position
}

const (
	// parkTicks is how long nobody must have talked before the mixer parks: 2 s.
	parkTicks = 2 * ticksPerSecond
	// wideTicks is how long a room stays stereo without anything in it that needs two channels: 10 s.
	wideTicks = 10 * ticksPerSecond
)

// New makes a mixer without inputs and listeners.
func New(cfg Config) (*Mixer, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	m := &Mixer{
		cfg: cfg, idle: make(map[Spec][]Encoder), parked: true, marker: true,
		load:      complexity{now: cfg.Complexity, most: cfg.Complexity},
		dominance: dominance{scores: newScores(), recent: make([]ID, 0, recencyList+1)},
		full:      [2][]float32{make([]float32, FrameSamples), make([]float32, 2*FrameSamples)},
		scratch:   make([]float32, 2*FrameSamples),
	}
	for range cfg.Talkers {
		m.slots = append(m.slots, newSlot())
	}
	return m, nil
}

// Close gives all encoders back. The mixer must not be used any more.
func (m *Mixer) Close() {
	for _, l := range m.listeners {
		m.leave(l)
	}
	for _, idle := range m.idle { // in any order: nothing comes of it
		for _, enc := range idle {
			enc.Close()
		}
	}
	clear(m.idle)
}

// Stats returns what was counted.
func (m *Mixer) Stats() Stats { return m.stats }

// Parked says that the next tick will do nothing unless somebody is Heard.
func (m *Mixer) Parked() bool { return m.parked && !m.awake && !m.sounds() }

// sounds reports whether there is something to hear besides those who talk.
func (m *Mixer) sounds() bool { return len(m.players) > 0 || m.onHold > 0 || len(m.fades) > 0 }

// Load tells how much of its 20 ms the last tick took, from Select to the last packet sent: 1 is all of it.
func (m *Mixer) Load(share float64) { m.load.took(share) }

// Heard takes what a packet of an input says of itself, as it arrives.
func (m *Mixer) Heard(id ID, h Header) {
	in := m.input(id)
	if in == nil {
		return
	}
	in.passable = h.Passable && (in.passable || !in.heard)
	in.heard = true
	level := loudestLevel - int(min(h.Level, loudestLevel))
	if in.claims = in.claims || h.Known; h.Known {
		in.loudest = max(in.loudest, level)
	}
	if !h.Known || level >= leastActive {
		m.awake = true
	}
}

// Playing takes the level (RFC 6464) of the packet that an input's jitter buffer plays in this tick, decoded or not, once Select has been
// called. It came as long ago as the buffer delays it: who has been Heard to fall silent is listened to until that is played, too.
func (m *Mixer) Playing(id ID, level uint8) {
	in := m.input(id)
	if in == nil {
		return
	}
	in.playing = loudestLevel - int(min(level, loudestLevel))
	m.awake = m.awake || in.playing >= leastActive
}

// Select begins a tick and says what it needs of which inputs, by ID. A tick that is not after the last one is left out.
func (m *Mixer) Select(tick uint64) []Want {
	m.wants, m.chosen = m.wants[:0], false
	if m.started && tick <= m.tick {
		m.stats.LateTicks++
		return nil
	}
	m.tick, m.started, m.chosen = tick, true, true
	m.stats.Ticks++
	if m.Parked() {
		return nil
	}
	m.awake = false
	if m.sounds() {
		m.last, m.parked = tick, false
	}
	for _, in := range m.inputs {
		in.observe(tick)
		if in.activity.active && !in.muted && !in.held {
			m.last, m.parked = tick, false
		}
	}
	if m.park() {
		return nil
	}
	m.endFades()
	m.rank()
	m.assign()
	m.passes()
	m.want()
	return m.wants
}

// park parks the mixer when nobody has talked for a while, and says whether it is parked.
func (m *Mixer) park() bool {
	if m.parked {
		return true
	}
	if m.tick-m.last <= parkTicks {
		return false
	}
	for _, s := range m.slots {
		if s.in != nil {
			s.release()
		}
		for i := range s.frames {
			s.frames[i].some = false
		}
	}
	m.parked, m.marker, m.dirty = true, true, true
	m.passStop()
	return true
}

// assign gives slots to those who are heard. Who is not any more keeps his for one tick, in which he fades out.
func (m *Mixer) assign() {
	for _, s := range m.slots {
		switch {
		case s.in == nil:
		case s.leaving:
			s.release()
			m.dirty = true
		case !slices.Contains(m.ranking, s.in):
			s.leaving = true
		}
	}
	for _, in := range m.ranking {
		if in.slot != nil {
			continue
		}
		for _, s := range m.slots {
			if s.in == nil {
				s.occupy(in)
				m.dirty = true
				break
			}
		}
	}
}

// want lists what the slots need.
func (m *Mixer) want() {
	for _, in := range m.inputs {
		s := in.slot
		if s == nil {
			continue
		}
		w := Want{ID: in.id, Decode: true, Prime: !s.primed}
		if m.passing(in) {
			w.Forward = true
			w.Decode = m.pass.leaving > 0
			if !w.Decode {
				s.primed, w.Prime = false, false
			}
		}
		s.primed = s.primed || w.Decode
		m.wants = append(m.wants, w)
	}
}

// Feed takes 20 ms of an input that Select wanted decoded: FrameSamples of each of its channels, interleaved. at is the RTP timestamp
// of the first.
func (m *Mixer) Feed(id ID, pcm []float32, channels int, at uint32) {
	in := m.input(id)
	if !m.chosen || in == nil || in.slot == nil || channels < 1 || channels > 2 || len(pcm) != channels*FrameSamples {
		m.stats.BadFrames++
		return
	}
	p := power(pcm)
	const most = 256 // 24 dB above full scale: no decoder makes that of sound
	if !(p <= most) {
		m.stats.BadFrames++
		return
	}
	s := in.slot
	s.raw, s.channels, s.at, s.power, s.fed = append(s.raw[:0], pcm...), channels, at, p, true
}

// Mix ends the tick that Select began.
func (m *Mixer) Mix() Output {
	out := Output{Tick: m.tick, Parked: true, Dominant: m.dominance.recent}
	if !m.chosen || m.parked {
		return out
	}
	m.chosen = false
	m.number++
	out.Parked, out.Number, out.Timestamp, out.Marker = false, m.number, uint32(m.tick*FrameSamples), m.marker
	m.marker = false
	m.talkers, m.positions, m.packets, m.forwarded = m.talkers[:0], m.positions[:0], m.packets[:0], m.forwarded[:0]

	m.contribute()
	m.settle()
	m.carry()

	if m.pass.in != nil {
		m.stats.Forwards++
		out.Forward = m.pass.in.id
	}
	for _, l := range m.lanes {
		if l.n > 0 && (out.Forward == 0 || l.key.minus == out.Forward || l.key.hold != noHold) {
			m.packets = append(m.packets, Packet{Payload: l.out[:l.n], Channels: l.key.spec.Channels, Level: volume(l.level), Listeners: l.users})
		}
	}
	if out.Forward != 0 {
		for _, l := range m.listeners {
			if l.id != out.Forward && l.hold == noHold {
				m.forwarded = append(m.forwarded, l.id)
			}
		}
	}
	if m.tick%decideTicks == 0 {
		out.Changed = m.dominance.decide(m.inputs)
	}
	out.Packets, out.Forwarded, out.Talkers, out.Dominant = m.packets, m.forwarded, m.talkers, m.dominance.recent
	out.Map = Map{Tick: m.tick, Number: m.number, Inputs: m.positions}
	return out
}

// contribute makes the frames of all slots.
func (m *Mixer) contribute() {
	m.at = (m.at + 1) % history
	wide := m.stereo
	for _, l := range m.lanes {
		wide = wide || l.key.spec.Channels == 2
	}
	for _, in := range m.inputs {
		s := in.slot
		if s == nil {
			continue
		}
		if s.fed {
			m.positions = append(m.positions, Position{ID: in.id, Timestamp: s.at, Gain: in.loud.gain})
			if s.channels == 2 || in.place != 0 {
				m.wide = m.tick + 1
			}
		} else if !m.passing(in) || m.pass.leaving > 0 {
			m.stats.Starved++
		}
	}
	if stereo := m.wide > 0 && m.tick-m.wide+1 <= wideTicks; stereo != m.stereo {
		m.stereo, m.dirty = stereo, true
		wide = wide || stereo
	}
	for _, s := range m.slots {
		f := &s.frames[m.at]
		if s.in == nil {
			f.some = false
			continue
		}
		if m.pass.leaving > 0 && !m.passing(s.in) {
			s.fed = false // nobody else yet, see passthrough
		}
		s.render(f, wide, m.cfg.Loudness, m.cfg.MaxGain)
		m.talkers = append(m.talkers, Talker{ID: s.in.id, Level: uint8(loudestLevel - s.in.activity.now)})
	}
	m.sound()
	m.playMusic()
	for _, in := range m.inputs {
		if in.alone && !in.muted && !in.held && in.activity.recent(m.tick, hangover) {
			m.talkers = append(m.talkers, Talker{ID: in.id, Level: uint8(loudestLevel - in.activity.now)})
		}
	}
	slices.SortFunc(m.talkers, func(a, b Talker) int { return int(a.ID) - int(b.ID) })
}

// carry renders and encodes all lanes.
func (m *Mixer) carry() {
	var some [2]bool
	for _, l := range m.lanes {
		some[l.key.spec.Channels-1] = true
	}
	for i, pcm := range m.full {
		if some[i] {
			m.sum(pcm, i+1, 0)
		}
	}
	m.load.plan(len(m.lanes))
	for _, l := range m.lanes {
		m.render(l, 0)
		m.encode(l)
	}
}
