package relay

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/castd/castd/engine/wire"
)

// shot is a picture of packets whose bytes are told apart by a text.
type shot struct {
	first   uint64
	packets int
}

func (p shot) packet(i int, text string) (wire.Header, []byte) {
	h, pkt := testPacket(wire.KindVideo, p.first+uint64(i), fmt.Sprint(text, " ", i))
	return h, pkt
}

func (p shot) hash() wire.Hash {
	var hashes []wire.Hash
	for i := range p.packets {
		_, pkt := p.packet(i, "right")
		hashes = append(hashes, wire.HashPacket(pkt))
	}
	return wire.HashPicture(hashes)
}

func (p shot) confirm(t *testing.T, s *Store, want Confirmation) {
	t.Helper()
	if got := s.ConfirmPicture(p.first, p.packets, p.hash()); got != want {
		t.Fatalf("ConfirmPicture = %v, want %v", got, want)
	}
}

func (p shot) put(t *testing.T, s *Store, i int, text string, want Verdict) {
	t.Helper()
	h, pkt := p.packet(i, text)
	put(t, s, h, pkt, want)
}

func (p shot) wantAll(t *testing.T, s *Store, want State) {
	t.Helper()
	for i := range p.packets {
		_, pkt := p.packet(i, "right")
		if want == StateAbsent {
			pkt = nil
		}
		wantPacket(t, s, p.first+uint64(i), pkt, want)
	}
}

// A picture is confirmed when all of it and its hash are there, in any order.
func TestPictureIsConfirmedWhole(t *testing.T) {
	for seed := range uint64(50) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		s := NewStore(Config{Kind: wire.KindVideo})
		p := shot{100, 2 + rnd.IntN(wire.MaxPicture-1)}
		told := rnd.IntN(p.packets + 1)
		for k, i := range rnd.Perm(p.packets) {
			if k == told {
				p.confirm(t, s, Absent)
			}
			if k > told {
				if missing, ok := s.Lacks(p.first); !ok || s.State(missing) != StateAbsent {
					t.Fatalf("Lacks = %d, %v", missing, ok)
				}
			}
			p.put(t, s, i, "right", New)
		}
		if told == p.packets {
			p.confirm(t, s, Confirmed)
		}
		p.wantAll(t, s, StateConfirmed)
		p.confirm(t, s, Already)
		if _, ok := s.Lacks(p.first); ok || len(s.pictures) != 0 {
			t.Fatal("a picture that is complete still waits")
		}
		checkStore(t, s)
	}
}

// One packet that is not the publisher's takes the picture along; what comes then is judged anew.
func TestPictureIsSpoiled(t *testing.T) {
	for _, late := range []bool{false, true} {
		s := NewStore(Config{Kind: wire.KindVideo})
		p := shot{100, 6}
		if late {
			p.confirm(t, s, Absent)
		}
		for i := range p.packets {
			text, want := "right", New
			if i == 2 {
				text = "wrong"
			}
			if late && i == 5 {
				want = Spoiled
			}
			p.put(t, s, i, text, want)
		}
		if !late {
			p.confirm(t, s, Wrong)
		}
		p.wantAll(t, s, StateAbsent)
		if first, last, ok := s.Picture(103); !ok || first != 100 || last != 105 {
			t.Fatalf("Picture = %d to %d, %v", first, last, ok)
		}
		checkStore(t, s)
		for i := range p.packets {
			p.put(t, s, i, "right", New)
		}
		p.wantAll(t, s, StateConfirmed)
		if c := s.Counters(); c.Wrong != 6 {
			t.Errorf("%d numbers were wrong", c.Wrong)
		}
	}
}

// Of two variants the right one shows: of a few numbers in any mixture, of many where each peer sent all of its own kind first.
func TestPictureOfVariants(t *testing.T) {
	for seed := range uint64(50) {
		rnd := rand.New(rand.NewPCG(seed, 2))
		s := NewStore(Config{Kind: wire.KindVideo})
		p := shot{100, 2 + rnd.IntN(wire.MaxPicture-1)}
		if seed%2 == 0 {
			p.packets = 2 + rnd.IntN(maxChoices-1)
		}
		first, second := "right", "wrong"
		if rnd.IntN(2) == 0 {
			first, second = second, first
		}
		for i := range p.packets {
			if p.packets <= maxChoices && rnd.IntN(2) == 0 {
				first, second = second, first
			}
			p.put(t, s, i, first, New)
			p.put(t, s, i, second, Variant)
		}
		p.confirm(t, s, Confirmed)
		p.wantAll(t, s, StateConfirmed)
		checkStore(t, s)
	}
}

// A packet that has a hash of its own as well stays when the picture is spoiled.
func TestPictureKeepsWhatWasConfirmed(t *testing.T) {
	s := NewStore(Config{Kind: wire.KindVideo})
	p := shot{100, 3}
	p.put(t, s, 0, "right", New)
	_, pkt := p.packet(0, "right")
	confirm(t, s, 100, pkt, Confirmed)
	p.put(t, s, 1, "wrong", New)
	p.put(t, s, 2, "right", New)
	p.confirm(t, s, Wrong)
	wantPacket(t, s, 100, pkt, StateConfirmed)
	p.put(t, s, 1, "right", New)
	p.put(t, s, 2, "right", New)
	p.wantAll(t, s, StateConfirmed)
}

// Pictures that never become complete are forgotten, and what cannot be one is passed over.
func TestPictureBounds(t *testing.T) {
	s := NewStore(Config{Kind: wire.KindVideo})
	for i := range uint64(maxPictures + 10) {
		shot{1000 + 4*i, 4}.confirm(t, s, Absent)
	}
	if len(s.pictures) != maxPictures || s.Counters().Forgotten != 10 || s.pictures[0].first != 1040 {
		t.Errorf("%d pictures wait, from %d on; %d were forgotten", len(s.pictures), s.pictures[0].first, s.Counters().Forgotten)
	}
	for _, p := range []shot{{5, 0}, {5, wire.MaxPicture + 1}, {wire.MaxNumber, 2}, {wire.MaxNumber + 1, 1}, {^uint64(0), 2}} {
		if got := s.ConfirmPicture(p.first, p.packets, wire.Hash{}); got != Passed {
			t.Errorf("%+v: %v", p, got)
		}
	}
	s.Reset()
	if _, ok := s.Lacks(1040); ok {
		t.Error("a picture outlives Reset")
	}
}
