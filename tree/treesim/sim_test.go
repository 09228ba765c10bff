package treesim

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func run(t testing.TB, c Config) *Result {
	t.Helper()
	r, err := Run(c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// The same seed gives the same trace, another one another.
func TestSameSeedSameTrace(t *testing.T) {
	c := Config{Peers: 100, Minutes: 1, Seed: 3, Scenario: "kill", Churn: -1}
	first := run(t, c)
	if again := run(t, c); again.Trace != first.Trace {
		t.Error("two runs of one seed differ")
	}
	c.Seed = 4
	if other := run(t, c); other.Trace == first.Trace {
		t.Error("runs of two seeds are the same")
	}
}

// Every scenario runs, and the room is whole at its end.
func TestScenarios(t *testing.T) {
	for _, sc := range Scenarios() {
		t.Run(sc.Name, func(t *testing.T) {
			r := run(t, Config{Peers: 60, Minutes: 1.5, Seed: 1, Scenario: sc.Name, Churn: -1})
			t.Logf("placed %d of %d, gap p50 %.0f p99 %.0f ms, in time %.2f %%, broken %v", r.Placed, r.Running, r.VideoGapP50, r.VideoGapP99, r.DeliveryVideo, r.Broken())
			if sc.Index >= 1.15 && r.Placed < r.Running*95/100 {
				t.Errorf("%d of %d peers have a place", r.Placed, r.Running)
			}
			if r.Loops > 0 {
				t.Errorf("%d loops lived for more than a second", r.Loops)
			}
		})
	}
}

func TestConfigIsChecked(t *testing.T) {
	good := Config{Peers: 10, Minutes: 1, Scenario: "steady"}
	for name, change := range map[string]func(*Config){
		"scenario": func(c *Config) { c.Scenario = "nonesuch" },
		"peers":    func(c *Config) { c.Peers = 1 },
		"minutes":  func(c *Config) { c.Minutes = 0 },
		"index":    func(c *Config) { c.Index = 3 },
	} {
		c := good
		change(&c)
		if _, err := Run(c); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestQueue(t *testing.T) {
	var q queue
	r := rand.New(rand.NewPCG(1, 2))
	var times []int64
	push := func(at int64) {
		q.push(at, payload{a: int32(len(times))})
		times = append(times, at)
	}
	for range 2000 {
		push(r.Int64N(5)*second + r.Int64N(3) + r.Int64N(2)*r.Int64N(60*second)) // some at one time, some far away
	}
	var got []int64
	last := map[int64]int32{}
	for {
		if _, ok := q.next(); !ok {
			break
		}
		at, p := q.pop()
		if len(times) < 5000 {
			push(at + r.Int64N(3)*r.Int64N(3)*r.Int64N(4*second))
		}
		if times[p.a] != at {
			t.Fatalf("event %d comes at %d", p.a, at)
		}
		if before, ok := last[at]; ok && before > p.a {
			t.Errorf("events of time %d change places", at)
		}
		last[at] = p.a
		got = append(got, at)
	}
	if !slices.IsSorted(got) || len(got) != len(times) {
		t.Errorf("got %v", got)
	}
}
