package jitter

import "time"

// primer is the last packet that Skip passed over. Decoded first, it lets a decoder that was off begin with the right
// spectrum and pitch.
type primer struct {
	held     bool
	fresh    bool // passed over since Forward was called
	at       int64
	duration int64
	payload  []byte
}

// Skip does what a Pull of n samples of each channel does, for a participant that nobody hears: packets are passed over and not
// decoded, and the playout delay moves to the target at once. The next Pull primes the decoder with the last of them.
func (b *Buffer) Skip(now time.Time, n int) Frame {
	f := b.passOver(now, n, 0, slack)
	b.stats.SkippedSamples += uint64(n)
	return f
}

// quiet is the level, in -dBov, from which on nobody hears that a packet is missing.
const quiet = 60

// Forward does what Skip does, for a participant whose packets are sent on as they are. It returns the packet that begins in these
// samples: nil where there is none, or only an in-band copy of it. It is valid until the next call. Unlike with Skip it is heard
// when the playout delay moves, as a packet too few or too many, so that it moves only where it is off by far, and while somebody talks
// shortens only where it is off by very far: he pauses soon.
func (b *Buffer) Forward(now time.Time, n int) (Frame, []byte) {
	b.primer.fresh = false
	high := int64(2 * slack)
	if b.level.Known && b.level.Minus < quiet {
		high = 8 * slack
	}
	f := b.passOver(now, n, 2*tolerance, high)
	if b.state == idle || !b.primer.fresh {
		if f.Kind == Skipped {
			f.Kind = Silence
		}
		return f, nil
	}
	b.stats.ForwardedSamples += uint64(n)
	f.Kind, f.Sequence = Sound, b.seq
	return f, b.primer.payload
}

// passOver moves n samples on without decoding. The playout delay goes to the target where it is more than low below it, or high
// above it.
func (b *Buffer) passOver(now time.Time, n int, low, high int64) Frame {
	if n <= 0 || n > maxFrame {
		panic("jitter: a frame to pass over has to be of 1 sample to 120 ms")
	}
	b.now = max(b.now, b.clock(now))
	b.beginSkipping()
	f := Frame{Map: Map{Output: b.output}}
	b.output += int64(n)
	if !b.place.begun {
		return f
	}
	if b.state == idle {
		b.rtp = -b.place.offset
	}
	late := b.calmDelay(b.next)
	if b.state == idle || late < b.delay.target-low || late >= b.delay.target+high {
		b.next = b.now - b.delay.base.value - b.delay.target
	}
	if at, ok := b.wanted(b.output - int64(n)); ok {
		b.next = at
	}
	b.state, b.kind = playing, Skipped
	begin := b.next
	b.next += int64(n)
	for e := b.queue.first(); e != nil && e.at < b.next; e = b.queue.first() {
		b.pass(e)
		b.queue.drop()
	}
	f = b.frame(begin)
	f.Map.Output = b.output - int64(n)
	return f
}

// beginSkipping drops what was decoded and not yet played.
func (b *Buffer) beginSkipping() {
	if b.skipping {
		return
	}
	b.skipping = true
	b.next += b.made - int64(b.tape.len())
	b.tape.erase()
	b.made, b.run, b.hold = 0, 0, 0
	b.primer.held = false
}

// pass takes note of a packet without decoding it.
func (b *Buffer) pass(e *entry) {
	b.rtp, b.seq, b.dtx, b.stream = e.rtp, e.seq, e.dtx, e.stream
	if e.grade == primary {
		b.level = e.level
	}
	b.levelEnd = e.end()
	if e.grade == fecGrade {
		return
	}
	p := &b.primer
	p.held, p.fresh, p.at, p.duration = true, true, e.at, e.duration
	p.payload = append(p.payload[:0], e.payload...)
}

// prime makes the decoder ready after Skip.
func (b *Buffer) prime() {
	if !b.skipping {
		return
	}
	b.skipping, b.seam = false, true
	b.decoder.Reset()
	switch p := &b.primer; {
	case b.state == idle:
	case !p.held || b.next-p.at > p.duration+fadeFrom: // what is there to be continued is long over
		b.state, b.run = muted, fadeFrom+fadeOver
	default:
		b.state = playing
		b.playPrimer(p)
		if b.dtx {
			b.state = silent
		}
	}
}

// playPrimer decodes the packet before, and plays the part of it whose time has not come yet.
func (b *Buffer) playPrimer(p *primer) {
	room := b.tape.room(int(p.duration))
	n, err := b.decoder.Decode(p.payload, room)
	if err != nil || n <= 0 {
		b.stats.DecodeErrors++
		return
	}
	n = min(n, int(p.duration))
	played := b.next - p.at
	if played < 0 || played >= int64(n) {
		return
	}
	c := b.config.Channels
	pcm := room[int(played)*c : n*c]
	b.join.merge(&b.tape, pcm)
	copy(room, pcm)
	b.tape.grow(n - int(played))
	b.next, b.kind, b.seam = p.at+int64(n), Sound, false
}
