package jitter

import (
	"testing"
	"time"
)

// TestSpike holds all packets back for 200 ms, once: they are all played, and the delay goes back by stretches alone. Where the
// network has jitter of its own, delay and target move anyway: there the same call without the spike is what it has to go back to.
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
			var target time.Duration
			delays := func(spike time.Duration) (each []time.Duration, r result) {
				way := tt.way()
				r = call{
					length: tt.at + 40*time.Second, frame: frame, phase: 7 * ms,
					way: func(i int, sent time.Duration) (time.Duration, bool) {
						d, _ := way(i, sent)
						if sent+d >= tt.at && sent+d < tt.at+spike {
							d = tt.at + spike - sent
						}
						return d, false
					},
					every: func(at time.Duration, b *Buffer, _ Frame, _ []float32) {
						if at < tt.at {
							target = b.Target()
						}
						each = append(each, duration(b.playoutDelay(b.position())+int64(frame))) // that of the next pull
					},
				}.run(t)
				return each, r
			}
			quiet, _ := delays(0)
			each, r := delays(200 * ms)
			var back, most time.Duration
			for i, d := range each {
				at := 7*ms + time.Duration(i)*duration(int64(frame)) - tt.at
				if at < 0 {
					continue
				}
				if most = max(most, d); d > max(target, quiet[i])+20*ms {
					back = at
				}
			}
			t.Logf("%-11s frames of %d ms: target %v, delay up to %v, last above target + 20 ms after %v (15 s), discarded %d, removed %v",
				tt.name, frame/48, target, most.Round(ms), back, r.PacketsDiscarded, duration(int64(r.RemovedSamplesForAcceleration)))
			if back == 0 || back > 15*time.Second || most < 180*ms || r.PacketsDiscarded > 0 || r.Overflows > 0 {
				t.Errorf("%s: back after %v, at most %v, discarded %d packets", tt.name, back, most, r.PacketsDiscarded)
			}
		}
	}
}
