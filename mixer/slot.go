package mixer

// slot is the place of an input that is heard. It keeps what the input contributed to the last frames, so that an encoder that begins can be
// shown what its listeners have heard before.
type slot struct {
	in       *input // nil when free
	entering bool   // not heard before: its first frame fades in
	leaving  bool   // heard no more: this frame fades out
	primed   bool   // its owner was told to run the decoder over the packet before

	raw      []float32 // the frame that was fed, interleaved
	channels int       // of raw
	fed      bool
	power    float64 // mean square of raw
	at       uint32  // RTP timestamp of the first sample of raw

	gain float32    // at the end of the last frame
	put  [2]float32 // gains of left and right at the end of the last frame

	frames [history]frame // what it contributed, a ring
	level  float64        // of the last frame, in dB of full scale
}

// history is how many frames slots keep: the newest, and what a new encoder is run over before it. Two frames bring what a decoder
// makes of the change of encoders from -4 dB of the signal to -19 dB, which is what two encoders differ by in any case (TestHandover); a third
// brings little more.
const history = 3

// frame is what a slot contributed to a tick.
type frame struct {
	some   bool      // it contributed anything; else the rest is stale
	mono   []float32 // both channels' mean where the input is stereo
	base   []float32 // before it was put at its place, interleaved, where the input is stereo
	two    bool      // base is there
	stereo []float32 // put at its place, interleaved
	wide   bool      // stereo is there; else it is mono on both sides
}

// fade is how many samples an input fades in or out when it is chosen or dropped: 5 ms, against a click.
const fade = FrameSamples / 4

func newSlot() *slot {
	s := &slot{raw: make([]float32, 0, 2*FrameSamples)}
	for i := range s.frames {
		s.frames[i].mono = make([]float32, FrameSamples)
	}
	return s
}

// occupy gives a free slot to an input.
func (s *slot) occupy(in *input) {
	s.in, s.entering, s.leaving, s.primed, s.fed, s.gain, s.level = in, true, false, false, false, 0, -120
	for i := range s.frames {
		s.frames[i].some = false
	}
	in.slot, in.empty = s, 0
}

// release frees a slot. What it contributed stays until somebody else occupies it.
func (s *slot) release() {
	s.in.slot, s.in.real = nil, -1
	s.in = nil
}

// render makes the contribution to a tick from what was fed: gains, fades, and the place between left and right.
func (s *slot) render(f *frame, stereo bool, target, bound float64) {
	f.some = s.fed
	if !s.fed {
		s.level = -120
		return
	}
	s.fed = false
	in := s.in
	s.level = decibels(s.power)
	in.found(s.power)
	in.loud.measure(s.power, in.talks(), target, bound)
	gain := in.gain * factor(in.loud.gain)
	left, right := pan(in.place)
	to := [2]float32{left, right}
	if s.entering {
		s.gain, s.put = gain, to
	}
	ramp(s.raw, s.channels, s.gain, gain)
	switch {
	case s.entering:
		fadeIn(s.raw, s.channels)
	case s.leaving:
		fadeOut(s.raw, s.channels)
	}
	f.two, f.wide = s.channels == 2, stereo
	if f.two {
		f.base = append(f.base[:0], s.raw...)
		for i := range f.mono {
			f.mono[i] = (s.raw[2*i] + s.raw[2*i+1]) / 2
		}
	} else {
		copy(f.mono, s.raw)
	}
	if stereo {
		if f.stereo == nil {
			f.stereo = make([]float32, 2*FrameSamples)
		}
		placed(f.stereo, s.raw, s.channels, s.put, to)
	}
	s.gain, s.put, s.entering = gain, to, false
}

// addTo adds a contribution, times 1 or -1, to a mix.
func (f *frame) addTo(pcm []float32, channels int, sign float32) {
	switch {
	case !f.some:
	case channels == 2 && f.wide:
		addTimes(pcm, f.stereo, sign)
	case channels == 2:
		for i, x := range f.mono {
			pcm[2*i] += sign * x
			pcm[2*i+1] += sign * x
		}
	default:
		addTimes(pcm, f.mono, sign)
	}
}

// addTimes adds b, times a factor, to a.
func addTimes(a, b []float32, factor float32) {
	b = b[:len(a)]
	for i := range a {
		a[i] += factor * b[i]
	}
}

// ramp multiplies with a gain that runs from one value to another.
func ramp(pcm []float32, channels int, from, to float32) {
	if from == to {
		if to != 1 {
			for i := range pcm {
				pcm[i] *= to
			}
		}
		return
	}
	step := (to - from) / FrameSamples
	for i := range pcm {
		pcm[i] *= from + step*float32(i/channels+1)
	}
}

func fadeIn(pcm []float32, channels int) {
	for i := range fade * channels {
		pcm[i] *= float32(i/channels) / fade
	}
}

func fadeOut(pcm []float32, channels int) {
	for i := range fade * channels {
		pcm[i] *= 1 - float32(i/channels)/fade
	}
	clear(pcm[fade*channels:])
}
