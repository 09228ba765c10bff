//go:build unix

package mixer_test

import (
	"fmt"
	"syscall"
	"testing"

	"github.com/castd/castd/mixer"
	"github.com/castd/castd/mixer/opus"
)

// The codec's part of the lower bound of a conference, in us a tick: K(D+A) + (K+[N>K])(E+C), on the reference machine with
// libopus 1.3.1: decode 30.2, add a speaker 0.3, encode (VoIP, complexity 4) 141, subtract and clip 0.95.
func bound(k, n int, encode, decode float64) float64 {
	lanes := float64(k)
	if n > k {
		lanes++
	}
	return float64(k)*(decode+0.3) + lanes*(encode+0.95)
}

// cpu is the time that the process has used, in us. Wall time says little on a machine that others use as well.
func cpu() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return float64(u.Utime.Sec+u.Stime.Sec)*1e6 + float64(u.Utime.Usec+u.Stime.Usec)
}

const voices = 8

// conference is a room whose participants all send, with their decoders.
type conference struct {
	m        *mixer.Mixer
	sent     [voices][][]byte
	decoders map[mixer.ID]*opus.Decoder
	pcm      []float32
	tick     uint64
	decodes  int
}

func newConference(b *testing.B, k, n int) *conference {
	b.Helper()
	m, err := mixer.New(mixer.Config{Talkers: k, Encoders: encoders})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(m.Close)
	c := &conference{m: m, decoders: map[mixer.ID]*opus.Decoder{}, pcm: make([]float32, mixer.FrameSamples)}
	for i := range c.sent {
		c.sent[i] = packets(b, voice(100*mixer.FrameSamples, 100+20*float64(i)))
	}
	for id := mixer.ID(1); id <= mixer.ID(n); id++ {
		m.AddInput(id)
		m.AddListener(id, 1, 32000)
		if c.decoders[id], err = opus.NewDecoder(1); err != nil {
			b.Fatal(err)
		}
		b.Cleanup(c.decoders[id].Close)
	}
	return c
}

func (c *conference) step(b *testing.B) {
	c.tick++
	for id := range mixer.ID(len(c.decoders)) {
		c.m.Heard(id+1, mixer.Header{Level: uint8(25 + id%3), Known: true})
	}
	for _, w := range c.m.Select(c.tick) {
		sent := c.sent[w.ID%voices]
		if _, err := c.decoders[w.ID].Decode(sent[c.tick%uint64(len(sent))], c.pcm); err != nil {
			b.Fatal(err)
		}
		c.decodes++
		c.m.Feed(w.ID, c.pcm, 1, 0)
	}
	c.m.Mix()
}

// BenchmarkConference: everybody sends, K are heard, N listen. "cores" is CPU time, "x-bound" that as a multiple of the codec's part of the
// bound with the reference machine's figures, "x-here" with what the codec costs here and now ("us/encode", "us/decode").
func BenchmarkConference(b *testing.B) {
	for _, test := range []struct{ k, n int }{{3, 3}, {3, 10}, {3, 50}, {3, 100}, {3, 1000}, {10, 10}, {50, 50}} {
		b.Run(fmt.Sprintf("K=%d/N=%d", test.k, test.n), func(b *testing.B) {
			c := newConference(b, test.k, test.n)
			for range 100 {
				c.step(b)
			}
			encode, decode := codecHere(b)
			b.ReportAllocs()
			before, encodes, decodes := cpu(), c.m.Stats().Encodes, c.decodes
			for b.Loop() {
				c.step(b)
			}
			spent := (cpu() - before) / float64(b.N)
			b.ReportMetric(float64(c.m.Stats().Encodes-encodes)/float64(b.N), "encodes/tick")
			b.ReportMetric(float64(c.decodes-decodes)/float64(b.N), "decodes/tick")
			// What else runs on the machine makes the codec slower at times: before and after.
			e, d := codecHere(b)
			encode, decode = (encode+e)/2, (decode+d)/2
			b.ReportMetric(spent/20000, "cores")
			b.ReportMetric(spent/bound(test.k, test.n, 141, 30.2), "x-bound")
			b.ReportMetric(spent/bound(test.k, test.n, encode, decode), "x-here")
			b.ReportMetric(encode, "us/encode")
			b.ReportMetric(decode, "us/decode")
		})
	}
}

// codecHere measures an encode and a decode, in us of CPU time.
func codecHere(b *testing.B) (encode, decode float64) {
	b.Helper()
	pcm := voice(100*mixer.FrameSamples, 130)
	packets(b, pcm) // once to warm up
	before := cpu()
	const rounds = 4
	var sent [][]byte
	for range rounds {
		sent = packets(b, pcm)
	}
	encode = (cpu() - before) / rounds / 100
	d, err := opus.NewDecoder(1)
	if err != nil {
		b.Fatal(err)
	}
	defer d.Close()
	before = cpu()
	for range rounds {
		for _, p := range sent {
			if _, err := d.Decode(p, pcm); err != nil {
				b.Fatal(err)
			}
		}
	}
	decode = (cpu() - before) / rounds / 100
	return encode, decode
}

// BenchmarkIdle: a tick of a thousand rooms of five in which nobody talks; packets of silence come all the same.
func BenchmarkIdle(b *testing.B) {
	var rooms []*mixer.Mixer
	for range 1000 {
		m, err := mixer.New(mixer.Config{Encoders: encoders})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(m.Close)
		for id := mixer.ID(1); id <= 5; id++ {
			m.AddInput(id)
			m.AddListener(id, 1, 32000)
		}
		rooms = append(rooms, m)
	}
	b.ReportAllocs()
	tick, before := uint64(0), cpu()
	for b.Loop() {
		tick++
		for _, m := range rooms {
			m.Heard(1, mixer.Header{Level: 127, Known: true})
			m.Select(tick)
			m.Mix()
		}
	}
	b.ReportMetric((cpu()-before)/float64(b.N)/20000*100, "%-of-a-core")
}
