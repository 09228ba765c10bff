package jitter

import (
	"testing"
	"time"
)

// TestSpike holds all packets back for 200 ms, once: they are all played, and the delay goes back by stretches alone.
func TestSpike(t *testing.T) {
	for _, tt := range []struct {
		name string
		way  func() way
		at   time.Duration
	}{
		{"LAN", func() way { return lan(1) }, 60 * time.Second},
		{"LAN, early", func() way { return lan(1) }, 12 * time.Second},
		{"sigma 20", func() way { return fifo(2, 20*ms, 0) }, 60 * time.Second},
	} {
		for _, frame := range []int{480, 960} {
			way := tt.way()
			var before, back, most time.Duration
			c := call{
				length: tt.at + 40*time.Second, frame: frame, phase: 7 * ms,
				way: func(i int, sent time.Duration) (time.Duration, bool) {
					d, _ := way(i, sent)
					if sent+d >= tt.at && sent+d < tt.at+200*ms {
						d = tt.at + 200*ms - sent
					}
					return d, false
				},
				every: func(at time.Duration, b *Buffer, _ Frame, _ []float32) {
					delay := duration(b.playoutDelay(b.position()))
					switch {
					case at < tt.at:
						before = b.Target()
					case delay > before+20*ms:
						back, most = at-tt.at, max(most, delay)
					}
				},
			}
			r := c.run(t)
			t.Logf("%-11s frames of %d ms: target %v, delay up to %v, last above target + 20 ms after %v (15 s), discarded %d, removed %v",
				tt.name, frame/48, before, most.Round(ms), back, r.PacketsDiscarded, duration(int64(r.RemovedSamplesForAcceleration)))
			if back > 15*time.Second || most < 180*ms || r.PacketsDiscarded > 0 || r.Overflows > 0 {
				t.Errorf("%s: back after %v, at most %v, discarded %d packets", tt.name, back, most, r.PacketsDiscarded)
			}
		}
	}
}
