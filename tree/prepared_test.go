package tree

import (
	"testing"
	"time"
)

// In a room of some size nearly everybody knows where to go when its parent dies; in one of three nobody does but the origin.
func TestPrepared(t *testing.T) {
	for _, c := range []struct{ peers, least, most int }{{60, 54, 60}, {3, 1, 1}} {
		s := newSim(t, 4)
		build(s, c.peers, time.Second)
		s.run(2 * time.Minute)
		prepared := 0
		for _, n := range s.nodes {
			if n.r.Prepared() {
				prepared++
			}
		}
		if prepared < c.least || prepared > c.most {
			t.Errorf("of %d peers %d are prepared, want %d to %d", c.peers, prepared, c.least, c.most)
		}
	}
}
