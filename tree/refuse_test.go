package tree

import (
	"fmt"
	"testing"
	"time"
)

// checkRefusals checks that who is refused, or finds no room by a probe, is named somebody, where the router knows anybody else.
func checkRefusals(t testing.TB, r *Router, acts []Action) {
	t.Helper()
	for _, a := range acts {
		s, ok := a.(Send)
		if !ok {
			continue
		}
		var list []Candidate
		switch m := s.Msg.(type) {
		case *MsgRefuse:
			list = m.Candidates
		case *MsgProbeReply:
			if m.Free > 0 {
				continue
			}
			list = m.Candidates
		default:
			continue
		}
		if known := r.knownBeside(s.To); len(list) == 0 && len(known) > 0 {
			t.Fatalf("%T to %s names nobody, of %v: %s", s.Msg, s.To, known, dump(r))
		}
		for _, c := range list {
			if c.Peer == s.To || c.Peer == r.cfg.Self {
				t.Fatalf("%T to %s names %s", s.Msg, s.To, c.Peer)
			}
		}
	}
}

// knownBeside lists the peers that a router knows and does not distrust, but one.
func (r *Router) knownBeside(but ID) (out []ID) {
	add := func(id ID) {
		if id != "" && id != but && id != r.cfg.Self && !r.distrusted(id) {
			out = append(out, id)
		}
	}
	for _, l := range []*link{r.parent, r.backup} {
		if l != nil {
			add(l.peer)
		}
	}
	if len(r.path) > 0 {
		add(r.path[0])
	}
	for _, c := range r.children {
		add(c.peer)
	}
	for i := range r.cache.list {
		add(r.cache.list[i].Peer)
	}
	return out
}

// Nobody is refused without a word of whom to ask instead, whoever refuses, and whatever it knows: a peer with an empty cache names its
// parent and the origin, an origin of leaves these, one that leaves whom it remembers.
func TestRefusalsNameOthers(t *testing.T) {
	place := func(r *Router, parent ID, path ...ID) {
		r.Step(simStart, Start{})
		r.Step(simStart, Candidates{List: []Candidate{{Peer: parent, Depth: uint32(len(path) - 1), Free: 1}}})
		now := simStart
		for _, a := range append([]Action(nil), r.Step(now, Tick{})...) {
			_ = a
		}
		probe := r.seek.asks[0].nonce
		r.Step(now, Recv{parent, &MsgProbeReply{Nonce: probe, Free: 1, Path: path}})
		r.Step(now, Recv{parent, &MsgAccept{Nonce: r.seek.attempts[0].nonce, Kind: Ordinary, Path: path, PathSeq: 1}})
		r.Step(now, HopUp{parent})
		r.cache.remove(parent)
	}
	child := func(r *Router, id ID, slots uint32) {
		r.Step(simStart, Recv{id, &MsgJoin{Nonce: 7, Kind: Ordinary, Slots: slots}})
		r.Step(simStart, Recv{id, &MsgConfirm{7}})
	}
	for name, c := range map[string]struct {
		slots int
		set   func(r *Router)
		names int
	}{
		"a leaf with an empty cache": {0, func(r *Router) { place(r, "p", "o", "p") }, 2},
		"a leaf next to the origin":  {0, func(r *Router) { place(r, "o", "o") }, 1},
		"an origin of leaves":        {1, func(r *Router) { r.Step(simStart, Start{Origin: true}); child(r, "leaf", 0) }, 1},
		"one that is leaving": {1, func(r *Router) {
			place(r, "p", "o", "p")
			r.Step(simStart, Candidates{List: []Candidate{{Peer: "x"}}})
			r.Step(simStart, Leave{})
		}, 1},
		"one without a place": {1, func(r *Router) {
			r.Step(simStart, Candidates{List: []Candidate{{Peer: "x"}}})
			r.Step(simStart, Start{})
		}, 1},
		"one that knows a dead peer only": {1, func(r *Router) {
			r.Step(simStart, Candidates{List: []Candidate{{Peer: "x"}}})
			r.Step(simStart, Start{})
			r.Step(simStart, Unreachable{"x"})
		}, 1},
		"one that knows nobody": {1, func(r *Router) { r.Step(simStart, Start{}) }, 0},
		"one that distrusts whom it knows": {1, func(r *Router) {
			r.Step(simStart, Candidates{List: []Candidate{{Peer: "x"}}})
			r.Step(simStart, Start{})
			r.Step(simStart, Distrust{Peer: "x"})
		}, 0},
	} {
		for _, kind := range []ChildKind{Ordinary, Orphan, Backup} {
			cfg := DefaultConfig("self")
			cfg.Slots, cfg.Reserve, cfg.Backups = c.slots, 0, 0
			r := New(cfg)
			c.set(r)
			acts := r.Step(simStart, Recv{"asker", &MsgJoin{Nonce: 1, Kind: kind}})
			checkRefusals(t, r, acts)
			refused := false
			for _, a := range acts {
				if s, ok := a.(Send); ok {
					if m, ok := s.Msg.(*MsgRefuse); ok {
						refused = true
						if len(m.Candidates) < c.names || c.names == 0 && len(m.Candidates) > 0 {
							t.Errorf("%s refuses a child of kind %v and names %v, want %d", name, kind, m.Candidates, c.names)
						}
					}
				}
			}
			if !refused {
				t.Errorf("%s did not refuse a child of kind %v", name, kind)
			}
			checkRefusals(t, r, r.Step(simStart, Recv{"asker", &MsgProbe{Nonce: 2, Terse: kind == Backup}}))
		}
	}
}

// So it is in rooms that are built, where peers die and messages are lost.
func TestNoBareRefusals(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			s := newSim(t, seed)
			s.loss = 0.02
			s.looks = func(n *simNode, acts []Action) { checkRefusals(t, n.r, acts) }
			build(s, 60, time.Second)
			for i := range 10 {
				s.after(4*time.Second+time.Duration(i)*500*time.Millisecond, func() {
					if n := s.nodes[1+s.rng.IntN(59)]; n.alive {
						s.kill(n, i%2 == 0)
					}
				})
			}
			s.run(15 * time.Second)
			if s.refused == 0 {
				t.Error("nobody was refused: this tests nothing")
			}
		})
	}
}
