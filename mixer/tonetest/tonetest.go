// Package tonetest has what tests of conferences need: participants who each send a tone of their own, and ears that tell which tones
// they hear, and how loud (Goertzel's algorithm).
package tonetest

import (
	"fmt"
	"math"
	"sync"

	"github.com/castd/castd/mixer/opus"
)

const rate = 48000

// Voice sends a tone, in packets of Opus of 20 ms. It belongs to one goroutine.
type Voice struct {
	frequency, amplitude float64
	at                   int
	encoder              *opus.Encoder
	pcm                  []float32
}

// NewVoice returns a Voice of a frequency in Hz, with an amplitude of up to 1.
func NewVoice(frequency, amplitude float64) (*Voice, error) {
	e, err := opus.NewEncoder(opus.EncoderConfig{Channels: 1, Bitrate: 48000, Complexity: 4})
	if err != nil {
		return nil, fmt.Errorf("make voice: %w", err)
	}
	return &Voice{frequency: frequency, amplitude: amplitude, encoder: e, pcm: make([]float32, opus.FrameSamples)}, nil
}

// Packet returns the next packet and its level (RFC 6464).
func (v *Voice) Packet() (payload []byte, level uint8, err error) {
	for i := range v.pcm {
		v.pcm[i] = float32(v.amplitude * math.Sin(2*math.Pi*v.frequency*float64(v.at)/rate))
		v.at++
	}
	out := make([]byte, opus.MaxPacketBytes)
	n, err := v.encoder.Encode(v.pcm, out)
	if err != nil {
		return nil, 0, fmt.Errorf("encode tone: %w", err)
	}
	return out[:n], uint8(min(127, max(0, -20*math.Log10(v.amplitude/math.Sqrt2+1e-9)))), nil
}

// Close frees the encoder.
func (v *Voice) Close() { v.encoder.Close() }

// Ear decodes what is sent to somebody, and keeps the newest of it. It is safe for concurrent use.
type Ear struct {
	mu      sync.Mutex
	decoder *opus.Decoder
	frame   []float32
	heard   []float32 // at most maxHeard
	packets int
	bad     int
}

// maxHeard is how much an Ear keeps: 4 s.
const maxHeard = 4 * rate

// NewEar returns an Ear.
func NewEar() (*Ear, error) {
	d, err := opus.NewDecoder(1)
	if err != nil {
		return nil, fmt.Errorf("make ear: %w", err)
	}
	return &Ear{decoder: d, frame: make([]float32, opus.FrameSamples*6)}, nil
}

// Hear takes the next packet.
func (e *Ear) Hear(payload []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.packets++
	n, err := e.decoder.Decode(payload, e.frame)
	if err != nil {
		e.bad++
		return
	}
	e.heard = append(e.heard, e.frame[:n]...)
	if over := len(e.heard) - maxHeard; over > 0 {
		e.heard = append(e.heard[:0], e.heard[over:]...)
	}
}

// Packets returns how many packets were heard, and how many of them were no Opus.
func (e *Ear) Packets() (all, bad int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.packets, e.bad
}

// Forget drops what was heard.
func (e *Ear) Forget() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.heard, e.packets, e.bad = e.heard[:0], 0, 0
}

// Level returns how loud a tone is in the newest second that was heard, in dB below a sine of full scale; -200 where less was heard.
func (e *Ear) Level(frequency float64) float64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.heard) < rate {
		return -200
	}
	return Level(e.heard[len(e.heard)-rate:], frequency)
}

// Residue returns how loud a tone is that should not be there: the least of all seconds that are kept, in steps of a tenth. What leaks from
// somebody who sends all the time is in each of them, while a seam in the tones of others, which is made where packets are late, spreads
// over all frequencies, but only in its second.
func (e *Ear) Residue(frequency float64) float64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	least := math.Inf(1)
	for end := len(e.heard); end >= rate; end -= rate / 10 {
		least = min(least, 10*math.Log10(power(e.heard[end-rate:end], frequency)+1e-20)) // a long look, as noise of the codec is in a short one
	}
	return least
}

// Loudest returns how loud a tone is in that tenth of a second of all that is kept in which it is loudest, as Level does.
func (e *Ear) Loudest(frequency float64) float64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	most := 1e-20
	for at := 0; at+rate/10 <= len(e.heard); at += rate / 20 {
		most = max(most, power(e.heard[at:at+rate/10], frequency))
	}
	return 10 * math.Log10(most)
}

// Power returns how loud all is in the newest second that was heard, in dB of full scale; -200 where less was heard.
func (e *Ear) Power() float64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.heard) < rate {
		return -200
	}
	var sum float64
	for _, x := range e.heard[len(e.heard)-rate:] {
		sum += float64(x) * float64(x)
	}
	return 10 * math.Log10(sum/rate+1e-20)
}

// Level returns how loud a tone is in pcm, which has to last 100 ms at least: the mean of its power in each 100 ms. A jitter buffer that
// stretches moves a tone's phase, and a longer look would find that the parts before and after cancel each other.
func Level(pcm []float32, frequency float64) float64 {
	const part = rate / 10
	var sum float64
	n := 0
	for ; len(pcm) >= part; pcm = pcm[part:] {
		sum += power(pcm[:part], frequency)
		n++
	}
	return 10 * math.Log10(sum/float64(n)+1e-20)
}

// Amplitude returns that of a tone in pcm. It tells tones apart that differ by more than two periods of the time that pcm lasts.
func Amplitude(pcm []float32, frequency float64) float64 { return math.Sqrt(power(pcm, frequency)) }

// power returns the power of a tone in pcm, 1 for a sine of full scale. A window (Hann) keeps other tones from leaking into it.
func power(pcm []float32, frequency float64) float64 {
	w := 2 * math.Pi * frequency / rate
	coefficient := 2 * math.Cos(w)
	var s1, s2, weight float64
	for i, x := range pcm {
		window := 0.5 - 0.5*math.Cos(2*math.Pi*float64(i)/float64(len(pcm)-1))
		weight += window
		s1, s2 = float64(x)*window+coefficient*s1-s2, s1
	}
	return 4 * max(s1*s1+s2*s2-coefficient*s1*s2, 0) / (weight * weight)
}

// Close frees the decoder.
func (e *Ear) Close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.decoder.Close()
}
