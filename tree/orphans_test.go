package tree

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// orphanage is a router whose slots are taken, and orphans that ask it for its reserve.
type orphanage struct {
	*Router
	now   time.Time
	nonce uint64
	below map[ID]uint32
	sent  map[ID]int // how often each was sent away
}

func newOrphanage(reserve int) *orphanage {
	c := DefaultConfig("o")
	c.Slots, c.Reserve, c.ChildSilence = 1, reserve, time.Hour
	o := &orphanage{Router: New(c), now: simStart, below: map[ID]uint32{}, sent: map[ID]int{}}
	o.step(Start{Origin: true})
	o.join("head", Ordinary, 9, 0)
	return o
}

func (o *orphanage) step(in Input) []Action {
	acts := o.Step(o.now, in)
	for _, a := range acts {
		if s, ok := a.(Send); ok {
			if m, ok := s.Msg.(*MsgLeave); ok && m.Reason == LeaveUnknown {
				o.sent[s.To]++
			}
		}
	}
	return acts
}

// join asks for a place, and takes it where it is given.
func (o *orphanage) join(id ID, kind ChildKind, slots, below uint32) (got bool) {
	o.nonce++
	o.below[id] = below
	for _, a := range o.step(Recv{id, &MsgJoin{Nonce: o.nonce, Kind: kind, Slots: slots, Below: below}}) {
		if s, ok := a.(Send); ok && s.To == id {
			_, got = s.Msg.(*MsgAccept)
		}
	}
	if got {
		o.step(Recv{id, &MsgConfirm{o.nonce}})
		if id != "liar" {
			o.step(Pulse{From: id, Depth: 1, Below: int(below)})
		}
	}
	return got
}

// seated lists the orphans on the reserve.
func (o *orphanage) seated() (out []ID) {
	for _, c := range o.children {
		if c.kind == Orphan {
			out = append(out, c.peer)
		}
	}
	return out
}

// However orphans come, and come again when they were refused or sent away: the reserve is held by those with the most below them, but
// for a factor of two, nobody is sent away twice by the same ones, and no slot is given twice.
func TestLargestSubtreeFirst(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	for range 200 {
		reserve, n := 1+rng.IntN(3), 4+rng.IntN(8)
		o := newOrphanage(reserve)
		most := map[ID]uint32{}
		for i := range n {
			most[ID(fmt.Sprint("p", i))] = uint32(rng.IntN(60)) >> rng.IntN(6)
		}
		for range 6 {
			for _, i := range rng.Perm(n) {
				id := ID(fmt.Sprint("p", i))
				if o.child(id) == nil {
					o.join(id, Orphan, 0, most[id])
				}
				if got := len(o.seated()); got > reserve {
					t.Fatalf("%d orphans on a reserve of %d", got, reserve)
				}
				o.now = o.now.Add(time.Duration(rng.IntN(800)) * time.Millisecond)
			}
		}
		for _, id := range o.seated() {
			for other, below := range most {
				if o.child(other) == nil && int(below) >= 2*int(most[id])+2 {
					t.Errorf("%s with %d below it has a place on the reserve, %s with %d has none", id, most[id], other, below)
				}
			}
		}
		if len(o.seated()) != min(reserve, n) {
			t.Errorf("%d of %d places are taken", len(o.seated()), reserve)
		}
		for id, k := range o.sent {
			if k > 6 {
				t.Errorf("%s was sent away %d times", id, k)
			}
		}
	}
}

// Who claims many below it and has none takes one place by that, and no second one.
func TestBoastsAreRemembered(t *testing.T) {
	o := newOrphanage(1)
	o.join("small", Orphan, 0, 1)
	if !o.join("liar", Orphan, 0, 1<<30) {
		t.Fatal("one that claims more is refused")
	}
	if c := o.child("liar"); c.below > 1<<30 {
		t.Errorf("%d below it count", c.below)
	}
	o.now = o.now.Add(boastAfter)
	o.step(Pulse{From: "liar", Depth: 1})
	o.step(Recv{"liar", &MsgLeave{Reason: LeaveMoved}})
	o.join("small", Orphan, 0, 1)
	o.now = o.now.Add(2 * o.cfg.DisplaceGap)
	if o.join("liar", Orphan, 0, 1<<30) {
		t.Error("it is believed again")
	}
	if !o.join("large", Orphan, 0, 4) {
		t.Error("another is not believed")
	}
}

// A parent that has no room any more, and lives, sends a child away: those below that parent, whom it has named, are asked at once. They
// were passed over in the first round, as if the parent had died.
func TestSentAwayGoesBelow(t *testing.T) {
	s := newSim(t, 2)
	s.add(2)
	n := s.add(0)
	s.run(3 * time.Second)
	if n.feeds.Primary != "n0000" {
		t.Fatalf("the parent is %q", n.feeds.Primary)
	}
	head := s.add(3)
	s.run(5 * time.Second)
	o := s.nodes[0].r
	at := s.now
	o.now = o.instant(simStart.Add(at))
	o.acts = nil
	o.removeChild(o.child(n.id), LeaveUnknown)
	o.slots = 1 // it has no room indeed
	o.finish()
	s.apply(s.nodes[0], o.acts)
	for n.feeds.Primary != head.id && s.now < at+5*time.Second {
		s.run(s.now + 10*time.Millisecond)
	}
	if took := s.now - at; took > 700*time.Millisecond { // the message, a join, a hop, each some round trips of 160 ms at most
		t.Errorf("it has another place after %v", took)
	}
}

// Where slots have become fewer than there are children, nobody is fed on top, however many are below him: not even in place of an
// orphan to whom nothing is sent yet.
func TestNobodyOnTopOfTooMany(t *testing.T) {
	for _, slots := range []int{3, 1} {
		k := newCopier(t, 3, 0.05)
		for _, id := range []ID{"a", "b", "c"} {
			k.join(id, Ordinary, 0)
		}
		k.join("d", Backup, 4)
		k.nonce++
		k.step(Recv{From: "e", Msg: &MsgJoin{Nonce: k.nonce, Kind: Orphan}}) // and does not confirm
		k.step(SetSlots{Slots: slots})
		k.nonce++
		k.step(Recv{From: "d", Msg: &MsgJoin{Nonce: k.nonce, Kind: Orphan, Below: 16}})
		fed := 0
		for _, c := range k.r.Status().Children {
			if c.Kind != Backup {
				fed++
			}
		}
		if want := map[int]int{3: 4, 1: 3}[slots]; fed != want {
			t.Errorf("%d slots: %d are fed, want %d", slots, fed, want)
		}
	}
}
