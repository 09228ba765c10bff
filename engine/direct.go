package engine

import (
	"crypto/ed25519"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/proto"

	"github.com/castd/castd/engine/room"
	"github.com/castd/castd/engine/wire"
)

// Conferences of a few
//
// Where at most four take part and nobody else listens, no peer mixes for others. What somebody says goes from his peer straight to those of
// the others, and each peer mixes for its own participants only; between two it passes on what comes. The floor stays with the hub: everybody
// has his seat there, at which hands, messages and rulings come and go, but nothing of what is said. The hub says by a plan who sends to whom,
// and each peer tells it whether it reaches the others.
//
// When the room grows, or somebody listens, the hub mixes again. For a while everybody sends both ways. The mixes of the participants' peers
// then follow the hub's as a standby does, by maps, until they play the same samples on the same ticks; so the change from one flow to
// the other (see splice) is one between two that are the same, and so is the one back. Package conference does the following, plan.go
// decides when.
//
// Whoever may not be heard is not: his own peer sends nothing, and all others drop what comes of him all the same.

// direct is what a peer has by way of which somebody takes part, while the plan is not that all goes by the mixer. The room's goroutine owns
// it.
type direct struct {
	room    *Room
	mix     Mix
	since   time.Time
	phase   wire.CallPhase
	follows wire.StreamID // maps of the hub that come; 0: none
	far     map[planSeatKey]*farVoice
	mates   mates
}

// planSeatKey tells the seats of a plan apart.
type planSeatKey struct {
	participant string
	peer        peer.ID
}

// farVoice is what comes of a participant from another peer.
type farVoice struct {
	planSeat
	id    wire.StreamID
	seat  Seat
	muted atomic.Bool
}

// directNow is what the packet path goes by. Values are immutable.
type directNow struct {
	mix  Mix
	only bool             // nothing goes to the mixer
	lead bool             // the others are heard directly, where they can be
	ways map[string][]way // of the participants here that the plan names
}

// way is where a participant's packets go.
type way struct {
	to peer.ID
	id wire.StreamID
}

const (
	// planGrace is how long those whom a new hub does not name yet are heard still: they are about to take their seats there.
	planGrace = 5 * time.Second
)

// directFlow is the peer under which what was mixed here is spliced.
const directFlow = peer.ID("direct")

// voiceID is what a participant's packets from one peer to another go under.
func voiceID(id wire.RoomID, from peer.ID, participant string, to peer.ID) wire.StreamID {
	return wire.NewStreamID(id, []byte(from), participant, "call", "direct "+string(to))
}

// directMapsID is what the maps of a hub for those who take part go under.
func directMapsID(id wire.RoomID, hub peer.ID) wire.StreamID {
	return wire.NewStreamID(id, []byte(hub), "", "call", "direct maps")
}

// At the hub

// planLoop looks at whether the room needs a mixer, at the hub.
func (r *Room) planLoop(now time.Time) {
	if mixes := r.mixesLoop(); !mixes || r.mixing == nil {
		if r.planner != nil {
			r.planner = nil
			r.mapsTo.Store(nil)
			if mixes {
				r.takePlanLoop(nil, now) // the conference is over; where another hub has taken over it goes on from here
			}
		}
		return
	}
	if r.planner == nil {
		before := r.plan.Load()
		if before != nil && before.hub == r.e.self && len(r.mixing.seats) <= 1 {
			before = nil // of a conference that is over
		}
		r.planner = newPlanner(before, len(r.mixing.seats), now)
	}
	f := planFacts{needed: r.neededLoop() || r.cascade.cascader != nil && r.cascade.cascader.busy(), hears: func(id peer.ID) bool {
		hop := r.e.hop(id)
		return id == r.e.self || hop != nil && silentFor(hop, now) < mateSilence
	}}
	for s := range r.mixing.seats {
		f.needed = f.needed || s.announces
		if s.announces || s.held || s.waits != "" {
			continue // who waits hears music, and nobody hears him
		}
		f.seats = append(f.seats, planSeat{
			participant: s.info.Participant, peer: s.by, user: s.who.User, self: s.who.Self, red: s.config.RED, stereo: s.config.SendsStereo,
		})
	}
	slices.SortFunc(f.seats, bySeat)
	changed := r.planner.step(f, now)
	for s := range r.mixing.seats {
		s.direct.Store(r.planner.phase == wire.CallPhase_CALL_DIRECT && !s.announces && !s.held && s.waits == "")
	}
	if last := r.plan.Load(); !changed && last != nil && last.hub == r.e.self {
		return
	}
	r.e.log.Debug("by which way a conference is heard", "room", r.id, "phase", r.planner.phase, "seats", len(f.seats))
	p := r.plannedLoop()
	r.takePlanLoop(p, now)
	var to []peer.ID
	if p.phase == wire.CallPhase_CALL_BOTH || p.phase == wire.CallPhase_CALL_APART {
		for _, s := range p.seats {
			if !slices.Contains(to, s.peer) {
				to = append(to, s.peer)
			}
		}
	}
	r.mapsTo.Store(&to)
	told := make(map[peer.ID]bool)
	for s := range r.mixing.seats {
		if s.by != r.e.self && !told[s.by] {
			told[s.by] = true
			r.sendPlanLoop(s.by)
		}
	}
	r.sendPlanLoop(r.standby())
	if direct := p.phase == wire.CallPhase_CALL_DIRECT; direct != r.toldDirect {
		r.toldDirect = direct
		r.sendBeaconLoop(now)
	}
}

// plannedLoop returns this hub's plan.
func (r *Room) plannedLoop() *plan { return r.planner.plan(r.e.self, r.elector.Lease().Term.N) }

// sendPlanLoop tells a peer the plan.
func (r *Room) sendPlanLoop(to peer.ID) {
	if r.planner == nil || to == "" || to == r.e.self {
		return
	}
	env, err := r.e.seal(r.id, wire.Type_CALL_PLAN, r.plannedLoop().toWire())
	if err != nil {
		r.e.log.Error("cannot encode a plan", "err", err)
		return
	}
	r.sendQuietLoop(to, env)
}

// reportedLoop takes at the hub what a peer says of itself.
func (r *Room) reportedLoop(from peer.ID, w *wire.CallReport, now time.Time) {
	if r.planner == nil {
		return
	}
	rep := planReport{at: now, number: w.Number, ready: w.Ready}
	for _, id := range w.Missing[:min(len(w.Missing), maxDirect)] {
		rep.missing = append(rep.missing, peer.ID(id))
	}
	if w.Term != r.elector.Lease().Term.N {
		rep.number = 0 // numbers begin at 1
	}
	if !r.planner.report(from, rep) {
		r.sendPlanLoop(from)
	}
	r.planLoop(now)
	r.cascadeLoop(now)
}

// At the peers of those who take part

// heardPlanLoop takes a plan that came from a peer.
func (r *Room) heardPlanLoop(from peer.ID, user ed25519.PublicKey, w *wire.CallPlan, now time.Time) {
	p := planFromWire(from, w)
	if p == nil || from != r.mixer() || !mayHost(r.record.Load(), user) || r.leaving {
		return
	}
	old := r.plan.Load()
	if old != nil && old.hub == p.hub && old.term == p.term && old.number >= p.number {
		return
	}
	if r.Mode() == room.Conference {
		r.takePlanLoop(p, now)
	}
}

// seatPlanLoop takes the plan that came with a seat: who asked for it knew whom.
func (r *Room) seatPlanLoop(hub peer.ID, w *wire.CallPlan, now time.Time) {
	p, old := planFromWire(hub, w), r.plan.Load()
	if w == nil || p == nil || hub != r.mixer() || old != nil && old.hub == p.hub && old.term == p.term && old.number >= p.number {
		return
	}
	r.takePlanLoop(p, now)
}

// takePlanLoop does what a plan says; nil ends that of before.
func (r *Room) takePlanLoop(p *plan, now time.Time) {
	old := r.plan.Load()
	if old != nil && p != nil && (old.hub != p.hub || old.term != p.term) {
		r.planBefore, r.planBeforeTo = old.seats, now.Add(planGrace)
	}
	r.plan.Store(p)
	r.directLoopNow(now)
	r.planTonesLoop(old, p, now)
	r.reportPlanLoop(now)
}

// planTonesLoop has those who take part here hear that somebody comes or goes, while the hub's tones do not come to them.
func (r *Room) planTonesLoop(old, p *plan, now time.Time) {
	if r.direct == nil || p == nil || p.phase != wire.CallPhase_CALL_DIRECT || r.record.Load().Settings.Has(room.NoTones) || now.Sub(r.planToned) < toneGap {
		return
	}
	entered, left := old == nil, false
	if old != nil && old.hub == p.hub && old.term == p.term && old.phase == p.phase {
		missing := func(from, in *plan) bool {
			return slices.ContainsFunc(from.seats, func(s planSeat) bool {
				return !slices.ContainsFunc(in.seats, func(o planSeat) bool { return o.participant == s.participant })
			})
		}
		entered, left = missing(p, old), missing(old, p)
	}
	switch {
	case entered:
		r.direct.mix.Tone(ToneEnter)
	case left:
		r.direct.mix.Tone(ToneLeave)
		if len(p.seats) == 1 {
			r.direct.mix.Tone(ToneAlone)
		}
	default:
		return
	}
	r.planToned = now
}

// unheardLoop reports whether nobody who takes part hears this hub's mix.
func (r *Room) unheardLoop() bool {
	if r.planner == nil {
		return !r.neededLoop() // the conference begins
	}
	return r.planner.phase == wire.CallPhase_CALL_DIRECT
}

// neededLoop reports whether the mix is needed for others than those who take part: for those who listen, or record.
func (r *Room) neededLoop() bool {
	return r.audience() > 0 || r.leaf.active.Load() > 0 || r.taps.needed.Load() || len(r.recordingNow()) > 0
}

// directLoopNow brings what this peer has of the direct way to what the plan says.
func (r *Room) directLoopNow(now time.Time) {
	p := r.plan.Load()
	if p == nil || p.phase == wire.CallPhase_CALL_MIXED || !p.has(r.e.self) || r.calls.Load() == 0 || r.leaving || r.e.mixing == nil {
		r.undirectLoop()
		return
	}
	d := r.direct
	if d == nil {
		mix, err := r.e.mixing.Open(nil)
		if err != nil {
			r.e.log.Warn("cannot mix for the participants of this peer", "room", r.id, "err", err)
			return // the hub finds that it does not answer
		}
		mix.Talks(r.talksLoop(talkDirect))
		d = &direct{room: r, mix: mix, since: now, far: make(map[planSeatKey]*farVoice), mates: make(mates)}
		r.direct = d
	}
	r.phaseLoop(d, p)
	seats := slices.Clone(p.seats)
	if now.Before(r.planBeforeTo) {
		for _, s := range r.planBefore {
			if len(seats) < maxDirect && !slices.ContainsFunc(seats, func(o planSeat) bool { return o.participant == s.participant }) {
				seats = append(seats, s)
			}
		}
	}
	var others []peer.ID
	for _, s := range seats {
		others = append(others, s.peer)
	}
	r.matesLoop(&d.mates, others, now)
	r.voicesLoop(d, seats)
	next := &directNow{mix: d.mix, only: p.phase == wire.CallPhase_CALL_DIRECT, ways: make(map[string][]way)}
	next.lead = next.only || p.phase == wire.CallPhase_CALL_APART
	for _, s := range seats {
		if s.peer != r.e.self {
			continue
		}
		ways := []way{}
		for _, id := range slices.Sorted(maps.Keys(d.mates)) {
			ways = append(ways, way{id, voiceID(r.id, r.e.self, s.participant, id)})
		}
		next.ways[s.participant] = ways
	}
	r.directNow.Store(next)
}

// phaseLoop makes this peer's mix follow the hub's, or go its own way.
func (r *Room) phaseLoop(d *direct, p *plan) {
	follows := wire.StreamID(0)
	if p.phase != wire.CallPhase_CALL_DIRECT {
		follows = directMapsID(r.id, p.hub)
	}
	if follows == d.follows && d.phase != wire.CallPhase_CALL_MIXED {
		d.phase = p.phase
		return
	}
	if d.follows != 0 {
		r.e.connect(d.follows, nil)
	}
	switch mix := d.mix; {
	case follows != 0:
		mix.Follow(nil)
		r.e.connect(follows, &lineEnd{from: p.hub, take: func(_ *wire.Header, payload []byte) {
			if m := playoutMap(payload); m != nil {
				mix.Follow(m)
			}
		}})
	case d.follows != 0:
		mix.Lead()
	}
	d.follows, d.phase = follows, p.phase
}

// voicesLoop takes what comes of the others.
func (r *Room) voicesLoop(d *direct, seats []planSeat) {
	next := make(map[planSeatKey]*farVoice)
	for _, s := range seats {
		if s.peer == r.e.self {
			continue
		}
		key := planSeatKey{s.participant, s.peer}
		if v := d.far[key]; v != nil && v.same(s) {
			next[key] = v
			continue
		}
		v := &farVoice{planSeat: s, id: voiceID(r.id, s.peer, s.participant, r.e.self)}
		seat, err := d.mix.Join(SeatConfig{Participant: s.participant, RED: s.red, SendsStereo: s.stereo})
		if err != nil {
			r.e.log.Warn("cannot take what a participant says", "room", r.id, "err", err)
			continue
		}
		v.seat = seat
		next[key] = v
	}
	for key, v := range d.far {
		if next[key] != v {
			v.end(r)
		}
	}
	for key, v := range next {
		if d.far[key] == v {
			continue
		}
		r.e.connect(v.id, &lineEnd{from: v.peer, take: func(h *wire.Header, payload []byte) {
			if v.muted.Load() {
				r.e.metrics.muted.Add(1)
				return
			}
			v.seat.Write(ofLine(h, payload))
		}})
	}
	d.far = next
	r.muteVoicesLoop(time.Now())
}

func (v *farVoice) end(r *Room) {
	r.e.connect(v.id, nil)
	v.seat.Close()
}

// muteVoicesLoop makes silent who may not be heard.
func (r *Room) muteVoicesLoop(now time.Time) {
	if r.direct == nil {
		return
	}
	p := r.policy()
	for _, v := range r.direct.far {
		who := room.Standing{Participant: v.participant, User: v.user, Self: v.self}
		v.muted.Store(p.Muted(who, now) || p.PutOut(who, now))
	}
}

// undirectLoop ends the direct way here.
func (r *Room) undirectLoop() {
	d := r.direct
	if d == nil {
		return
	}
	r.direct = nil
	r.directNow.Store(nil)
	if d.follows != 0 {
		r.e.connect(d.follows, nil)
	}
	for _, v := range d.far {
		v.end(r)
	}
	d.mix.Close()
	r.matesLoop(&d.mates, nil, time.Now())
}

// watchDirectLoop looks once a second after the other peers, and tells the hub.
func (r *Room) watchDirectLoop(now time.Time) {
	if len(r.planBefore) > 0 && now.After(r.planBeforeTo) {
		r.planBefore = nil
		r.directLoopNow(now)
	}
	if r.direct != nil && r.calls.Load() == 0 {
		r.undirectLoop()
	}
	if r.direct != nil {
		r.reachLoop(r.direct.mates, now)
		r.reportPlanLoop(now)
	}
	if r.planner != nil {
		r.sendPlanLoop(r.standby())
	}
}

// reportPlanLoop tells the hub how this peer fares.
func (r *Room) reportPlanLoop(now time.Time) {
	d, p := r.direct, r.plan.Load()
	if d == nil || p == nil {
		return
	}
	w := &wire.CallReport{Term: p.term, Number: p.number, Ready: now.Sub(d.since) >= planReady}
	for id, m := range d.mates {
		w.Ready = w.Ready && m.reached && !m.missing(now)
		if m.missing(now) {
			w.Missing = append(w.Missing, []byte(id))
		}
	}
	hub := r.mixer()
	if hub == r.e.self {
		if r.planner != nil {
			r.tell(func() { r.reportedLoop(hub, w, now) })
		}
		return
	}
	if hub == "" {
		return
	}
	env, err := r.e.seal(r.id, wire.Type_CALL_REPORT, w)
	if err != nil {
		r.e.log.Error("cannot encode a report", "err", err)
		return
	}
	r.sendQuietLoop(hub, env)
}

// callMessage takes a direct message about the way of a conference.
func (e *Engine) callMessage(from peer.ID, m *wire.Message) {
	r := e.roomByID(m.Room)
	if r == nil {
		return
	}
	switch m.Type {
	case wire.Type_CALL_PLAN:
		var p wire.CallPlan
		if err := proto.Unmarshal(m.Body, &p); err != nil {
			e.metrics.controlBad.Add(1)
			return
		}
		r.post(func() { r.heardPlanLoop(from, m.User, &p, time.Now()) })
	case wire.Type_CALL_REPORT:
		var w wire.CallReport
		if err := proto.Unmarshal(m.Body, &w); err != nil {
			e.metrics.controlBad.Add(1)
			return
		}
		r.post(func() { r.reportedLoop(from, &w, time.Now()) })
	}
}
