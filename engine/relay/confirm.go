package relay

import "github.com/castd/castd/engine/wire"

// Confirmation says what a hash from a manifest meant.
type Confirmation uint8

// Confirmations.
const (
	Confirmed Confirmation = iota // a packet is right, and now confirmed
	Already                       // the number was confirmed before
	Wrong                         // no packet under the number was right: they are gone, and the number is wanted again
	Absent                        // there is no packet under the number yet: it is wanted
	Passed                        // the number is older than what is kept, or skipped: there is nothing to do
)

// String returns the name of the confirmation.
func (c Confirmation) String() string {
	names := [...]string{"confirmed", "already", "wrong", "absent", "passed"}
	if int(c) >= len(names) {
		return "unknown"
	}
	return names[c]
}

// Confirm says that the publisher vouches for the packet with the hash under number. The caller has verified the manifest's
// signature. After Wrong and Absent the hash is remembered, within bounds, and Put judges by it at once.
func (s *Store) Confirm(number uint64, hash wire.Hash) Confirmation {
	s.mu.Lock()
	defer s.mu.Unlock()
	if number > wire.MaxNumber {
		return Passed
	}
	s.distrustLocked(number)
	s.vouchLocked(number)
	if number < s.released || !s.win.fits(number) && number < s.win.lo {
		return Passed
	}
	slot := s.win.at(number)
	if slot == slotSkipped {
		return Passed
	}
	if slot == slotEmpty {
		if !s.win.fits(number) {
			s.giveUpLocked(number - maxSpan + 1)
		}
		s.rememberLocked(s.newEntryLocked(number), hash)
		return Absent
	}
	e := &s.entries[slot-1]
	switch e.state {
	case entryHash: // a publisher that vouches for two packets is believed once
		return Absent
	case entryConfirmed:
		return Already
	}
	for i := range e.count {
		if e.variants[i].hash == hash {
			s.settleLocked(e, i)
			return Confirmed
		}
	}
	s.emptyLocked(e)
	s.rememberLocked(e, hash)
	s.counters.Wrong++
	return Wrong
}

// Skip says that the publisher will never send numbers first to last. What is there under them and not confirmed is
// dropped.
func (s *Store) Skip(first, last uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if first > last || last > wire.MaxNumber {
		return
	}
	s.distrustLocked(last)
	s.vouchLocked(last)
	if last < s.released || !s.win.fits(last) && last < s.win.lo {
		return
	}
	if !s.win.fits(last) {
		s.giveUpLocked(last - maxSpan + 1)
	}
	first = max(first, s.released)
	if top := max(s.win.hi, last); s.win.any && top >= maxSpan {
		first = max(first, top-maxSpan+1)
	} else if last-first >= maxSpan {
		first = last - maxSpan + 1
	}
	s.win.include(first)
	s.win.include(last)
	for n := first; n <= last; n++ {
		slot := s.win.at(n)
		if slot <= 0 {
			s.win.set(n, slotSkipped)
		} else if e := &s.entries[slot-1]; e.state != entryConfirmed {
			s.replaceLocked(e, slotSkipped)
		}
	}
	s.win.trim()
}

// rememberLocked makes an entry without packets one that waits for the packet with the hash.
func (s *Store) rememberLocked(e *entry, hash wire.Hash) {
	e.state = entryHash
	e.variants[0] = variant{hash: hash}
	if s.hashes == 0 || e.number < s.hashFrom {
		s.hashFrom = e.number
	}
	s.hashes++
	for s.hashes > maxHashes { // the lowest goes; its packet stays unconfirmed if it comes after all
		n := max(s.hashFrom, s.win.lo)
		slot := s.win.at(n)
		s.hashFrom = n + 1
		if slot > 0 && s.entries[slot-1].state == entryHash {
			s.removeLocked(&s.entries[slot-1])
		}
	}
}

// distrustLocked throws everything away if nothing is vouched for yet and n, which now is, can have no place.
func (s *Store) distrustLocked(n uint64) {
	if s.hasVouched {
		return
	}
	if n < s.released || !s.win.fits(n) {
		s.resetLocked()
	}
}

// vouchLocked notes that n is a number of the publisher's, and moves the packets that are no longer ahead of that to the
// ordinary ones.
func (s *Store) vouchLocked(n uint64) {
	if s.hasVouched {
		if n > s.vouched {
			if s.ahead > 0 {
				s.recountLocked(s.vouched+1, n, -1)
			}
			s.vouched = n
			s.trimLocked()
		}
		return
	}
	s.vouched, s.hasVouched = n, true
	if n < wire.MaxNumber {
		s.recountLocked(n+1, wire.MaxNumber, 1)
	}
	for s.ahead > s.cfg.Ring || s.aheadBlocks > s.mem.limit/2 {
		s.pushOutLocked(n)
	}
	if s.hasHighest && !s.credibleLocked(s.highest) {
		s.findHighestLocked()
	}
	s.trimLocked()
}

// trimLocked gives up what is beyond Ring now that more is vouched for.
func (s *Store) trimLocked() {
	for s.packets-s.ahead > s.cfg.Ring {
		low, ok := s.lowestLocked()
		if !ok || low >= s.keepFromLocked() {
			return
		}
		s.giveUpLocked(low + 1)
	}
}

// recountLocked adds the packets of the numbers to those that are ahead, or takes them off.
func (s *Store) recountLocked(first, last uint64, sign int) {
	if !s.win.any {
		return
	}
	for n := max(first, s.win.lo); n <= min(last, s.win.hi); n++ {
		slot := s.win.at(n)
		if slot <= 0 || s.entries[slot-1].count == 0 {
			continue
		}
		e := &s.entries[slot-1]
		s.ahead += sign
		for i := range e.count {
			s.aheadBlocks += sign * s.mem.need(int(e.variants[i].size))
		}
	}
}
