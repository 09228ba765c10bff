package bench

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestMedians(t *testing.T) {
	var all []*Result
	for i, cpu := range []float64{30, 10, 20} {
		all = append(all, &Result{
			CPUPerPacket: cpu, RSS: int64(cpu) << 20, Packets: 100, OwnLate: cpu,
			Audio: &KindResult{DelayP50: cpu / 10, Lost: uint64(i), Expected: 100 + uint64(i), Received: 100},
		})
	}
	m := medians(all)
	if m.CPUPerPacket != 20 || m.RSS != 20<<20 || m.Audio.DelayP50 != 2 || m.Video != nil || m.Starved {
		t.Errorf("medians %+v, %+v", m, m.Audio)
	}
	if m.Audio.Lost != 2 || m.Audio.Expected != 102 {
		t.Errorf("the worst loss is %+v", m.Audio)
	}
	if all[0].CPUPerPacket != 30 || all[0].Audio.DelayP50 != 3 {
		t.Error("the rounds have changed")
	}
	if m := medians(all[:2]); m.CPUPerPacket != 20 {
		t.Errorf("of two: %v", m.CPUPerPacket)
	}
}

func TestTables(t *testing.T) {
	row := &Row{
		Load: "video, 50 viewers", Rounds: 3,
		Target: &Result{
			Packets: 1000, CPUPerPacket: 8.04, FirstPicture: 11.4, RSS: 40 << 20,
			Video: &KindResult{Expected: 1000, Received: 1000, DelayP50: 1.23, DelayP99: 9.99},
		},
		Reference: &Result{
			Packets: 1000, CPUPerPacket: 28.2, FirstPicture: 150, RSS: 140 << 20, Starved: true,
			Video: &KindResult{Expected: 1000, Received: 999, Lost: 1, DelayP50: 3, DelayP99: 30},
		},
	}
	idle := &Row{Load: "idle, 100 viewers", Target: &Result{CPUIdle: 0.15, RSS: 50 << 20}, Reference: &Result{CPUIdle: 0.6, RSS: 60 << 20}}
	row.compare()
	idle.compare()
	var text, plain strings.Builder
	if err := errors.Join(Markdown(&text, []*Row{row, idle}), Text(&plain, []*Row{row, idle})); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(text.String(), "\n")
	want := []string{
		"| video, 50 viewers | 8.0 | 28.2 | 0.29 | 1.2 / 10.0 | 3.0 / 30.0 (tester starved) | 0 | 11 | 150 | 40 | 140 |",
		"| idle, 100 viewers | 0.15 ms/s a viewer | 0.60 ms/s a viewer | 0.25 |  |  |  |  |  | 50 | 60 |",
	}
	if len(lines) != 5 || !slices.Equal(lines[2:4], want) {
		t.Errorf("got\n%s\nwant\n%s", text.String(), strings.Join(want, "\n"))
	}
	for _, line := range lines[:4] {
		if strings.Count(line, "|") != len(columns)+1 {
			t.Errorf("%d cells in %s", strings.Count(line, "|")-1, line)
		}
	}
	if got := strings.Split(plain.String(), "\n"); len(got) != 4 || !strings.Contains(got[1], "video, 50 viewers  8.0") {
		t.Errorf("text\n%s", plain.String())
	}
}

// TestCompare measures the reference against itself.
func TestCompare(t *testing.T) {
	base := reference(t)
	var order []string
	server := func(name string) func(context.Context, Load) (*Server, error) {
		return func(context.Context, Load) (*Server, error) {
			order = append(order, name)
			return &Server{WHIP: base + "/whip", WHEP: base + "/whep", Stop: func() { order = append(order, "stop") }}, nil
		}
	}
	var rows []*Row
	c := Comparison{
		Base:   Config{JoinRate: 100, Duration: 200 * time.Millisecond},
		Loads:  []Load{{Name: "audio", Audio: 1, Subscribers: 1}, {Name: "peers", Peers: 2}},
		Rounds: 2, Target: server("target"), Reference: server("reference"), Done: func(r *Row) { rows = append(rows, r) },
	}
	if err := Compare(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	want := strings.Repeat("reference stop target stop ", 4)
	if got := strings.Join(order, " ") + " "; got != want {
		t.Errorf("order %s, want %s", got, want)
	}
	if len(rows) != 2 || rows[0].Target.Audio == nil || rows[0].Reference.Audio == nil || rows[1].Target.Subscribers != 2 {
		t.Errorf("rows %+v", rows)
	}
	c.Reference = func(context.Context, Load) (*Server, error) { return nil, errors.New("does not start") }
	if err := Compare(t.Context(), c); err == nil || !strings.Contains(err.Error(), "the reference: does not start") {
		t.Errorf("got %v", err)
	}
}

func TestLoads(t *testing.T) {
	names := map[string]bool{}
	for _, l := range Loads() {
		if l.Name == "" || names[l.Name] || l.Subscribers+l.Peers == 0 || l.Video+l.Audio > 1 {
			t.Errorf("load %+v", l)
		}
		names[l.Name] = true
	}
}
