package mixer

import (
	"fmt"
	"math"
	"math/rand"
	"testing"
)

// Everybody hears all others at their own level, and himself 50 dB below at most: N sines, one for each.
func TestTones(t *testing.T) {
	tests := []struct {
		name      string
		n         int
		cfg       Config
		amplitude float64
		gain      float32 // of input 1
		ticks     int
	}{
		{"two", 2, plain, 0.2, 1, 100},
		{"three", 3, plain, 0.1, 1, 100},
		{"eight", 8, Config{Talkers: 8, MaxGain: -1}, 0.05, 1, 100},
		{"one with gain", 3, plain, 0.1, 3, 100},
		{"limiting", 4, Config{Talkers: 4, MaxGain: -1}, 0.7, 1, 150},
		{"limiting with gain", 4, Config{Talkers: 4, MaxGain: -1}, 0.5, 4, 150},
		{"normalised", 3, Config{}, 0.02, 1, 400},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := newRoom(t, test.cfg)
			// Whole periods in a second, and no sum of some is another: what limiting adds must not be taken for a voice.
			frequency := func(i int) float64 { return []float64{0, 311, 457, 733, 1093, 1361, 1669, 2003, 2381}[i] }
			for i := 1; i <= test.n; i++ {
				r.join(ID(i))
				r.sources[ID(i)] = tone(frequency(i), test.amplitude)
			}
			r.m.Adjust(1, test.gain, 0)
			r.run(test.ticks)
			for i := 1; i <= test.n; i++ {
				heard := r.last(ID(i), 50)
				least := math.Inf(1)
				for j := 1; j <= test.n; j++ {
					if j != i {
						least = min(least, amplitude(heard, frequency(j)))
					}
				}
				if own := below(amplitude(heard, frequency(i)), least); own > -50 {
					t.Errorf("%d hears himself at %.1f dB", i, own)
				}
				for j := 1; j <= test.n; j++ {
					want := test.amplitude
					if j == 1 {
						want *= float64(test.gain)
					}
					if j == i || test.name == "normalised" || test.name[:3] == "lim" {
						continue
					}
					if d := below(amplitude(heard, frequency(j)), want); math.Abs(d) > 0.1 {
						t.Errorf("%d hears %d by %.2f dB off", i, j, d)
					}
				}
				if p := peak(heard); p > ceiling {
					t.Errorf("%d hears a peak of %f", i, p)
				}
			}
		})
	}
}

// What a talker hears is the sum of all others, sample by sample; what others hear is the sum of all; in whatever order they came.
func TestMixMinus(t *testing.T) {
	for seed := range int64(5) {
		rng := rand.New(rand.NewSource(seed))
		const n = 5
		noise := map[ID][][]float32{}
		for i := ID(1); i <= n; i++ {
			for range 40 {
				pcm := make([]float32, FrameSamples)
				for j := range pcm {
					pcm[j] = float32(rng.Float64()-0.5) * 0.2
				}
				noise[i] = append(noise[i], pcm)
			}
		}
		play := func(order []int) *room {
			r := newRoom(t, Config{Talkers: n, MaxGain: -1})
			for _, i := range order {
				id := ID(i + 1)
				r.join(id)
				r.sources[id] = func(tick uint64) []float32 { return noise[id][tick-1] }
			}
			r.m.AddListener(99, 1, 32000)
			r.run(40)
			return r
		}
		r, other := play(rng.Perm(n)), play(rng.Perm(n))
		for _, id := range []ID{1, 2, 3, 4, 5, 99} {
			got, again := r.last(id, 30), other.last(id, 30)
			for k := range got {
				// The limiter's delay; the first frames fade in.
				at := 10*FrameSamples + k - limiterDelay
				want := float32(0)
				for i := ID(1); i <= n; i++ {
					if i != id {
						want += noise[i][at/FrameSamples][at%FrameSamples]
					}
				}
				if d := math.Abs(float64(got[k] - want)); d > 1e-6 {
					t.Fatalf("seed %d: %d hears %f at %d, not %f", seed, id, got[k], k, want)
				}
				if d := math.Abs(float64(got[k] - again[k])); d > 1e-6 {
					t.Fatalf("seed %d: %d hears %f, and %f when others came first", seed, id, got[k], again[k])
				}
			}
		}
	}
}

// However many listen and whoever talks, a Spec costs at most K+1 encodes a tick, and K inputs are decoded; an encoder that begins costs
// the last frames more, once.
func TestEncodes(t *testing.T) {
	ticks := 800
	if testing.Short() {
		ticks = 150
	}
	for _, n := range []int{2, 4, 10, 60} {
		rng := rand.New(rand.NewSource(int64(n)))
		r := newRoom(t, Config{MaxGain: -1})
		r.deaf, r.tape.keep = true, false
		for i := 1; i <= n; i++ {
			r.join(ID(i))
		}
		r.m.AddListener(1000, 1, 32000)
		talking := map[ID]bool{}
		for range ticks {
			if rng.Intn(20) == 0 {
				id := ID(rng.Intn(n) + 1)
				talking[id] = !talking[id]
				if talking[id] {
					r.sources[id] = tone(300+50*float64(id), 0.01+0.3*rng.Float64())
				} else {
					r.sources[id] = during(0, 0, nil)
				}
			}
			r.step()
			if lanes := len(r.m.lanes); lanes > min(4, n+1) {
				t.Fatalf("%d participants, tick %d: %d encodes", n, r.tick, lanes)
			}
		}
		r.m.Close()
		if r.tape.open != 0 {
			t.Errorf("%d encoders are still open", r.tape.open)
		}
	}
}

// Nobody ever hears himself, whoever begins and stops when.
func TestNeverOneself(t *testing.T) {
	const n = 6
	rng := rand.New(rand.NewSource(1))
	r := newRoom(t, Config{MaxGain: -1})
	frequency := func(id ID) float64 { return 300 + 150*float64(id) }
	for i := ID(1); i <= n; i++ {
		r.join(i)
		r.sources[i] = during(0, 0, nil)
	}
	looked := 0
	steps, least := 150, 100
	if testing.Short() {
		steps, least = 40, 20
	}
	for step := range steps {
		id := ID(rng.Intn(n) + 1)
		if rng.Intn(2) == 0 {
			r.sources[id] = tone(frequency(id), 0.1)
		} else {
			r.sources[id] = during(0, 0, nil)
		}
		r.run(5 + rng.Intn(30))
		if step == 0 {
			continue
		}
		for i := ID(1); i <= n; i++ {
			if len(r.got[i]) < 5*FrameSamples {
				continue
			}
			// Where nobody has begun or stopped in between: an edge has all frequencies in it.
			if r.tick-r.changed <= 6 {
				continue
			}
			heard := r.last(i, 5)
			if a := amplitude(heard, frequency(i)); below(a, 0.1) > -50 {
				t.Fatalf("tick %d: %d hears himself at %.1f dB", r.tick, i, below(a, 0.1))
			}
			looked++
		}
	}
	if looked < least {
		t.Errorf("looked at %d", looked)
	}
}

func TestParks(t *testing.T) {
	r := newRoom(t, plain)
	r.join(1, 2)
	r.sources[1], r.sources[2] = during(10, 60, tone(440, 0.1)), during(0, 0, nil)
	r.run(9)
	if !r.out.Parked || !r.m.Parked() {
		t.Fatal("not parked before anybody talks")
	}
	r.step()
	if r.out.Parked || r.out.Number != 1 || !r.out.Marker || r.out.Timestamp != 10*FrameSamples {
		t.Fatalf("first tick with sound: %+v", r.out)
	}
	r.step()
	if r.out.Number != 2 || r.out.Marker {
		t.Fatalf("second: %+v", r.out)
	}
	r.run(200)
	if !r.out.Parked || r.m.Parked() != true {
		t.Fatal("not parked after silence")
	}
	numbers := r.m.number
	if numbers < 150 || numbers > 155 {
		t.Errorf("%d ticks with packets", numbers)
	}
	encodes := r.m.Stats().Encodes
	r.run(100)
	if r.m.Stats().Encodes != encodes {
		t.Error("a parked mixer encodes")
	}
	r.sources[2] = tone(300, 0.1)
	r.step()
	if r.out.Parked || r.out.Number != numbers+1 || !r.out.Marker || r.out.Timestamp != uint32(r.tick)*FrameSamples {
		t.Errorf("after the pause: %+v", r.out)
	}
}

// In silence there is silence, exactly.
func TestSilence(t *testing.T) {
	r := newRoom(t, plain)
	r.join(1, 2, 3)
	r.sources[1] = during(0, 20, tone(440, 0.1))
	r.run(60)
	if p := peak(r.last(2, 10)); p != 0 {
		t.Errorf("peak of %g", p)
	}
}

func TestMuteAndGain(t *testing.T) {
	r := newRoom(t, plain)
	r.join(1, 2, 3)
	r.sources[1], r.sources[2] = tone(450, 0.1), tone(600, 0.1)
	r.run(50)
	r.m.Mute(1, true)
	r.run(20)
	if a := amplitude(r.last(3, 10), 450); below(a, 0.1) > -80 {
		t.Errorf("the muted is heard at %.1f dB", below(a, 0.1))
	}
	for _, w := range r.wants {
		if w.ID == 1 {
			t.Error("the muted is decoded")
		}
	}
	r.m.Mute(1, false)
	r.m.Adjust(2, 0.5, 0)
	r.run(30)
	heard := r.last(3, 10)
	if a := amplitude(heard, 450); math.Abs(below(a, 0.1)) > 0.1 {
		t.Errorf("unmuted is at %.1f dB", below(a, 0.1))
	}
	if a := amplitude(heard, 600); math.Abs(below(a, 0.05)) > 0.1 {
		t.Errorf("half is at %.1f dB", below(a, 0.05))
	}
	jumps(t, r.got[3], 0.2)
}

// jumps fails where a signal moves by more from one sample to the next than its sines can.
func jumps(t *testing.T, pcm []float32, amplitudes float64) {
	t.Helper()
	// The steepest that sines up to 1 kHz get, and what a fade of 5 ms adds.
	most := amplitudes*2*math.Pi*1000/sampleRate + amplitudes/fade
	for i := 1; i < len(pcm); i++ {
		if d := math.Abs(float64(pcm[i] - pcm[i-1])); d > most {
			t.Fatalf("jump of %.4f at sample %d (tick %d), %.4f would do", d, i, i/FrameSamples, most)
		}
	}
}

// Talkers come and go without a click for anybody.
func TestNoClicks(t *testing.T) {
	r := newRoom(t, plain)
	for i := ID(1); i <= 5; i++ {
		r.join(i)
		from := 40 * uint64(i)
		r.sources[i] = during(from, from+120, tone(200+50*float64(i), 0.1))
	}
	r.m.AddListener(9, 1, 32000)
	r.run(400)
	for id, pcm := range r.got {
		t.Run(fmt.Sprint(id), func(t *testing.T) { jumps(t, pcm, 0.4) })
	}
}

func TestBadFrames(t *testing.T) {
	r := newRoom(t, plain)
	r.join(1, 2)
	good := tone(450, 0.1)
	nan := make([]float32, FrameSamples)
	nan[17] = float32(math.NaN())
	r.sources[1] = good
	r.run(20)
	r.sources[1] = func(uint64) []float32 { return nan }
	r.level = func(ID, uint8) uint8 { return 20 }
	r.run(3)
	r.m.Feed(1, make([]float32, 5), 1, 0)
	r.m.Feed(7, make([]float32, FrameSamples), 1, 0)
	if bad := r.m.Stats().BadFrames; bad != 5 {
		t.Errorf("%d bad frames", bad)
	}
	r.sources[1], r.level = good, nil
	r.run(20)
	if a := amplitude(r.last(2, 10), 450); math.Abs(below(a, 0.1)) > 0.1 {
		t.Errorf("level %.4f after bad frames", a)
	}
	if r.m.Select(3) != nil || r.m.Stats().LateTicks != 1 {
		t.Error("an old tick was taken")
	}
}

func TestConfig(t *testing.T) {
	enc := func(Spec) (Encoder, error) { return nil, nil }
	for _, cfg := range []Config{{}, {Encoders: enc, Talkers: -1}, {Encoders: enc, Complexity: 11}, {Encoders: enc, Loudness: 3}, {Encoders: enc, MaxGain: math.NaN()}} {
		if _, err := New(cfg); err == nil {
			t.Errorf("%+v passes", cfg)
		}
	}
}
