package relay

import "github.com/castd/castd/engine/wire"

// State says what a Store has under a number.
type State uint8

// States.
const (
	StateAbsent      State = iota // nothing, so far
	StateUnconfirmed              // a packet that no manifest has named yet
	StateConfirmed                // the right packet
	StateSkipped                  // the publisher never sends it
	StateGone                     // nothing any more: older than what is kept
)

// String returns the name of the state.
func (s State) String() string {
	names := [...]string{"absent", "unconfirmed", "confirmed", "skipped", "gone"}
	if int(s) >= len(names) {
		return "unknown"
	}
	return names[s]
}

// Get copies the packet under number to dst and returns its length, 0 if there is none. Of two unconfirmed variants it is
// the first that came. dst holds wire.MaxPacket octets; a packet that does not fit is not copied.
func (s *Store) Get(number uint64, dst []byte) (n int, state State) {
	return s.get(number, 0, dst)
}

// Read is Get for an item of a queue: the variant that it was made for, as long as that is undecided.
func (s *Store) Read(it Item, dst []byte) (n int, state State) {
	if it.Second {
		return s.get(it.Number, 1, dst)
	}
	return s.get(it.Number, 0, dst)
}

func (s *Store) get(number uint64, variant int, dst []byte) (int, State) {
	s.mu.Lock()
	defer s.mu.Unlock()
	slot := s.win.at(number)
	switch {
	case number < s.released:
		return 0, StateGone
	case slot == slotSkipped:
		return 0, StateSkipped
	case slot == slotEmpty || s.entries[slot-1].count == 0:
		return 0, StateAbsent
	}
	e := &s.entries[slot-1]
	v := &e.variants[min(variant, e.count-1)]
	n := int(v.size)
	if n > len(dst) {
		n = 0
	} else {
		s.mem.get(v.chain, n, dst)
	}
	if e.state == entryConfirmed {
		return n, StateConfirmed
	}
	return n, StateUnconfirmed
}

// State returns what there is under number.
func (s *Store) State(number uint64) State {
	_, state := s.get(number, 0, nil)
	return state
}

// Hash returns the hash of the confirmed packet under number.
func (s *Store) Hash(number uint64) (hash wire.Hash, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	slot := s.win.at(number)
	if slot <= 0 || s.entries[slot-1].state != entryConfirmed {
		return hash, false
	}
	return s.entries[slot-1].variants[0].hash, true
}

// Highest returns the highest number with a packet. Packets that are implausibly far above what is vouched for do not
// count.
func (s *Store) Highest() (uint64, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.highest, s.hasHighest
}

// Lowest returns the lowest number with a packet.
func (s *Store) Lowest() (uint64, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lowestLocked()
}

// Group returns the numbers of the current group of pictures, from the first packet of its key frame to the newest packet
// there is. It is not ok for streams other than video, before a key frame has come, and when the group has outgrown the
// store.
func (s *Store) Group() (first, last uint64, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	first, ok = s.keys.current()
	if !ok || !s.hasHighest || s.highest < first {
		return 0, 0, false
	}
	return first, s.highest, true
}

// Timestamp returns the origin timestamp of the packet under number.
func (s *Store) Timestamp(number uint64) (uint32, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	slot := s.win.at(number)
	if slot <= 0 || s.entries[slot-1].count == 0 {
		return 0, false
	}
	return s.entries[slot-1].variants[0].timestamp, true
}

// Next returns the item of the first packet from number on, up to last.
func (s *Store) Next(number, last uint64) (it Item, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.packets == 0 || !s.win.any {
		return it, false
	}
	for n := max(number, s.win.lo); n <= min(last, s.win.hi); n++ {
		slot := s.win.at(n)
		if slot <= 0 || s.entries[slot-1].count == 0 {
			continue
		}
		v := &s.entries[slot-1].variants[0]
		return Item{
			Store: s, Stream: s.stream, Number: n, Kind: s.cfg.Kind, Size: int(v.size),
			KeyFrame: v.keyFrame, Discardable: v.discardable, FrameStart: v.frameStart, Spatial: v.spatial, Temporal: v.temporal,
		}, true
	}
	return it, false
}

// Item returns the item that passes on a packet of the stream: its parsed header, its length in octets, and what Put said
// of it.
func (s *Store) Item(h *wire.Header, size int, v Verdict) Item {
	it := Item{
		Store: s, Stream: h.Stream, Number: h.Number, Kind: s.cfg.Kind, Size: size, Second: v == Variant, FrameStart: h.FrameStart,
		FrameEnd: h.FrameEnd || h.Marker,
	}
	if h.Kind == wire.KindVideo {
		it.KeyFrame, it.Discardable, it.Spatial, it.Temporal = h.KeyFrame, h.Discardable, h.Spatial, h.Temporal
	}
	return it
}

// Bytes returns the memory that packets take, in octets.
func (s *Store) Bytes() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mem.octets()
}

// Packets returns how many numbers have a packet.
func (s *Store) Packets() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.packets
}

// Counters returns the counters.
func (s *Store) Counters() StoreCounters {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counters
}

// Vouched returns the highest number that a manifest has named, false if none was.
func (s *Store) Vouched() (uint64, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.vouched, s.hasVouched
}
