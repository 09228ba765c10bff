package engine

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/castd/castd/engine/relay"
	"github.com/castd/castd/engine/room"
	"github.com/castd/castd/engine/wire"
)

// endedFor is how long the packets of a stream that has ended are kept, for those who are behind.
const endedFor = 30 * time.Second

// announceLoop takes an announce that came in a manifest or with a place in the tree. Whoever may not send has no streams
// here, and so nothing of his is kept or passed on.
func (r *Room) announceLoop(env []byte, from peer.ID) {
	if l := r.links.Load(); l.place.Origin {
		// The hub hears of publishers from themselves.
		if _, err := r.e.open(from, env); err != nil || !l.stage[from] {
			return
		}
	}
	change, err := r.roster.ApplyEnvelope(env, time.Now())
	if err != nil {
		if !errors.Is(err, room.ErrStale) {
			r.e.metrics.controlBad.Add(1)
			r.e.log.Debug("announce refused", "err", err)
		}
		return
	}
	r.changeLoop(change, nil)
}

// changeLoop makes, updates and ends streams as the roster changed. local is the publication whose announce it was, if any.
func (r *Room) changeLoop(change room.Change, local *publication) {
	if change.Empty() {
		return
	}
	var add []*stream
	for _, st := range append(slices.Clone(change.Added), change.Updated...) {
		if s, created := r.streamLoop(st, local); created {
			add = append(add, s...)
		}
	}
	now := time.Now()
	for _, st := range change.Ended {
		if s := (*r.e.streams.Load())[st.ID]; s != nil && s.room == r {
			state := stateOf(st)
			state.EndedAt = now
			s.state.Store(state)
			r.endedAt[st.ID] = now
		}
	}
	r.e.index(add, nil)
	r.restreamLoop()
	for _, st := range append(slices.Clone(change.Added), change.Ended...) {
		if state := stateOf(st); !mixed(r.record.Load(), state) {
			r.streamEvent(state)
		}
	}
}

// streamLoop makes the stream, and its slot and record stream where they are new, or updates what is there.
func (r *Room) streamLoop(st *room.Stream, local *publication) (made []*stream, created bool) {
	delete(r.endedAt, st.ID)
	state := stateOf(st)
	if s := (*r.e.streams.Load())[st.ID]; s != nil && s.state.Load().Incarnation == st.Incarnation {
		s.state.Store(state)
		s.keys.Store(keysOf(st))
		return nil, false
	}
	sl := r.slots[st.Record]
	if sl == nil || sl.startedMs != st.StartedMs {
		// A slot that begins anew has a record stream of new numbers, far above the old ones.
		sl = &slot{name: st.Slot, participant: st.Participant, device: deviceKey(st.Device), startedMs: st.StartedMs}
		sl.author, _ = wire.PeerID(st.Device) // a key that signed something has an id
		record := r.newStream(sl, st.Record, wire.KindRecord, &StreamState{
			ID: st.Record, Slot: st.Slot, Label: wire.RecordLabel, Kind: wire.KindRecord, Participant: st.Participant, StartedMs: st.StartedMs, Live: true,
		}, local)
		if !record.local && r.young(record) {
			record.repair.SetStart(st.RecordFirst)
		}
		sl.record = record
		sl.media.Store(&map[wire.StreamID]*stream{})
		r.slots[st.Record] = sl
		made = append(made, record)
	}
	if st.Kind == wire.KindVideo && sl.excerpt.Load() == nil {
		x := r.newExcerpts(sl, st, local)
		sl.excerpt.Store(x)
		made = append(made, x)
	}
	s := r.newStream(sl, st.ID, st.Kind, state, local)
	s.keys.Store(keysOf(st))
	media := maps.Clone(*sl.media.Load())
	media[st.ID] = s
	sl.media.Store(&media)
	if !s.local && r.young(s) {
		s.mu.Lock()
		s.repair.SetStart(st.First)
		s.mu.Unlock()
	}
	return append(made, s), true
}

func (r *Room) newStream(sl *slot, id wire.StreamID, kind wire.Kind, state *StreamState, local *publication) *stream {
	s := &stream{
		room: r, id: id, kind: kind, device: sl.device, slot: sl, local: local != nil, author: sl.author,
		store: relay.NewStore(relay.Config{Stream: id, Kind: kind}), repair: relay.NewRepair(relay.RepairConfig{}),
	}
	s.state.Store(state)
	s.keys.Store(&[]streamKey{})
	return s
}

// keysOf returns the generations that a stream tells of.
func keysOf(st *room.Stream) *[]streamKey {
	keys := []streamKey{{st.Incarnation, st.Generation}}
	for _, k := range st.Rekeys {
		keys = append(keys, streamKey{k.Incarnation, k.Generation})
	}
	return &keys
}

func stateOf(st *room.Stream) *StreamState {
	device, _ := wire.PeerID(st.Device)
	return &StreamState{
		ID: st.ID, Slot: st.Slot, Label: st.Label, Kind: st.Kind, Codec: st.Codec, ClockRate: st.ClockRate, Channels: st.Channels,
		Fmtp: st.Fmtp, Participant: st.Participant, Name: st.Name, Device: device.String(), StartedMs: st.StartedMs, Live: st.Live,
		Incarnation: st.Incarnation, First: st.First,
	}
}

// restreamLoop publishes the lists of streams anew.
func (r *Room) restreamLoop() {
	var all, media []*stream
	var states, mixes []*StreamState
	for _, s := range *r.e.streams.Load() {
		if s.room != r || s.kind == wire.KindExcerpt {
			continue
		}
		all = append(all, s)
		if s.kind.Media() {
			media = append(media, s)
			if state := s.state.Load(); mixed(r.record.Load(), state) {
				mixes = append(mixes, state)
			} else {
				states = append(states, state)
			}
		}
	}
	byID := func(a, b *stream) int { return cmp.Compare(a.id, b.id) }
	if m := r.remixedLoop(mixes); m != nil {
		states = append(states, m)
	}
	slices.SortFunc(all, byID)
	slices.SortFunc(media, byID)
	slices.SortFunc(states, func(a, b *StreamState) int {
		return cmp.Or(cmp.Compare(a.StartedMs, b.StartedMs), cmp.Compare(a.ID, b.ID))
	})
	// Record streams first: a packet can be judged only with its manifest.
	slices.SortStableFunc(all, func(a, b *stream) int { return cmp.Compare(b.kind, a.kind) })
	r.all.Store(&all)
	r.media.Store(&media)
	r.states.Store(&states)
	r.e.changes.tell()
	r.leaf.restream()
	r.paceLoop(time.Now())
}

// forgetEndedLoop drops what has ended, and what was announced by somebody who is gone without a word.
func (r *Room) forgetEndedLoop(now time.Time) {
	r.changeLoop(r.roster.Expire(now), nil)
	var gone []wire.StreamID
	for id, at := range r.endedAt {
		if now.Sub(at) >= endedFor {
			delete(r.endedAt, id)
			gone = append(gone, id)
		}
	}
	if len(gone) == 0 {
		return
	}
	for record, sl := range r.slots {
		media := maps.Clone(*sl.media.Load())
		maps.DeleteFunc(media, func(id wire.StreamID, _ *stream) bool { return slices.Contains(gone, id) })
		sl.media.Store(&media)
		if len(media) == 0 {
			gone = append(gone, record)
			if x := sl.excerpt.Load(); x != nil {
				gone = append(gone, x.id)
			}
			delete(r.slots, record)
		}
	}
	r.e.index(nil, gone)
	r.restreamLoop()
}

// announces returns the envelopes that tell a newcomer what is live.
func (r *Room) announces() [][]byte { return r.roster.Announces() }

func (r *Room) streamEvent(st *StreamState) {
	state := "live"
	if !st.Live {
		state = "ended"
	}
	r.e.events.emit(Event{
		Event: "stream", Room: string(r.id), Stream: st.ID.String(), Slot: st.Slot, Kind: st.Kind.String(), Codec: st.Codec,
		Participant: st.Participant, State: state,
	})
}

// gapEvent reports a gap once repair had time to fill what can be filled.
func (r *Room) gapEvent(s *stream, gap time.Duration, from, to uint64) {
	time.AfterFunc(repairTime, func() {
		lost := uint64(0)
		for n := from + 1; n < to && n-from < 4096; n++ {
			if s.store.State(n) == relay.StateAbsent {
				lost++
			}
		}
		if id, ok := s.shown(); ok && r.ctx.Err() == nil {
			r.e.events.emit(Event{Event: "gap", Room: string(r.id), Stream: id.String(), Ms: ptr(gap.Milliseconds()), Lost: &lost})
		}
	})
}

// repairTime is how long a lost packet may take to be replaced.
const repairTime = 700 * time.Millisecond

func (r *Room) statsEvents() []Event {
	l := r.links.Load()
	var out []Event
	for _, s := range *r.media.Load() {
		id, ok := s.shown()
		if !ok || !s.state.Load().Live {
			continue
		}
		out = append(out, Event{
			Event: "stats", Time: EventTime(time.Now()), Room: string(r.id), Stream: id.String(),
			Packets: ptr(s.packets.Load()), Bytes: ptr(s.bytes.Load()), Lost: ptr(s.lost.Load()), Repaired: ptr(s.repaired.Load()), Duplicates: ptr(s.duplicates.Load()),
		})
	}
	if len(out) == 0 {
		out = []Event{{Event: "stats", Time: EventTime(time.Now()), Room: string(r.id)}}
	}
	var up, down uint64
	for id := range *r.e.hops.Load() {
		if h := r.e.hop(id); h != nil && l.uses(id) {
			u, d := h.rates(time.Now())
			up, down = up+u, down+d
		}
	}
	for i := range out {
		e := &out[i]
		e.Children, e.UpBps, e.DownBps, e.Depth = ptr(len(l.children)), &up, &down, ptr(l.place.Depth)
		if l.primary != "" {
			e.Parent = l.primary.String()
		}
		if l.backup != "" {
			e.Backup = l.backup.String()
		}
	}
	return out
}
