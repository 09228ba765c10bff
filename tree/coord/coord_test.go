package coord

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// world makes round trips between n peers: on a map, with access links, and with a part of the pairs made up to three times
// as far apart as the map says, so that the triangle inequality does not hold.
func world(n int, detours float64, seed uint64) [][]time.Duration {
	rng := rand.New(rand.NewPCG(seed, 1))
	type place struct{ x, y, access float64 }
	at := make([]place, n)
	for i := range at {
		at[i] = place{rng.Float64() * 150, rng.Float64() * 150, 1 + rng.ExpFloat64()*6}
	}
	rtt := make([][]time.Duration, n)
	for i := range rtt {
		rtt[i] = make([]time.Duration, n)
		for j := range i {
			ms := math.Hypot(at[i].x-at[j].x, at[i].y-at[j].y) + at[i].access + at[j].access
			if rng.Float64() < detours {
				ms *= 1 + 2*rng.Float64()
			}
			rtt[i][j] = time.Duration(ms * float64(time.Millisecond))
			rtt[j][i] = rtt[i][j]
		}
	}
	return rtt
}

// median returns the median relative error over all pairs.
func median(s []State, rtt [][]time.Duration) float64 {
	var errs []float64
	for i := range s {
		for j := range i {
			d, ok := Distance(s[i].Coord(), s[j].Coord())
			if !ok {
				return math.Inf(1)
			}
			errs = append(errs, math.Abs(d.Seconds()-rtt[i][j].Seconds())/rtt[i][j].Seconds())
		}
	}
	slices.Sort(errs)
	return errs[len(errs)/2]
}

func TestForetells(t *testing.T) {
	for _, c := range []struct {
		name    string
		detours float64
		most    float64
	}{{"map", 0, 0.12}, {"detours", 0.15, 0.25}} {
		t.Run(c.name, func(t *testing.T) {
			const n = 100
			rtt := world(n, c.detours, 3)
			rng := rand.New(rand.NewPCG(5, 6))
			s := make([]State, n)
			for range 60 {
				for i := range s {
					j := rng.IntN(n)
					if j != i {
						s[i].Learn(rtt[i][j], s[j].Coord(), rng)
					}
				}
			}
			if e := median(s, rtt); e > c.most {
				t.Errorf("median error %.2f, want at most %.2f", e, c.most)
			} else {
				t.Logf("median error %.2f", e)
			}
		})
	}
}

// A newcomer that measures eight peers with settled places already ranks others well.
func TestNewcomer(t *testing.T) {
	const n = 100
	rtt := world(n, 0.15, 8)
	rng := rand.New(rand.NewPCG(5, 6))
	s := make([]State, n)
	for range 60 {
		for i := range n - 1 {
			if j := rng.IntN(n - 1); j != i {
				s[i].Learn(rtt[i][j], s[j].Coord(), rng)
			}
		}
	}
	self := n - 1
	for k := range 16 {
		s[self].Learn(rtt[self][k%8], s[k%8].Coord(), rng)
	}
	right, pairs := 0, 0
	for range 1000 {
		a, b := rng.IntN(self), rng.IntN(self)
		if a == b {
			continue
		}
		da, _ := Distance(s[self].Coord(), s[a].Coord())
		db, _ := Distance(s[self].Coord(), s[b].Coord())
		pairs++
		if (da < db) == (rtt[self][a] < rtt[self][b]) {
			right++
		}
	}
	if part := float64(right) / float64(pairs); part < 0.7 {
		t.Errorf("%.0f %% of the pairs are ranked rightly", 100*part)
	}
}

// Whoever lies about its place moves nobody far: a coordinate stays in the limits whatever it is told.
func TestLiars(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var s State
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for _, c := range []Coord{{}, {Err: nan}, {Err: 1, Height: inf}, {Err: 1, Vec: [Dims]float32{nan}}, {Err: 0.01, Vec: [Dims]float32{9999, -9999}, Height: -5}, {Err: -1}, {Err: 1e30}} {
		for range 50 {
			s.Learn(20*time.Millisecond, c, rng)
			if got := s.Coord(); got != got.Clamp() {
				t.Fatalf("after %+v: %+v is out of bounds", c, got)
			}
		}
	}
	for _, rtt := range []time.Duration{0, -time.Second, time.Hour} {
		before := s.Coord()
		s.Learn(rtt, Coord{Err: 1}, rng)
		if s.Coord() != before {
			t.Errorf("learned from a round trip of %v", rtt)
		}
	}
}

func TestUnknown(t *testing.T) {
	if _, ok := Distance(Coord{}, Coord{Err: 1}); ok {
		t.Error("a distance from nowhere")
	}
	if b := (Coord{}).Append(nil); len(b) != 0 || Decode(b).Known() {
		t.Error("the zero coordinate is encoded")
	}
	c := Coord{Vec: [Dims]float32{1, -2, 3, 4}, Height: 5, Adjust: -1, Err: 0.5}
	if got := Decode(c.Append(nil)); got != c {
		t.Errorf("%+v became %+v", c, got)
	}
}

// FuzzDecode checks that whatever is decoded can be used.
func FuzzDecode(f *testing.F) {
	f.Add(Coord{Err: 1, Height: 1}.Append(nil))
	f.Add(make([]byte, Size))
	f.Fuzz(func(t *testing.T, b []byte) {
		c := Decode(b)
		if c != c.Clamp() {
			t.Fatalf("%+v is not clamped", c)
		}
		var s State
		s.Learn(time.Millisecond, c, rand.New(rand.NewPCG(1, 1)))
		s.Learn(time.Second, c, rand.New(rand.NewPCG(1, 1)))
		if d, ok := Distance(s.Coord(), c); ok && (d < 0 || d > time.Minute*2) {
			t.Fatalf("distance %v", d)
		}
		if got := s.Coord(); got != got.Clamp() {
			t.Fatalf("%+v is out of bounds", got)
		}
	})
}
