package tree

import (
	"testing"
	"time"
)

// A child whose process has ended is taken off at once, though its last packet is not old; one that is heard again stays.
func TestBrokenChild(t *testing.T) {
	for _, again := range []bool{false, true} {
		k := newCopier(t, 3, 0.05)
		k.join("a", Ordinary, 0)
		last := k.now
		k.now = k.now.Add(100 * time.Millisecond)
		k.step(Broken{Peer: "a"})
		k.step(Alive{Peer: "a", At: last})
		k.step(Tick{})
		if n := len(k.r.Status().Children); n != 1 {
			t.Fatalf("%d children: a middlebox may have ended the connection", n)
		}
		if again {
			k.step(Alive{Peer: "a", At: k.now})
		}
		k.now = k.now.Add(brokenFor)
		k.step(Alive{Peer: "a", At: last})
		k.step(Tick{})
		if n := len(k.r.Status().Children); (n == 1) != again {
			t.Errorf("heard again: %v; %d children", again, n)
		}
	}
}

// What a parent sent before its process ended does not make it live again.
func TestBrokenParent(t *testing.T) {
	c := DefaultConfig("self")
	c.Slots = 2
	r := New(c)
	now := simStart
	step := func(in Input) {
		now = now.Add(time.Millisecond)
		r.Step(now, in)
	}
	step(Candidates{List: []Candidate{{Peer: "p", Free: 1, Depth: 1}}})
	step(Start{})
	step(Recv{"p", &MsgProbeReply{Nonce: r.seek.asks[0].nonce, Free: 1, Path: []ID{"o", "p"}}})
	now = now.Add(c.ProbeWindow)
	step(Tick{})
	step(Recv{"p", &MsgAccept{Nonce: r.seek.attempts[0].nonce, Path: []ID{"o", "p"}, PathSeq: 1}})
	step(HopUp{"p"})
	last := now
	step(Broken{"p"})
	step(Alive{"p", last})
	step(Tick{})
	if !r.parent.suspect {
		t.Error("what came before the end counts")
	}
	step(Alive{"p", now})
	if r.parent.suspect {
		t.Error("what came after the end does not count")
	}
}
