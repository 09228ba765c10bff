package mixer

import "math"

// Pad is music for those who wait: slow soft chords with a few plucked notes above, made up by arithmetic, so that nobody has a right to it.
// It follows from the tick alone, and begins anew after bars bars. It is about 10 dB below a voice.
func Pad(tick uint64, pcm []float32) {
	clear(pcm)
	const length = bars * barSamples
	at := int64(tick % (length / FrameSamples) * FrameSamples)
	bar := at / barSamples
	for k := range int64(2) { // a chord sounds on into the next bar
		chord := &chords[(bar-k+bars)%bars]
		for _, f := range chord {
			addVoice(pcm, f, 0.012, at-(bar-k)*barSamples, swell)
		}
	}
	// A note of the melody dies away before the second one after it.
	const beat = barSamples / 4
	for k := range int64(2) {
		n := at/beat - k
		if f := melody[(n+int64(len(melody)))%int64(len(melody))]; f > 0 {
			addVoice(pcm, f, 0.02, at-n*beat, pluck)
		}
	}
}

const (
	barSamples = 4 * sampleRate
	bars       = 8
)

// chords, in Hz: one a bar, and the melody, four notes a bar with pauses.
var (
	chords = [bars][3]float64{
		{130.81, 196.00, 329.63}, {110.00, 196.00, 261.63}, {87.31, 174.61, 261.63}, {98.00, 196.00, 293.66}, // C, A minor 7, F, G
		{130.81, 196.00, 329.63}, {82.41, 196.00, 246.94}, {87.31, 220.00, 329.63}, {98.00, 174.61, 293.66}, // C, E minor, F major 7, G 7
	}
	melody = [4 * bars]float64{
		523.25, 0, 392.00, 0, 440.00, 0, 0, 392.00, 349.23, 0, 440.00, 0, 392.00, 0, 0, 0,
		523.25, 0, 587.33, 659.26, 493.88, 0, 0, 392.00, 440.00, 0, 523.25, 0, 493.88, 0, 392.00, 0,
	}
)

// swell is how loud a note of a chord is at a sample after its beginning: it comes and goes within two bars.
func swell(at float64) float64 {
	x := math.Sin(math.Pi * at / (2 * barSamples))
	return x * x
}

// pluck is that of the melody's.
func pluck(at float64) float64 {
	const rise = sampleRate / 100
	const last = barSamples / 2
	return math.Exp(-at/(0.45*sampleRate)) * min(1, at/rise) * min(1, (last-at)/rise)
}

// addVoice adds 20 ms of a note that began some samples ago. A rotation in place of a sine for each sample costs a few percent of it.
func addVoice(pcm []float32, frequency, amplitude float64, since int64, envelope func(float64) float64) {
	w := 2 * math.Pi * frequency / sampleRate
	sin, cos := math.Sincos(w * float64(since))
	s, c := math.Sincos(w)
	level := amplitude * envelope(float64(since))
	step := (amplitude*envelope(float64(since+int64(len(pcm)))) - level) / float64(len(pcm))
	for i := range pcm {
		pcm[i] += float32(level * sin)
		level += step
		sin, cos = sin*c+cos*s, cos*c-sin*s
	}
}
