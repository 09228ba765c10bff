package tree

import (
	"fmt"
	"testing"
	"time"
)

// mix gives every fourth node four to eight slots, so that capacity suffices for all.
func mix(s *sim, i int) int {
	if i%3 == 0 {
		return 4 + s.rng.IntN(5)
	}
	return 0
}

func build(t testing.TB, seed uint64, n int, within time.Duration) *sim {
	s := newSim(t, seed)
	s.add(4)
	for i := 1; i < n; i++ {
		slots := mix(s, i)
		s.after(time.Duration(s.rng.Int64N(int64(within))), func() { s.add(slots) })
	}
	s.watch(100 * time.Millisecond)
	return s
}

func TestBuild(t *testing.T) {
	for _, n := range []int{2, 10, 100, 1000} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			if n == 1000 && testing.Short() {
				t.Skip()
			}
			s := build(t, 1, n, time.Duration(n)*5*time.Millisecond)
			s.run(time.Duration(n)*5*time.Millisecond + 20*time.Second)
			p50, p95, most := s.depths()
			t.Logf("depth %d %d %d, messages %d, refused %d, looped %d", p50, p95, most, s.msgs, s.refused, s.looped)
			s.check()
		})
	}
}
