package enginetest

import (
	"slices"
	"sync"
	"time"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/wire"
)

// Sink is an engine.Sink that remembers what it got.
type Sink struct {
	mu      sync.Mutex
	packets []Got
	streams []*engine.StreamState
	changes int
}

// Got is a packet that a Sink got.
type Got struct {
	At      time.Time
	Stream  wire.StreamID
	Header  wire.Header
	Payload []byte
	Backlog bool
	WallUs  int64
}

// Streams implements engine.Sink.
func (s *Sink) Streams(all []*engine.StreamState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.EqualFunc(s.streams, all, func(a, b *engine.StreamState) bool {
		return a.ID == b.ID && a.Incarnation == b.Incarnation && a.Live == b.Live
	}) {
		s.changes++
	}
	s.streams = all
}

// WritePacket implements engine.Sink.
func (s *Sink) WritePacket(p *engine.Packet) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := p.Header
	h.Ext = append([]byte(nil), h.Ext...)
	s.packets = append(s.packets, Got{
		At: time.Now(), Stream: p.Stream.ID, Header: h, Payload: append([]byte(nil), p.Payload...), Backlog: p.Backlog, WallUs: p.WallUs,
	})
}

// Packets returns what came so far, in order.
func (s *Sink) Packets() []Got {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Got(nil), s.packets...)
}

// Changes returns how many times the sink heard of other streams than before; from none to the first ones is a change.
func (s *Sink) Changes() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changes
}

// States returns the streams as the sink heard of them last.
func (s *Sink) States() []*engine.StreamState {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.streams
}
