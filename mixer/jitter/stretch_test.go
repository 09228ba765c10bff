package jitter

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// roughest returns the largest second difference of some sound: clicks are far above what the sound itself has.
func roughest(x []float32) float64 {
	most := 0.0
	for i := 2; i < len(x); i++ {
		most = max(most, math.Abs(float64(x[i])-2*float64(x[i-1])+float64(x[i-2])))
	}
	return most
}

// purity returns the share of a tone in the energy of some sound (Goertzel's algorithm), looked at 20 ms at a time.
func purity(x []float32, hz float64) float64 {
	const n = Rate / 50
	var tone, all float64
	for ; len(x) >= n; x = x[n:] {
		var re, im float64
		for i, v := range x[:n] {
			s, c := math.Sincos(2 * math.Pi * hz * float64(i) / Rate)
			re, im, all = re+float64(v)*c, im+float64(v)*s, all+float64(v)*float64(v)
		}
		tone += 2 * (re*re + im*im) / n
	}
	return tone / all
}

// reel returns a tape with n samples, and as much history as there can be.
func reel(wave func(int64) float64, channels, n int) *tape {
	t := newTape(channels)
	for i := range (history + n) * channels {
		if i == history*channels {
			t.head, t.tail = history, history
		}
		t.room(n)
		t.buf[i] = float32(wave(int64(i / channels)))
	}
	t.head, t.tail = history, history+n
	return &t
}

func TestStretch(t *testing.T) {
	noise := make([]float64, Rate)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range noise {
		noise[i] = 0.2 * (r.Float64() - 0.5)
	}
	for _, tt := range []struct {
		name    string
		wave    func(int64) float64
		channel int
		works   bool
	}{
		{"tone of 200 Hz", sine(200), 1, true},
		{"tone of 440 Hz, stereo", sine(440), 2, true},
		{"tone of 3000 Hz", sine(3000), 1, true},
		{"deep voice", voice(80), 1, true},
		{"voice", voice(120), 1, true},
		{"high voice", voice(250), 2, true},
		{"silence", func(int64) float64 { return 0 }, 1, true},
		{"loud noise", func(at int64) float64 { return noise[at%Rate] }, 1, false},
	} {
		for _, faster := range []bool{true, false} {
			tape := reel(tt.wave, tt.channel, 960)
			before := append([]float32(nil), tape.buf[:tape.tail*tt.channel]...)
			next := append([]float32(nil), tape.buf[tape.head*tt.channel:tape.tail*tt.channel]...)
			s := &stretcher{}
			s.noise = silence
			n := 0
			if faster {
				n = s.compress(tape, maxLag, alikeEnough)
			} else {
				n = s.expand(tape, maxLag, alikeEnough)
			}
			if n > 0 != tt.works {
				t.Fatalf("%s, faster %v: %d samples", tt.name, faster, n)
			}
			if n == 0 {
				continue
			}
			want := 960 + n
			if faster {
				want = 960 - n
			}
			if tape.len() != want || n < minLag || n > maxLag {
				t.Errorf("%s, faster %v: %d samples by %d", tt.name, faster, tape.len(), n)
			}
			after := tape.buf[(tape.head-history)*tt.channel : tape.tail*tt.channel]
			// What was played stays, and the end stays the end.
			for i := range history * tt.channel {
				if after[i] != before[i] {
					t.Fatalf("%s, faster %v: sample %d of the history has changed", tt.name, faster, i)
				}
			}
			for i := range tt.channel {
				if after[len(after)-1-i] != next[len(next)-1-i] {
					t.Errorf("%s, faster %v: ends with another sample", tt.name, faster)
				}
			}
			if tt.channel == 1 {
				rough, was := roughest(after), roughest(before)
				t.Logf("%-24s faster %-5v by %3d samples: roughness %.5f (was %.5f)", tt.name, faster, n, rough, was)
				if rough > 1.25*was+1e-4 {
					t.Errorf("%s, faster %v: roughness %.5f instead of %.5f", tt.name, faster, rough, was)
				}
			}
		}
	}
}

// TestStretchedTone lets a buffer follow a clock that is far too fast or slow, so that it stretches all the time.
func TestStretchedTone(t *testing.T) {
	for _, drift := range []float64{0.02, 0.005, -0.005} {
		for _, hz := range []float64{150, 440, 1000} {
			var heard []float32
			r := call{
				length: unlessShort(time.Minute, 15*time.Second), way: lan(1), drift: drift, wave: sine(hz), phase: 7 * ms,
				every: func(at time.Duration, _ *Buffer, _ Frame, pcm []float32) {
					if at > time.Second {
						heard = append(heard, pcm...)
					}
				},
			}.run(t)
			pure, rough := purity(heard, hz), roughest(heard)
			own := 0.5 * math.Pow(2*math.Pi*hz/Rate, 2)
			t.Logf("%.0f Hz, clock %+.1f %%: %d stretches, %v removed, %v inserted, purity %.4f, roughness %.1f of the tone's",
				hz, 100*drift, r.Stretches, duration(int64(r.RemovedSamplesForAcceleration)), duration(int64(r.InsertedSamplesForDeceleration)), pure, rough/own)
			if pure < 0.98 || rough > 2*own+1e-3 || r.Stretches < 10 || r.ConcealedSamples > 0 {
				t.Errorf("%.0f Hz: purity %.4f, roughness %.5f (%.5f), %d stretches, %d concealed", hz, pure, rough, own, r.Stretches, r.ConcealedSamples)
			}
		}
	}
}

// TestNoClicks plays a tone through everything that a network does.
func TestNoClicks(t *testing.T) {
	const hz = 440
	own := 0.5 * math.Pow(2*math.Pi*hz/Rate, 2)
	for _, tt := range []struct {
		name string
		way  way
		made bool // by the decoder
	}{
		{"jitter", normal(1, 30*ms), true},
		{"random loss", losing(lan(1), random(2, 0.1)), true},
		{"bursts", losing(lan(1), bursts(2, 0.1)), true},
		{"bursts, a decoder that conceals nothing", losing(lan(1), bursts(2, 0.1)), false},
		{"outages", losing(lan(1), func() func() bool {
			i := 0
			return func() bool { i++; return i%200 > 150 }
		}()), true},
	} {
		var heard []float32
		r := call{
			length: unlessShort(30*time.Second, 10*time.Second), way: tt.way, wave: sine(hz), phase: 7 * ms, decoder: fakeDecoder{broken: !tt.made},
			every: func(_ time.Duration, _ *Buffer, _ Frame, pcm []float32) { heard = append(heard, pcm...) },
		}.run(t)
		rough := roughest(heard)
		t.Logf("%-40s concealed %.1f %%, silent %.1f %%: roughness %.1f of the tone's", tt.name, r.concealed(),
			100*float64(r.SilentConcealedSamples)/float64(r.TotalSamplesReceived), rough/own)
		if rough > 5*own {
			t.Errorf("%s: roughness %.4f, the tone's is %.4f", tt.name, rough, own)
		}
	}
}
