package jitter

import (
	"testing"
	"time"
)

func TestJitterProfiles(t *testing.T) {
	for _, tt := range []struct {
		name      string
		way       func() way
		delay     time.Duration
		concealed float64
	}{
		{"LAN", func() way { return lan(1) }, 40 * ms, 0},
		{"sigma 5, reordering", func() way { return normal(1, 5*ms) }, 110 * ms, 1},
		{"sigma 20, reordering", func() way { return normal(1, 20*ms) }, 110 * ms, 1},
		{"sigma 20, FIFO", func() way { return fifo(1, 20*ms, 0) }, 110 * ms, 1},
		{"sigma 20, FIFO correlated", func() way { return fifo(1, 20*ms, 0.9) }, 110 * ms, 1},
		{"sigma 50, reordering", func() way { return normal(1, 50*ms) }, 260 * ms, 1},
		{"sigma 50, FIFO", func() way { return fifo(1, 50*ms, 0) }, 260 * ms, 1},
		{"sigma 50, FIFO correlated", func() way { return fifo(1, 50*ms, 0.9) }, 260 * ms, 1},
	} {
		for _, frame := range []int{480, 960} {
			r := call{length: unlessShort(3*time.Minute, 90*time.Second), way: tt.way(), frame: frame, phase: 7 * ms}.run(t)
			late := 100 * float64(r.PacketsLate) / float64(r.PacketsReceived)
			t.Logf("%-28s frames of %d ms: delay %v, target %v (at most %v), late %.2f %%, concealed %.2f %%, stretches %d",
				tt.name, frame/48, r.delay().Round(ms), r.target.Round(ms), r.highest, late, r.concealed(), r.Stretches)
			if r.delay() > tt.delay || r.concealed() > tt.concealed {
				t.Errorf("%s: delay %v (%v), concealed %.2f %% (%.1f)", tt.name, r.delay(), tt.delay, r.concealed(), tt.concealed)
			}
		}
	}
}
