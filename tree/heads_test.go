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
