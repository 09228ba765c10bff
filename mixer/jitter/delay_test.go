package jitter

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestHistogram compares with a histogram that forgets by multiplying all weights.
func TestHistogram(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for _, forget := range []float64{underrunForget, reorderForget} {
		h := histogram{forget: forget}
		var dumb [buckets]float64
		for n := range 40000 {
			v := int64(r.ExpFloat64() * 3 * bucket)
			h.add(v)
			w := math.Min(1, math.Max(1-forget, 2/float64(n+1)))
			for i := range dumb {
				dumb[i] *= 1 - w
			}
			dumb[min(v/bucket, buckets-1)] += w
			if n%997 != 0 {
				continue
			}
			sum, q := 0.0, -1
			for i, d := range dumb {
				if math.Abs(d-h.share(i)) > 1e-9 {
					t.Fatalf("after %d: bucket %d has %v instead of %v", n, i, h.share(i), d)
				}
				if sum += d; q < 0 && sum >= 0.95-1e-9 {
					q = i
				}
			}
			if h.quantile(0.95) != q {
				t.Fatalf("after %d: the quantile is %d instead of %d", n, h.quantile(0.95), q)
			}
		}
	}
}

// TestBaseDelay compares with a list of all packets, but for the last tenth of a second of the window.
func TestBaseDelay(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	var b baseDelay
	type packet struct{ arrival, way int64 }
	var past []packet
	at := int64(0)
	for range 20000 {
		at += int64(r.IntN(2000))
		if r.IntN(500) == 0 {
			at += 5 * Rate
		}
		way := int64(r.IntN(5000))
		past = append(past, packet{at, way})
		delay := b.add(at, at-way)
		long, short := way, way
		for i := len(past) - 1; i >= 0 && past[i].arrival > at-baseWindow; i-- {
			long = min(long, past[i].way)
			if past[i].arrival > at-baseWindow+baseSlot {
				short = min(short, past[i].way)
			}
		}
		if b.value < long || b.value > short || delay != way-b.value {
			t.Fatalf("at %d: base %d, not from %d to %d; delay %d", at, b.value, long, short, delay)
		}
	}
}

func TestCheapest(t *testing.T) {
	var h histogram
	h.forget = reorderForget
	for range 1000 {
		h.add(0)
	}
	if got := cheapest(&h, 2*bucket); got != bucket {
		t.Errorf("without reordering %d", got)
	}
	for i := range 4000 { // one in twenty comes 90 ms late: 5 % are worth 100 ms
		if i%20 == 0 {
			h.add(90 * Rate / 1000)
		} else {
			h.add(0)
		}
	}
	if got := cheapest(&h, bucket); got != 5*bucket {
		t.Errorf("with one in twenty late %d", got)
	}
	for i := range 10000 { // one in a hundred is worth 20 ms
		if i%100 == 0 {
			h.add(90 * Rate / 1000)
		} else {
			h.add(0)
		}
	}
	if got := cheapest(&h, bucket); got != bucket {
		t.Errorf("with one in a hundred late %d", got)
	}
}

func TestDecide(t *testing.T) {
	const ms = Rate / 1000
	for _, tt := range []struct {
		name                string
		shortening          bool
		delay, left, target int64
		wish                wish
		most                int64
	}{
		{"at the target", false, 40 * ms, 0, 40 * ms, leave, 0},
		{"a bit below", false, 36 * ms, 0, 40 * ms, leave, 0},
		{"below", false, 34 * ms, 0, 40 * ms, lengthen, 0},
		{"a bit above", false, 55 * ms, 0, 40 * ms, leave, 0},
		{"far above", false, 62 * ms, 0, 40 * ms, shorten, 20 * ms},
		{"with what is left over", false, 45 * ms, 18 * ms, 40 * ms, shorten, 18 * ms},
		{"goes on shortening", true, 44 * ms, 10 * ms, 40 * ms, shorten, 10 * ms},
		{"has shortened enough", true, 44 * ms, 3 * ms, 40 * ms, leave, 0},
		{"very far above", false, 120 * ms, 0, 40 * ms, shortenFast, 80 * ms},
	} {
		c := control{shortening: tt.shortening}
		if w, most := c.decide(0, tt.delay, tt.left, tt.target, 20*ms); w != tt.wish || most != tt.most {
			t.Errorf("%s: %d of %d", tt.name, w, most)
		}
		c.done(0)
		if w, _ := c.decide(betweenUrgent-1, tt.delay, tt.left, tt.target, 20*ms); w != leave {
			t.Errorf("%s: again at once", tt.name)
		}
	}
}

func TestGain(t *testing.T) {
	for _, tt := range []struct {
		run     int64
		comfort bool
		want    float32
	}{
		{0, false, 1}, {fadeFrom, false, 1}, {fadeFrom + fadeOver/2, false, 0.5}, {fadeFrom + fadeOver, false, 0}, {Rate, false, 0},
		{Rate / 2, true, 1}, {noiseTime, true, 0},
	} {
		if got := gain(tt.run, tt.comfort); got != tt.want {
			t.Errorf("%+v: %v", tt, got)
		}
	}
}
