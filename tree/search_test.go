package tree

import (
	"testing"
	"time"
)

// A look for a better place and a search for a backup have had an answer of the same peer: one of them asks it for a place. Both did, and
// the child confirmed the earlier one, of which the parent knew nothing any more.
func TestSearchesDoNotAskTheSame(t *testing.T) {
	r := New(DefaultConfig("self"))
	now := simStart
	r.Step(now, Candidates{List: []Candidate{{Peer: "p", Depth: 1, Free: 1}}})
	r.Step(now, Start{})
	path := []ID{"o", "a", "b", "p"}
	r.Step(now, Recv{"p", &MsgProbeReply{Nonce: r.seek.asks[0].nonce, Free: 1, Path: path}})
	r.Step(now, Recv{"p", &MsgAccept{Nonce: r.seek.attempts[0].nonce, Kind: Ordinary, Path: path, PathSeq: 1}})
	r.Step(now, HopUp{"p"})
	answered := func(kind ChildKind) *search {
		return &search{
			kind: kind, reason: ReasonOptimize, width: 1, look: kind == Ordinary, window: r.now,
			asks: []ask{{peer: "q", key: keyOf("q"), usable: true, cost: time.Millisecond, quality: bestQuality}},
		}
	}
	r.seek, r.spareSeek = answered(Ordinary), answered(Backup)
	joins := 0
	for _, a := range r.Step(now, Tick{}) {
		if s, ok := a.(Send); ok && s.To == "q" {
			if _, ok := s.Msg.(*MsgJoin); ok {
				joins++
			}
		}
	}
	if joins != 1 {
		t.Errorf("q is asked for %d places", joins)
	}
}

// A peer with which no hop came up comes last in what is asked, though it answers, until walledFor is over; others are told of it all the
// same.
func TestWalledComesLast(t *testing.T) {
	r := New(DefaultConfig("self"))
	r.Step(simStart, Candidates{List: []Candidate{{Peer: "near", Depth: 1, Free: 9}, {Peer: "far", Depth: 5, Free: 1}}})
	order := func() (ids []ID) {
		p := r.cache.order(r.now, r.rng, asker{}, 2, func(*entry, uint64) bool { return false })
		for _, k := range p.list[:p.n] {
			ids = append(ids, k.entry.Peer)
		}
		return ids
	}
	for _, c := range []struct {
		after time.Duration // since the hop failed
		first ID
	}{{-1, "near"}, {0, "far"}, {walledFor - 1, "far"}, {walledFor, "near"}} {
		if c.after == 0 {
			r.cache.unhopped(r.now, "near")
			r.cache.answered("near")
		}
		if c.after > 0 {
			r.Step(simStart.Add(c.after), Tick{})
		}
		if got := order(); got[0] != c.first {
			t.Errorf("%v after its hop failed: asked in the order %v", c.after, got)
		}
		if e := r.cache.find("near"); !r.nameable(e, keyOf("near"), nil, &[MaxCandidates]uint64{}) {
			t.Errorf("%v after its hop failed it is not named to others", c.after)
		}
	}
}

// A newcomer that gives slots asks few of those that have no room, in the hope that one displaces a child for it: where all that it knows
// are full, it looks for others soon, rather than wait for the refusal of each.
func TestFewBlindJoins(t *testing.T) {
	c := DefaultConfig("self")
	c.Slots = 5
	r := New(c)
	now := simStart
	var list []Candidate
	for i := range 12 {
		list = append(list, Candidate{Peer: ID([]byte{'a' + byte(i)}), Depth: 1})
	}
	r.Step(now, Candidates{List: list})
	joins := 0
	var carryOut func(acts []Action)
	carryOut = func(acts []Action) {
		for _, a := range acts {
			s, ok := a.(Send)
			if !ok {
				continue
			}
			now = now.Add(10 * time.Millisecond)
			switch m := s.Msg.(type) {
			case *MsgProbe:
				carryOut(append([]Action(nil), r.Step(now, Recv{s.To, &MsgProbeReply{Nonce: m.Nonce, Path: []ID{"o", s.To}}})...))
			case *MsgJoin:
				joins++
				carryOut(append([]Action(nil), r.Step(now, Recv{s.To, &MsgRefuse{Nonce: m.Nonce, Reason: RefuseFull}})...))
			}
		}
	}
	carryOut(append([]Action(nil), r.Step(now, Start{})...))
	for r.seek != nil && r.seek.rounds == 0 && now.Before(simStart.Add(time.Minute)) {
		now = now.Add(10 * time.Millisecond)
		carryOut(append([]Action(nil), r.Step(now, Tick{})...))
	}
	if joins != maxBlind || now.Sub(simStart) > time.Second {
		t.Errorf("%d of those that are full were asked for a place in %v, want %d within a second", joins, now.Sub(simStart), maxBlind)
	}
}
