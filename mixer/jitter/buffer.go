package jitter

import "time"

// Decoder turns packets of Opus into sound at 48 kHz: float32 from -1 to 1, channels interleaved. pcm is as long as the packet plays,
// and the results count samples of one channel. Decoders keep no reference to either slice. mixer/opus has one.
type Decoder interface {
	// Decode decodes a packet.
	Decode(payload []byte, pcm []float32) (samples int, err error)
	// DecodeFEC decodes the frame before a packet from the copy in that packet. len(pcm) says how long that frame was.
	DecodeFEC(payload []byte, pcm []float32) (samples int, err error)
	// Conceal fills pcm, a multiple of 2.5 ms, with what continues the sound, or with the background while the sender is silent.
	Conceal(pcm []float32) (samples int, err error)
	// Reset forgets the stream: the next packet is of another encoder.
	Reset()
}

// Buffer is the jitter buffer of one stream. It belongs to one goroutine.
type Buffer struct {
	config  Config
	decoder Decoder

	origin time.Time // times are samples since then
	now    int64     // of the last Pull or Skip

	place place
	trial trial
	delay delayManager
	queue queue

	// Playing.
	tape     tape
	join     merger
	control  control
	state    state
	next     int64 // timestamp of the next sample to decode
	rtp      int64 // to be added to next for the sender's timestamp
	seq      int64 // of the last packet that was decoded
	made     int64 // samples made up since next, which stands still meanwhile
	run      int64 // samples made up in a row
	hold     int64 // samples to make up before next, for Follow
	dtx      bool  // of the last packet: the sender is silent on purpose
	skipping bool
	seam     bool  // what is decoded next does not follow from the tape
	output   int64 // position of the next sample that Pull gives
	kind     Kind  // of what was put on the tape last
	stream   int   // of the last packet that was decoded
	level    Level // of that packet, up to the timestamp levelEnd
	levelEnd int64

	primer primer
	leader leader
	led    bool // this frame follows leader

	stats Stats
}

// state is what is on the tape's end.
type state int

const (
	idle      state = iota // nothing was decoded yet
	playing                // the sender's sound
	silent                 // the sender's own silence
	concealed              // what was made up for lost packets
	muted                  // so much of that that it has become silence
)

// resting says whether nobody would hear if the stream went on a little later: the next packet waits for the target.
func (s state) resting() bool { return s == idle || s == silent || s == muted }

// New returns a buffer. The configuration has to be valid (Config.Validate), else New panics.
func New(c Config, d Decoder) *Buffer {
	if err := c.Validate(); err != nil {
		panic(err)
	}
	c = c.filled()
	return &Buffer{
		config: c, decoder: d, delay: newDelayManager(c), queue: newQueue(c.MaxPackets),
		tape: newTape(c.Channels), join: newMerger(c.Channels), output: c.Output,
	}
}

// SetLimits changes Config.MinDelay, MaxDelay and BaseMinimum. It refuses what Config.Validate refuses.
func (b *Buffer) SetLimits(least, most, base time.Duration) error {
	c := b.config
	c.MinDelay, c.MaxDelay, c.BaseMinimum = least, most, base
	if err := c.Validate(); err != nil {
		return err
	}
	b.config = c.filled()
	b.delay.limit(samples(least), samples(b.config.MaxDelay), samples(base))
	return nil
}

// Target returns the playout delay that the buffer wants.
func (b *Buffer) Target() time.Duration { return duration(b.delay.target) }

// Buffered returns how much sound waits, decoded and not, and in how many packets the latter.
func (b *Buffer) Buffered() (time.Duration, int) {
	n := int64(b.tape.len())
	if last := b.queue.last(); last != nil {
		n += last.end() - b.queue.first().at
	}
	return duration(n), b.queue.len()
}

// clock converts a time to samples.
func (b *Buffer) clock(t time.Time) int64 {
	if b.origin.IsZero() {
		b.origin = t
	}
	return samples(t.Sub(b.origin))
}

// Push takes a packet. Packets may come twice and in any order; what is wrong with one is counted.
func (b *Buffer) Push(p Packet) {
	arrival := b.clock(p.Arrival)
	b.stats.PacketsReceived++
	var red redundant
	red.primary = p.Payload
	if p.RED {
		var err error
		if red, err = parseRED(p.Payload); err != nil {
			b.stats.PacketsMalformed++
			return
		}
	}
	t, err := parseTOC(red.primary)
	if err != nil || len(p.Payload) > MaxPayload {
		b.stats.PacketsMalformed++
		return
	}
	h := header{arrival, p.SSRC, p.Sequence, p.Timestamp, t, p.Level}
	if !b.place.begun {
		b.place.begin(&h)
	} else if !b.place.fits(&h) && !b.resync(&h, red.primary) {
		return
	}
	at := b.place.put(&h)
	if !b.place.unseen(at.seq) {
		b.stats.PacketsDuplicated++
		return
	}
	b.delay.packet(arrival, at.at, at.reordered)
	b.accept(&h, at, red.primary)
	for i := range red.n {
		r := &red.blocks[i]
		b.copied(&h, at, r.back, red.n-i, r.payload)
	}
	if t.fec {
		b.copied(&h, at, t.frame, fecGrade, red.primary)
	}
}

// resync deals with a foreign packet and says whether it fits now.
func (b *Buffer) resync(h *header, payload []byte) bool {
	if !b.trial.held || !h.follows(&b.trial.header) {
		if b.trial.held {
			b.stats.PacketsForeign++
		}
		b.trial.header, b.trial.held = *h, true
		b.trial.payload = append(b.trial.payload[:0], payload...)
		return false
	}
	b.trial.held = false
	b.stats.Resyncs++
	first := b.trial.header
	b.place.jump(&first, b.delay.base.value)
	at := b.place.put(&first)
	b.delay.packet(first.arrival, at.at, false)
	b.accept(&first, at, b.trial.payload)
	return true
}

// accept queues a packet, unless its time has passed.
func (b *Buffer) accept(h *header, at position, payload []byte) {
	b.place.received++
	e := entry{
		at: at.at, duration: h.toc.duration, arrival: h.arrival, rtp: at.rtp, seq: at.seq, stream: b.place.stream,
		grade: primary, level: h.level, dtx: h.toc.dtx, payload: payload,
	}
	if b.over(&e) {
		b.stats.PacketsDiscarded++
		b.stats.PacketsLate++
		return
	}
	b.makeRoom(e.end())
	switch b.queue.add(e) {
	case duplicate: // another number with the same timestamp
		b.stats.PacketsDiscarded++
	case replaced:
		b.stats.FECPacketsDiscarded++
	case added:
	}
}

// copied queues a secondary, if what it is a copy of is missing.
func (b *Buffer) copied(h *header, at position, back int64, grade int, payload []byte) {
	b.stats.FECPacketsReceived++
	e := entry{at: at.at - back, arrival: h.arrival, rtp: at.rtp, stream: b.place.stream, grade: grade, payload: payload}
	if grade == fecGrade {
		e.duration, e.seq = h.toc.frame, at.seq-1
	} else {
		t, err := parseTOC(payload)
		if err != nil {
			b.stats.PacketsMalformed++
			b.stats.FECPacketsDiscarded++
			return
		}
		e.duration, e.dtx, e.seq = t.duration, t.dtx, at.seq-int64(grade)
	}
	begun := b.next
	if first := b.queue.first(); b.state == idle && first != nil {
		begun = first.at // nobody misses what was before the first packet
	}
	if e.at < begun || b.queue.covered(e.at, e.end()) {
		b.stats.FECPacketsDiscarded++
		return
	}
	b.makeRoom(e.end())
	b.queue.add(e)
	b.delay.secondary(h.arrival, e.at)
}

// over says whether the time of an entry has passed.
func (b *Buffer) over(e *entry) bool { return b.state != idle && e.end() <= b.next }

// expire drops entries whose time has passed, as it does where playing moves on without them.
func (b *Buffer) expire() {
	for e := b.queue.first(); e != nil && b.over(e); e = b.queue.first() {
		b.discard(e)
		if e.grade == primary {
			b.stats.PacketsLate++
		}
		b.queue.drop()
	}
}

// discard counts an entry that is not played.
func (b *Buffer) discard(e *entry) {
	if e.grade == primary {
		b.stats.PacketsDiscarded++
	} else {
		b.stats.FECPacketsDiscarded++
	}
}

// makeRoom drops the oldest entries where too many wait, or too much sound with one that ends at the given timestamp, until the
// target is left.
func (b *Buffer) makeRoom(end int64) {
	e := b.queue.first()
	if e == nil || !b.queue.full() && end-e.at <= samples(b.config.MaxBuffered) {
		return
	}
	b.stats.Overflows++
	for ; e != nil && (b.queue.full() || end-e.at > b.delay.target+maxFrame); e = b.queue.first() {
		b.discard(e)
		b.next = max(b.next, e.end())
		b.queue.drop()
	}
	b.made, b.seam = 0, true
}
