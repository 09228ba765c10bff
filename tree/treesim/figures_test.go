package treesim

import (
	"encoding/json"
	"flag"
	"os"
	"testing"
)

var update = flag.Bool("update", false, "write testdata/figures.json anew")

// figure is what is kept of a run to compare later ones with.
type figure struct {
	Scenario      string  `json:"scenario"`
	Peers         int     `json:"peers"`
	Minutes       float64 `json:"minutes"`
	RefusedJoins  int     `json:"refused_joins"`
	Violations    int     `json:"slot_violations"`
	WrongPaths    int     `json:"wrong_paths"`
	DepthP95      int     `json:"depth_p95"`
	RDPP50        float64 `json:"rdp_p50"`
	RDPP95        float64 `json:"rdp_p95"`
	VideoGapP50   float64 `json:"video_gap_ms_p50"`
	VideoGapP95   float64 `json:"video_gap_ms_p95"`
	Served1s      float64 `json:"served_1s_pct"`
	Served5s      float64 `json:"served_5s_pct"`
	DeliveryVideo float64 `json:"delivery_video_pct"`
	Control       float64 `json:"control_pct"`
	LeafSteps     float64 `json:"leaf_steps_per_s"`
}

func figureOf(r *Result) figure {
	return figure{
		r.Scenario, r.Peers, r.Minutes, r.RefusedJoins, r.SlotViolations, r.WrongPaths, r.DepthP95, r.RDPP50, r.RDPP95, r.VideoGapP50, r.VideoGapP95,
		r.Served1s, r.Served5s, r.DeliveryVideo, r.Control, r.LeafSteps,
	}
}

// Rooms are not much worse than they were when testdata/figures.json was written; in small ones a run is not like another, so that only
// what is twice as bad and more counts. A change to package tree that makes them better should
// write it anew (go test ./tree/treesim -run TestFigures -update), so that what was won is kept.
func TestFigures(t *testing.T) {
	const file = "testdata/figures.json"
	var kept []figure
	if b, err := os.ReadFile(file); err == nil {
		if err := json.Unmarshal(b, &kept); err != nil {
			t.Fatal(err)
		}
	} else if !*update {
		t.Fatal(err)
	}
	var now []figure
	for i, name := range []string{"steady", "kill", "supernodes30"} {
		r := run(t, Config{Peers: 300, Minutes: 1.5, Seed: 1, Scenario: name, Churn: -1})
		f := figureOf(r)
		now = append(now, f)
		if r.Loops > 0 {
			t.Errorf("%s: %d loops lived for more than a second", name, r.Loops)
		}
		if *update {
			continue
		}
		k := kept[i]
		worse := func(what string, got, was, slack float64) {
			t.Logf("%s: %s is %v, it was %v", name, what, got, was)
			if got > was*2+slack {
				t.Errorf("%s: %s is %v, it was %v", name, what, got, was)
			}
		}
		worse("refused joins", float64(f.RefusedJoins), float64(k.RefusedJoins), 5)
		worse("slot violations", float64(f.Violations), float64(k.Violations), 2)
		worse("wrong paths", float64(f.WrongPaths), float64(k.WrongPaths), 2)
		worse("depth p95", float64(f.DepthP95), float64(k.DepthP95), 1)
		worse("relative delay p50", f.RDPP50, k.RDPP50, 0.5)
		worse("relative delay p95", f.RDPP95, k.RDPP95, 5)
		worse("not served within a second, per cent", 100-f.Served1s, 100-k.Served1s, 10)
		worse("not served within five seconds, per cent", 100-f.Served5s, 100-k.Served5s, 3)
		worse("video not in time, per cent", 100-f.DeliveryVideo, 100-k.DeliveryVideo, 2)
		worse("control, per cent", f.Control, k.Control, 0.5)
		worse("steps of a leaf in a second", f.LeafSteps, k.LeafSteps, 1)
		if name != "steady" {
			worse("gap p50", f.VideoGapP50, k.VideoGapP50, 150)
			worse("gap p95", f.VideoGapP95, k.VideoGapP95, 1500)
		}
	}
	if *update {
		b, err := json.MarshalIndent(now, "", "  ")
		if err == nil {
			err = os.MkdirAll("testdata", 0o755)
		}
		if err == nil {
			err = os.WriteFile(file, append(b, '\n'), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// A leaf has no more to do in a large room than in a small one.
func TestLeafDoesNotGrow(t *testing.T) {
	small := run(t, Config{Peers: 100, Minutes: 4, Seed: 1, Scenario: "steady", Churn: -1})
	large := run(t, Config{Peers: 400, Minutes: 4, Seed: 1, Scenario: "steady", Churn: -1})
	t.Logf("control of a leaf: %.2f and %.2f kbit/s, steps %.2f and %.2f a second", small.ControlLeafKbps, large.ControlLeafKbps, small.LeafSteps, large.LeafSteps)
	if large.ControlLeafKbps > small.ControlLeafKbps*1.1 {
		t.Errorf("control of a leaf grows from %.2f to %.2f kbit/s", small.ControlLeafKbps, large.ControlLeafKbps)
	}
}

func BenchmarkEvents(b *testing.B) {
	events := int64(0)
	for b.Loop() {
		r := run(b, Config{Peers: 500, Minutes: 2, Seed: 1, Scenario: "steady", Churn: -1})
		events += r.Events
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(events), "ns/event")
}
