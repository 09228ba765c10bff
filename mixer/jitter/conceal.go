package jitter

// Lost sound is made up by the decoder. Its own fading differs with the mode of the codec, so it is faded here as well: what
// repeats for longer than a syllable is worse than silence. What a sender's silence sounds like ends after a second, as it sends
// an update each 400 ms while it lives.
const (
	grain     = Rate * 5 / 2000 // what the decoder makes up is a multiple of 2.5 ms
	fadeFrom  = 60 * Rate / 1000
	fadeOver  = 100 * Rate / 1000
	noiseTime = Rate
)

// gain returns by how much a made-up sample is turned down, that many samples after the last real one.
func gain(run int64, comfort bool) float32 {
	from := int64(fadeFrom)
	if comfort {
		from = noiseTime - fadeOver
	}
	return min(1, max(0, 1-float32(run-from)/fadeOver))
}

// fill puts made-up sound onto the tape: about as much as is needed, but no more than gap, where that is not below 0.
func (b *Buffer) fill(need int, gap int64) {
	n := (need + grain - 1) / grain * grain
	switch {
	case gap >= grain:
		n = min(n, int(gap)/grain*grain)
	case gap > 0 && b.led: // to the sample
		n = int(gap)
	}
	held := b.hold > 0
	if held {
		n = int(min(int64(n), b.hold))
		b.hold -= int64(n)
	}
	switch b.state {
	case idle:
		clear(b.tape.room(n))
		b.tape.grow(n)
		b.kind = Silence
		return
	case playing:
		b.state = concealed
		b.stats.ConcealmentEvents++
	case silent, concealed, muted:
	}
	b.makeUp(n)
	switch {
	case held: // the time of next has not come
	case b.led:
		b.next += int64(n)
	default:
		b.made += int64(n)
	}
}

// makeUp puts n samples of concealment or comfort noise onto the tape.
func (b *Buffer) makeUp(n int) {
	comfort := b.state == silent && b.dtx
	pcm := b.tape.room(n)
	audible := gain(b.run, comfort) > 0 && b.state != muted
	if audible {
		b.conceal(pcm)
		c := b.config.Channels
		for i := 0; i < len(pcm) && gain(b.run+int64(n), comfort) < 1; i++ {
			pcm[i] *= gain(b.run+int64(i/c), comfort)
		}
	} else {
		clear(pcm)
	}
	b.tape.grow(n)
	b.run += int64(n)
	b.kind = Silence
	switch {
	case b.state == silent && audible:
		b.kind = Noise
		b.stats.ComfortNoise += uint64(n)
	case b.state == silent:
	case audible:
		b.kind = Concealed
		b.stats.ConcealedSamples += uint64(n)
	default:
		b.state = muted
		b.stats.ConcealedSamples += uint64(n)
		b.stats.SilentConcealedSamples += uint64(n)
	}
}

// conceal asks the decoder, and where that fails continues the tape's end.
func (b *Buffer) conceal(pcm []float32) {
	if len(pcm)/b.config.Channels%grain == 0 {
		if n, err := b.decoder.Conceal(pcm); err == nil && n*b.config.Channels == len(pcm) {
			return
		}
		b.stats.DecodeErrors++
	}
	b.join.extend(&b.tape, pcm)
	faded := gain(b.run, b.state == silent && b.dtx) // as the tape's end is already
	for i := range pcm {
		pcm[i] /= faded
	}
}
