package engine

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/castd/castd/engine/relay"
	"github.com/castd/castd/engine/room"
	"github.com/castd/castd/engine/wire"
)

// stream is one stream of a room at this peer: what is kept of it, what is missing, what was counted. Many goroutines feed
// it: the readers of hops, the publication that owns it.
type stream struct {
	// constant
	room   *Room
	id     wire.StreamID
	kind   wire.Kind
	device deviceKey
	slot   *slot
	store  *relay.Store
	local  bool    // published here
	author peer.ID // publishing device
	state  atomic.Pointer[StreamState]
	keys   atomic.Pointer[[]streamKey] // of its incarnations; empty for record streams

	// atomics
	packets, bytes, lost, repaired, duplicates atomic.Uint64
	forged                                     atomic.Uint64
	newestAt                                   atomic.Int64 // Unix nanoseconds of the last new packet
	groupAt                                    atomic.Int64 // and of the last key frame's first packet
	directAt                                   atomic.Int64 // of the last packet that came from where a mix is made
	clock                                      atomic.Pointer[clockRecord]
	wishAt                                     atomic.Int64  // last key frame wish sent up or to the source
	doubtAt                                    atomic.Int64  // last doubt sent up or to the publication
	gaps                                       atomic.Bool   // repair has something to do
	backlogTo                                  atomic.Uint64 // newest number when this peer got its place; older is backlog
	promised                                   atomic.Uint64 // newest number that the pulses of whoever feeds it have told of
	given                                      atomic.Uint64 // packets that the parent sent, whether they were new or not
	givenTo                                    atomic.Uint64 // the newest of their numbers
	promisedBefore, givenBefore                uint64        // at the last look; the room's goroutine's
	bytesBefore                                uint64        // of bytes, likewise

	mu      sync.Mutex // guards what follows; held for short computations only
	repair  *relay.Repair
	arrival arrival
	senders senders
}

// feeder returns who sends the stream to this peer: its publisher where that one is on this hub's stage, or sends a mix from where it is
// made, else the parent.
func (s *stream) feeder(l *links) peer.ID {
	if l.stage[s.author] || s.direct(time.Now()) {
		return s.author
	}
	return l.primary
}

// takes reports whether packets of the stream are taken from the peer.
func (s *stream) takes(l *links, from peer.ID) bool {
	if from == s.author && s.slot.name == mixSlot && s.room.Mode() == room.Conference {
		s.directAt.Store(time.Now().UnixNano())
		return true
	}
	if l.stage[s.author] {
		return from == s.author || l.inherits && l.feeds(from)
	}
	return l.feeds(from)
}

// direct reports whether a mix comes from the peer that makes it, besides whoever feeds this one.
func (s *stream) direct(now time.Time) bool {
	at := s.directAt.Load()
	return at != 0 && now.Sub(time.Unix(0, at)) < time.Second
}

// slot is what the streams of one announced slot share.
type slot struct {
	name        string
	participant string
	device      deviceKey
	author      peer.ID // the device's
	startedMs   int64
	record      *stream
	excerpt     atomic.Pointer[stream] // nil where the slot has no video
	media       atomic.Pointer[map[wire.StreamID]*stream]
	announced   atomic.Pointer[[]byte] // newest Announce envelope that was handed to the room
}

type deviceKey = string // an Ed25519 public key's octets

// clockRecord ties a stream's timestamps to its origin's wall clock.
type clockRecord struct {
	timestamp uint32
	unixUs    int64
}

// wallUs returns the origin's wall clock at the timestamp, 0 while it is unknown.
func (s *stream) wallUs(timestamp uint32) int64 {
	c := s.clock.Load()
	rate := int64(s.state.Load().ClockRate)
	if c == nil || rate == 0 {
		return 0
	}
	return c.unixUs + int64(int32(timestamp-c.timestamp))*1_000_000/rate
}

// groupAge returns how long ago the current group of pictures began; a very long time if there is none.
func (s *stream) groupAge(now time.Time) time.Duration {
	at := s.groupAt.Load()
	if at == 0 {
		return time.Hour
	}
	return now.Sub(time.Unix(0, at))
}

// arrival watches the flow of a stream for gaps in wall time.
type arrival struct {
	started   bool
	at        time.Time
	number    uint64
	timestamp uint32
}

// gapThreshold is the least wall time without a packet that is worth an event.
const gapThreshold = 60 * time.Millisecond

// note takes the arrival of a new packet and reports a gap: wall time without a packet that the source was not silent for.
// Timestamps tell the difference: where they advanced as far as the clock did and no number is missing, nothing was late.
func (a *arrival) note(h *wire.Header, rate uint32, now time.Time) (gap time.Duration, from, to uint64) {
	defer func() {
		if !a.started || h.Number > a.number {
			*a = arrival{started: true, at: now, number: h.Number, timestamp: h.Timestamp}
		} else {
			a.at = now
		}
	}()
	if !a.started || h.Number <= a.number {
		return 0, 0, 0
	}
	wall := now.Sub(a.at)
	if wall <= gapThreshold {
		return 0, 0, 0
	}
	if h.Number == a.number+1 && rate > 0 {
		media := time.Duration(int32(h.Timestamp-a.timestamp)) * time.Second / time.Duration(rate)
		if wall-media < gapThreshold/2 {
			return 0, 0, 0
		}
	}
	return wall, a.number, h.Number
}
