package treesim

import "testing"

// Estimates are noise: each round trip over a bad wireless link differs from the one before by a tenth and now and then by twice
// its length, and coordinates drift with them. The room comes to rest all the same: while nobody comes or goes, a peer moves
// rarely, and does not go to and fro between the same parents.
func TestNoOscillation(t *testing.T) {
	if testing.Short() {
		t.Skip("simulated rooms, which run without -short: one goroutine each, so that the race detector has nothing to find")
	}
	for seed := range uint64(4) {
		s, err := newSim(Config{Peers: 120, Minutes: 20, Seed: seed, Scenario: "steady"})
		if err != nil {
			t.Fatal(err)
		}
		s.build()
		const rest = 5 * 60 * second // until then the room is built and put in order
		parents := make([][]int32, s.cfg.Peers)
		for {
			if at, ok := s.q.next(); !ok || at > s.end {
				break
			}
			at, e := s.q.pop()
			s.now = at
			s.do(&e)
			switch e.kind {
			case evArrive:
				s.peers[len(s.peers)-1].access = badWiFi
			case evSweep:
				if s.now < rest {
					continue
				}
				for i := range s.peers {
					if h := parents[i]; len(h) == 0 || h[len(h)-1] != s.peers[i].primary {
						parents[i] = append(h, s.peers[i].primary)
					}
				}
			}
		}
		moves, most := 0, 0
		for i, h := range parents {
			n := len(h) - 1
			moves += n
			most = max(most, n)
			back := 0
			for k := 2; k < len(h); k++ {
				if h[k] == h[k-2] {
					back++
				}
			}
			if back > 1 {
				t.Errorf("seed %d: peer %d went to and fro: %v", seed, i, h)
			}
		}
		minutes := float64(s.end-rest) / float64(60*second)
		mean := float64(moves) / float64(len(s.peers)) / minutes
		t.Logf("seed %d: %.3f moves a peer and minute, at most %d of one in %.0f minutes", seed, mean, most, minutes)
		if mean > 0.02 || most > 3 {
			t.Errorf("seed %d: %.3f moves a peer and minute, %d of one", seed, mean, most)
		}
	}
}
