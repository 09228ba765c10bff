package mixer

import (
	"math"
	"testing"
)

// speaker talks in phrases of 900 ms with pauses of 100 ms.
func speaker(frequency float64) source {
	s := tone(frequency, 0.1)
	return func(tick uint64) []float32 {
		if tick%50 < 5 {
			return make([]float32, FrameSamples)
		}
		return s(tick)
	}
}

// One speaker's packets are passed on from a pause of his on, and the mix comes back when somebody else talks, on one timeline.
func TestPassthrough(t *testing.T) {
	r := newRoom(t, plain)
	r.join(1, 2, 3)
	r.m.AddListener(9, 1, 32000)
	r.passable = true
	r.sources[1] = speaker(450)
	r.run(200)
	if r.out.Forward != 1 || len(r.out.Forwarded) != 3 {
		t.Fatalf("passed on: %d to %v", r.out.Forward, r.out.Forwarded)
	}
	if r.decoded != 0 || len(r.m.lanes) != 1 || r.m.lanes[0].key.minus != 1 {
		t.Errorf("%d decodes, %d encodes", r.decoded, len(r.m.lanes))
	}
	number := r.out.Number
	r.sources[2] = during(251, 350, tone(600, 0.1))
	r.run(48)
	for r.out.Forward != 0 {
		if r.step(); r.tick > 260 {
			t.Fatal("still passed on while two talk")
		}
	}
	if late := r.tick - 251; late > passOutTicks {
		t.Errorf("the second is heard %d ticks late", late)
	}
	r.run(20)
	heard := r.last(3, 10)
	for _, f := range []float64{450, 600} {
		if a := amplitude(heard, f); math.Abs(below(a, 0.1)) > 0.1 {
			t.Errorf("%g Hz at %.1f dB in the mix", f, below(a, 0.1))
		}
	}
	if a := amplitude(r.last(1, 10), 450); below(a, 0.1) > -60 {
		t.Error("the speaker hears himself")
	}
	r.run(300)
	if r.out.Forward != 1 {
		t.Error("not passed on again")
	}
	if got := r.out.Number - number; got != r.tick-200 {
		t.Errorf("%d numbers in %d ticks", got, r.tick-200)
	}
	if r.out.Timestamp != uint32(r.tick)*FrameSamples {
		t.Errorf("timestamp %d at tick %d", r.out.Timestamp, r.tick)
	}
	if r.m.Stats().Starved != 0 {
		t.Errorf("%d frames were missed", r.m.Stats().Starved)
	}
	// Every change of lanes falls into a pause, or between frames that carry the same: 2 ms is the limiter's delay.
	for id := range r.got {
		if id != 1 {
			seams(t, r.got[id])
		}
	}
}

// seams fails where a frame begins at another place than the last has ended at, by more than the limiter's delay explains.
func seams(t *testing.T, pcm []float32) {
	t.Helper()
	for i := FrameSamples; i < len(pcm); i += FrameSamples {
		if d := math.Abs(float64(pcm[i] - pcm[i-1])); d > 0.1 {
			t.Errorf("step of %.3f at frame %d", d, i/FrameSamples)
		}
	}
}

// What keeps packets from being passed on, and ends it.
func TestPassthroughOnlyWhereItFits(t *testing.T) {
	tests := []struct {
		name string
		do   func(r *room)
	}{
		{"a gain", func(r *room) { r.m.Adjust(1, 2, 0) }},
		{"a place", func(r *room) { r.m.Adjust(1, 1, 0.5) }},
		{"a listener with losses", func(r *room) { r.m.Loss(3, 5) }},
		{"a wish", func(r *room) { r.m.Wish(3, 1, 0.5) }},
		{"packets that do not fit", func(r *room) { r.passable = false }},
		{"muted", func(r *room) { r.m.Mute(1, true) }},
		{"removed", func(r *room) { r.m.RemoveInput(1); delete(r.sources, 1) }},
	}
	for _, test := range tests {
		for _, before := range []bool{true, false} {
			r := newRoom(t, plain)
			r.join(1, 2, 3)
			r.passable = true
			r.sources[1] = speaker(450)
			if before {
				test.do(r)
			}
			r.run(200)
			if !before {
				if r.out.Forward != 1 {
					t.Fatalf("%s: not passed on", test.name)
				}
				test.do(r)
				r.run(60)
			}
			if r.out.Forward != 0 {
				t.Errorf("%s, from the start: %v: passed on", test.name, before)
			}
		}
	}
}

// An input that is too quiet is raised, not passed on.
func TestPassthroughAndLoudness(t *testing.T) {
	r := newRoom(t, Config{})
	r.join(1, 2)
	r.passable = true
	s := speaker(450)
	r.sources[1] = func(tick uint64) []float32 {
		pcm := s(tick)
		for i := range pcm {
			pcm[i] /= 5
		}
		return pcm
	}
	r.run(400)
	if r.out.Forward != 0 {
		t.Error("a quiet input is passed on")
	}
	r.sources[1] = s // -23 dB
	r.run(1500)
	if r.out.Forward != 1 {
		t.Errorf("an input of the right loudness is not passed on: gain %.1f dB", r.m.input(1).loud.gain)
	}
}

// Who becomes much louder while his packets are passed on is brought back into the mix, where his gain is looked after.
func TestPassthroughDrift(t *testing.T) {
	r := newRoom(t, plain)
	r.join(1, 2)
	r.passable = true
	s, gain := speaker(450), float32(1)
	r.sources[1] = func(tick uint64) []float32 {
		pcm := s(tick)
		for i := range pcm {
			pcm[i] *= gain
		}
		return pcm
	}
	r.run(300)
	if r.out.Forward != 1 {
		t.Fatal("not passed on")
	}
	gain = 5
	r.run(150)
	if r.m.Stats().Forwards > 300 {
		t.Errorf("passed on for %d ticks", r.m.Stats().Forwards)
	}
	if r.m.pass.leaving == 0 && r.m.pass.in != nil && r.m.pass.began < 100 {
		t.Error("still passed on")
	}
}

// In a room of a few packets are passed on as soon as one talks whom alone the others hear, whatever his loudness, and nobody's own voice is
// decoded for nothing. Where a third comes, who talks is mixed.
func TestPlain(t *testing.T) {
	r := newRoom(t, Config{Plain: true})
	r.m.AddInput(1)
	r.m.AddListener(1, 1, 32000)
	r.m.AddInput(2) // takes part elsewhere
	r.passable = true
	r.sources[1], r.sources[2] = tone(450, 0.1), during(50, 10000, tone(600, 0.004))
	r.run(49)
	if r.decoded != 0 {
		t.Error("who hears nobody else is decoded")
	}
	if len(r.out.Talkers) != 1 || r.out.Talkers[0].ID != 1 {
		t.Errorf("talkers %+v", r.out.Talkers)
	}
	r.run(10)
	if r.out.Forward != 2 || len(r.out.Forwarded) != 1 || len(r.out.Packets) != 0 || r.decoded != 0 {
		t.Errorf("passed on: %d to %v, beside %d packets and %d decodes", r.out.Forward, r.out.Forwarded, len(r.out.Packets), r.decoded)
	}
	r.m.AddInput(3)
	r.sources[3] = tone(900, 0.1)
	r.run(20)
	if r.out.Forward != 0 || len(r.out.Packets) != 1 {
		t.Errorf("with a third: passed on %d, %d packets", r.out.Forward, len(r.out.Packets))
	}
	r.m.RemoveInput(3)
	delete(r.sources, 3)
	r.run(passSoleTicks + 50)
	if r.out.Forward != 2 {
		t.Error("not passed on again")
	}
}
