package mixer

import "math"

// The limiter keeps a mix below its ceiling without the distortion of clipping: it looks 2 ms ahead, has turned the gain down by the time
// a peak comes out, and lets it rise again within about 100 ms.
//
// It works in blocks of 8 samples. Every block needs a gain r of at most ceiling/peak. h is the least r of the last 13 blocks (with the
// slow rise of the release), s is the mean of the last 12 h: a ramp rather than a step. The block that comes out is 12 blocks old, and
// its gain runs from the last s to this one. Every h in these two means has that block among its 13, so neither s is above
// the r of that block: no sample comes out above the ceiling, by construction and not by clipping.
const (
	limiterBlock = 8
	limiterAhead = 12 // blocks of delay: 96 samples, 2 ms
	limiterDelay = limiterBlock * limiterAhead

	// ceiling is -1 dB of full scale: room for what the codec adds.
	ceiling = 0.8912509
	// releaseStep is the part of the way back to 1 that the gain makes in a block: 63 % in 100 ms.
	releaseStep = float32(limiterBlock) / (0.1 * sampleRate)
	// released is where the release is taken for over: 0.0004 dB.
	released = 1 - 5e-5
)

type limiter struct {
	channels int
	delay    [2 * limiterDelay]float32 // the last samples, interleaved
	need     [limiterAhead + 1]float32 // r of the last blocks, a ring
	held     [limiterAhead]float32     // h of the last blocks, a ring
	atNeed   int                       // the oldest in need
	atHeld   int                       // the oldest in held
	last     float32                   // the newest h
	gain     float32                   // s of the last block
	busy     bool                      // the gain is, or is about to be, below 1
}

// init starts from silence.
func (l *limiter) init(channels int) {
	*l = limiter{channels: channels}
	l.rest()
}

// rest fills the rings with gains of 1.
func (l *limiter) rest() {
	for i := range l.need {
		l.need[i] = 1
	}
	for i := range l.held {
		l.held[i] = 1
	}
	l.last, l.gain, l.busy = 1, 1, false
}

// run limits a frame in place and delays it by limiterDelay. scratch is as long as the frame.
func (l *limiter) run(pcm, scratch []float32) {
	d := limiterDelay * l.channels
	copy(scratch, l.delay[:d])
	copy(scratch[d:], pcm[:len(pcm)-d])
	if !l.busy && peak(pcm) <= ceiling {
		copy(l.delay[:d], pcm[len(pcm)-d:])
		copy(pcm, scratch)
		return
	}
	step := limiterBlock * l.channels
	for i := 0; i < len(pcm); i += step {
		from, to := l.block(peak(pcm[i : i+step]))
		slope := (to - from) / limiterBlock
		out := scratch[i : i+step]
		for j := 0; j < len(out); j += l.channels {
			from += slope
			for k := range l.channels {
				// Rounding may go past the ceiling in the last bit.
				out[j+k] = min(max(out[j+k]*from, -ceiling), ceiling)
			}
		}
	}
	copy(l.delay[:d], pcm[len(pcm)-d:])
	copy(pcm, scratch)
	l.settle()
}

// block takes the peak of the newest block and returns the gains at both ends of the one that comes out.
func (l *limiter) block(peak float32) (from, to float32) {
	r := float32(1)
	if peak > ceiling {
		r = ceiling / peak
	}
	l.need[l.atNeed] = r
	if l.atNeed++; l.atNeed == len(l.need) {
		l.atNeed = 0
	}
	h := l.last + (1-l.last)*releaseStep
	for _, r := range l.need {
		if r < h {
			h = r
		}
	}
	l.last, l.held[l.atHeld] = h, h
	if l.atHeld++; l.atHeld == len(l.held) {
		l.atHeld = 0
	}
	sum := float32(0)
	for _, h := range l.held {
		sum += h
	}
	from, l.gain = l.gain, sum/limiterAhead
	return from, l.gain
}

// settle ends the slow path when the gain is as good as 1 again.
func (l *limiter) settle() {
	for _, r := range l.need {
		if r < 1 {
			l.busy = true
			return
		}
	}
	for _, h := range l.held {
		if h < released {
			l.busy = true
			return
		}
	}
	l.rest()
}

// peak is the largest magnitude. Without their sign, numbers are in the order of their bits, which costs no branch to compare.
func peak(pcm []float32) float32 {
	const magnitude = 1<<31 - 1
	var a, b uint32
	n := len(pcm) &^ 1
	for i := 0; i < n; i += 2 {
		x := pcm[i : i+2 : i+2]
		a = max(a, math.Float32bits(x[0])&magnitude)
		b = max(b, math.Float32bits(x[1])&magnitude)
	}
	for _, x := range pcm[n:] {
		a = max(a, math.Float32bits(x)&magnitude)
	}
	return math.Float32frombits(max(a, b))
}
