package jitter

import (
	"encoding/binary"
	"errors"
	"math"
)

// fakeDecoder stands for Opus: a payload names the timestamp that it begins at, and the sound is a function of the timestamp.
type fakeDecoder struct {
	wave     func(at int64) float64
	channels int

	at      int64 // after what was decoded or made up last
	decoded int
	copies  int
	made    int
	resets  int
	broken  bool // does not conceal
}

var errGarbage = errors.New("garbage")

// payload returns a packet of SILK that begins at a timestamp and lasts 10, 20, 40 or 60 ms, with a copy of the one before or not.
func payload(at int64, length int64, fec bool) []byte {
	config := map[int64]byte{480: 8, 960: 9, 1920: 10, 2880: 11}[length]
	p := make([]byte, 40)
	p[0] = config << 3
	if fec {
		p[1] = 1 << (7 - max(1, length/960))
	}
	binary.BigEndian.PutUint64(p[2:], uint64(at))
	return p
}

// dtxPayload is what a silent sender sends.
func dtxPayload() []byte { return []byte{9 << 3} }

// garbage passes for Opus until it is decoded.
func garbage() []byte { return []byte{9 << 3, 0, 'g'} }

func (d *fakeDecoder) fill(pcm []float32, at int64) (int, error) {
	c := max(1, d.channels)
	for i := range pcm {
		pcm[i] = float32(d.wave(at + int64(i/c)))
	}
	d.at = at + int64(len(pcm)/c)
	return len(pcm) / c, nil
}

func (d *fakeDecoder) Decode(p []byte, pcm []float32) (int, error) {
	c := max(1, d.channels)
	switch len(p) {
	case 1:
		clear(pcm)
		return len(pcm) / c, nil
	case 3:
		return 0, errGarbage
	}
	d.decoded++
	t, err := parseTOC(p)
	if err != nil || len(p) < 10 {
		return 0, errGarbage
	}
	return d.fill(pcm[:int(t.duration)*c], int64(binary.BigEndian.Uint64(p[2:])))
}

func (d *fakeDecoder) DecodeFEC(p []byte, pcm []float32) (int, error) {
	if len(p) < 10 {
		return 0, errGarbage
	}
	d.copies++
	return d.fill(pcm, int64(binary.BigEndian.Uint64(p[2:]))-int64(len(pcm)/max(1, d.channels)))
}

func (d *fakeDecoder) Conceal(pcm []float32) (int, error) {
	d.made++
	if d.broken {
		return 0, errGarbage
	}
	return d.fill(pcm, d.at)
}

func (d *fakeDecoder) Reset() { d.resets++ }

// sine returns a tone.
func sine(hz float64) func(int64) float64 {
	return second(func(t float64) float64 { return 0.5 * math.Sin(2*math.Pi*hz*t) })
}

// voice returns what a vowel looks like: harmonics that fall off, of a pitch that moves slowly.
func voice(hz float64) func(int64) float64 {
	return second(func(t float64) float64 {
		phase := 2*math.Pi*hz*t + 0.005*hz*math.Sin(2*math.Pi*2*t)
		sum := 0.0
		for k := 1.0; k <= 12; k++ {
			sum += math.Sin(k*phase+k*k) / k
		}
		return 0.2 * sum
	})
}

// second repeats the first second of a function of time, which has to fit onto itself.
func second(wave func(t float64) float64) func(int64) float64 {
	table := make([]float64, Rate)
	for i := range table {
		table[i] = wave(float64(i) / Rate)
	}
	return func(at int64) float64 { return table[((at%Rate)+Rate)%Rate] }
}
