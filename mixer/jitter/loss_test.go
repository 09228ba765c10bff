package jitter

import (
	"testing"
	"time"
)

// TestLoss loses packets whose copies are in the ones that follow. What is lost is repaired as far as there is a copy: one is
// lost with the share that the network loses packets, of bursts of 2.5 one at distance d with 0.6 to the power of d.
func TestLoss(t *testing.T) {
	length := unlessShort(12*time.Minute, 2*time.Minute)
	for _, tt := range []struct {
		name  string
		lost  func(seed uint64, share float64) func() bool
		fec   bool
		red   int
		share float64
		bound float64
	}{
		{"random, FEC", random, true, 0, 0.05, 0.6},
		{"random, FEC", random, true, 0, 0.10, 1.5},
		{"random, FEC", random, true, 0, 0.20, 4.5},
		{"bursts, RED-2", bursts, false, 2, 0.05, 2},
		{"bursts, RED-2", bursts, false, 2, 0.10, 4},
		{"bursts, RED-2", bursts, false, 2, 0.20, 8},
		{"bursts, RED-3", bursts, false, 3, 0.05, 1.3},
		{"bursts, RED-3", bursts, false, 3, 0.10, 2.5},
		{"bursts, RED-3", bursts, false, 3, 0.20, 5},
	} {
		r := call{
			length: length, way: losing(lan(3), tt.lost(5, tt.share)), fec: tt.fec, red: tt.red, phase: 7 * ms, warm: 10 * time.Second,
		}.run(t)
		t.Logf("%-14s %2.0f %% lost: concealed %.2f %% (%.1f), delay %v, target %v, repaired %d by FEC and %d by RED, stretches %d", tt.name,
			100*tt.share, r.concealed(), tt.bound, r.delay().Round(ms), r.target.Round(ms), r.RepairedByFEC, r.RepairedByRED, r.Stretches)
		if r.concealed() > tt.bound {
			t.Errorf("%s, %.0f %%: %.2f %% concealed instead of at most %.1f", tt.name, 100*tt.share, r.concealed(), tt.bound)
		}
	}
}
