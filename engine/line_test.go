package engine

import "testing"

// Of each number the first packet counts, also where they come out of order.
func TestWindow(t *testing.T) {
	var w window
	for _, c := range []struct {
		number uint64
		want   bool
	}{
		{100, true}, {100, false}, {102, true}, {101, true}, {101, false}, {102, false}, {99, true}, {38, false}, {39, true}, {39, false},
		{200, true}, {102, false}, {137, true}, {136, false}, {263, true}, {200, false}, {201, true}, {1 << 47, true}, {263, false},
	} {
		if got := w.fresh(c.number); got != c.want {
			t.Errorf("number %d is fresh: %v", c.number, got)
		}
	}
}
