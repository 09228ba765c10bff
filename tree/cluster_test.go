package tree

import (
	"fmt"
	"testing"
	"time"
)

// mix gives every third node four to eight slots, so that capacity suffices for all (resource index 2).
func mix(s *sim, i int) int {
	if i%3 == 0 {
		return 4 + s.rng.IntN(5)
	}
	return 0
}

// build lets n nodes arrive in any order within a time.
func build(s *sim, n int, within time.Duration) {
	s.add(4)
	for i := 1; i < n; i++ {
		slots := mix(s, i)
		s.after(time.Duration(s.rng.Int64N(int64(within))), func() { s.add(slots) })
	}
	s.watch(100 * time.Millisecond)
}

// TestBuild looks at the mean of several rooms where they are small, as in one of a hundred peers chance makes a level more or less.
func TestBuild(t *testing.T) {
	for _, c := range []struct {
		n           int
		rooms       int
		within, run time.Duration
		depth       int // p95
	}{
		{2, 1, 10 * time.Millisecond, 2 * time.Second, 1},
		{10, 8, 50 * time.Millisecond, 10 * time.Second, 3},
		{100, 8, 500 * time.Millisecond, 15 * time.Second, 6},
		{1000, 1, 4 * time.Second, 25 * time.Second, 9},
	} {
		t.Run(fmt.Sprint(c.n), func(t *testing.T) {
			if c.n == 1000 && testing.Short() {
				t.Skip("takes seconds")
			}
			sum := 0
			for seed := range c.rooms {
				s := newSim(t, uint64(seed+1))
				s.calm = c.n > 100
				build(s, c.n, c.within)
				s.run(c.run)
				s.check()
				p50, p95, most := s.depths()
				t.Logf("depth %d %d %d, messages %d, refused %d, loops %d", p50, p95, most, s.msgs, s.refused, s.looped)
				sum += p95
			}
			if mean := float64(sum) / float64(c.rooms); mean > float64(c.depth) {
				t.Errorf("95 %% are at depth %.2f or less, want %d", mean, c.depth)
			}
		})
	}
}

// 32 slots for 30 peers, and the leaves came first.
func TestBuildLeavesFirst(t *testing.T) {
	for _, mute := range []bool{false, true} { // without it in the probe, peers with slots must try
		s := newSim(t, 3)
		s.mute = mute
		s.add(2)
		for range 20 {
			s.add(0)
		}
		s.run(3 * time.Second)
		if placed, _ := s.settled(); placed != 3 {
			t.Fatalf("%d placed on two slots of the origin", placed)
		}
		for range 10 {
			s.add(3)
		}
		s.watch(100 * time.Millisecond)
		s.run(40 * time.Second)
		s.check()
		p50, p95, most := s.depths()
		t.Logf("told %v: depth %d %d %d", !mute, p50, p95, most)
	}
}

func TestSameSeedSameTrace(t *testing.T) {
	trace := func(seed uint64) string {
		s := newSim(t, seed)
		s.loss = 0.01
		build(s, 40, time.Second)
		s.after(2*time.Second, func() { s.kill(s.nodes[3], true) })
		s.run(6 * time.Second)
		return s.hash()
	}
	a, b, c := trace(5), trace(5), trace(6)
	if a != b {
		t.Error("same seed, other trace")
	}
	if a == c {
		t.Error("other seed, same trace")
	}
}

// Peers die one after the other, with noise and silently, and say goodbye; messages get lost. Afterwards all is right again.
func TestChurn(t *testing.T) {
	inFull(t)
	for seed := range uint64(5) {
		for _, loss := range []float64{0, 0.03} {
			t.Run(fmt.Sprint(seed, loss), func(t *testing.T) {
				s := newSim(t, seed)
				s.loss = loss
				build(s, 60, time.Second)
				for i := range 25 {
					s.after(5*time.Second+time.Duration(i)*400*time.Millisecond, func() {
						n := s.nodes[1+s.rng.IntN(59)]
						switch {
						case !n.alive:
						case i%3 == 0:
							s.kill(n, true)
						case i%3 == 1:
							s.kill(n, false)
						default:
							s.leave(n)
						}
						s.add(mix(s, i))
					})
				}
				s.run(16 * time.Second)
				s.loss = 0
				s.run(45 * time.Second)
				s.check()
				t.Logf("messages %d, refused %d, loops %d", s.msgs, s.refused, s.looped)
			})
		}
	}
}

// Half of those who give slots die at once.
func TestMassFailure(t *testing.T) {
	inFull(t)
	for seed := range uint64(4) {
		s := newSim(t, seed)
		s.add(6)
		for i := 1; i < 100; i++ {
			slots := 0
			if i%2 == 0 {
				slots = 6
			}
			s.add(slots)
		}
		s.watch(100 * time.Millisecond)
		s.run(10 * time.Second)
		for i := 4; i < 100; i += 4 {
			s.kill(s.nodes[i], i%8 == 0)
		}
		s.run(11 * time.Second)
		placed, live := s.settled()
		s.run(15 * time.Second)
		late, _ := s.settled()
		t.Logf("seed %d: %d of %d after 1 s, %d after 5 s", seed, placed, live, late)
		if late < live {
			t.Errorf("seed %d: %d of %d have a place 5 s after", seed, late, live)
		}
		s.run(50 * time.Second)
		s.check()
	}
}

// One parent dies: its children with a backup are fed again within the silence and a few round trips, and only they move.
func TestRepair(t *testing.T) {
	for _, noise := range []bool{true, false} {
		s := newSim(t, 9)
		s.config = func(c *Config) { c.LookEvery = time.Hour } // who moves, moves because of the failure
		build(s, 60, time.Second)
		s.run(15 * time.Second)
		var dead *simNode
		for _, n := range s.nodes[1:] {
			if dead == nil || len(n.children) > len(dead.children) {
				dead = n
			}
		}
		parents := map[ID]ID{}
		orphans := map[ID]bool{}
		for _, n := range s.nodes {
			parents[n.id] = n.feeds.Primary
			if n.feeds.Primary == dead.id {
				orphans[n.id] = true
				if n.feeds.Backup == "" {
					t.Errorf("%s has no backup", n.id)
				}
			}
		}
		at := s.now
		s.kill(dead, noise)
		s.run(at + 900*time.Millisecond)
		for _, n := range s.nodes {
			if n == dead || n.i == 0 {
				continue
			}
			if !n.r.Status().Placed {
				t.Errorf("noise %v: %s has no place after %v", noise, n.id, s.now-at)
			}
			if !orphans[n.id] && n.feeds.Primary != parents[n.id] {
				t.Errorf("noise %v: %s (%d slots) moved from %s to %s: %v", noise, n.id, n.slots, parents[n.id], n.feeds.Primary, n.events[len(n.events)-1])
			}
		}
		s.run(at + 40*time.Second)
		s.check()
	}
}

// A hop that is silent for a moment makes nobody move for good, and slots are kept.
func TestFalseAlarm(t *testing.T) {
	s := newSim(t, 11)
	build(s, 30, time.Second)
	s.run(12 * time.Second)
	for i := range 20 {
		s.after(time.Duration(i)*300*time.Millisecond, func() {
			n := s.nodes[1+s.rng.IntN(29)]
			if p := s.byID[n.feeds.Primary]; p != nil {
				p.muted[n.i] = true
				s.after(450*time.Millisecond, func() { delete(p.muted, n.i) })
			}
		})
	}
	s.run(50 * time.Second)
	s.check()
}

// The origin restarts with nothing in memory; everybody comes back, though leaves came first and took all its places.
func TestOriginReturns(t *testing.T) {
	inFull(t)
	for seed := range uint64(8) {
		s := newSim(t, seed)
		build(s, 30, time.Second)
		s.run(10 * time.Second)
		o := s.nodes[0]
		s.kill(o, true)
		s.run(13 * time.Second)
		if placed, _ := s.settled(); placed != 0 {
			t.Errorf("%d have a place without an origin", placed)
		}
		c := DefaultConfig(o.id)
		c.Slots, c.Seed = 4, 99
		o.r, o.alive, o.feeds, o.children, o.heard = New(c), true, SetFeeds{}, nil, map[ID]time.Duration{}
		s.step(o, Start{Origin: true})
		s.pulse(o)
		s.run(60 * time.Second)
		s.check()
	}
}

// The part of the origin is handed over; peers stay where they are.
func TestHandOver(t *testing.T) {
	s := newSim(t, 13)
	build(s, 12, 500*time.Millisecond)
	s.run(8 * time.Second)
	var heir *simNode
	for _, c := range s.nodes[0].children {
		if m := s.byID[c.Peer]; c.Kind != Backup && m.slots > 0 {
			heir = m
		}
	}
	s.step(heir, Promote{})
	s.step(s.nodes[0], Candidates{List: []Candidate{{Peer: heir.id, Free: 1}}})
	s.step(s.nodes[0], Demote{})
	s.run(30 * time.Second)
	for _, n := range s.nodes {
		if st := n.r.Status(); !st.Placed || st.Path[0] != heir.id {
			t.Errorf("%s: path %v", n.id, st.Path)
		}
	}
}
