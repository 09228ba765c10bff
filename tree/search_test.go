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
			kind: kind, reason: ReasonOptimize, width: 1, look: kind == Ordinary, window: now,
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
