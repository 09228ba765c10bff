package uplink

import (
	"testing"
	"time"
)

var begin = time.Unix(1_700_000_000, 0)

// children returns n children of which ill drop and lose.
func children(n, ill int) []Child {
	out := make([]Child, n)
	for i := range ill {
		out[i] = Child{Dropped: 10, LossPermille: 120}
	}
	return out
}

func TestTooMuch(t *testing.T) {
	for name, c := range map[string]struct {
		s    Sample
		want bool
	}{
		"nothing":              {Sample{}, false},
		"idle children":        {Sample{Children: children(9, 0)}, false},
		"one bad line":         {Sample{Children: children(9, 1)}, false},
		"four of nine":         {Sample{Children: children(9, 4)}, false},
		"five of nine":         {Sample{Children: children(9, 5)}, true},
		"the only one drops":   {Sample{Children: children(1, 1)}, true},
		"both lose":            {Sample{Children: []Child{{LossPermille: 200}, {LossPermille: 100}}}, false},
		"both drop":            {Sample{Children: children(2, 2)}, true},
		"the only one loses":   {Sample{Children: []Child{{LossPermille: 200}}}, false},
		"a busy machine":       {Sample{Lag: 100 * time.Millisecond}, false},
		"a machine that hangs": {Sample{Lag: 200 * time.Millisecond}, true},
	} {
		if got := TooMuch(c.s); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// Steps come in order, wait for one another, and are taken back in the other order.
func TestStepsThereAndBack(t *testing.T) {
	c := NewController()
	now := begin
	run := func(seconds int, s Sample) (v Verdict) {
		for range seconds {
			now = now.Add(time.Second)
			v = c.Step(now, 20, s)
		}
		return v
	}
	full := Sample{Children: children(10, 8)}
	if v := run(2, full); v != (Verdict{Slots: 20}) {
		t.Errorf("after two bad samples: %+v", v)
	}
	if v := run(1, full); v != (Verdict{Slots: 10, Overloaded: true}) {
		t.Errorf("after three: %+v", v)
	}
	if v := run(3, full); v.Shed != ShedDiscardable {
		t.Errorf("after six: %+v", v)
	}
	if v := run(60, full); v.Shed != ShedVideo || v.Slots != 10 {
		t.Errorf("after a minute: %+v", v)
	}
	fine := Sample{Children: children(10, 0)}
	if v := run(9, fine); v.Shed != ShedVideo {
		t.Errorf("nine calm seconds are enough: %+v", v)
	}
	if v := run(5, fine); v.Shed != ShedDiscardable {
		t.Errorf("after 14 calm seconds: %+v", v)
	}
	if v := run(20, fine); v.Shed != ShedNothing || v.Slots <= 10 || v.Slots >= 20 {
		t.Errorf("after 34 calm seconds: %+v", v)
	}
	if v := run(60, fine); v != (Verdict{Slots: 20}) {
		t.Errorf("in the end: %+v", v)
	}
	if c.Overloads() != 1 {
		t.Errorf("%d overloads", c.Overloads())
	}
}

// Whatever comes, nobody who is there is counted out below zero, audio is never shed, and the limit is never above the slots.
func FuzzController(f *testing.F) {
	f.Add([]byte{1, 200, 9, 9, 5, 5, 5, 5, 0, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		c := NewController()
		now := begin
		for len(data) >= 3 {
			n, ill, slots := int(data[0]%32), int(data[1]%32), int(data[2]%70)
			data = data[3:]
			now = now.Add(time.Duration(ill) * 100 * time.Millisecond)
			v := c.Step(now, slots, Sample{Lag: time.Duration(n*ill) * time.Millisecond, Children: children(n, min(n, ill))})
			if v.Slots < 0 || v.Slots > slots || v.Shed < ShedNothing || v.Shed > ShedVideo {
				t.Fatalf("%+v with %d slots", v, slots)
			}
			if v.Shed > ShedNothing && !v.Overloaded {
				t.Fatalf("sheds without an overload: %+v", v)
			}
		}
	})
}

// Bad lines alone keep newcomers away, and nothing back.
func TestLossesShedNothing(t *testing.T) {
	c := NewController()
	lossy := Sample{Children: []Child{{LossPermille: 150}, {LossPermille: 150}, {LossPermille: 150}, {LossPermille: 150}}}
	var v Verdict
	for i := range 120 {
		v = c.Step(begin.Add(time.Duration(i)*time.Second), 9, lossy)
	}
	if v != (Verdict{Slots: 4, Overloaded: true}) {
		t.Errorf("after two minutes: %+v", v)
	}
}
