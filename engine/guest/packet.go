package guest

import (
	"sync"
	"time"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/wire"
)

// packet is one packet of a room, opened. It is immutable and shared by the queues and histories of all viewers; the garbage
// collector knows when the last one has let go of it.
type packet struct {
	stream   *engine.StreamState
	header   wire.Header // Ext aliases the packet's own memory
	payload  []byte
	backlog  bool
	liveTime uint32
	wallUs   int64
	arrived  time.Time
}

// hall is what the viewers of one room share. The room delivers each packet to one viewer after the other; the copy that is made
// for the first serves all.
type hall struct {
	room    engine.Media
	viewers int // guarded by the Service's mu

	mu   sync.Mutex // guards the following field
	last *packet

	gauging sync.Mutex // guards the following fields
	gauged  int        // participants who need gauges
	gauges  gauges     // of their room's video; safe for concurrent use
	sub     engine.Subscription
}

// gauge has the room's video measured until stop is called, for all who need it at once.
func (h *hall) gauge() (stop func(), err error) {
	h.gauging.Lock()
	defer h.gauging.Unlock()
	if h.gauged == 0 {
		pictures := func(st *engine.StreamState) bool { return st.Kind == wire.KindVideo }
		if h.sub, err = h.room.Subscribe(&h.gauges, engine.SinkOptions{Select: pictures}); err != nil {
			return nil, err
		}
	}
	h.gauged++
	return func() {
		h.gauging.Lock()
		defer h.gauging.Unlock()
		if h.gauged--; h.gauged == 0 {
			h.sub.Close()
		}
	}, nil
}

// packet returns the copy of p.
func (h *hall) packet(p *engine.Packet) *packet {
	h.mu.Lock()
	defer h.mu.Unlock()
	l := h.last
	if l != nil && l.stream == p.Stream && l.header.Number == p.Header.Number && l.header.Stream == p.Header.Stream &&
		l.header.Incarnation == p.Header.Incarnation && l.backlog == p.Backlog && l.liveTime == p.LiveTimestamp && l.wallUs == p.WallUs &&
		len(l.payload) == len(p.Payload) {
		return l
	}
	b := make([]byte, 0, len(p.Payload)+len(p.Header.Ext))
	b = append(append(b, p.Payload...), p.Header.Ext...)
	n := len(p.Payload)
	l = &packet{
		stream: p.Stream, header: p.Header, payload: b[:n:n], backlog: p.Backlog, liveTime: p.LiveTimestamp, wallUs: p.WallUs, arrived: time.Now(),
	}
	l.header.Ext = b[n:]
	h.last = l
	return l
}

// enter returns the hall of a room for one more viewer.
func (s *Service) enter(room engine.Media) *hall {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.halls[room]
	if h == nil {
		h = &hall{room: room}
		s.halls[room] = h
	}
	h.viewers++
	return h
}

// leave is what enter's viewer does at his end.
func (s *Service) leave(h *hall) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h.viewers--; h.viewers == 0 {
		delete(s.halls, h.room)
	}
}
