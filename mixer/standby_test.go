package mixer

import (
	"math"
	"testing"
)

// Two mixers that are fed the same make the same, bit by bit.
func TestDeterministic(t *testing.T) {
	play := func() *room {
		r := newRoom(t, Config{})
		for i := ID(1); i <= 6; i++ {
			r.join(i)
			r.sources[i] = during(13*uint64(i), 13*uint64(i)+90, tone(300+100*float64(i), 0.05*float64(i)))
		}
		r.run(200)
		return r
	}
	a, b := play(), play()
	for id, pcm := range a.got {
		if len(pcm) != len(b.got[id]) {
			t.Fatalf("%d heard %d and %d samples", id, len(pcm), len(b.got[id]))
		}
		for i, x := range pcm {
			if x != b.got[id][i] {
				t.Fatalf("%d heard %g and %g at %d", id, x, b.got[id][i], i)
			}
		}
	}
	if a.m.number != b.m.number || a.m.stats != b.m.stats {
		t.Errorf("%d and %d, %+v and %+v", a.m.number, b.m.number, a.m.stats, b.m.stats)
	}
}

// A standby that comes late has the primary's numbers and, once inputs have faded in, its mix.
func TestFollow(t *testing.T) {
	primary, standby := newRoom(t, Config{}), newRoom(t, Config{})
	for _, r := range []*room{primary, standby} {
		r.join(1, 2, 3)
		r.sources[1], r.sources[2] = tone(450, 0.02), tone(600, 0.3)
	}
	primary.run(300)
	standby.tick = 300
	standby.step()
	primary.step()
	standby.m.Follow(primary.out.Map)
	for range 20 {
		primary.step()
		standby.step()
		if a, b := primary.out, standby.out; a.Number != b.Number || a.Timestamp != b.Timestamp || a.Tick != b.Tick {
			t.Fatalf("primary %d at %d, standby %d at %d", a.Number, a.Timestamp, b.Number, b.Timestamp)
		}
	}
	if len(primary.out.Map.Inputs) != 2 || primary.out.Map.Inputs[1].ID != 2 || primary.out.Map.Inputs[0].Timestamp != uint32(primary.tick)*FrameSamples {
		t.Errorf("map %+v", primary.out.Map)
	}
	for id := ID(1); id <= 3; id++ {
		a, b := primary.last(id, 5), standby.last(id, 5)
		off := 0.0
		for i := range a {
			off = max(off, math.Abs(float64(a[i]-b[i])))
		}
		if off > 0.001 {
			t.Errorf("%d hears a mix that is off by %.5f", id, off)
		}
	}
	// From a map that is ahead as well.
	standby.m.Follow(Map{Tick: standby.tick + 10, Number: 1010})
	standby.run(10)
	if standby.out.Number != 1010 {
		t.Errorf("number %d", standby.out.Number)
	}
}
