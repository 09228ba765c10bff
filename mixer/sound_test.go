package mixer

import (
	"encoding/binary"
	"math"
	"os"
	"testing"
)

// golden compares PCM with a file, of which it keeps every third sample; with -update it writes the file.
func golden(t *testing.T, file string, pcm []float32) {
	t.Helper()
	var got []byte
	for i := 0; i < len(pcm); i += 3 {
		got = binary.LittleEndian.AppendUint16(got, uint16(int16(math.Round(float64(pcm[i])*32767))))
	}
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(want) {
		t.Fatalf("%s: %d octets, not %d", file, len(got), len(want))
	}
	for i := 0; i < len(got); i += 2 {
		a, b := int16(binary.LittleEndian.Uint16(got[i:])), int16(binary.LittleEndian.Uint16(want[i:]))
		if d := int(a) - int(b); d > 1 || d < -1 {
			t.Fatalf("%s: sample %d is %d, not %d", file, i/2, a, b)
		}
	}
}

// whole returns all of a sound.
func whole(s Sound) (pcm []float32) {
	frame := make([]float32, FrameSamples)
	for s.Next(frame) {
		pcm = append(pcm, frame...)
	}
	return pcm
}

// Tones are short, quiet, begin and end without a click, and are what they were.
func TestTonesGolden(t *testing.T) {
	var all []float32
	for name, tone := range map[string]*Tone{"enter": NewEnter(), "leave": NewLeave(), "muted": NewMuted(), "unmuted": NewUnmuted(), "alone": NewAlone()} {
		pcm := whole(tone)
		if n := len(pcm); n == 0 || n > sampleRate {
			t.Errorf("%s lasts %d samples", name, n)
		}
		if p := peak(pcm); p > 0.1 || p < 0.02 {
			t.Errorf("%s has a peak of %.3f", name, p)
		}
		for i := 1; i < len(pcm); i++ {
			if d := math.Abs(float64(pcm[i] - pcm[i-1])); d > 0.02 {
				t.Fatalf("%s clicks by %.3f at %d", name, d, i)
			}
		}
		if last := pcm[len(pcm)-FrameSamples:]; peak(last) > 0.001 {
			t.Errorf("%s breaks off at %.4f", name, peak(last))
		}
	}
	for _, tone := range []*Tone{NewEnter(), NewLeave(), NewMuted(), NewUnmuted(), NewAlone()} {
		pcm := whole(tone)
		for at := 0; at < len(pcm); at += 4 * FrameSamples {
			all = append(all, pcm[at:at+FrameSamples]...)
		}
	}
	golden(t, "testdata/tones.pcm", all)
}

// Music is quiet, never silent for long, has no click, not even where it begins anew, and is what it was.
func TestPadGolden(t *testing.T) {
	const loop = bars * barSamples / FrameSamples
	var all []float32
	for tick := range uint64(loop + 100) {
		frame := make([]float32, FrameSamples)
		Pad(tick, frame)
		all = append(all, frame...)
	}
	for i := 1; i < len(all); i++ {
		if d := math.Abs(float64(all[i] - all[i-1])); d > 0.01 {
			t.Fatalf("a click of %.3f at %d", d, i)
		}
	}
	for at := 0; at+sampleRate <= len(all); at += sampleRate {
		if level := decibels(power(all[at : at+sampleRate])); level > -29 || level < -45 {
			t.Errorf("second %d has %.1f dB", at/sampleRate, level)
		}
	}
	for i, x := range all[loop*FrameSamples:] {
		if d := math.Abs(float64(x - all[i])); d > 1e-6 {
			t.Fatalf("the second time it is off by %g at %d", d, i)
		}
	}
	var some []float32 // a frame of each second
	for at := 0; at < loop*FrameSamples; at += sampleRate {
		some = append(some, all[at:at+FrameSamples]...)
	}
	golden(t, "testdata/pad.pcm", some)
}

// constant is a sound of so many ticks.
type constant struct {
	value float32
	ticks int
}

func (c *constant) Next(pcm []float32) bool {
	for i := range pcm {
		pcm[i] = c.value
	}
	c.ticks--
	return c.ticks >= 0
}

// mean is the mean of the samples.
func mean(pcm []float32) float64 {
	var sum float64
	for _, x := range pcm {
		sum += float64(x)
	}
	return sum / float64(len(pcm))
}

// A sound is heard by all, who talks among them, or by one alone; it ends by itself, and the mixer rests again.
func TestPlay(t *testing.T) {
	r := newRoom(t, Config{MaxGain: -1})
	r.join(1, 2, 3)
	r.m.AddListener(9, 2, 32000)
	r.run(10)
	if !r.m.Parked() {
		t.Fatal("not at rest")
	}
	r.m.Play(&constant{0.1, 50}, 0)
	if r.m.Parked() {
		t.Fatal("at rest with a sound to play")
	}
	r.sources[1] = tone(500, 0.1)
	r.run(40)
	for id := ID(1); id <= 3; id++ {
		if x := mean(r.last(id, 20)); math.Abs(x-0.1) > 0.01 {
			t.Errorf("%d hears %.3f", id, x)
		}
	}
	if own := amplitude(r.last(1, 20), 500); own > 0.001 {
		t.Errorf("the talker hears himself at %.4f beside the sound", own)
	}
	r.run(40)
	r.m.Play(&constant{0.1, 50}, 2)
	r.run(40)
	for id, want := range map[ID]float64{1: 0, 2: 0.1, 3: 0} {
		if x := mean(r.last(id, 20)); math.Abs(x-want) > 0.005 {
			t.Errorf("of a sound for 2 alone %d hears %.3f", id, x)
		}
	}
	if a := amplitude(r.last(2, 20), 500); math.Abs(a-0.1) > 0.01 {
		t.Errorf("beside it he hears others at %.3f", a)
	}
	r.m.Play(&constant{0.1, 1000}, 3)
	r.m.RemoveListener(3)
	delete(r.sources, 1)
	r.run(parkTicks + 60)
	if !r.m.Parked() || len(r.m.players) > 0 {
		t.Errorf("%d sounds are left", len(r.m.players))
	}
	if r.m.Play(&constant{0.1, 1}, 77) {
		t.Error("a sound for nobody")
	}
	for range 2 * maxSounds {
		r.m.Play(&constant{0.001, 5}, 0)
	}
	if len(r.m.players) != maxSounds || r.m.Stats().SoundsRefused != maxSounds+1 {
		t.Errorf("%d sounds at once, %d refused", len(r.m.players), r.m.Stats().SoundsRefused)
	}
}

// A sound is not lost where packets are passed on: the mixer goes over to mixing first.
func TestPlayOverPassThrough(t *testing.T) {
	r := newRoom(t, Config{MaxGain: -1})
	r.join(1, 2, 3)
	r.passable = true
	r.sources[1] = func(tick uint64) []float32 {
		if tick%100 > 90 {
			return tone(500, 0.0001)(tick) // a quiet moment
		}
		return tone(500, 0.1)(tick)
	}
	for range 400 {
		r.step()
		if r.out.Forward == 1 {
			break
		}
	}
	if r.out.Forward != 1 {
		t.Fatal("packets are not passed on")
	}
	s := &constant{0.1, 30}
	r.m.Play(s, 0)
	r.run(5)
	if r.out.Forward != 0 {
		t.Error("packets are passed on where a sound plays")
	}
	r.run(20)
	if x := mean(r.last(2, 10)); math.Abs(x-0.1) > 0.01 {
		t.Errorf("2 hears %.3f", x)
	}
	r.run(10)
	if s.ticks > 0 {
		t.Errorf("%d ticks of the sound were not played", s.ticks)
	}
}

// flat is music that can be told from all else: a constant.
func flat(_ uint64, pcm []float32) {
	for i := range pcm {
		pcm[i] = 0.05
	}
}

// Who is on hold hears music and nobody, and is heard by nobody; he goes there and comes back by a fade, without a jump, and all who do so at
// once share its encoder.
func TestHold(t *testing.T) {
	r := newRoom(t, Config{MaxGain: -1, Music: flat})
	r.join(1, 2, 3, 4)
	r.sources[1], r.sources[2] = tone(500, 0.1), tone(700, 0.1)
	r.m.Hold(3, true) // before he has heard anything
	r.run(60)
	if x := mean(r.last(3, 50)); math.Abs(x-0.05) > 0.002 {
		t.Errorf("on hold from the beginning he hears %.3f", x)
	}
	if a := amplitude(r.last(3, 50), 500); a > 0.0001 {
		t.Errorf("and others at %.4f", a)
	}
	r.m.Hold(2, true)
	r.m.Hold(4, true)
	before := r.tape.open
	r.run(10)
	if n := r.tape.open - before; n > 1 {
		t.Errorf("two who go on hold at once need %d encoders", n)
	}
	r.run(60)
	for _, id := range []ID{2, 3, 4} {
		if x := mean(r.last(id, 20)); math.Abs(x-0.05) > 0.002 {
			t.Errorf("%d hears %.3f", id, x)
		}
		if a := amplitude(r.last(id, 20), 500); a > 0.0001 {
			t.Errorf("%d hears somebody at %.4f", id, a)
		}
	}
	if a := amplitude(r.last(1, 20), 700); a > 0.0001 {
		t.Errorf("who is on hold is heard at %.4f", a)
	}
	for _, id := range []ID{2, 3, 4} {
		r.m.Hold(id, false)
	}
	r.run(5)
	if a := amplitude(r.last(1, 2), 700); a < 0.05 {
		t.Errorf("who is back is heard at %.4f", a)
	}
	r.run(100)
	for id, want := range map[ID]float64{2: 0, 3: 0.1, 4: 0.1} {
		if x := mean(r.last(id, 20)); math.Abs(x) > 0.001 {
			t.Errorf("%d still hears music at %.3f", id, x)
		}
		if a := amplitude(r.last(id, 20), 700); math.Abs(a-want) > 0.01 {
			t.Errorf("%d hears 2 at %.4f", id, a)
		}
		for i := 1; i < len(r.got[id]); i++ {
			if d := math.Abs(float64(r.got[id][i] - r.got[id][i-1])); d > 0.06 { // tones themselves move by 0.017 a sample
				t.Fatalf("%d hears a jump of %.3f at %d", id, d, i)
			}
		}
	}
	if len(r.m.fades) > 0 || r.m.onHold != 0 {
		t.Errorf("%d fades, %d on hold", len(r.m.fades), r.m.onHold)
	}
}

// Who is on hold costs nothing but the shared music; where all who are not are silent, they may talk and be passed through; and when the
// last on hold leaves, the mixer rests.
func TestHoldRests(t *testing.T) {
	r := newRoom(t, Config{Music: flat})
	r.join(1, 2)
	for id := ID(10); id < 60; id++ {
		r.join(id)
		r.m.Hold(id, true)
	}
	r.run(100)
	before := r.m.Stats().Encodes
	r.run(100)
	if n := r.m.Stats().Encodes - before; n > 200 {
		t.Errorf("%d encodes in 100 ticks for fifty on hold", n)
	}
	for id := ID(10); id < 60; id++ {
		r.m.RemoveListener(id)
		r.m.RemoveInput(id)
	}
	r.run(parkTicks + 10)
	if !r.m.Parked() {
		t.Error("the mixer does not rest")
	}
}

// Sounds and holds allocate only where they begin.
func TestHoldNoAllocations(t *testing.T) {
	tp := &tape{lowest: 10}
	m, err := New(Config{Encoders: tp.encoder})
	if err != nil {
		t.Fatal(err)
	}
	for i := ID(1); i <= 10; i++ {
		m.AddInput(i)
		m.AddListener(i, 1, 32000)
		m.Hold(i, i%2 == 0)
	}
	m.Play(&constant{0.1, 100000}, 0)
	m.Play(&constant{0.1, 100000}, 1)
	tick := uint64(0)
	step := func() {
		tick++
		m.Select(tick)
		m.Mix()
	}
	for range 200 {
		step()
	}
	if got := testing.AllocsPerRun(400, step); got != 0 {
		t.Errorf("%.2f allocations a tick", got)
	}
}

func BenchmarkPad(b *testing.B) {
	frame := make([]float32, FrameSamples)
	for i := range b.N {
		Pad(uint64(i), frame)
	}
}
