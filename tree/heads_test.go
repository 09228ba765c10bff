package tree

import (
	"testing"
	"time"
)

// A handful is fed by the origin itself; beyond that it feeds two heads, however many listen.
func TestHeads(t *testing.T) {
	for listeners, want := range map[int]int{1: 1, 2: 2, 3: 3, 4: 4, 9: 2, 60: 2} {
		s := newSim(t, 2)
		s.add(8)
		for range listeners {
			s.add(3)
		}
		s.run(60 * time.Second)
		fed := 0
		for _, c := range s.nodes[0].children {
			if c.Kind != Backup {
				fed++
			}
		}
		if fed != want {
			t.Errorf("%d listeners: the origin feeds %d, want %d", listeners, fed, want)
		}
		s.check()
	}
}

// Where slots become fewer, the newest child that gives nothing is asked to go first, and is fed until it has gone.
func TestShed(t *testing.T) {
	s := newSim(t, 4)
	s.add(2)
	a := s.add(4)
	s.run(2 * time.Second)
	for range 5 {
		s.add(1)
	}
	s.run(20 * time.Second)
	before := len(a.r.Status().Children)
	s.step(a, SetSlots{Slots: 1})
	s.run(60 * time.Second)
	s.check()
	if fed := a.r.used(Ordinary, nil); fed > 1 {
		t.Errorf("%d ordinary children on one slot, of %d before", fed, before)
	}
	for _, n := range s.nodes[1:] {
		for _, e := range n.events {
			if p, ok := e.(ParentChanged); ok && p.Reason == ReasonRepair {
				t.Errorf("%s was cut off", n.id)
			}
		}
	}
}

// Heads that die one after the other are replaced: the origin feeds two again soon.
func TestHeadsAreReplaced(t *testing.T) {
	s := newSim(t, 5)
	s.add(8)
	for range 60 {
		s.add(3)
	}
	s.run(40 * time.Second)
	for range 4 {
		for _, c := range s.nodes[0].children {
			if c.Kind != Backup {
				s.kill(s.byID[c.Peer], true)
				break
			}
		}
		s.run(s.now + 25*time.Second)
		if fed := s.nodes[0].r.used(Ordinary, nil) + s.nodes[0].r.used(Orphan, nil); fed != 2 {
			t.Fatalf("%v: the origin feeds %d", s.now, fed)
		}
	}
	s.check()
}

// While a head is lost the origin's places are for those with many below them; who has fewer gives way, one after the other without a pause.
func TestPlacesOfALostHead(t *testing.T) {
	c := DefaultConfig("o")
	c.Slots, c.Reserve, c.ChildSilence = 7, 2, time.Hour
	o := &orphanage{Router: New(c), now: simStart, below: map[ID]uint32{}, sent: map[ID]int{}}
	o.step(Start{Origin: true})
	for _, id := range []ID{"red", "blue"} {
		o.join(id, Ordinary, 9, 360)
		o.step(Pulse{From: id, Depth: 1, Below: 360, FreeBelow: 50})
	}
	orphan := func(id ID, below uint32) (got bool) {
		o.nonce++
		for _, a := range o.step(Recv{id, &MsgJoin{Nonce: o.nonce, Kind: Orphan, Below: below, Avoid: []ID{"red"}}}) {
			if s, ok := a.(Send); ok && s.To == id {
				_, got = s.Msg.(*MsgAccept)
			}
		}
		if got {
			o.step(Recv{id, &MsgConfirm{o.nonce}})
			o.step(Pulse{From: id, Depth: 1, Below: int(below)})
		}
		return got
	}
	for below, want := range map[uint32]bool{0: false, 3: false, 9: false, 10: true, 60: true} {
		if id := ID(rune('A' + below)); orphan(id, below) != want {
			t.Errorf("an orphan with %d of 720 below it has a place: %v", below, !want)
		}
	}
	for i := range 5 {
		orphan(ID(rune('a'+i)), 20)
	}
	for i := range 3 { // at once, although each takes another's place
		if id := ID(rune('r' + i)); !orphan(id, 200) {
			t.Errorf("%s is refused with 200 below it", id)
		}
	}
	if fed := o.used(Ordinary, nil) + o.used(Orphan, nil); fed > 9 {
		t.Errorf("%d are fed", fed)
	}
}

// The origin turns to heads where there is room below them for twice as many as it asks to go: those who move have no slots to give
// meanwhile, and it took all of them back after ten seconds where there was room for each of them just so.
func TestRoomBelowHeads(t *testing.T) {
	for room, want := range map[int]bool{4: false, 8: false, 9: true, 30: true} { // of six children four go
		c := DefaultConfig("o")
		c.Slots, c.ChildSilence = 7, 2*time.Hour
		o := &orphanage{Router: New(c), now: simStart, below: map[ID]uint32{}, sent: map[ID]int{}}
		o.step(Start{Origin: true})
		for _, id := range []ID{"a", "b", "c", "d", "e", "f"} {
			o.join(id, Ordinary, 3, 20)
			o.step(Pulse{From: id, Depth: 1, Below: 20})
		}
		o.now = o.now.Add(time.Hour) // it may have tried already
		o.step(Pulse{From: "a", Depth: 1, Below: 20, FreeBelow: room})
		if o.headed != want {
			t.Errorf("room for %d below the heads: it feeds heads only: %v, want %v", room, o.headed, want)
		}
	}
}
