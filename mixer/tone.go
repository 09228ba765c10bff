package mixer

import "math"

// Tone is a short sound that tells of something. Its zero value is no tone.
type Tone struct {
	notes []note
	at    int // samples that were played
}

// note is a sine that begins at a sample, with its octave at a quarter, and dies away.
type note struct {
	begins    int
	frequency float64 // Hz
	amplitude float64
}

// Tones. They are quiet, 6 dB below a voice where they begin, and each lasts less than a second.
var (
	toneUp   = []note{{0, 523.25, 0.05}, {sampleRate / 8, 783.99, 0.05}} // c'' g''
	toneDown = []note{{0, 783.99, 0.05}, {sampleRate / 8, 523.25, 0.05}}
	toneLow  = []note{{0, 329.63, 0.06}, {sampleRate / 8, 261.63, 0.06}} // e' c'
	toneHigh = []note{{0, 1318.51, 0.03}, {sampleRate / 10, 1318.51, 0.03}}
	toneSoft = []note{{sampleRate * 2 / 5, 440, 0.05}} // after the last one's leaving
)

const (
	// toneLasts is how long a note may be heard: by then it is 60 dB below its beginning.
	toneLasts = sampleRate * 45 / 100
	// toneRise is how long a note takes to begin, against a click: 5 ms.
	toneRise = sampleRate / 200
	// toneDecay is after how many samples a note has become softer by a factor of e.
	toneDecay = 0.065 * sampleRate
)

// NewEnter returns the tone for somebody who comes, NewLeave that for one who goes, NewMuted and NewUnmuted those for whom a moderator
// has muted, or lets speak again, and NewAlone that for who is left alone.
func NewEnter() *Tone   { return &Tone{notes: toneUp} }
func NewLeave() *Tone   { return &Tone{notes: toneDown} }
func NewMuted() *Tone   { return &Tone{notes: toneLow} }
func NewUnmuted() *Tone { return &Tone{notes: toneHigh} }
func NewAlone() *Tone   { return &Tone{notes: toneSoft} }

// Next implements Sound.
func (t *Tone) Next(pcm []float32) bool {
	clear(pcm)
	some := false
	for _, n := range t.notes {
		if t.at < n.begins+toneLasts {
			some = true
			n.add(pcm, t.at)
		}
	}
	t.at += len(pcm)
	return some
}

// add adds what a note has from a sample on.
func (n note) add(pcm []float32, at int) {
	w := 2 * math.Pi * n.frequency / sampleRate
	for i := range pcm {
		k := at + i - n.begins
		if k < 0 || k >= toneLasts {
			continue
		}
		x := n.amplitude * math.Exp(-float64(k)/toneDecay) * min(1, float64(k)/toneRise)
		phase := w * float64(k)
		pcm[i] += float32(x * (math.Sin(phase) + 0.25*math.Sin(2*phase)))
	}
}
