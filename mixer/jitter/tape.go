package jitter

// history is how many played samples of each channel the tape keeps: what pitch is found in and sound continued from.
const history = 30 * Rate / 1000

// tape holds decoded sound: what was played last, and behind head what comes next. It is as long as the longest packet so
// far asks for.
type tape struct {
	channels int
	buf      []float32 // interleaved
	head     int       // next sample to play, in samples of each channel
	tail     int       // after the last one
}

func newTape(channels int) tape {
	// Two packets of 20 ms, a frame of 20 ms, and what an expansion adds.
	return tape{channels: channels, buf: make([]float32, (history+4*960+maxLag)*channels), head: history, tail: history}
}

// len returns how many samples of each channel wait.
func (t *tape) len() int { return t.tail - t.head }

// room returns space for n samples of each channel behind the tail. They count after grow.
func (t *tape) room(n int) []float32 {
	if (t.tail+n)*t.channels > len(t.buf) {
		from := t.head - history
		to := t.buf
		if (t.tail-from+n)*t.channels > len(t.buf) {
			to = make([]float32, (t.tail-from+n)*t.channels)
		}
		copy(to, t.buf[from*t.channels:t.tail*t.channels])
		t.buf, t.head, t.tail = to, t.head-from, t.tail-from
	}
	return t.buf[t.tail*t.channels : (t.tail+n)*t.channels]
}

// grow makes n samples of the room part of the tape.
func (t *tape) grow(n int) { t.tail += n }

// read plays: it fills pcm, for which there has to be enough, and moves on.
func (t *tape) read(pcm []float32) {
	n := len(pcm) / t.channels
	copy(pcm, t.buf[t.head*t.channels:])
	t.head += n
}

// drop removes what waits.
func (t *tape) drop() { t.tail = t.head }

// erase drops what waits, and forgets what was played.
func (t *tape) erase() {
	clear(t.buf[(t.head-history)*t.channels : t.tail*t.channels])
	t.tail = t.head
}

// mono returns the sample at i, the channels added up.
func (t *tape) mono(i int) float32 {
	if t.channels == 1 {
		return t.buf[i]
	}
	return t.buf[2*i] + t.buf[2*i+1]
}
