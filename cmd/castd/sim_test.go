package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/castd/castd/tree/treesim"
)

// sim runs the command's function with what it prints.
func sim(t *testing.T, asJSON bool, f simFlags) (string, error) {
	t.Helper()
	var out, errs bytes.Buffer
	a := newApp(&streams{in: strings.NewReader(""), out: &out, err: &errs, env: func(string) (string, bool) { return "", false }}, nil)
	a.json = asJSON
	f.config.Churn = -1
	err := a.simulate(t.Context(), &f)
	return out.String(), err
}

func TestSimPrintsJSONAndPictures(t *testing.T) {
	file := filepath.Join(t.TempDir(), "out.svg")
	f := simFlags{config: treesim.Config{Peers: 40, Minutes: 0.5, Seed: 1, Scenario: "kill"}, svg: file}
	out, err := sim(t, true, f)
	var user *usageError
	if errors.As(err, &user) {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, key := range strings.Fields(`scenario peers minutes seed refused_joins loops slot_violations depth_p95 depth_max rdp_p50 rdp_p95
		origin_streams audio_gap_ms_p99 video_gap_ms_p50 video_gap_ms_p95 video_gap_ms_p99 served_1s_pct served_5s_pct
		delivery_audio_pct delivery_video_pct control_pct moves_per_peer_minute trace`) {
		if _, ok := got[key]; !ok {
			t.Errorf("there is no %s", key)
		}
	}
	if trace, _ := got["trace"].(string); len(trace) != 64 {
		t.Errorf("the trace is %q", trace)
	}
	svg, err := os.ReadFile(file)
	if err != nil || !bytes.Contains(svg, []byte("castd sim --scenario kill --peers 40")) {
		t.Errorf("pictures: %v, %d octets", err, len(svg))
	}
}

func TestSimTellsAPersonWhatIsMissed(t *testing.T) {
	out, _ := sim(t, false, simFlags{config: treesim.Config{Peers: 40, Minutes: 0.5, Seed: 1, Scenario: "steady"}})
	for _, want := range []string{"MEASURE", "TARGET", "depth p95", "<= 7", "trace "} {
		if !strings.Contains(out, want) {
			t.Errorf("there is no %q in\n%s", want, out)
		}
	}
}

func TestSimNamesScenarios(t *testing.T) {
	out, err := sim(t, false, simFlags{config: treesim.Config{Peers: 40, Minutes: 1, Scenario: "list"}})
	if err != nil || !strings.Contains(out, "supernodes30") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestSimRefusesWhatMakesNoSense(t *testing.T) {
	good := treesim.Config{Peers: 40, Minutes: 1, Scenario: "steady"}
	for name, c := range map[string]struct {
		change func(*simFlags)
		hint   string
	}{
		"peers":    {func(f *simFlags) { f.config.Peers = 1 }, "--peers"},
		"minutes":  {func(f *simFlags) { f.config.Minutes = 0 }, "--minutes"},
		"scenario": {func(f *simFlags) { f.config.Scenario = "kil" }, "did you mean kill"},
		"pictures": {func(f *simFlags) { f.config.Scenario, f.svg = "all", "x.svg" }, "folder"},
		"nowhere":  {func(f *simFlags) { f.svg = "nowhere/x.svg" }, "no folder nowhere"},
	} {
		f := simFlags{config: good}
		c.change(&f)
		_, err := sim(t, false, f)
		if exitCode(err) != exitUsage || !strings.Contains(err.Error(), c.hint) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSimPicturesInAFolder: a folder gets a file for each scenario.
func TestSimPicturesInAFolder(t *testing.T) {
	dir := t.TempDir()
	if _, err := sim(t, true, simFlags{config: treesim.Config{Peers: 40, Minutes: 0.5, Seed: 1, Scenario: "steady"}, svg: dir}); exitCode(err) == exitUsage {
		t.Fatal(err)
	}
	if svg, err := os.ReadFile(filepath.Join(dir, "steady.svg")); err != nil || !bytes.HasPrefix(svg, []byte("<svg")) {
		t.Errorf("%v, %d octets", err, len(svg))
	}
}

func TestSimEndsWhenInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	run := runSim(ctx, treesim.Config{Peers: 5000, Minutes: 60, Seed: 1}, "steady", nil)
	if !errors.Is(run.err, context.Canceled) {
		t.Errorf("error is %v", run.err)
	}
}
