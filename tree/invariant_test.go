package tree

import (
	"encoding/hex"
	"fmt"
	"slices"
	"time"
)

// What must hold in a simulated network, after every Step or once it is quiet.

// checkSlots holds after every Step.
func (s *sim) checkSlots(n *simNode) {
	var k [3]int
	for _, c := range n.children {
		k[c.Kind]++
	}
	c := n.r.cfg
	if k[Ordinary] > n.slots || k[Ordinary]+k[Orphan] > n.slots+c.reserve(n.slots) || k[Backup] > c.backups(n.slots)+1 {
		s.t.Fatalf("%v %s: %d slots, children %v", s.now, n.id, n.slots, n.children)
	}
}

// watch looks for loops among those who feed each other; none may live for a second.
func (s *sim) watch(every time.Duration) {
	seen := map[int]bool{}
	for _, n := range s.nodes {
		m, hops := n, 0
		for m != nil && m.alive && m.feeds.Primary != "" && hops <= len(s.nodes) {
			p := s.byID[m.feeds.Primary]
			fed := slices.ContainsFunc(p.children, func(c Child) bool { return c.Peer == m.id && c.Kind != Backup })
			if !fed || !p.alive {
				m = nil
				break
			}
			m = p
			if hops++; m == n {
				seen[n.i] = true
				break
			}
		}
	}
	for i := range s.nodes {
		if !seen[i] {
			delete(s.loops, i)
		} else if since, ok := s.loops[i]; !ok {
			s.loops[i] = s.now
			s.looped++
		} else if s.now-since > time.Second {
			s.t.Fatalf("%v: a loop through %s lives on", s.now, s.nodes[i].id)
		}
	}
	s.after(every, func() { s.watch(every) })
}

// check holds once the network is quiet: everybody has a place, and both ends of each tie agree. A tie may change just now, to a
// better backup for instance, so it may take a moment.
func (s *sim) check() {
	s.t.Helper()
	for range 4 {
		if len(s.wrong()) == 0 {
			return
		}
		s.run(s.now + 300*time.Millisecond)
	}
	bad := s.wrong()
	for _, w := range bad[:min(len(bad), 10)] {
		s.t.Errorf("%v %s", s.now, w)
	}
	if len(bad) > 0 {
		s.t.Fatalf("%d of %d are not right", len(bad), len(s.nodes))
	}
}

func (s *sim) wrong() (bad []string) {
	for _, n := range s.nodes {
		if !n.alive {
			continue
		}
		st := n.r.Status()
		why := ""
		if !st.Placed {
			why = "no place"
		} else if !st.Origin {
			p := s.byID[st.Parent]
			ps := p.r.Status()
			switch {
			case !p.alive:
				why = "dead parent"
			case !slices.ContainsFunc(p.children, func(c Child) bool { return c.Peer == n.id && c.Kind != Backup }):
				why = "not fed"
			case !slices.Equal(append(slices.Clone(ps.Path), n.id), st.Path):
				why = fmt.Sprintf("path %v, parent's %v", st.Path, ps.Path)
			}
		}
		if st.Placed && st.Path[0] != "n0000" {
			why = "not below the origin"
		}
		for _, c := range n.children {
			m := s.byID[c.Peer]
			if f := m.feeds; c.Kind != Backup && f.Primary != n.id || c.Kind == Backup && f.Backup != n.id {
				why = fmt.Sprintf("child %v has feeds %v", c, f)
			}
		}
		if why != "" {
			bad = append(bad, fmt.Sprintf("%s: %s: %s", n.id, why, dump(n.r)))
		}
	}
	return bad
}

// settled tells how many live nodes have a place.
func (s *sim) settled() (placed, live int) {
	for _, n := range s.nodes {
		if n.alive {
			live++
			if n.r.Status().Placed {
				placed++
			}
		}
	}
	return placed, live
}

func (s *sim) hash() string { return hex.EncodeToString(s.trace.Sum(nil)) }

func (s *sim) depths() (p50, p95, most int) {
	var d []int
	for _, n := range s.nodes {
		if n.alive {
			d = append(d, n.r.Status().Depth)
		}
	}
	slices.Sort(d)
	return d[len(d)/2], d[len(d)*95/100], d[len(d)-1]
}

func dump(r *Router) string {
	s := fmt.Sprintf("%+v", r.Status())
	for _, k := range r.searches() {
		if k != nil {
			s += fmt.Sprintf("\n  search %s %s urgent=%v rounds=%d asks=%d attempts=%+v retry=%v", k.kind, k.reason, k.urgent, k.rounds, len(k.asks), k.attempts, r.wall(k.retryAt).Sub(simStart))
		}
	}
	return s
}
