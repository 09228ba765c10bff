package relay

import "github.com/castd/castd/engine/wire"

// What is known of an entry's number.
const (
	entryUnconfirmed uint8 = iota // one or two variants
	entryHash                     // the hash of the packet, in variants[0]; no packet
	entryConfirmed                // the right packet, in variants[0]
)

// entry is a number with packets or a hash.
type entry struct {
	number   uint64
	state    uint8
	count    int // variants with a packet
	variants [2]variant
}

// variant is one packet under a number, with what queues need to know of it.
type variant struct {
	hash      wire.Hash
	chain     uint32
	timestamp uint32
	size      uint16
	spatial   uint8
	temporal  uint8

	keyFrame, frameStart, discardable bool
}

func newVariant(h *wire.Header, hash wire.Hash) variant {
	v := variant{hash: hash, timestamp: h.Timestamp, frameStart: h.FrameStart}
	if h.Kind == wire.KindVideo {
		v.keyFrame, v.discardable, v.spatial, v.temporal = h.KeyFrame, h.Discardable, h.Spatial, h.Temporal
	}
	return v
}

// startsGroup reports whether a decoder can begin with the packet.
func (v *variant) startsGroup() bool { return v.keyFrame && v.frameStart && v.spatial == 0 }

// newEntryLocked makes an entry without packets for n, which fits the window and is empty there.
func (s *Store) newEntryLocked(n uint64) *entry {
	s.win.include(n)
	var i int32
	if last := len(s.free) - 1; last >= 0 {
		i = s.free[last]
		s.free = s.free[:last]
	} else {
		s.entries = append(s.entries, entry{})
		i = int32(len(s.entries) - 1)
	}
	s.win.set(n, i+1)
	s.entries[i] = entry{number: n}
	return &s.entries[i]
}

// fillLocked adds a packet to the entry. There is room.
func (s *Store) fillLocked(e *entry, v variant, pkt []byte) {
	v.chain, v.size = s.mem.put(pkt), uint16(len(pkt))
	e.variants[e.count] = v
	e.count++
	if e.count == 1 {
		if s.packets == 0 || e.number < s.first {
			s.first = e.number
		}
		s.packets++
	}
	if s.isAheadLocked(e.number) {
		s.aheadBlocks += s.mem.need(len(pkt))
		if e.count == 1 {
			s.ahead++
		}
	}
}

// storedLocked notes what a packet that was just added to the entry means for the stream.
func (s *Store) storedLocked(e *entry) {
	if s.credibleLocked(e.number) && (!s.hasHighest || e.number > s.highest) {
		s.highest, s.hasHighest = e.number, true
	}
	if s.cfg.Kind == wire.KindVideo && e.variants[e.count-1].startsGroup() {
		s.keys.add(e.number, e.state == entryConfirmed)
	}
}

// settleLocked confirms the entry with variant i and frees the other.
func (s *Store) settleLocked(e *entry, i int) {
	if e.count == 2 {
		s.dropVariantLocked(e, 1-i)
	}
	e.state = entryConfirmed
	s.counters.Confirmed++
	if s.cfg.Kind == wire.KindVideo {
		s.keys.remove(e.number)
		if e.variants[0].startsGroup() {
			s.keys.add(e.number, true)
		}
	}
	if !s.hasHighest || e.number > s.highest {
		s.highest, s.hasHighest = e.number, true
	}
}

// dropVariantLocked frees the packet i of the entry.
func (s *Store) dropVariantLocked(e *entry, i int) {
	v := &e.variants[i]
	s.mem.drop(v.chain)
	if s.isAheadLocked(e.number) {
		s.aheadBlocks -= s.mem.need(int(v.size))
		if e.count == 1 {
			s.ahead--
		}
	}
	e.count--
	if i == 0 {
		e.variants[0] = e.variants[1]
	}
	e.variants[1] = variant{}
	if e.count > 0 {
		return
	}
	s.packets--
	s.keys.remove(e.number)
}

// emptyLocked frees all packets of the entry and finds the new highest one if it was that.
func (s *Store) emptyLocked(e *entry) {
	for e.count > 0 {
		s.dropVariantLocked(e, 0)
	}
	if s.hasHighest && e.number == s.highest {
		s.findHighestLocked()
	}
}

// removeLocked takes the entry out of the table.
func (s *Store) removeLocked(e *entry) { s.replaceLocked(e, slotEmpty) }

// replaceLocked puts another slot in the entry's place.
func (s *Store) replaceLocked(e *entry, slot int32) {
	s.emptyLocked(e)
	if e.state == entryHash {
		s.hashes--
	}
	n := e.number
	s.free = append(s.free, s.win.at(n)-1)
	s.win.set(n, slot)
	s.win.trim()
}

// findHighestLocked looks for the highest credible packet.
func (s *Store) findHighestLocked() {
	s.hasHighest = false
	if s.packets == 0 || !s.win.any {
		return
	}
	top := s.win.hi
	if s.hasVouched {
		top = min(top, s.vouched+aheadLimit)
	}
	for n := top; n >= s.win.lo; n-- {
		if slot := s.win.at(n); slot > 0 && s.entries[slot-1].count > 0 {
			s.highest, s.hasHighest = n, true
			return
		}
		if n == 0 {
			return
		}
	}
}

// lowestLocked returns the lowest number with a packet.
func (s *Store) lowestLocked() (uint64, bool) {
	if s.packets == 0 || !s.win.any {
		return 0, false
	}
	for n := max(s.first, s.win.lo); n <= s.win.hi; n++ {
		if slot := s.win.at(n); slot > 0 && s.entries[slot-1].count > 0 {
			s.first = n
			return n, true
		}
	}
	return 0, false
}

// topAheadLocked returns the entry with the highest number that has a packet and that nobody vouched for, or nil.
func (s *Store) topAheadLocked() *entry {
	if s.ahead == 0 {
		return nil
	}
	for n := s.win.hi; n > s.vouched; n-- {
		if slot := s.win.at(n); slot > 0 && s.entries[slot-1].count > 0 {
			return &s.entries[slot-1]
		}
	}
	return nil
}

// isAheadLocked reports whether n is above everything that is vouched for.
func (s *Store) isAheadLocked(n uint64) bool { return s.hasVouched && n > s.vouched }

// credibleLocked reports whether n may be told to others.
func (s *Store) credibleLocked(n uint64) bool {
	return !s.hasVouched || n <= s.vouched+aheadLimit
}

// makeRoomLocked gives up what must go before size octets can be kept under n; first tells that there is no packet under n
// yet. It returns New, or Stale or Far if it is the packet itself that must go.
func (s *Store) makeRoomLocked(n uint64, size int, first bool) Verdict {
	for {
		isAhead := s.isAheadLocked(n)
		if isAhead && (first && s.ahead >= s.cfg.Ring || s.aheadBlocks+s.mem.need(size) > s.mem.limit/2) {
			if !s.pushOutLocked(n) {
				return Far
			}
			continue
		}
		low, ok := s.lowestLocked()
		full := first && !isAhead && s.packets-s.ahead >= s.cfg.Ring && min(low, n) < s.keepFromLocked()
		if !full && s.mem.room(size) {
			return New
		}
		switch {
		case ok && low < n:
			s.giveUpLocked(low + 1)
		case !full && s.pushOutLocked(n):
		default:
			return Stale
		}
	}
}

// pushOutLocked removes the highest packet that nobody vouched for, if it is above n.
func (s *Store) pushOutLocked(n uint64) bool {
	e := s.topAheadLocked()
	if e == nil || e.number <= n {
		return false
	}
	s.removeLocked(e)
	s.counters.Pushed++
	return true
}

// giveUpLocked forgets everything below to; none of it is taken again.
func (s *Store) giveUpLocked(to uint64) {
	s.released = max(s.released, to)
	for s.win.any && s.win.lo < to {
		slot := s.win.at(s.win.lo)
		if slot <= 0 {
			s.win.set(s.win.lo, slotEmpty)
			s.win.trim()
			continue
		}
		e := &s.entries[slot-1]
		if e.count > 0 {
			s.counters.Evicted++
		}
		s.removeLocked(e)
	}
}

// keepFromLocked returns the number from which on packets are kept beyond Ring.
func (s *Store) keepFromLocked() uint64 {
	if n, ok := s.keys.keepFrom(); ok {
		return n
	}
	return wire.MaxNumber + 1
}
