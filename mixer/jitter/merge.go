package jitter

// extend fills dst with a continuation of the tape's end: its last period, again and again. dst may be the tape's own room.
func (f *finder) extend(t *tape, dst []float32) {
	lag, alike := f.lag(t, t.tail, 0, maxLag, false)
	if alike < 0.3 { // no voice: the longest repetition sounds least like a tone
		lag = maxLag
	}
	c := t.channels
	period := t.buf[(t.tail-lag)*c : t.tail*c]
	for i := range dst {
		dst[i] = period[i%len(period)]
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
