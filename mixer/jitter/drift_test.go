package jitter

import (
	"testing"
	"time"
)

// TestDrift lets the sender's clock run fast or slow for an hour.
func TestDrift(t *testing.T) {
	length := unlessShort(time.Hour, 2*time.Minute)
	for _, tt := range []struct {
		name  string
		drift float64
		way   func() way
	}{
		{"fast by 100 ppm, LAN", 100e-6, func() way { return lan(1) }},
		{"slow by 100 ppm, LAN", -100e-6, func() way { return lan(1) }},
		{"fast by 100 ppm, sigma 5 ms", 100e-6, func() way { return fifo(1, 5*ms, 0) }},
		{"slow by 100 ppm, sigma 5 ms", -100e-6, func() way { return fifo(1, 5*ms, 0) }},
	} {
		r := call{length: length, way: tt.way(), drift: tt.drift, phase: 7 * ms, warm: 10 * time.Second}.run(t)
		most := uint64((length - 10*time.Second) / (10 * time.Second))
		t.Logf("%-28s delay %v, target %v, concealed %d, discarded %d, stretches %d (at most %d)",
			tt.name, r.delay().Round(ms), r.target.Round(ms), r.ConcealedSamples, r.PacketsDiscarded, r.Stretches, most)
		if r.ConcealedSamples > 0 || r.PacketsDiscarded > 0 || r.Overflows > 0 || r.Stretches > most {
			t.Errorf("%s: concealed %d samples, discarded %d packets, %d stretches (%d)",
				tt.name, r.ConcealedSamples, r.PacketsDiscarded, r.Stretches, most)
		}
	}
}
