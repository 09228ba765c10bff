package treesim

import (
	"slices"
	"testing"

	"github.com/castd/castd/tree/treesim/picture"
)

// TestSheetShowsWhatTheTableSays: the gaps that are drawn are those of the table, with the zeros of those who missed nothing.
func TestSheetShowsWhatTheTableSays(t *testing.T) {
	r := run(t, Config{Peers: 100, Minutes: 1, Seed: 4, Scenario: "kill", Churn: -1})
	for _, p := range r.Sheet("").Pictures {
		d, ok := p.(*picture.Distribution)
		if !ok || d.Title != "Gaps of video" {
			continue
		}
		all := slices.Sorted(slices.Values(d.Series[0].Values))
		if len(all) != r.Below || len(r.Gaps) == r.Below {
			t.Fatalf("%d gaps are drawn, %d of them above 0, of %d peers", len(all), len(r.Gaps), r.Below)
		}
		for q, want := range map[float64]float64{0.5: r.VideoGapP50, 0.95: r.VideoGapP95, 0.99: r.VideoGapP99} {
			if got := all[min(len(all)-1, int(q*float64(len(all))))]; got != want {
				t.Errorf("p%v is drawn at %v, and is %v in the table", 100*q, got, want)
			}
		}
		return
	}
	t.Fatal("no gaps are drawn")
}
