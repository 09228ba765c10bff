package mixer

import (
	"math"
	"slices"
	"testing"
)

// One listener turns one talker down; nobody else notices, and it costs one encode while that one is heard.
func TestWish(t *testing.T) {
	r := newRoom(t, plain)
	r.join(1, 2, 3, 4)
	r.sources[1], r.sources[2] = tone(450, 0.1), tone(600, 0.1)
	r.run(50)
	lanes := len(r.m.lanes)
	r.m.Wish(3, 1, 0.25)
	r.m.Wish(2, 1, 0)
	r.run(50)
	if got := len(r.m.lanes); got != lanes+1 { // 2 had one of his own before
		t.Errorf("%d lanes, %d without wishes", got, lanes)
	}
	check := func(id ID, frequency, want float64) {
		t.Helper()
		a := amplitude(r.last(id, 10), frequency)
		if want == 0 && below(a, 0.1) > -60 || want > 0 && math.Abs(below(a, want)) > 0.1 {
			t.Errorf("%d hears %g Hz at %.4f, not %.4f", id, frequency, a, want)
		}
	}
	check(3, 450, 0.025)
	check(3, 600, 0.1)
	check(4, 450, 0.1)
	check(4, 600, 0.1)
	check(2, 450, 0)
	check(2, 600, 0)
	check(1, 600, 0.1)
	check(1, 450, 0)
	r.m.Wish(3, 1, 1)
	r.m.Unwish(2, 1)
	r.run(60)
	if got := len(r.m.lanes); got != lanes {
		t.Errorf("%d lanes after the wishes have ended, not %d", got, lanes)
	}
	check(3, 450, 0.1)
	check(2, 450, 0.1)
	for id := ID(1); id <= 4; id++ {
		jumps(t, r.got[id], 0.3)
	}
}

// A room is mono until somebody is put to a side or sends two channels, and then only for those who want it.
func TestStereo(t *testing.T) {
	r := newRoom(t, plain)
	r.join(1, 2, 3)
	r.m.AddListener(3, 2, 32000)
	r.m.AddListener(4, 1, 32000)
	r.sources[1], r.sources[2] = tone(450, 0.1), tone(600, 0.1)
	channels := func() map[ID]int {
		all := map[ID]int{}
		for _, p := range r.out.Packets {
			for _, id := range p.Listeners {
				all[id] = p.Channels
			}
		}
		return all
	}
	r.run(50)
	if c := channels(); c[3] != 1 || c[4] != 1 {
		t.Fatalf("channels %v in a mono room", c)
	}
	r.m.Adjust(1, 1, -1)
	r.run(50)
	if c := channels(); c[3] != 2 || c[4] != 1 {
		t.Fatalf("channels %v", c)
	}
	heard := r.got[3][len(r.got[3])-20*FrameSamples:]
	left, right := split(heard)
	for _, test := range []struct {
		pcm       []float32
		frequency float64
		want      float64
	}{{left, 450, 0.1 * math.Sqrt2}, {right, 450, 0}, {left, 600, 0.1}, {right, 600, 0.1}, {r.last(4, 10), 450, 0.1}} {
		if a := amplitude(test.pcm, test.frequency); math.Abs(a-test.want) > 0.001 {
			t.Errorf("%g Hz at %.4f, not %.4f", test.frequency, a, test.want)
		}
	}
	r.m.Adjust(1, 1, 0)
	r.run(wideTicks + 100)
	if c := channels(); c[3] != 1 {
		t.Errorf("channels %v after the room is mono again", c)
	}
	// One listener's own place for an input, in a mono room.
	r.m.WishPlace(3, 2, 1)
	r.run(50)
	left, right = split(r.got[3][len(r.got[3])-20*FrameSamples:])
	if a, b := amplitude(left, 600), amplitude(right, 600); a > 0.001 || math.Abs(b-0.1*math.Sqrt2) > 0.001 {
		t.Errorf("left %.4f, right %.4f", a, b)
	}
	if a := amplitude(left, 450); math.Abs(a-0.1) > 0.001 {
		t.Errorf("the other is at %.4f on the left", a)
	}
}

func split(pcm []float32) (left, right []float32) {
	for i := 0; i < len(pcm); i += 2 {
		left, right = append(left, pcm[i]), append(right, pcm[i+1])
	}
	return left, right
}

// Listeners with losses get an encoder with FEC, of their own class.
func TestLossClasses(t *testing.T) {
	r := newRoom(t, plain)
	r.join(1, 2, 3, 4)
	r.sources[1] = tone(450, 0.1)
	r.run(50)
	r.m.Loss(3, 5)
	r.m.Loss(4, 20)
	r.run(50)
	classes := map[ID]int{}
	for _, l := range r.m.lanes {
		for _, id := range l.users {
			classes[id] = l.key.spec.Loss
		}
	}
	if classes[2] != 0 || classes[3] != 5 || classes[4] != 15 {
		t.Errorf("expected losses %v", classes)
	}
	jumps(t, r.got[3], 0.2)
}

// A worse path counts at once, a better one after ten seconds, and one at the limit does not go back and forth.
func TestLossClass(t *testing.T) {
	second := func(s int) uint64 { return uint64(s * ticksPerSecond) }
	tests := []struct {
		name  string
		loss  func(s int) float64 // in each second
		class []int               // after each second, in the end
	}{
		{"clean", func(int) float64 { return 1 }, []int{0, 0, 0}},
		{"at the limit", func(s int) float64 { return 1.9 + 0.2*float64(s%2) }, []int{1, 1, 1}},
		{"bad", func(int) float64 { return 12 }, []int{2, 2, 2}},
		{"a burst", func(s int) float64 {
			if s == 5 {
				return 20
			}
			return 0
		}, []int{0, 0, 0}},
		{"better by one", func(s int) float64 {
			if s < 20 {
				return 10
			}
			return 5
		}, []int{1, 1, 1}},
	}
	for _, test := range tests {
		var c lossClass
		var got []int
		for s := range 40 {
			c.observe(second(s), test.loss(s))
			got = append(got, c.class)
		}
		if !slices.Equal(got[37:], test.class) {
			t.Errorf("%s: %v", test.name, got)
		}
		if test.name == "a burst" && (got[5] != 2 || got[14] != 2 || got[17] != 1 || got[20] != 1) {
			t.Errorf("%s: %v", test.name, got)
		}
	}
}
