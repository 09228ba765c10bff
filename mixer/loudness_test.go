package mixer

import (
	"math"
	"testing"
)

func TestWantedGain(t *testing.T) {
	tests := []struct{ level, want float64 }{
		{-23, 0}, {-24.9, 0}, {-21.1, 0}, {-26, 3}, {-33, 10}, {-60, 12}, {-20, -3}, {-3, -12},
	}
	for _, test := range tests {
		if got := wantedGain(test.level, -23, 12); math.Abs(got-test.want) > 1e-9 {
			t.Errorf("%g dB: %g, want %g", test.level, got, test.want)
		}
	}
}

// Quiet and loud inputs come to the same loudness within some seconds, never faster than a listener would notice as a jump.
func TestLoudness(t *testing.T) {
	for _, test := range []struct{ rms, want float64 }{{-43, -31}, {-33, -23}, {-24, -24}, {-13, -23}, {-6, -18}} {
		r := newRoom(t, Config{})
		r.join(1, 2)
		r.sources[1] = tone(450, math.Sqrt2*math.Pow(10, test.rms/20))
		before := 0.0
		for range 8 * ticksPerSecond {
			r.step()
			now := r.m.input(1).loud.gain
			if d := now - before; d > gainUp+1e-9 || d < -gainDown-1e-9 {
				t.Fatalf("gain jumps by %.3f dB", d)
			}
			before = now
		}
		if got := decibels(power(r.last(2, 25))); math.Abs(got-test.want) > 0.5 {
			t.Errorf("%g dB comes out at %.1f dB, not %g", test.rms, got, test.want)
		}
	}
}

// In pauses the gain stands still: noise is not raised.
func TestLoudnessPauses(t *testing.T) {
	var l loudness
	for range 500 {
		l.measure(math.Pow(10, -3.3), true, -23, 12)
	}
	before := l.gain
	for range 2000 {
		l.measure(math.Pow(10, -4.5), false, -23, 12)
		l.measure(math.Pow(10, -6), true, -23, 12)
	}
	if l.gain != before || math.Abs(before-10) > 0.01 {
		t.Errorf("gain %.2f dB, %.2f after a pause", before, l.gain)
	}
}
