package mixer

import "testing"

func TestComplexity(t *testing.T) {
	// A machine on which an encode takes (1 + complexity) / 50 of a tick.
	cost := func(encodes, c int) float64 { return float64(encodes) * float64(1+c) / 50 }
	tests := []struct {
		name            string
		encodes, least  int
		most            int
		ticksToComeBack int
	}{
		{"few", 4, 4, 4, 0}, {"many", 10, 0, 3, 0}, {"too many", 60, 0, 0, 0},
	}
	for _, test := range tests {
		c := complexity{now: 4, most: 4}
		for range 100 {
			c.plan(4)
			c.took(cost(4, c.now))
		}
		if c.now != 4 {
			t.Fatalf("%s: %d to begin with", test.name, c.now)
		}
		late := 0
		for tick := range 500 {
			now := c.plan(test.encodes)
			if cost(test.encodes, now) >= 1 && now > 0 {
				late++
			}
			c.took(cost(test.encodes, now))
			if tick > 50 && (now < test.least || now > test.most) {
				t.Errorf("%s: complexity %d", test.name, now)
				break
			}
		}
		if late > 0 {
			t.Errorf("%s: %d late ticks", test.name, late)
		}
		for range 10 * calmTicks {
			c.plan(4)
			c.took(cost(4, c.now))
		}
		if c.now != 4 {
			t.Errorf("%s: %d when it is calm again", test.name, c.now)
		}
	}
}

// The encoders are told.
func TestComplexityIsSet(t *testing.T) {
	r := newRoom(t, plain)
	r.join(1, 2)
	r.sources[1] = tone(450, 0.1)
	r.run(10)
	if r.tape.lowest != 4 {
		t.Errorf("complexity %d", r.tape.lowest)
	}
	r.m.Load(0.95)
	r.run(3)
	if r.tape.lowest >= 3 {
		t.Errorf("complexity %d when ticks are nearly late", r.tape.lowest)
	}
}
