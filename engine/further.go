package engine

import (
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/proto"

	"github.com/castd/castd/engine/room"
	"github.com/castd/castd/engine/wire"
)

// A further mixer; see cascade.go. It mixes for those who sit at it by the hub's plan, and takes what others say from the other mixers. It
// has nothing else of a conference: who takes part is told by the hub.

// further is what this peer has of it while the hub names it. The room's goroutine owns it.
type further struct {
	room  *Room
	mix   Mix
	plan  *cascadePlan
	since time.Time
	told  time.Time // when the hub told of it last
	hub   peer.ID   // whose maps the mix follows
	maps  wire.StreamID
	seats map[planSeatKey]*furtherSeat
	ends  time.Time // since when the hub does not name this peer any more; zero: it does
	leave bool      // this peer leaves
}

// furtherSeat is a participant of the conference at a further mixer, wherever he sits.
type furtherSeat struct {
	planSeat
	room *Room
	seat MixSeat
	// atomics
	voice  *voice
	silent atomic.Bool
	native atomic.Pointer[native] // who sits here has one, or who did until a moment ago
	ways   atomic.Pointer[[]way]

	// The room's goroutine's.
	ends map[wire.StreamID]bool // of what comes from other mixers
	left time.Time              // since when the hub has him sit elsewhere; zero: it does not
}

// native is what comes from a participant who sits here, and goes to him.
type native struct {
	seat   *furtherSeat
	hear   func(*MediaPacket)
	say    wire.StreamID // 0 where he takes part by way of this peer
	closed sync.Once
}

// furtherMapsID is what the maps of a hub for further mixers go under.
func furtherMapsID(id wire.RoomID, hub peer.ID) wire.StreamID {
	return wire.NewStreamID(id, []byte(hub), "", "call", "further maps")
}

// nativeLinger is how long who has been sent elsewhere may hear from here still: he goes when he has heard the other mixer for long enough.
const nativeLinger = 2 * soundSettle

// furtherLife is how long a further mixer goes on that no hub names any more: another one may be about to.
const furtherLife = 10 * time.Second

// heldSeats is how many participants this peer would hold as a further mixer; 0: it does not mix.
func (r *Room) heldSeats() int {
	r.e.mu.Lock()
	relays := r.e.slots > 0
	r.e.mu.Unlock()
	if r.e.mixing == nil || !relays || r.leaving || r.further != nil && r.further.leave {
		return 0
	}
	if r.further == nil && (r.e.battery.Load() || 1000-int(r.e.busy.Load()) < mixIdle) {
		return 0
	}
	return r.e.mixBound()
}

// furtherLoop does what the hub's plan says of this peer.
func (r *Room) furtherLoop(p *cascadePlan, now time.Time) {
	f := r.further
	if !slices.Contains(p.mixers, r.e.self) {
		if f != nil && f.ends.IsZero() {
			f.ends = now
		}
		r.watchFurtherLoop(now)
		return
	}
	if f == nil {
		if r.heldSeats() == 0 {
			r.reportFurtherLoop(now)
			return
		}
		mix, err := r.e.mixing.Open(func(*MediaPacket) {}) // as the hub's, which an audience hears
		if err != nil {
			r.e.log.Warn("cannot mix for others of the conference", "room", r.id, "err", err)
			return // the hub finds that it does not answer
		}
		r.e.log.Info("this peer mixes for some of the conference", "room", r.id)
		f = &further{room: r, mix: mix, since: now, seats: make(map[planSeatKey]*furtherSeat)}
		f.mix.Follow(nil)
		r.further = f
	}
	f.plan, f.told, f.ends = p, now, time.Time{}
	r.refurtherLoop(now)
}

// refurtherLoop brings the further mixer to what the plan says, and who is the hub and its standby.
func (r *Room) refurtherLoop(now time.Time) {
	f := r.further
	hub, standby := f.plan.hub, r.standby()
	if f.hub != hub {
		if f.hub != "" {
			r.e.connect(f.maps, nil)
		}
		f.hub, f.maps = hub, furtherMapsID(r.id, hub)
		mix := f.mix
		r.e.connect(f.maps, &lineEnd{from: hub, take: func(_ *wire.Header, payload []byte) {
			if m := playoutMap(payload); m != nil {
				mix.Follow(m)
			}
		}})
	}
	others := make([]peer.ID, 0, 2+len(f.plan.mixers))
	for _, id := range append([]peer.ID{hub, standby}, f.plan.mixers...) {
		if id != "" && id != r.e.self && !slices.Contains(others, id) {
			others = append(others, id)
		}
	}
	r.matesLoop(&r.mixMates, others, now)
	there := make(map[planSeatKey]bool, len(f.plan.seats))
	var voices []*voice
	for i := range f.plan.seats {
		ps := &f.plan.seats[i]
		here := ps.sits(r.e.self)
		if ps.to != "" && !slices.ContainsFunc(f.plan.seats, func(o cascadePlanSeat) bool { return o.participant == ps.to && o.sits(r.e.self) }) {
			continue // said to somebody elsewhere
		}
		s := f.seats[ps.key()]
		if s != nil && !s.same(ps.planSeat) {
			r.endFurtherSeatLoop(s)
			s = nil
		}
		if s == nil {
			if s = r.newFurtherSeatLoop(ps.planSeat); s == nil {
				continue
			}
		}
		there[ps.key()] = true
		switch {
		case here:
			s.left = time.Time{}
		case s.left.IsZero():
			s.left = now
		case now.Sub(s.left) >= nativeLinger:
			r.unseatNativeLoop(s)
		}
		r.farEndsLoop(s, ps, hub, standby)
		var ways []way
		if here && s.native.Load() != nil {
			for _, id := range others {
				ways = append(ways, way{id, voiceID(r.id, r.e.self, s.participant, id)})
			}
			voices = append(voices, s.voice)
		}
		s.ways.Store(&ways)
	}
	for key, s := range f.seats {
		if !there[key] {
			delete(f.seats, key)
			r.endFurtherSeatLoop(s)
		}
	}
	r.loudest.set(voices)
	r.muteFurtherLoop(now)
	r.relinkLoop(nil)
	r.reportFurtherLoop(now)
}

// newFurtherSeatLoop gives a participant of the conference a place in the mix, where he hears nothing yet.
func (r *Room) newFurtherSeatLoop(ps planSeat) *furtherSeat {
	f := r.further
	s := &furtherSeat{planSeat: ps, room: r, voice: new(voice), ends: make(map[wire.StreamID]bool)}
	c := SeatConfig{
		Participant: ps.participant, RED: ps.red, SendsStereo: ps.stereo, HearsStereo: ps.hearsStereo, Announces: ps.announces, To: ps.to,
		Tell: func(state *CallState) { s.voice.told(state, ps.participant) },
		Hear: func(p *MediaPacket) {
			if n := s.native.Load(); n != nil {
				n.hear(p)
			}
		},
	}
	seat, err := f.mix.Join(c)
	if err != nil {
		r.e.log.Warn("cannot take what a participant says", "room", r.id, "err", err)
		return nil
	}
	seat.Deaf(true)
	s.seat = seat
	f.seats[ps.key()] = s
	return s
}

// farEndsLoop takes what comes of somebody from other mixers: from those where he sits, and no others.
func (r *Room) farEndsLoop(s *furtherSeat, ps *cascadePlanSeat, hub, standby peer.ID) {
	from, atHub := ps.heardFrom()
	if atHub {
		from = append(from, hub, standby)
	}
	ends := make(map[wire.StreamID]bool)
	for _, id := range from {
		if id == r.e.self || id == "" {
			continue
		}
		stream := voiceID(r.id, id, s.participant, r.e.self)
		ends[stream] = true
		if !s.ends[stream] {
			r.e.connect(stream, &lineEnd{from: id, take: func(h *wire.Header, payload []byte) { s.take(ofLine(h, payload)) }})
		}
	}
	for stream := range s.ends {
		if !ends[stream] {
			r.e.connect(stream, nil)
		}
	}
	s.ends = ends
}

// take takes a packet that another mixer has passed on. It goes no further.
func (s *furtherSeat) take(p *MediaPacket) {
	if s.silent.Load() {
		s.room.e.metrics.muted.Add(1)
		return
	}
	s.seat.Write(p)
}

// said takes a packet of who sits here, and passes it on.
func (s *furtherSeat) said(p *MediaPacket) {
	if s.silent.Load() {
		s.room.e.metrics.muted.Add(1)
		return
	}
	s.seat.Write(p)
	if ways := s.ways.Load(); ways != nil && s.room.loudest.passes(s.voice, p, time.Now()) {
		for _, w := range *ways {
			s.room.e.writeLine(w.to, w.id, p)
		}
	}
}

// muteFurtherLoop makes silent who may not be heard, and tells him.
func (r *Room) muteFurtherLoop(now time.Time) {
	if r.further == nil {
		return
	}
	p := r.policy()
	for _, s := range r.further.seats {
		who := room.Standing{Participant: s.participant, User: s.user, Self: s.self}
		out := p.PutOut(who, now)
		muted := p.Muted(who, now) || out
		if s.silent.Swap(muted) == muted || s.native.Load() == nil {
			continue
		}
		switch {
		case out:
			r.unseatNativeLoop(s)
		case p.Record.Settings.Has(room.NoTones):
		case muted:
			s.seat.Tone(ToneMuted)
		default:
			s.seat.Tone(ToneUnmuted)
		}
	}
}

// nativeJoinLoop answers a peer that asks for a seat for somebody's sound.
func (r *Room) nativeJoinLoop(from peer.ID, m *wire.Message, j *wire.SeatJoin) *wire.SeatAnswer {
	f := r.further
	if f == nil || f.leave {
		return &wire.SeatAnswer{Reason: "not_hub"}
	}
	s := f.seats[planSeatKey{j.Participant, from}]
	if s == nil || s.announces || !f.plan.sits(s.planSeat, r.e.self) {
		return &wire.SeatAnswer{Reason: "not_hub"} // the plan may be on its way
	}
	who, now := room.Standing{Participant: j.Participant, User: m.User, Self: j.Self}, time.Now()
	denied := r.policy().PutOut(who, now) || r.refusal(m.User, j.Chain, now) != "" || !r.maySpeakBy(m.User, j.Chain)
	if denied || !s.user.Equal(m.User) || s.self != j.Self {
		r.e.metrics.refused.Add(1)
		return &wire.SeatAnswer{Reason: "not_allowed"}
	}
	say, hear := soundIDs(r.id, m.Device, j.Participant, r.e.self)
	r.seatNativeLoop(s, &native{seat: s, say: say, hear: func(p *MediaPacket) { r.e.writeLine(from, hear, p) }})
	r.e.connect(say, &lineEnd{from: from, take: func(h *wire.Header, payload []byte) { s.said(ofLine(h, payload)) }})
	r.expect(from)
	return &wire.SeatAnswer{}
}

// sits reports whether somebody sits at a mixer, or may.
func (p *cascadePlan) sits(s planSeat, at peer.ID) bool {
	return slices.ContainsFunc(p.seats, func(o cascadePlanSeat) bool { return o.key() == s.key() && o.sits(at) })
}

// seatNativeLoop seats somebody here.
func (r *Room) seatNativeLoop(s *furtherSeat, n *native) {
	r.unseatNativeLoop(s)
	s.native.Store(n)
	s.seat.Deaf(false)
	r.refurtherLoop(time.Now())
}

// unseatNativeLoop takes the seat away of who does not sit here any more.
func (r *Room) unseatNativeLoop(s *furtherSeat) {
	n := s.native.Swap(nil)
	if n == nil {
		return
	}
	s.ways.Store(nil)
	s.seat.Deaf(true)
	if n.say != 0 {
		r.e.connect(n.say, nil)
		r.sendSeatNews(s.peer, &wire.SeatNews{Participant: s.participant, Sound: true, Gone: true})
	}
}

// localNative is the seat of somebody who takes part by way of the further mixer itself.
type localNative struct {
	*furtherSeat
	n *native
}

var _ Seat = (*localNative)(nil)

// Write implements Seat.
func (l *localNative) Write(p *MediaPacket) {
	if l.native.Load() == l.n {
		l.said(p)
	}
}

// Loss implements Seat.
func (l *localNative) Loss(percent float64) { l.seat.Loss(percent) }

// Wish implements Seat.
func (l *localNative) Wish(participant string, gain float32) { l.seat.Wish(participant, gain) }

// Close implements Seat.
func (l *localNative) Close() {
	l.n.closed.Do(func() {
		l.room.tell(func() {
			if l.native.Load() == l.n {
				l.room.unseatNativeLoop(l.furtherSeat)
			}
		})
	})
}

// localNativeLoop seats somebody who takes part by way of this peer.
func (r *Room) localNativeLoop(c SeatConfig) Seat {
	f := r.further
	if f == nil || f.leave {
		return nil
	}
	s := f.seats[planSeatKey{c.Participant, r.e.self}]
	if s == nil || !f.plan.sits(s.planSeat, r.e.self) {
		return nil
	}
	l := &localNative{s, &native{seat: s, hear: c.Hear}}
	r.seatNativeLoop(s, l.n)
	return l
}

// nativeNewsLoop takes what the peer of somebody who sits here says of his seat.
func (r *Room) nativeNewsLoop(from peer.ID, n *wire.SeatNews) {
	if r.further == nil {
		return
	}
	s := r.further.seats[planSeatKey{n.Participant, from}]
	if s == nil || s.native.Load() == nil {
		return
	}
	for _, w := range n.Wishes[:min(len(n.Wishes), maxWishes)] {
		s.seat.Wish(w.Participant, w.Gain)
	}
	if n.LossPermille != nil {
		s.seat.Loss(float64(*n.LossPermille) / 10)
	}
	if n.Gone {
		r.unseatNativeLoop(s)
		r.relinkLoop(nil)
	}
}

// nativesLoop returns the peers whose participants' sound comes here.
func (r *Room) nativesLoop() map[peer.ID]bool {
	if r.further == nil {
		return nil
	}
	all := make(map[peer.ID]bool)
	for _, s := range r.further.seats {
		if n := s.native.Load(); n != nil && n.say != 0 {
			all[s.peer] = true
		}
	}
	return all
}

// endFurtherSeatLoop takes a participant out of the mix.
func (r *Room) endFurtherSeatLoop(s *furtherSeat) {
	r.unseatNativeLoop(s)
	for stream := range s.ends {
		r.e.connect(stream, nil)
	}
	s.seat.Close()
}

// endFurtherLoop ends the further mixer.
func (r *Room) endFurtherLoop() {
	f := r.further
	if f == nil {
		return
	}
	natives := r.nativesLoop()
	r.further = nil
	r.e.connect(f.maps, nil)
	for _, s := range f.seats {
		r.endFurtherSeatLoop(s)
	}
	f.mix.Close()
	if !r.seatsLoop() {
		r.cascade.plan = nil
		r.matesLoop(&r.mixMates, nil, time.Now())
	}
	r.relinkLoop(nil)
	for id := range natives {
		r.e.releaseHop(id)
	}
}

// watchFurtherLoop looks once a second after a further mixer.
func (r *Room) watchFurtherLoop(now time.Time) {
	f := r.further
	if f == nil {
		return
	}
	if slices.Contains(r.furtherPeers(), r.e.self) {
		f.told = now
	}
	deserted := !slices.ContainsFunc(slices.Collect(maps.Values(f.seats)), func(s *furtherSeat) bool { return s.native.Load() != nil })
	if ended := !f.ends.IsZero() && (deserted || now.Sub(f.ends) >= nativeLinger); ended || r.seatsLoop() || now.Sub(f.told) >= furtherLife {
		r.endFurtherLoop()
		return
	}
	r.refurtherLoop(now)
}

// reportFurtherLoop tells the hub how this peer fares as a further mixer.
func (r *Room) reportFurtherLoop(now time.Time) {
	p := r.cascade.plan
	hub := r.mixer()
	if p == nil || hub == "" || hub == r.e.self || p.hub != hub || !slices.Contains(p.mixers, r.e.self) {
		return
	}
	w := &wire.CallFurther{Term: p.term, Number: p.number, Seats: uint32(r.heldSeats()), Ready: r.further != nil, Addrs: addrsOf(r.e.control.Self())}
	for id, m := range r.mixMates {
		w.Ready = w.Ready && (m.reached && !m.missing(now) || id == r.standby())
		if m.missing(now) {
			w.Missing = append(w.Missing, []byte(id))
		}
	}
	env, err := r.e.seal(r.id, wire.Type_CALL_FURTHER, w)
	if err != nil {
		r.e.log.Error("cannot encode a report", "err", err)
		return
	}
	r.sendQuietLoop(hub, env)
}

// retireTime is how long a further mixer that leaves goes on for those who sit there; they go when they have heard another for long enough.
const retireTime = soundSettle + 100*time.Millisecond

// retireFurther has those who sit at this further mixer go elsewhere before it leaves.
func (r *Room) retireFurther(ctx context.Context) {
	left := 0
	count := func() {
		left = 0
		if r.further != nil {
			left = len(r.nativesLoop())
		}
	}
	_ = r.call(ctx, func() {
		if r.further == nil {
			return
		}
		r.further.leave = true
		r.reportFurtherLoop(time.Now())
		for _, s := range r.further.seats {
			if n := s.native.Load(); n != nil && n.say != 0 {
				r.sendSeatNews(s.peer, &wire.SeatNews{Participant: s.participant, Sound: true, Gone: true})
			}
		}
		count()
	})
	for deadline := time.Now().Add(retireTime); left > 0 && time.Now().Before(deadline) && ctx.Err() == nil; {
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
		}
		_ = r.call(ctx, count)
	}
}

// cascadeMessage takes a direct message about who mixes besides the hub.
func (e *Engine) cascadeMessage(from peer.ID, m *wire.Message) {
	r := e.roomByID(m.Room)
	if r == nil {
		return
	}
	switch m.Type {
	case wire.Type_CALL_CASCADE:
		var w wire.CallCascade
		if err := proto.Unmarshal(m.Body, &w); err != nil {
			e.metrics.controlBad.Add(1)
			return
		}
		r.post(func() { r.heardCascadeLoop(from, m.User, &w, time.Now()) })
	case wire.Type_CALL_FURTHER:
		var w wire.CallFurther
		if err := proto.Unmarshal(m.Body, &w); err != nil {
			e.metrics.controlBad.Add(1)
			return
		}
		r.post(func() { r.furtherReportLoop(from, &w, time.Now()) })
	}
}
