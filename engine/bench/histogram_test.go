package bench

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestBuckets(t *testing.T) {
	last := -1
	for us := uint64(0); us < 1<<22; us += 1 + us/1000 {
		i := bucket(us)
		if i < last || i > last+1 {
			t.Fatalf("%d us: bucket %d after %d", us, i, last)
		}
		last = i
		if low, high := lowest(i), lowest(i+1); us < low || us >= high {
			t.Fatalf("%d us: in the bucket from %d to %d", us, low, high)
		}
	}
	if i := bucket(1 << 62); i != len(histogram{}.buckets)-1 {
		t.Errorf("the last bucket is %d", i)
	}
}

func TestQuantiles(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		var h, half histogram
		n := 1 + random.IntN(2000)
		all := make([]time.Duration, n)
		for i := range all {
			all[i] = time.Duration(random.ExpFloat64() * float64(10*time.Millisecond))
			if i%2 == 0 {
				h.add(all[i])
			} else {
				half.add(all[i])
			}
		}
		h.merge(&half)
		slices.Sort(all)
		for _, q := range []float64{0, 0.5, 0.95, 0.99, 1} {
			want := all[min(n-1, int(q*float64(n)))]
			got := h.quantile(q)
			if slack := want/16 + 2*time.Microsecond; got < want-slack || got > want+slack {
				t.Fatalf("of %d the quantile %v is %v, want %v", n, q, got, want)
			}
		}
		if h.most != all[n-1] || h.count != uint64(n) {
			t.Fatalf("most %v of %d, want %v of %d", h.most, h.count, all[n-1], n)
		}
	}
	if (&histogram{}).quantile(0.5) != 0 {
		t.Error("the median of nothing is something")
	}
}

// TestTrack compares with a set of all numbers.
func TestTrack(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 100 {
		var tr track
		seen := map[uint64]bool{}
		var highest, duplicates, reordered uint64
		n := 1000 + random.Uint64N(100000)
		for range 3000 {
			switch x := n; {
			case random.IntN(10) == 0:
				n = x - random.Uint64N(900)
			case random.IntN(50) == 0:
				n += random.Uint64N(6000)
			default:
				n++
			}
			if highest > n && highest-n >= seenPackets {
				n = highest + 1
			}
			fresh := tr.note(n)
			if fresh == seen[n] {
				t.Fatalf("number %d: fresh %v, seen %v", n, fresh, seen[n])
			}
			switch {
			case seen[n]:
				duplicates++
			case n < highest:
				reordered++
			}
			seen[n] = true
			highest = max(highest, n)
			n = highest
		}
		if tr.duplicates != duplicates || tr.reordered != reordered || tr.packets != uint64(len(seen)) {
			t.Fatalf("%d twice, %d out of order, %d in all; want %d, %d, %d", tr.duplicates, tr.reordered, tr.packets, duplicates, reordered, len(seen))
		}
	}
}
