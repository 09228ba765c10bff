package guest

import (
	"maps"
	"sync/atomic"
	"time"

	"github.com/castd/castd/engine"
	codecs "github.com/castd/castd/engine/codec"
	"github.com/castd/castd/engine/wire"
)

const (
	// gaugeEvery is how long what comes of a stream is summed up for its rate.
	gaugeEvery = time.Second
	// flowsFor is how long after its last packet a layer counts as one that comes, and pausedAfter how long after that of another one.
	flowsFor    = 2 * time.Second
	pausedAfter = 700 * time.Millisecond
)

// gauges measure the video of a room for all who may have to choose among layers. It is a sink of its own, once for a room.
type gauges struct {
	all atomic.Pointer[map[wire.StreamID]*gauge] // the map is immutable
}

// gauge is what is known of a stream. The room's goroutine writes.
type gauge struct {
	height atomic.Int32  // lines; 0: unknown
	bps    atomic.Uint64 // bits per second
	at     atomic.Int64  // Unix nanoseconds of the last packet

	// Owned by the room's goroutine.
	began  time.Time
	octets uint64
	frames *codecs.Depacketizer
}

var _ engine.Sink = (*gauges)(nil)

// Streams implements engine.Sink.
func (g *gauges) Streams(all []*engine.StreamState) {
	before := map[wire.StreamID]*gauge{}
	if old := g.all.Load(); old != nil {
		before = *old
	}
	next := map[wire.StreamID]*gauge{}
	for _, st := range all {
		if !st.Live || st.Kind != wire.KindVideo {
			continue
		}
		if next[st.ID] = before[st.ID]; next[st.ID] == nil {
			next[st.ID] = &gauge{}
		}
	}
	if !maps.Equal(before, next) {
		g.all.Store(&next)
	}
}

// WritePacket implements engine.Sink.
func (g *gauges) WritePacket(p *engine.Packet) {
	all := g.all.Load()
	if all == nil || p.Backlog {
		return
	}
	s := (*all)[p.Stream.ID]
	if s == nil {
		return
	}
	now := time.Now()
	s.at.Store(now.UnixNano())
	s.octets += uint64(len(p.Payload))
	if d := now.Sub(s.began); d >= gaugeEvery {
		if d < 2*gaugeEvery {
			s.bps.Store(uint64(float64(8*s.octets) / d.Seconds()))
		}
		s.began, s.octets = now, 0
	}
	if p.Header.KeyFrame {
		s.look(p)
	}
}

// look reads how large the pictures are from a packet of a key frame.
func (s *gauge) look(p *engine.Packet) {
	if p.Header.FrameStart {
		s.frames, _ = codecs.NewDepacketizer(p.Stream.Codec) // of an unknown codec nothing is known
	}
	if s.frames == nil {
		return
	}
	frame, _, ok := s.frames.Push(p.Payload, p.Header.Timestamp, p.Header.Marker, false)
	if !ok {
		return
	}
	if _, height, ok := codecs.Dimensions(p.Stream.Codec, frame); ok && height > 0 {
		s.height.Store(int32(min(height, maxHeight)))
	}
	s.frames = nil
}

// layers returns what is known of the encodings of one picture. One of which nothing comes while something of another does is paused by its
// source.
func (g *gauges) layers(streams []*engine.StreamState, now time.Time) []layer {
	list := make([]layer, len(streams))
	all := g.all.Load()
	if all == nil {
		return list
	}
	newest := now.Add(-flowsFor).UnixNano()
	for _, st := range streams {
		if s := (*all)[st.ID]; s != nil {
			newest = max(newest, s.at.Load())
		}
	}
	for i, st := range streams {
		if s := (*all)[st.ID]; s != nil {
			list[i] = layer{height: int(s.height.Load()), bps: s.bps.Load(), flows: newest-s.at.Load() < int64(pausedAfter)}
		}
	}
	return list
}
