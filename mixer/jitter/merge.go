package jitter

// extend fills dst with a continuation of the tape's end: its last period, again and again, tilted so that it begins where the tape
// ends. dst may be the tape's own room.
func (f *finder) extend(t *tape, dst []float32) {
	lag, alike := f.lag(t, t.tail, before, 0, maxLag, false)
	if alike < alikeEnough { // no voice, or sound that was put together just now: at least the joint should fit
		lag, _ = f.lag(t, t.tail, grain, 0, maxLag, false)
	}
	c := t.channels
	last, period := t.buf[(t.tail-1)*c:t.tail*c], t.buf[(t.tail-lag-1)*c:t.tail*c]
	for i := range dst {
		j := i % (lag * c)
		off := last[j%c] - period[j%c]
		dst[i] = period[c+j] + off*(1-float32(j/c)/float32(lag))
	}
}

// merger joins sound that does not follow from what the tape ends with.
type merger struct {
	stretcher
	tail []float32
}

func newMerger(channels int) merger { return merger{tail: make([]float32, after*channels)} }

// merge fades the continuation of the tape's end over into pcm, which will come next. Where the tape ends with silence that lets
// the sound fade in.
func (m *merger) merge(t *tape, pcm []float32) {
	n := min(len(pcm), len(m.tail))
	m.extend(t, m.tail[:n])
	for i := range n {
		pcm[i] = mix(m.tail[i], pcm[i], i/t.channels)
	}
}
