package mixer

import "math"

// loudness brings an input to the common level slowly, so that a quiet microphone is heard as well as a close one.
//
// It measures the power of frames with speech only: those well above the input's noise floor and above gate. What it has measured counts
// with a time constant of 3 s, and faster in the first second of speech. The gain that is wanted is the distance to the target, within
// bounds; within deadZone of the target nothing is done at all, so that an input that is right already keeps its sound (and may be passed through).
// The gain goes there by at most 3 dB a second up and 6 dB a second down, and stands still in pauses.
type loudness struct {
	speech float64 // frames of speech that were measured, up to loudnessMemory
	power  float64 // their mean power
	gain   float64 // in dB, now
}

const (
	loudnessMemory = 3 * ticksPerSecond
	// loudnessFirst is how many frames of speech there must be before anything is done.
	loudnessFirst = ticksPerSecond / 2
	gate          = -50.0 // dB of full scale
	deadZone      = 2.0   // dB
	gainUp        = 3.0 / ticksPerSecond
	gainDown      = 6.0 / ticksPerSecond
)

// measure takes the mean power of a frame, and says whether it is speech, and moves the gain.
func (l *loudness) measure(power float64, speech bool, target, bound float64) {
	if !speech || decibels(power) < gate {
		return
	}
	l.speech = min(l.speech+1, loudnessMemory)
	l.power += (power - l.power) / l.speech
	if l.speech < loudnessFirst {
		return
	}
	l.gain = approach(l.gain, wantedGain(decibels(l.power), target, bound))
}

// wantedGain is the gain in dB for an input of a level, before it is slowed down.
func wantedGain(level, target, bound float64) float64 {
	away := target - level
	if math.Abs(away) <= deadZone {
		return 0
	}
	return max(-bound, min(bound, away))
}

// approach moves a gain towards another by what a frame allows.
func approach(gain, wanted float64) float64 {
	return max(gain-gainDown, min(gain+gainUp, wanted))
}

// decibels is the level of a mean power, in dB of full scale, and -120 for nothing.
func decibels(power float64) float64 {
	if power < 1e-12 {
		return -120
	}
	return 10 * math.Log10(power)
}

// factor is a gain in dB as a factor.
func factor(dB float64) float32 { return float32(math.Pow(10, dB/20)) }

// power is the mean square.
func power(pcm []float32) float64 {
	// Four sums side by side, as one alone waits for itself.
	var a, b, c, d float32
	n := len(pcm) &^ 3
	for i := 0; i < n; i += 4 {
		x := pcm[i : i+4 : i+4]
		a += x[0] * x[0]
		b += x[1] * x[1]
		c += x[2] * x[2]
		d += x[3] * x[3]
	}
	for _, x := range pcm[n:] {
		a += x * x
	}
	if len(pcm) == 0 {
		return 0
	}
	return (float64(a) + float64(b) + float64(c) + float64(d)) / float64(len(pcm))
}
