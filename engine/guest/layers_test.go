package guest

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestAllot(t *testing.T) {
	three := []layer{{720, 1_200_000, true}, {360, 400_000, true}, {180, 100_000, true}}
	two := []layer{{720, 1_200_000, false}, {360, 400_000, true}, {180, 100_000, true}}
	for _, c := range []struct {
		name    string
		demands []demand
		budget  uint64
		want    []int
	}{
		{"nothing", nil, 1000, []int{}},
		{"empty section", []demand{{now: -1}}, 1000, []int{-1}},
		{"all there is", []demand{{three, -1, 0}}, 3_000_000, []int{0}},
		{"enough lines", []demand{{three, 0, 180}, {three, 0, 330}, {three, 0, 361}, {three, 0, 500}}, 30_000_000, []int{2, 1, 1, 0}},
		{"large before small", []demand{{three, 2, 180}, {three, 2, 0}, {three, 2, 360}}, 1_700_000, []int{2, 0, 2}},
		{"the line is thin", []demand{{three, 0, 0}}, 50_000, []int{2}},
		{"headroom for what is not playing", []demand{{three, 1, 0}}, 1_250_000, []int{1}},
		{"none for what is", []demand{{three, 0, 0}}, 1_250_000, []int{0}},
		{"the largest does not come", []demand{{two, 0, 0}}, 3_000_000, []int{1}},
		{"nothing comes", []demand{{[]layer{{}, {}}, 1, 0}, {[]layer{{}, {}}, -1, 0}}, 3_000_000, []int{1, 0}},
		{"sizes are not known", []demand{{[]layer{{0, 900_000, true}, {0, 100_000, true}}, -1, 180}}, 3_000_000, []int{0}},
		{"one layer", []demand{{[]layer{{720, 2_000_000, true}}, 0, 180}}, 1000, []int{0}},
	} {
		if got := allot(c.demands, c.budget); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func FuzzAllot(f *testing.F) {
	f.Add(uint64(1), uint64(1_000_000))
	f.Fuzz(func(t *testing.T, seed, budget uint64) {
		random := rand.New(rand.NewPCG(seed, 1))
		demands := make([]demand, random.IntN(10))
		smallest := uint64(0)
		for i := range demands {
			d := &demands[i]
			least := uint64(0)
			for range random.IntN(4) {
				l := layer{random.IntN(3) * 180, random.Uint64N(2_000_000), random.IntN(3) > 0}
				d.layers = append(d.layers, l)
			}
			if list := flowing(demand{layers: d.layers, now: -1}); len(list) > 0 {
				least = d.layers[list[0]].bps
			}
			smallest += least
			d.now, d.height = random.IntN(len(d.layers)+1)-1, random.IntN(4)*180
		}
		got := allot(demands, budget)
		for i, l := range got {
			if l < -1 || l >= len(demands[i].layers) || l == -1 && len(demands[i].layers) > 0 {
				t.Fatalf("%d of %+v", l, demands[i])
			}
		}
	})
}

// TestBandwidth: it falls with what is lost, to no less than a little, and grows again.
func TestBandwidth(t *testing.T) {
	var b bandwidth
	now := time.Unix(1000, 0)
	note := func(lost uint8, sent uint64) uint64 {
		now = now.Add(time.Second)
		b.note(lost, sent, now)
		return b.limit()
	}
	if b.limit() != firstBandwidth || note(8, 2_000_000) != firstBandwidth {
		t.Fatal(b.limit())
	}
	if got := note(128, 2_000_000); got != 1_500_000 {
		t.Fatal(got)
	}
	if b.note(255, 0, now.Add(time.Millisecond)); b.limit() != 1_500_000 {
		t.Fatal("two changes at once")
	}
	for range 20 {
		note(255, 0)
	}
	if b.limit() != leastBandwidth {
		t.Fatal(b.limit())
	}
	for range 100 {
		note(0, 1_000_000)
	}
	if got := b.limit(); got < 2_000_000 || got > 3_000_000 {
		t.Fatalf("%d without having sent as much", got)
	}
	for range 200 {
		note(0, b.limit())
	}
	if b.limit() != mostBandwidth {
		t.Fatal(b.limit())
	}
}
