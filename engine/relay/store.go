package relay

import (
	"sync"

	"github.com/castd/castd/engine/wire"
)

// What the store keeps, and why.
//
// Packets are forwarded before anybody can know whether they are genuine: their manifest comes a tenth of a second later.
// So a number is first unconfirmed and may have two variants; when the manifest names its hash the right one stays and the
// others go, and if none is right the number is empty again and remembers the hash, so that what comes next is judged at
// once. A manifest that comes before its packets leaves such hashes, too. Of a picture with one hash see picture.go.
//
// A peer that means harm can choose numbers freely. Four rules keep that from hurting what the store is for:
//
//   - A number more than farLimit above what is vouched for is refused.
//   - Unconfirmed packets above the highest number that is vouched for have an allowance of their own, in packets and in octets. When it
//     is used up, the highest of them gives way: genuine packets follow closely on what is vouched for, forged ones are
//     pushed out.
//   - Highest, which children are told of and repair works towards, leaves such packets out when they are more than
//     aheadLimit above what is vouched for.
//   - If nothing is vouched for yet, and the first number that is lies outside the window, the window was forged: all of it
//     is thrown away.
//
// What is kept: the newest Ring packets, for repair. A video store also keeps everything since the start of its current
// group, however many packets that is, up to MaxBytes. The current group starts at the newest confirmed key frame; while
// none is confirmed yet, the oldest of the few that are known bounds what is given up.

const (
	farLimit   = 1 << 15
	aheadLimit = 4096
	maxHashes  = 8192 // hashes kept for numbers without a packet
)

// Verdict says what became of a packet that was put into a Store.
type Verdict uint8

// Verdicts. New and Variant were kept, all others dropped.
const (
	New       Verdict = iota // first of its number
	Duplicate                // these bytes are there already
	Variant                  // second of an unconfirmed number, with other bytes
	Full                     // third of an unconfirmed number
	Conflict                 // its number is confirmed with other bytes
	Forged                   // its number's hash is known and is another
	Stale                    // older than what is kept, or skipped
	Far                      // too far ahead to be believed
	Spoiled                  // it made a picture complete that is not what its hash says: all of that is gone, and wanted again
	Invalid                  // empty, longer than wire.MaxPacket, or a number beyond wire.MaxNumber
	verdicts
)

// String returns the name of the verdict.
func (v Verdict) String() string {
	names := [...]string{"new", "duplicate", "variant", "full", "conflict", "forged", "stale", "far", "spoiled", "invalid"}
	if int(v) >= len(names) {
		return "unknown"
	}
	return names[v]
}

// Fresh reports whether the packet was kept and should be passed on.
func (v Verdict) Fresh() bool { return v == New || v == Variant }

// Config describes a Store. Zero values mean the defaults.
type Config struct {
	// Stream is the stream's id, for the items of a backlog; 0 takes it from the first packet.
	Stream wire.StreamID
	Kind   wire.Kind
	// Ring is how many packets are kept for repair; default 1024. Less makes repair after a change of parent fail, more
	// takes memory: 20 s of audio are 1000 packets.
	Ring int
	// MaxBytes bounds the memory of packets, in octets; default 8 MiB for video, 256 KiB for audio, 512 KiB for a record
	// stream. It is taken as it is needed. A group that is larger than this is cut and cannot be given to newcomers.
	MaxBytes int
}

func (c Config) withDefaults() Config {
	if c.Ring <= 0 {
		c.Ring = 1024
	}
	if c.MaxBytes <= 0 {
		switch c.Kind {
		case wire.KindVideo:
			c.MaxBytes = 8 << 20
		case wire.KindAudio:
			c.MaxBytes = 256 << 10
		default:
			c.MaxBytes = 512 << 10
		}
	}
	c.MaxBytes = max(c.MaxBytes, 8*wire.MaxPacket)
	return c
}

// blockSize fits the usual packet of the kind in a few blocks.
func blockSize(k wire.Kind) int {
	switch k {
	case wire.KindVideo:
		return 256
	case wire.KindAudio:
		return 64
	default:
		return 128
	}
}

// Store keeps the recent packets of one stream. It is safe for concurrent use.
type Store struct {
	cfg Config // constant

	mu      sync.Mutex
	stream  wire.StreamID
	mem     blocks
	win     window
	entries []entry
	free    []int32 // unused entries

	packets  int       // entries with a packet
	first    uint64    // no number below it has a packet
	hashes   int       // entries with a hash only
	hashFrom uint64    // no number below it has a hash only
	pictures []picture // that are vouched for and not complete, by number
	released uint64    // numbers below were given up and are not taken again
	keys     keyList

	highest    uint64
	hasHighest bool

	vouched     uint64 // highest number that a manifest or the publisher itself named
	hasVouched  bool
	ahead       int // packets above it, all of them unconfirmed
	aheadBlocks int

	counters StoreCounters
}

// StoreCounters count since the Store was made.
type StoreCounters struct {
	New, Duplicate, Variant, Full, Conflict, Forged, Stale, Far, Spoiled, Invalid uint64 // packets by Verdict

	Confirmed uint64 // numbers whose packet was found right
	Wrong     uint64 // numbers none of whose variants was right
	Evicted   uint64 // packets given up for newer ones
	Pushed    uint64 // unconfirmed packets far ahead that gave way
	Forgotten uint64 // pictures that waited for packets too long
}

// NewStore returns an empty Store. It takes no memory to speak of until packets come.
func NewStore(cfg Config) *Store {
	cfg = cfg.withDefaults()
	size := blockSize(cfg.Kind)
	return &Store{cfg: cfg, stream: cfg.Stream, mem: newBlocks(size, cfg.MaxBytes/size)}
}

// Kind returns the kind of the stream.
func (s *Store) Kind() wire.Kind { return s.cfg.Kind }

// Stream returns the id of the stream, 0 if it was not configured and no packet has come.
func (s *Store) Stream() wire.StreamID {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stream
}

// Put takes a copy of a packet whose parsed header is h. A trusted packet, which this peer made or verified itself, is confirmed
// at once.
func (s *Store) Put(h *wire.Header, pkt []byte, trusted bool) Verdict {
	v := Invalid
	var hash wire.Hash
	if valid := len(pkt) > 0 && len(pkt) <= wire.MaxPacket && h.Number <= wire.MaxNumber; valid {
		hash = wire.HashPacket(pkt) // outside the lock
		v = verdicts
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if v == verdicts {
		if s.stream == 0 {
			s.stream = h.Stream
		}
		v = s.putLocked(h, pkt, hash, trusted)
	}
	s.counters.add(v)
	return v
}

func (s *Store) putLocked(h *wire.Header, pkt []byte, hash wire.Hash, trusted bool) Verdict {
	n := h.Number
	if trusted {
		s.distrustLocked(n)
		s.vouchLocked(n)
	}
	if n < s.released {
		return Stale
	}
	if anchor, ok := s.anchorLocked(); ok && n > anchor && n-anchor > farLimit {
		return Far
	}
	if slot := s.win.at(n); slot == slotSkipped {
		return Stale
	} else if slot != slotEmpty {
		return s.mergeLocked(&s.entries[slot-1], h, pkt, hash, trusted)
	}
	if !s.win.fits(n) && n < s.win.lo {
		return Stale
	}
	if v := s.makeRoomLocked(n, len(pkt), true); v != New {
		return v
	}
	if !s.win.fits(n) {
		s.giveUpLocked(n - maxSpan + 1)
	}
	e := s.newEntryLocked(n)
	s.fillLocked(e, newVariant(h, hash), pkt)
	if trusted {
		e.state = entryConfirmed
	}
	s.storedLocked(e)
	if s.arrivedLocked(n) {
		return Spoiled
	}
	return New
}

// mergeLocked puts a packet where the number is known already.
func (s *Store) mergeLocked(e *entry, h *wire.Header, pkt []byte, hash wire.Hash, trusted bool) Verdict {
	switch e.state {
	case entryHash:
		if e.variants[0].hash != hash {
			return Forged
		}
		if v := s.makeRoomLocked(e.number, len(pkt), true); v != New {
			return v
		}
		s.hashes--
		s.fillLocked(e, newVariant(h, hash), pkt)
		e.state = entryConfirmed
		s.counters.Confirmed++
		s.storedLocked(e)
		return New
	case entryConfirmed:
		if e.variants[0].hash != hash {
			return Conflict
		}
		return Duplicate
	}
	for i := range e.count {
		if e.variants[i].hash != hash {
			continue
		}
		if trusted {
			s.settleLocked(e, i)
		}
		return Duplicate
	}
	if e.count == len(e.variants) && !trusted {
		return Full
	}
	if trusted { // this peer is the publisher: all others are forged
		s.emptyLocked(e)
		if v := s.makeRoomLocked(e.number, len(pkt), true); v != New {
			s.removeLocked(e)
			return v
		}
		s.fillLocked(e, newVariant(h, hash), pkt)
		e.state = entryConfirmed
		s.storedLocked(e)
		return New
	}
	if v := s.makeRoomLocked(e.number, len(pkt), false); v != New {
		return Full
	}
	s.fillLocked(e, newVariant(h, hash), pkt)
	s.storedLocked(e)
	return Variant
}

// anchorLocked returns the number that others may not be too far above.
func (s *Store) anchorLocked() (uint64, bool) {
	if s.hasVouched {
		return s.vouched, true
	}
	return s.highest, s.hasHighest
}

// Reset forgets everything but the counters and frees the memory: the next packet may have any number.
func (s *Store) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.resetLocked()
}

func (s *Store) resetLocked() {
	fresh := NewStore(s.cfg)
	s.mem, s.win, s.entries, s.free = fresh.mem, window{}, nil, nil
	s.packets, s.first, s.hashes, s.hashFrom, s.released, s.keys = 0, 0, 0, 0, 0, keyList{}
	s.pictures = nil
	s.highest, s.hasHighest, s.vouched, s.hasVouched, s.ahead, s.aheadBlocks = 0, false, 0, false, 0, 0
}

func (c *StoreCounters) add(v Verdict) {
	switch v {
	case New:
		c.New++
	case Duplicate:
		c.Duplicate++
	case Variant:
		c.Variant++
	case Full:
		c.Full++
	case Conflict:
		c.Conflict++
	case Forged:
		c.Forged++
	case Stale:
		c.Stale++
	case Far:
		c.Far++
	case Spoiled:
		c.Spoiled++
	default:
		c.Invalid++
	}
}
