package relay

import (
	"cmp"
	"slices"

	"github.com/castd/castd/engine/wire"
)

// A manifest has one hash for the packets of a picture, which tells of all of them or of none: they are confirmed when the last has
// come. If the hash is another then, one of them is not the publisher's, and which one cannot be told: all go that were not confirmed
// before, and are wanted again. Of two variants under a number the right one shows, if it is there.

const (
	// maxPictures bounds the pictures that wait for packets; the oldest is forgotten then, and its packets stay unconfirmed. It is
	// more than there are in a group of pictures that lasts half a minute.
	maxPictures = 1024
	// maxChoices bounds the numbers of which each variant is tried with each of the others: 64 short hashes. Where there are more, the
	// first ones are tried together, and the second ones: two peers send the picture then, of which one is honest.
	maxChoices = 6
)

// picture is one that is vouched for and not complete.
type picture struct {
	first   uint64
	packets int
	hash    wire.Hash
}

func (p *picture) last() uint64 { return p.first + uint64(p.packets) - 1 }

// ConfirmPicture says that the publisher vouches for the packets from first on together. The caller has verified the manifest's
// signature, and packets is at most wire.MaxPicture. After Wrong, and after Absent, which says that some have not come yet, the hash is
// remembered, and the Put that completes the picture judges by it.
func (s *Store) ConfirmPicture(first uint64, packets int, hash wire.Hash) Confirmation {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := picture{first, packets, hash}
	if packets < 1 || packets > wire.MaxPicture || first > wire.MaxNumber || p.last() > wire.MaxNumber {
		return Passed
	}
	s.distrustLocked(p.last())
	s.vouchLocked(p.last())
	if first < s.released || !s.win.fits(first) && first < s.win.lo {
		return Passed
	}
	i, known := slices.BinarySearchFunc(s.pictures, first, func(p picture, n uint64) int { return cmp.Compare(p.first, n) })
	if known {
		return Absent // a publisher that vouches for two is believed once
	}
	c := s.judgeLocked(&p)
	if c == Absent || c == Wrong {
		s.pictures = slices.Insert(s.pictures, i, p)
		old := 0
		for len(s.pictures)-old > maxPictures || s.pictures[old].first < s.released {
			if s.pictures[old].first >= s.released {
				s.counters.Forgotten++
			}
			if old++; old == len(s.pictures) {
				break
			}
		}
		s.pictures = slices.Delete(s.pictures, 0, old)
	}
	return c
}

// judgeLocked confirms or drops the packets of a picture that is complete.
func (s *Store) judgeLocked(p *picture) Confirmation {
	var entries [wire.MaxPicture]*entry
	open := false
	for i := range p.packets {
		slot := s.win.at(p.first + uint64(i))
		if slot <= 0 || s.entries[slot-1].count == 0 {
			return Absent
		}
		entries[i] = &s.entries[slot-1]
		open = open || entries[i].state != entryConfirmed
	}
	if !open {
		return Already
	}
	if choice, ok := choose(entries[:p.packets], p.hash); ok {
		for i, e := range entries[:p.packets] {
			if e.state != entryConfirmed {
				s.settleLocked(e, int(choice>>i&1))
			}
		}
		return Confirmed
	}
	for _, e := range entries[:p.packets] {
		if e.state != entryConfirmed {
			s.counters.Wrong++
			s.removeLocked(e)
		}
	}
	return Wrong
}

// choose finds the variants of the packets that have the hash together: bit i is set where it is the second of entry i.
func choose(entries []*entry, hash wire.Hash) (choice uint64, ok bool) {
	var hashes [wire.MaxPicture]wire.Hash
	var both [wire.MaxPicture]int // entries with two variants
	n := 0
	for i, e := range entries {
		hashes[i] = e.variants[0].hash
		if e.count == 2 {
			both[n] = i
			n++
		}
	}
	tries := uint64(1) << min(n, maxChoices)
	if n > maxChoices {
		tries = 2
	}
	for try := range tries {
		choice = 0
		for k, i := range both[:n] {
			second := try >> k & 1
			if n > maxChoices {
				second = try
			}
			hashes[i] = entries[i].variants[second].hash
			choice |= second << i
		}
		got := hashes[0]
		if len(entries) > 1 {
			got = wire.HashPicture(hashes[:len(entries)])
		}
		if got == hash {
			return choice, true
		}
	}
	return 0, false
}

// arrivedLocked judges the picture that n is of, if the first packet under n has made it complete. It reports whether it was spoiled.
func (s *Store) arrivedLocked(n uint64) (spoiled bool) {
	i, ok := s.pictureLocked(n)
	if !ok {
		return false
	}
	switch s.judgeLocked(&s.pictures[i]) {
	case Wrong:
		return true
	case Confirmed, Already:
		s.pictures = slices.Delete(s.pictures, i, i+1)
	}
	return false
}

// pictureLocked returns which of the pictures that wait for packets n is of.
func (s *Store) pictureLocked(n uint64) (int, bool) {
	i, found := slices.BinarySearchFunc(s.pictures, n, func(p picture, n uint64) int { return cmp.Compare(p.first, n) })
	if !found {
		i--
	}
	return i, i >= 0 && n <= s.pictures[i].last()
}

// Picture returns the numbers of a picture that is vouched for and not confirmed, of which n is one.
func (s *Store) Picture(n uint64) (first, last uint64, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, ok := s.pictureLocked(n)
	if !ok {
		return 0, 0, false
	}
	return s.pictures[i].first, s.pictures[i].last(), true
}

// Lacks returns the first number without a packet of a picture that is vouched for and not complete, of which n is one.
func (s *Store) Lacks(n uint64) (missing uint64, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, ok := s.pictureLocked(n)
	if !ok {
		return 0, false
	}
	p := &s.pictures[i]
	for missing = p.first; missing <= p.last(); missing++ {
		if slot := s.win.at(missing); slot <= 0 || s.entries[slot-1].count == 0 {
			return missing, true
		}
	}
	return 0, false
}
