package jitter

import "time"

// Kind says what a frame is made of. Where it holds several things, it is the last of them.
type Kind uint8

const (
	Silence   Kind = iota // nothing: all samples are 0
	Sound                 // what the sender sent
	Repaired              // the same, from a copy in a later packet
	Noise                 // comfort noise, as the sender is silent
	Concealed             // made up for what was lost or is late
	Skipped               // not decoded (Skip)
)

// Map says which of the sender's timestamps is played at a position of the mixer's timeline.
type Map struct {
	Output    int64
	Timestamp uint32
	Known     bool // false until the first packet is played
}

// Frame is what Pull and Skip say about the samples that they give.
type Frame struct {
	Kind  Kind
	Level Level // of the packet that is played; unknown while there is none
	Map   Map   // of the first sample
	// Sequence is the extended sequence number of the packet that Forward returns.
	Sequence int64
}

// Pull fills pcm with the next samples: 10 or 20 ms, or any other time up to 120 ms, channels interleaved. It has to be called as
// often as these samples last. It panics where len(pcm) is not a number of such samples.
func (b *Buffer) Pull(now time.Time, pcm []float32) Frame {
	n := len(pcm) / b.config.Channels
	if n == 0 || n > maxFrame || n*b.config.Channels != len(pcm) {
		panic("jitter: a frame to pull has to be of 1 sample to 120 ms of each channel")
	}
	b.now = max(b.now, b.clock(now))
	b.prime()
	b.led = b.align()
	for b.tape.len() < n {
		b.produce(n)
	}
	f := b.frame(b.position())
	b.tape.read(pcm)
	if b.state != idle {
		b.stats.TotalSamplesReceived += uint64(n)
	}
	b.output += int64(n)
	return f
}

// position is the timestamp of the next sample that will be played.
func (b *Buffer) position() int64 { return b.next + b.made - b.hold - int64(b.tape.len()) }

// frame describes a frame that begins with the given timestamp.
func (b *Buffer) frame(at int64) Frame {
	f := Frame{Kind: b.kind}
	if at < b.levelEnd {
		f.Level = b.level
	}
	f.Map = Map{Output: b.output, Timestamp: uint32(at + b.rtp), Known: b.state != idle}
	return f
}

// produce puts some sound onto the tape, so that a frame of n samples can be taken from it.
func (b *Buffer) produce(n int) {
	b.expire()
	e := b.queue.first()
	if e != nil && b.state == playing && b.made == 0 && e.at > b.next && e.seq == b.seq+1 {
		b.state = silent // nothing is missing: the sender paused
	}
	if e != nil && b.due(e) {
		b.play(e, n)
		return
	}
	gap := int64(-1)
	if e != nil && (!b.state.resting() || b.led) {
		gap = e.at - b.next - b.made
	}
	b.fill(n-b.tape.len(), gap)
}

// due says whether the first packet of the queue is to be decoded now.
func (b *Buffer) due(e *entry) bool {
	gap := e.at - b.next - b.made // what is still to be made up for
	late := b.playoutDelay(e.at)
	switch {
	case b.hold > 0:
		return false
	case b.led:
		return gap <= 0
	case b.made == 0 && gap <= 0 && b.state != idle:
		return true
	case b.state.resting():
		return late >= b.delay.target
	case gap >= grain:
		return false
	}
	// After a pause for want of packets the next ones would be as late, were the stream to go on with no reserve.
	return late >= b.delay.target/2
}

// playoutDelay is that of a packet if it is decoded now.
func (b *Buffer) playoutDelay(at int64) int64 { return b.now - b.delay.base.value - at }

// calmDelay is the playout delay that stretches follow: it grows without the chance that is in the base, and shrinks at once.
func (b *Buffer) calmDelay(at int64) int64 {
	return min(b.now-int64(b.delay.base.calm)-at, b.playoutDelay(at))
}

// play decodes a packet, the first of the queue, onto the tape.
func (b *Buffer) play(e *entry, frame int) {
	delay, length := b.calmDelay(e.at), e.duration
	seam := b.seam || b.run > 0 || b.state == idle || e.at > b.next
	if e.stream != b.stream {
		b.decoder.Reset()
		b.stream, seam = e.stream, true
	}
	cut := 0
	if b.state != idle {
		cut = int(max(0, b.next-e.at)) // what was played already
	}
	n, ok := b.decode(e)
	if !ok || n <= cut {
		b.queue.drop() // the rest is as if it had been lost
		return
	}
	c := b.config.Channels
	pcm := b.tape.room(n)[cut*c:]
	if seam {
		b.join.merge(&b.tape, pcm)
	}
	if cut > 0 {
		copy(b.tape.room(n), pcm)
	}
	b.emitted(b.tape.len(), n-cut, frame, b.now-e.arrival)
	b.tape.grow(n - cut)
	b.state, b.kind, b.dtx = playing, Sound, e.dtx
	switch {
	case e.dtx:
		b.state, b.kind = silent, Noise
	case e.grade == fecGrade:
		b.kind = Repaired
		b.stats.RepairedByFEC++
	case e.grade != primary:
		b.kind = Repaired
		b.stats.RepairedByRED++
	}
	b.next, b.rtp, b.seq = e.end(), e.rtp, e.seq
	if e.grade == primary {
		b.level = e.level
	}
	b.levelEnd = e.end() // a copy does not tell its level, which will not have changed by much
	b.made, b.run, b.seam = 0, 0, false
	b.queue.drop()
	if left := b.tape.len() - frame; left >= 0 && !seam && !b.led {
		if step := min(int64(frame), length); b.approaching() {
			b.approach(int64(left), step)
		} else {
			b.stretch(delay, int64(left%frame), step)
		}
	}
}

// decode decodes an entry into the tape's room and returns how many samples that gave.
func (b *Buffer) decode(e *entry) (int, bool) {
	room := b.tape.room(int(e.duration))
	decode := b.decoder.Decode
	if e.grade == fecGrade {
		decode = b.decoder.DecodeFEC
	}
	n, err := decode(e.payload, room)
	if err != nil || n <= 0 {
		b.stats.DecodeErrors++
		return 0, false
	}
	return min(n, int(e.duration)), true
}

// emitted counts n decoded samples that will be played in frames of the given length behind the offset that are on the tape, of a
// packet that has waited.
func (b *Buffer) emitted(offset, n, frame int, waited int64) {
	sum := float64(waited) * float64(n)
	for i := 0; i < n; {
		later := (offset + i) / frame
		run := min(n-i, (later+1)*frame-offset-i)
		sum += float64(later*frame) * float64(run)
		i += run
	}
	b.stats.JitterBufferDelay += sum / Rate
	b.stats.JitterBufferTargetDelay += float64(b.delay.target) * float64(n) / Rate
	b.stats.JitterBufferMinimumDelay += float64(b.delay.free) * float64(n) / Rate
	b.stats.JitterBufferEmittedCount += uint64(n)
}

// stretch brings the playout delay nearer to the target where the sound allows it.
func (b *Buffer) stretch(delay, left, step int64) {
	n := 0
	switch wish, most := b.control.decide(b.now, delay, left, b.delay.target, step); wish {
	case leave:
		return
	case shorten:
		n = b.join.compress(&b.tape, int(most), alikeEnough)
		b.stats.RemovedSamplesForAcceleration += uint64(n)
	case shortenFast:
		n = b.join.compress(&b.tape, int(most), alikeUrgent)
		b.stats.RemovedSamplesForAcceleration += uint64(n)
	case lengthen:
		n = b.join.expand(&b.tape, maxLag, alikeEnough)
		b.stats.InsertedSamplesForDeceleration += uint64(n)
	}
	if n > 0 {
		b.control.done(b.now)
		b.stats.Stretches++
	}
}
