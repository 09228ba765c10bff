package treesim

import (
	"runtime"
	"testing"
)

// lean is a run long enough for most of it to be what goes on all the time.
var lean = Config{Peers: 1000, Minutes: 3, Seed: 1, Scenario: "steady", Churn: -1}

// A simulated peer costs so many events, steps and allocations a second and no more: what the machine does besides does not change
// these, and the time that a run takes follows them.
func TestRunIsLean(t *testing.T) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	r := run(t, lean)
	runtime.ReadMemStats(&after)
	seconds := float64(r.Peers) * r.Minutes * 60
	for _, c := range []struct {
		what       string
		got, limit float64
	}{
		{"events", float64(r.Events) / seconds, 3},
		{"steps", float64(r.Steps) / seconds, 3},
		{"allocations", float64(after.Mallocs-before.Mallocs) / seconds, 10},
		{"octets allocated", float64(after.TotalAlloc-before.TotalAlloc) / seconds, 3000},
	} {
		t.Logf("%s of a peer in a second: %.2f", c.what, c.got)
		if c.got > c.limit {
			t.Errorf("%s of a peer in a second: %.2f, more than %v", c.what, c.got, c.limit)
		}
	}
}

// BenchmarkRun tells what a second of one peer's life costs: 10,000 peers for 10 minutes are 6 million of them.
func BenchmarkRun(b *testing.B) {
	b.ReportAllocs()
	events, seconds := int64(0), 0.0
	for b.Loop() {
		r := run(b, lean)
		events += r.Events
		seconds += float64(r.Peers) * r.Minutes * 60
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/seconds, "ns/peer-s")
	b.ReportMetric(float64(events)/seconds, "events/peer-s")
}
