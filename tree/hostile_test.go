package tree

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// hostile gives a room a tenth of liars, who come first and claim more than anybody, and returns them.
func hostile(s *sim, n int, lie func(*simNode)) map[ID]bool {
	liars := map[ID]bool{}
	s.add(4)
	for i := 1; i < n; i++ {
		if i%10 == 1 {
			m := s.add(16)
			lie(m)
			liars[m.id] = true
			continue
		}
		slots := mix(s, i)
		s.after(time.Duration(s.rng.Int64N(int64(2*time.Second))), func() { s.add(slots) })
	}
	s.watch(100 * time.Millisecond)
	return liars
}

// promising is the reply of a liar who would be asked before anybody else.
func (n *simNode) promising(m *MsgProbeReply) Message {
	c := *m
	c.Free, c.Path, c.Delay = MaxSlots, []ID{"n0000", n.id}, time.Millisecond
	return &c
}

// fed tells whether media comes to a node: along parents that have it and give it.
func (s *sim) fed(n *simNode) bool {
	for range len(s.nodes) {
		if n.i == 0 {
			return true
		}
		p := s.byID[n.feeds.Primary]
		if p == nil || !p.alive || p.dry || s.hops[key(n.i, p.i)] == nil {
			return false
		}
		n = p
	}
	return false
}

// judge is the part of the engine that sees that nothing comes: a parent that has what it does not send is left after two
// seconds; one that has nothing either, after five to ten.
func (s *sim) judge() {
	for _, n := range s.nodes {
		p := s.byID[n.feeds.Primary]
		if !n.alive || n.dry || p == nil || s.fed(n) {
			n.dryFor = 0
			continue
		}
		switch n.dryFor++; {
		case n.dryFor >= 2 && p.dry && s.fed(p):
			n.dryFor = 0
			s.step(n, Distrust{Peer: p.id, Reason: "withheld media"})
		case n.dryFor >= 5+n.i%5:
			n.dryFor = 0
			s.step(n, Distrust{Peer: p.id, Reason: "withheld media", Late: true, For: 5 * time.Second})
		}
	}
	s.after(time.Second, s.judge)
}

// Peers that accept and do not feed, and say in their pulses that they do, hold nobody for long: each of the others meets each of
// them once, and takes those below it along.
func TestRelaysThatDoNotFeed(t *testing.T) {
	inFull(t)
	for seed := range uint64(3) {
		s := newSim(t, seed)
		s.config = func(c *Config) { c.DistrustFor = time.Hour }
		liars := hostile(s, 60, func(n *simNode) { n.dry = true })
		s.judge()
		s.run(90 * time.Second)
		looks, hungry, longest := 0, 0, 0
		for range 40 {
			s.run(s.now + time.Second)
			for _, n := range s.nodes {
				if liars[n.id] {
					continue
				}
				looks++
				if !s.fed(n) {
					hungry++
					longest = max(longest, n.dryFor)
				}
			}
		}
		t.Logf("seed %d: without media %.1f %% of the time, at most %d s", seed, 100*float64(hungry)/float64(looks), longest)
		if hungry*100 > 3*looks || longest > 5 {
			t.Errorf("seed %d: without media in %d of %d looks, at most for %d s", seed, hungry, looks, longest)
		}
	}
}

// Peers that say that they do not feed, or never answer what they are asked to confirm, are passed by.
func TestRelaysThatAcceptOnly(t *testing.T) {
	for seed := range uint64(3) {
		s := newSim(t, seed)
		liars := hostile(s, 60, func(n *simNode) {
			n.lie = func(to ID, m Message) Message {
				switch m := m.(type) {
				case *MsgProbeReply:
					return n.promising(m)
				case *MsgRefuse: // promises to all
					return &MsgAccept{Nonce: m.Nonce, Kind: Ordinary, Path: []ID{"n0000", n.id}, PathSeq: 1}
				}
				return m
			}
		})
		deluded := func() map[ID]ID { // who takes somebody for its parent that knows nothing of it
			out := map[ID]ID{}
			for _, n := range s.nodes {
				p := s.byID[n.feeds.Primary]
				if p != nil && !slices.ContainsFunc(p.children, func(c Child) bool { return c.Peer == n.id && c.Kind != Backup }) {
					out[n.id] = p.id
				}
			}
			return out
		}
		s.run(40 * time.Second)
		before := deluded()
		s.run(43 * time.Second)
		now := deluded()
		for _, n := range s.nodes {
			if !liars[n.id] && !n.r.Status().Placed {
				t.Errorf("seed %d: %s has no place", seed, n.id)
			}
			if p := before[n.id]; p != "" && now[n.id] == p {
				t.Errorf("seed %d: %s takes %s for its parent, which knows nothing of it", seed, n.id, p)
			}
		}
	}
}

// What a peer says of its path to look better than it is lets those below it and strangers neither form loops that last nor lose their places for good.
func TestLiesOfPaths(t *testing.T) {
	inFull(t)
	lies := map[string]func(n *simNode, to ID) []ID{
		"next to the origin": func(n *simNode, _ ID) []ID { return []ID{"n0000", n.id} },
		"another origin":     func(n *simNode, _ ID) []ID { return []ID{n.id} },
		"the asked in it":    func(n *simNode, to ID) []ID { return []ID{"n0000", to, n.id} },
		"none":               func(*simNode, ID) []ID { return nil },
		"too long": func(n *simNode, _ ID) (path []ID) {
			for i := range 2 * MaxPath {
				path = append(path, ID(fmt.Sprintf("x%d", i)))
			}
			return append(path, n.id)
		},
	}
	for name, path := range lies {
		t.Run(name, func(t *testing.T) {
			s := newSim(t, 3)
			liars := hostile(s, 60, func(n *simNode) {
				n.lie = func(to ID, m Message) Message {
					switch m := m.(type) {
					case *MsgProbeReply:
						c := *m
						c.Path = path(n, to)
						return &c
					case *MsgAccept:
						c := *m
						c.Path = path(n, to)
						return &c
					case *MsgPath:
						c := *m
						c.Path = path(n, to)
						return &c
					}
					return m
				}
			})
			s.run(60 * time.Second)
			for _, n := range s.nodes {
				if liars[n.id] {
					continue
				}
				if st := n.r.Status(); !st.Placed {
					t.Errorf("%s has no place", n.id)
				}
				if !s.fed(n) {
					t.Errorf("%s is not below the origin", n.id)
				}
			}
		})
	}
}

// Peers that come, take the best places, and go again without end leave the others in theirs as soon as they stop.
func TestRestless(t *testing.T) {
	s := newSim(t, 5)
	build(s, 50, time.Second)
	s.run(8 * time.Second)
	for k := range 60 {
		s.after(time.Duration(k)*250*time.Millisecond, func() {
			n := s.add(32)
			s.after(400*time.Millisecond+time.Duration(s.rng.IntN(600))*time.Millisecond, func() {
				if k%2 == 0 {
					s.leave(n)
				} else {
					s.kill(n, k%4 == 1)
				}
			})
		})
	}
	s.run(28 * time.Second) // whoever remembers them asks them first, and they do not answer
	if placed, live := s.settled(); placed < live {
		t.Errorf("%d of %d have a place 4 s after the last of them", placed, live)
	}
	s.run(60 * time.Second)
	s.check()
}

// Who distrusts a peer chooses nobody below it, but distrust in the origin shuts out nobody else: all paths begin there.
func TestDistrustInPath(t *testing.T) {
	r := New(DefaultConfig("me"))
	r.Step(simStart, Start{})
	r.Step(simStart, Distrust{Peer: "liar"})
	r.Step(simStart, Distrust{Peer: "origin", For: time.Second})
	for _, c := range []struct {
		path []ID
		want bool
	}{
		{[]ID{"origin", "p"}, true},
		{[]ID{"origin", "liar", "p"}, false},
		{[]ID{"origin", "liar"}, false},
		{[]ID{"origin"}, false},
	} {
		if got := r.fits(r.seek, c.path[len(c.path)-1], c.path); got != c.want {
			t.Errorf("%v: %v", c.path, got)
		}
	}
	r.now = r.now.Add(2 * time.Second)
	if !r.fits(r.seek, "origin", []ID{"origin"}) {
		t.Error("the origin is distrusted for longer than asked")
	}
}

// Peers that claim in joins and pulses that a crowd with many free slots hangs below them, and take nobody, get the first places of the
// room by that and do not keep them from those who need them.
func TestBoastsOfCrowds(t *testing.T) {
	for seed := range uint64(3) {
		s := newSim(t, seed)
		liars := hostile(s, 60, func(n *simNode) {
			n.lie = func(to ID, m Message) Message {
				switch m := m.(type) {
				case *MsgProbeReply:
					return n.promising(m)
				case *MsgJoin:
					c := *m
					c.Below = 1 << 19
					return &c
				case *MsgAccept:
					return &MsgRefuse{Nonce: m.Nonce}
				}
				return m
			}
			n.boast = func(_ ID, p *Pulse) { p.Below, p.FreeBelow, p.Free = 1<<19, 1<<19, 16 }
		})
		s.run(60 * time.Second)
		out := 0
		for _, n := range s.nodes {
			if !liars[n.id] && !n.r.Status().Placed {
				out++
			}
		}
		if out > 0 {
			t.Errorf("seed %d: %d of %d honest have no place", seed, out, len(s.nodes)-len(liars))
		}
	}
}
