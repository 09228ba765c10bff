package mixer

import (
	"math"
	"math/rand"
	"testing"
)

// limited runs a signal through a limiter in frames.
func limited(pcm []float32, channels int) []float32 {
	var l limiter
	l.init(channels)
	scratch := make([]float32, FrameSamples*channels)
	out := append([]float32(nil), pcm...)
	for i := 0; i+len(scratch) <= len(out); i += len(scratch) {
		l.run(out[i:i+len(scratch)], scratch)
	}
	return out
}

// Below its ceiling a limiter only delays, bit by bit.
func TestLimiterLinear(t *testing.T) {
	rng := rand.New(rand.NewSource(1))
	for _, channels := range []int{1, 2} {
		pcm := make([]float32, 5*FrameSamples*channels)
		for i := range pcm {
			pcm[i] = (rng.Float32()*2 - 1) * ceiling
		}
		out := limited(pcm, channels)
		for i, x := range out[limiterDelay*channels:] {
			if x != pcm[i] {
				t.Fatalf("%d channels: sample %d is %g, not %g", channels, i, x, pcm[i])
			}
		}
	}
}

// Whatever comes, nothing is above the ceiling, and nearly nothing of that is the work of the last clamp.
func TestLimiterCeiling(t *testing.T) {
	for seed := range int64(30) {
		rng := rand.New(rand.NewSource(seed))
		channels := 1 + int(seed%2)
		pcm := make([]float32, 20*FrameSamples*channels)
		loud := float32(0)
		for i := range pcm {
			if rng.Intn(500) == 0 {
				loud = rng.Float32() * rng.Float32() * 20
			}
			pcm[i] = (rng.Float32()*2 - 1) * loud
			if rng.Intn(3000) == 0 {
				pcm[i] = 200
			}
		}
		for i, x := range limited(pcm, channels) {
			if !(x <= ceiling && x >= -ceiling) {
				t.Fatalf("seed %d: sample %d is %g", seed, i, x)
			}
		}
	}
}

// A peak turns the gain down before it comes and lets it rise slowly, without steps.
func TestLimiterShape(t *testing.T) {
	pcm := make([]float32, 40*FrameSamples)
	for i := range pcm {
		pcm[i] = 0.5
	}
	const at = 5 * FrameSamples
	pcm[at] = 4 * ceiling
	out := limited(pcm, 1)
	if p := out[at+limiterDelay]; math.Abs(float64(p)/ceiling-1) > 0.02 {
		t.Errorf("the peak comes out as %.4f", p)
	}
	for i := 1; i < len(out)-limiterDelay; i++ {
		if i == at || i-1 == at {
			continue
		}
		a, b := out[i+limiterDelay-1], out[i+limiterDelay]
		if d := math.Abs(float64(a - b)); d > 0.5/limiterDelay*1.01 {
			t.Fatalf("step of %.5f at %d", d, i-at)
		}
	}
	if g := out[at+limiterDelay-limiterDelay-limiterBlock] / 0.5; g < 0.9999 {
		t.Errorf("gain %.4f more than 2 ms ahead", g)
	}
	if g := out[at+limiterDelay+sampleRate/10] / 0.5; g < 0.65 || g > 0.85 { // from 0.25, 63 % of the way to 1
		t.Errorf("gain %.3f after 100 ms", g)
	}
	if g := out[at+limiterDelay+sampleRate/2] / 0.5; g < 0.99 {
		t.Errorf("gain %.3f after 500 ms", g)
	}
}

func BenchmarkLimiter(b *testing.B) {
	for _, test := range []struct {
		name string
		loud float32
	}{{"idle", 0.5}, {"limiting", 2}} {
		b.Run(test.name, func(b *testing.B) {
			var l limiter
			l.init(1)
			pcm, scratch, in := make([]float32, FrameSamples), make([]float32, FrameSamples), make([]float32, FrameSamples)
			for i := range in {
				in[i] = test.loud * float32(math.Sin(float64(i)/10))
			}
			for b.Loop() {
				copy(pcm, in)
				l.run(pcm, scratch)
			}
		})
	}
}
