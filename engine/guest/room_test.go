package guest

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/wire"
)

// fakeRoom is an engine.Media that loops what is published to its sinks. A video packet whose payload begins with 'K' is the
// start of a key frame.
type fakeRoom struct {
	mu      sync.Mutex
	sinks   []*fakeSubscription
	streams []*engine.StreamState
	gop     map[wire.StreamID][]engine.Packet
	wall    map[wire.StreamID]struct {
		timestamp uint32
		us        int64
	}
	started  int64
	refuse   error // of Publish
	full     error // of GuestSlot
	slots    int   // taken
	refresh  int
	lastPub  *fakePublication
	feedback engine.Feedback
	calls    []*fakeCall
	mode     string // "" is a broadcast
}

// fakeCall is a seat in a conference that nobody mixes.
type fakeCall struct {
	engine.Call
	config engine.SeatConfig
	done   chan struct{}
	once   sync.Once

	mu   sync.Mutex
	said int
}

// Call implements engine.Caller.
func (r *fakeRoom) Call(_ context.Context, c engine.SeatConfig) (engine.Call, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := &fakeCall{config: c, done: make(chan struct{})}
	r.calls = append(r.calls, k)
	return k, nil
}

func (k *fakeCall) Write(*engine.MediaPacket) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.said++
}
func (k *fakeCall) Loss(float64)          {}
func (k *fakeCall) Wish(string, float32)  {}
func (k *fakeCall) Raise(bool)            {}
func (k *fakeCall) Done() <-chan struct{} { return k.done }
func (k *fakeCall) Err() error            { return nil }
func (k *fakeCall) Close() error {
	k.once.Do(func() { close(k.done) })
	return nil
}

// say tells all participants who is there, and who is dominant.
func (r *fakeRoom) say(dominant int) {
	r.mu.Lock()
	calls := slices.Clone(r.calls)
	r.mu.Unlock()
	s := &engine.CallState{}
	for i, k := range calls {
		s.Participants = append(s.Participants, engine.CallParticipant{Participant: k.config.Participant, Name: k.config.Name, Talking: i == dominant})
		if i == dominant {
			s.Dominant = k.config.Participant
		}
	}
	for _, k := range calls {
		k.config.Tell(s)
	}
}

func newFakeRoom() *fakeRoom {
	return &fakeRoom{gop: map[wire.StreamID][]engine.Packet{}, wall: map[wire.StreamID]struct {
		timestamp uint32
		us        int64
	}{}}
}

func (r *fakeRoom) ID() wire.RoomID { return "abcdefghijklmnopqrstuvwxyz" }
func (r *fakeRoom) Mode() string    { return cmp.Or(r.mode, "broadcast") }

func (r *fakeRoom) Streams() []*engine.StreamState {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.streams)
}

func (r *fakeRoom) GuestSlot() (func(), error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.full != nil {
		return nil, r.full
	}
	r.slots++
	return func() {
		r.mu.Lock()
		r.slots--
		r.mu.Unlock()
	}, nil
}

func (r *fakeRoom) Publish(_ context.Context, c engine.SlotConfig) (engine.Publication, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refuse != nil {
		return nil, r.refuse
	}
	r.started++
	p := &fakePublication{room: r, config: c, streams: map[string]*engine.StreamState{}, last: map[string]uint32{}, done: make(chan struct{})}
	for _, s := range c.Streams {
		st := &engine.StreamState{
			ID: wire.NewStreamID(r.ID(), nil, c.Participant, c.Slot, s.Label), Slot: c.Slot, Label: s.Label, Kind: s.Kind, Codec: s.Codec,
			ClockRate: s.ClockRate, Channels: s.Channels, Fmtp: s.Fmtp, Participant: c.Participant, Live: true, StartedMs: r.started,
			Incarnation: uint16(r.started),
		}
		p.streams[s.Label] = st
		r.streams = slices.DeleteFunc(slices.Clone(r.streams), func(o *engine.StreamState) bool { return o.ID == st.ID })
		r.streams = append(r.streams, st)
		delete(r.gop, st.ID)
	}
	r.lastPub = p
	r.tellLocked()
	return p, nil
}

func (r *fakeRoom) tellLocked() {
	for _, s := range r.sinks {
		s.sink.Streams(slices.Clone(r.streams))
	}
}

func (r *fakeRoom) Subscribe(s engine.Sink, o engine.SinkOptions) (engine.Subscription, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	sub := &fakeSubscription{room: r, sink: s, wants: o.Select}
	r.sinks = append(r.sinks, sub)
	s.Streams(slices.Clone(r.streams))
	if o.Backlog {
		for _, st := range r.streams {
			r.backlogLocked(sub, st.ID)
		}
	}
	return sub, nil
}

func (r *fakeRoom) backlogLocked(sub *fakeSubscription, id wire.StreamID) {
	gop := r.gop[id]
	for _, p := range gop {
		p.Backlog, p.LiveTimestamp = true, gop[len(gop)-1].Header.Timestamp
		sub.write(&p)
	}
}

type fakeSubscription struct {
	room  *fakeRoom
	sink  engine.Sink
	wants func(*engine.StreamState) bool
}

// write gives the sink a packet that it wants.
func (s *fakeSubscription) write(p *engine.Packet) {
	if s.wants == nil || s.wants(p.Stream) {
		s.sink.WritePacket(p)
	}
}

func (s *fakeSubscription) Seek(id wire.StreamID) { s.Refresh(id) }

func (s *fakeSubscription) Refresh(id wire.StreamID) {
	s.room.mu.Lock()
	defer s.room.mu.Unlock()
	s.room.refresh++
	s.room.backlogLocked(s, id)
}

func (s *fakeSubscription) Close() {
	s.room.mu.Lock()
	defer s.room.mu.Unlock()
	s.room.sinks = slices.DeleteFunc(s.room.sinks, func(o *fakeSubscription) bool { return o == s })
}

type fakePublication struct {
	room    *fakeRoom
	config  engine.SlotConfig
	streams map[string]*engine.StreamState
	last    map[string]uint32
	clocks  int
	done    chan struct{}
	once    sync.Once
	err     error
}

func (p *fakePublication) Write(label string, m *engine.MediaPacket) error {
	r := p.room
	r.mu.Lock()
	defer r.mu.Unlock()
	st := p.streams[label]
	h := wire.Header{
		Kind: st.Kind, Marker: m.Marker, Level: m.Level, Voice: m.Voice, Stream: st.ID, Incarnation: st.Incarnation,
		Number: uint64(m.Sequence), Timestamp: m.Timestamp, FrameEnd: m.Marker,
	}
	if m.Orientation != nil {
		h.Ext = wire.AppendExtension(h.Ext, wire.ExtOrientation, m.Orientation)
	}
	if m.Dependency != nil {
		h.Ext = wire.AppendExtension(h.Ext, wire.ExtDependencyDescriptor, m.Dependency)
	}
	last, seen := p.last[label]
	h.FrameStart = !seen || last != m.Timestamp
	h.KeyFrame = st.Kind == wire.KindVideo && m.Payload[0] == 'K'
	p.last[label] = m.Timestamp
	packet := engine.Packet{Stream: st, Header: h, Payload: slices.Clone(m.Payload)}
	if w, ok := r.wall[st.ID]; ok {
		packet.WallUs = w.us + int64(int32(m.Timestamp-w.timestamp))*1_000_000/int64(st.ClockRate)
	}
	if st.Kind == wire.KindVideo {
		if h.KeyFrame && h.FrameStart {
			r.gop[st.ID] = nil
		}
		r.gop[st.ID] = append(r.gop[st.ID], packet)
	}
	for _, s := range r.sinks {
		s.write(&packet)
	}
	return nil
}

func (p *fakePublication) Clock(label string, timestamp uint32, us int64) {
	p.room.mu.Lock()
	defer p.room.mu.Unlock()
	p.clocks++
	p.room.wall[p.streams[label].ID] = struct {
		timestamp uint32
		us        int64
	}{timestamp, us}
}

func (p *fakePublication) Receivers() int { return 1 }

func (p *fakePublication) Feedback() engine.Feedback {
	p.room.mu.Lock()
	defer p.room.mu.Unlock()
	return p.room.feedback
}

func (p *fakePublication) Done() <-chan struct{} { return p.done }
func (p *fakePublication) Err() error            { return p.err }

// End ends the slot at once, Close leaves it live here.
func (p *fakePublication) Close() error {
	p.once.Do(func() { close(p.done) })
	return nil
}

func (p *fakePublication) End() error {
	p.once.Do(func() {
		r := p.room
		r.mu.Lock()
		defer r.mu.Unlock()
		for i, st := range r.streams {
			if p.streams[st.Label] == st {
				ended := *st
				ended.Live = false
				r.streams = slices.Clone(r.streams)
				r.streams[i] = &ended
			}
		}
		r.tellLocked()
		close(p.done)
	})
	return nil
}
