package engine

import (
	"cmp"
	"crypto/ed25519"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/castd/castd/engine/room"
	"github.com/castd/castd/engine/wire"
	"github.com/castd/castd/tree"
	"github.com/castd/castd/tree/elect"
)

// Conferences of more than one mixer can hold
//
// A mixer holds so many participants (Config.MixSeats, fewer while the computer is busy). Where there are more, further peers mix as well:
// what those say who sit at a further mixer goes there only, and from there they hear. All else stays with the hub: everybody has a seat
// there, and at its standby, at which hands, messages and rulings come and go.
//
// A mixer passes on what is said at it, unmixed, to all other mixers and to the standby: the packets of the loudest of those who sit there
// (loudest.go), under the id of who says it and of both peers. It passes on nothing that came from another mixer, so that no packet can
// come twice or go around; and it takes of each other mixer only packets of who sits there by the hub's plan. So all mixers have the same
// talkers. A further one follows the hub by its maps as a standby does, and so plays the same samples on the same ticks: whoever goes from
// one mixer to another, or loses one, goes on with another flow of the same (splice.go). While he goes he sends to both, which take each
// packet once.
//
// Who sits where is the hub's to say (cascader.go), in a plan that it signs, and that its standby has as well (cascadeplan.go). A further
// mixer is what further.go says, and the part of a call soundseat.go. The standby passes on what is said at the hub as the hub does, so
// that nothing is missing where it takes over. The audience hears the hub's mix, in which everybody is.

// cascade is what the room's goroutine has of it where participants have their seats: at the hub and at its standby.
type cascade struct {
	cascader *cascader    // at the hub
	plan     *cascadePlan // as it is told, or was
	pages    cascadePages // of the next, where another peer is the hub
	told     map[planSeatKey]toldPlace
	ends     map[wire.StreamID]peer.ID // of what further mixers pass on
	seats    uint64                    // that there were
}

// toldPlace is where a participant was told that his sound is to go.
type toldPlace struct {
	at   peer.ID
	time time.Time
}

// toldEvery is how often somebody is told of a place again to which he has not come yet.
const toldEvery = time.Second

// away is what a seat knows of its participant's sound.
type away struct {
	order uint64  // of all seats here, when he came
	voice *voice  // how loud he is
	sits  peer.ID // where his sound goes, as he says; the room's goroutine's
	said  uint64  // number of that
	ways  atomic.Pointer[[]way]
	ends  map[wire.StreamID]bool // of what further mixers pass on of him; the room's goroutine's
	twice atomic.Bool            // there are such, or were
	mu    sync.Mutex             // guards seen
	seen  window
	since atomic.Int64 // Unix nanoseconds: when his sound went to another mixer; 0: it comes here
}

// heard shows a packet of his to who taps the conference, once where it may come by two ways.
func (s *roomSeat) heard(p *MediaPacket) {
	if s.away.twice.Load() {
		s.away.mu.Lock()
		fresh := s.away.seen.fresh(uint64(p.Sequence))
		s.away.mu.Unlock()
		if !fresh {
			return
		}
	}
	s.room.heardVoice(s.voice, p)
}

// backAfter is how long packets that were on their way may still come of who has gone to another mixer. Whose come later is back.
const backAfter = 500 * time.Millisecond

// pass sends what somebody says here to the other mixers.
func (s *roomSeat) pass(p *MediaPacket) {
	ways := s.away.ways.Load()
	if ways == nil || len(*ways) == 0 || !s.announces && !s.room.loudest.passes(s.away.voice, p, time.Now()) {
		return
	}
	for _, w := range *ways {
		s.room.e.writeLine(w.to, w.id, p)
	}
}

// returns notes that what somebody says comes here, although his sound was said to go elsewhere.
func (s *roomSeat) returns() {
	since := s.away.since.Load()
	if since != 0 && time.Now().UnixNano()-since >= int64(backAfter) && s.away.since.CompareAndSwap(since, 0) {
		s.room.tell(func() { s.room.sitsLoop(s, "", 0) })
	}
}

// sitsLoop takes what the peer of a participant says of where his sound goes.
func (r *Room) sitsLoop(s *roomSeat, at peer.ID, number uint64) {
	if r.mixing == nil || !r.mixing.seats[s] || number != 0 && number <= s.away.said {
		return
	}
	s.away.said = max(number, s.away.said)
	s.away.sits = at
	r.awayLoop(s)
	r.cascadeLoop(time.Now())
	r.waysLoop()
}

// awayLoop has somebody hear from here, or not.
func (r *Room) awayLoop(s *roomSeat) {
	p := r.cascade.plan
	gone := s.away.sits != "" && p != nil && slices.Contains(p.mixers, s.away.sits)
	if gone == s.away.deaf() {
		return
	}
	s.away.since.Store(0)
	if gone {
		s.away.since.Store(time.Now().UnixNano())
	}
	s.Deaf(gone)
	s.away.ways.Store(nil)
}

// deaf reports whether his sound goes elsewhere.
func (a *away) deaf() bool { return a.since.Load() != 0 }

// mixBound returns how many participants this peer can hold: fewer while the computer has less to spare.
func (e *Engine) mixBound() int {
	idle := 1000 - min(int(e.busy.Load()), 1000)
	return max(e.mixSeats*min(idle, mixIdle)/mixIdle, e.mixSeats/4, 1)
}

// mixIdle is how many thousandths of the processors must be idle for a peer to hold as many as it may.
const mixIdle = 300

// cascadeLoop looks at whether there are more participants than this hub can hold.
func (r *Room) cascadeLoop(now time.Time) {
	c := &r.cascade
	if !r.mixesLoop() || r.mixing == nil || r.planner == nil {
		if c.cascader != nil {
			c.cascader, c.told = nil, nil
			r.takeCascadeLoop(nil, now)
		}
		return
	}
	if c.cascader == nil {
		c.cascader, c.told = newCascader(), make(map[planSeatKey]toldPlace)
		if c.plan != nil {
			c.cascader.resume(c.plan, r.e.self, now)
		}
	}
	f := r.cascadeFactsLoop(now)
	before := c.cascader.named()
	changed := c.cascader.step(f, now)
	if term := r.elector.Lease().Term.N; changed || c.cascader.busy() && (c.plan == nil || c.plan.hub != r.e.self || c.plan.term != term) {
		p := c.cascader.plan(r.e.self, term, f.seats)
		r.takeCascadeLoop(p, now)
		to := append(slices.Clone(before), r.standby())
		for _, id := range p.mixers {
			if !slices.Contains(to, id) {
				to = append(to, id)
			}
		}
		for _, id := range to {
			r.sendCascadeLoop(id)
		}
		if !slices.Equal(before, p.mixers) {
			r.e.log.Info("further peers that mix a conference", "room", r.id, "peers", len(p.mixers))
			r.sendBeaconLoop(now)
			r.untold = true
		}
	}
	r.tellPlacesLoop(now)
}

// recascadeLoop looks at it when somebody has come or gone.
func (r *Room) recascadeLoop(now time.Time) {
	r.cascadeLoop(now)
	if p := r.cascade.plan; p != nil && r.mixing != nil && !r.mixesLoop() {
		r.takeCascadeLoop(p, now)
	}
}

// cascadeFactsLoop returns what the cascader goes by.
func (r *Room) cascadeFactsLoop(now time.Time) cascadeFacts {
	f := cascadeFacts{mixed: r.planner.phase == wire.CallPhase_CALL_MIXED, bound: r.e.mixBound(), hears: func(id peer.ID) bool {
		hop := r.e.hop(id)
		return hop == nil && r.mixMates[id] == nil || hop != nil && silentFor(hop, now) < mateSilence
	}}
	seats := slices.SortedFunc(maps.Keys(r.mixing.seats), func(a, b *roomSeat) int { return cmp.Compare(a.away.order, b.away.order) })
	n := 0
	for _, s := range seats {
		waits := s.held || s.waits != ""
		if !s.announces {
			n++
		}
		f.seats = append(f.seats, cascadeSeat{
			planSeat: planSeat{
				participant: s.info.Participant, peer: s.by, user: s.who.User, self: s.who.Self, red: s.config.RED, stereo: s.config.SendsStereo,
				hearsStereo: s.config.HearsStereo, announces: s.announces, to: s.config.To,
			},
			stays: waits || s.announces || s.by == r.e.self, sits: s.away.sits,
		})
	}
	if n > f.bound {
		f.candidates = r.furtherCandidatesLoop(now)
	}
	return f
}

// furtherCandidatesLoop lists who could mix as well, the best first: those who keep the room open for its owner, those who were given the
// right to mix, and others who take part, or carry others. All of them hear what is said anyway.
func (r *Room) furtherCandidatesLoop(now time.Time) []peer.ID {
	p := r.policy()
	class := make(map[peer.ID]int)
	consider := func(id peer.ID, user ed25519.PublicKey, chain *wire.Chain, part int) {
		rights, _ := p.Check(user, chain, now)
		switch {
		case id == r.e.self || id == r.standby() || class[id] != 0:
		case mayHost(p.Record, user):
			class[id] = 4
		case rights.Has(room.Mix):
			class[id] = 3
		case rights.Has(room.Speak):
			class[id] = part
		}
	}
	for s := range r.mixing.seats {
		if s.far != nil && !s.announces {
			consider(s.far.peer, s.far.user, s.far.chain, 2)
		}
	}
	for id, g := range r.grants {
		if r.acquainted[id] != nil {
			consider(id, g.user, g.chain, 1)
		}
	}
	var offers []elect.Offer
	for id := range class {
		o := elect.Offer{Peer: elect.ID(id), CPUFree: 1000}
		if a := r.acquainted[id]; a != nil && a.offer.Peer != "" {
			o = a.offer
		}
		offers = append(offers, o)
	}
	var out []peer.ID
	for _, id := range elect.Rank(string(r.id)+" further", elect.SupernodeGates(), offers, len(offers)) {
		out = append(out, peer.ID(id))
	}
	slices.SortStableFunc(out, func(a, b peer.ID) int { return class[b] - class[a] })
	return out
}

// sendCascadeLoop tells a peer the plan.
func (r *Room) sendCascadeLoop(to peer.ID) {
	if r.cascade.plan == nil || to == "" || to == r.e.self {
		return
	}
	for _, page := range r.cascade.plan.toWire() {
		env, err := r.e.seal(r.id, wire.Type_CALL_CASCADE, page)
		if err != nil {
			r.e.log.Error("cannot encode who mixes", "err", err)
			return
		}
		r.sendQuietLoop(to, env)
	}
}

// furtherReportLoop takes at the hub what a further mixer says of itself.
func (r *Room) furtherReportLoop(from peer.ID, w *wire.CallFurther, now time.Time) {
	c := r.cascade.cascader
	if c == nil {
		return
	}
	rep := furtherReport{number: w.Number, seats: int(min(w.Seats, maxMixSeats)), ready: w.Ready}
	if r.cascade.plan == nil || w.Term != r.cascade.plan.term {
		rep.number = 0 // numbers begin at 1
	}
	rep.addrs = shortAddrs(w.Addrs)
	if c.mixer(from) != nil {
		r.learn(tree.Candidate{Peer: tree.ID(from), Addrs: rep.addrs})
	}
	for _, id := range w.Missing[:min(len(w.Missing), maxFurther)] {
		rep.missing = append(rep.missing, peer.ID(id))
	}
	if !c.report(from, rep, now) {
		r.sendCascadeLoop(from)
	}
	r.cascadeLoop(now)
}

// tellPlacesLoop tells those who are to go elsewhere.
func (r *Room) tellPlacesLoop(now time.Time) {
	c := &r.cascade
	for key := range c.told {
		if c.cascader.places[key] == nil {
			delete(c.told, key)
		}
	}
	for s := range r.mixing.seats {
		if s.far == nil || s.announces {
			continue
		}
		key := planSeatKey{s.info.Participant, s.by}
		at := peer.ID("")
		if p := c.cascader.places[key]; p != nil {
			at = p.at
		}
		told := c.told[key]
		if told.at == at && (s.away.sits == at || now.Sub(told.time) < toldEvery) {
			continue
		}
		c.told[key] = toldPlace{at, now}
		place := &wire.SeatPlace{At: []byte(at), Number: uint64(now.UnixMicro())}
		if m := c.cascader.mixer(at); m != nil {
			place.Addrs = m.addrs
		}
		r.sendSeatNews(s.far.peer, &wire.SeatNews{Participant: s.far.participant, Place: place})
	}
}

// takeCascadeLoop does what a plan says where participants have their seats; nil ends that of before.
func (r *Room) takeCascadeLoop(p *cascadePlan, now time.Time) {
	c := &r.cascade
	c.plan = p
	ends := make(map[wire.StreamID]peer.ID)
	var seats []*roomSeat
	if r.mixing != nil && p != nil {
		of := make(map[planSeatKey]*roomSeat, len(r.mixing.seats))
		for s := range r.mixing.seats {
			of[planSeatKey{s.info.Participant, s.by}] = s
			seats = append(seats, s)
		}
		for _, ps := range p.seats {
			s := of[ps.key()]
			if s == nil {
				continue // a standby does not know him yet
			}
			from, _ := ps.heardFrom()
			for _, id := range from {
				stream := voiceID(r.id, id, ps.participant, r.e.self)
				ends[stream] = id
				if c.ends[stream] == id && s.away.ends[stream] {
					continue
				}
				r.e.connect(stream, &lineEnd{from: id, take: func(h *wire.Header, payload []byte) { s.take(ofLine(h, payload)) }})
				if s.away.ends == nil {
					s.away.ends = make(map[wire.StreamID]bool)
				}
				s.away.ends[stream] = true
				s.away.twice.Store(true)
			}
			if !r.mixesLoop() && !ps.moves {
				s.away.sits = ps.at // the hub has heard so
			}
		}
	}
	for stream := range c.ends {
		if _, still := ends[stream]; !still {
			r.e.connect(stream, nil)
			for _, s := range seats {
				delete(s.away.ends, stream)
			}
		}
	}
	c.ends = ends
	if r.mixing != nil {
		for s := range r.mixing.seats {
			r.awayLoop(s)
		}
	}
	var mixers []peer.ID
	if p != nil {
		mixers = p.mixers
	}
	r.matesLoop(&r.mixMates, mixers, now)
	r.mapsFurther.Store(&mixers)
	r.waysLoop()
}

// waysLoop says where what is said here goes.
func (r *Room) waysLoop() {
	var mixers []peer.ID
	if r.cascade.plan != nil {
		mixers = r.cascade.plan.mixers
	}
	var voices []*voice
	if r.mixing == nil {
		return
	}
	seats := slices.SortedFunc(maps.Keys(r.mixing.seats), func(a, b *roomSeat) int { return cmp.Compare(a.away.order, b.away.order) })
	for _, s := range seats {
		if len(mixers) == 0 || s.away.deaf() {
			s.away.ways.Store(nil)
			continue
		}
		if !s.announces {
			voices = append(voices, s.away.voice)
		}
		if old := s.away.ways.Load(); old != nil && slices.EqualFunc(*old, mixers, func(w way, id peer.ID) bool { return w.to == id }) {
			continue
		}
		ways := make([]way, 0, len(mixers))
		for _, id := range mixers {
			ways = append(ways, way{id, voiceID(r.id, r.e.self, s.info.Participant, id)})
		}
		s.away.ways.Store(&ways)
	}
	r.loudest.set(voices)
}

// watchCascadeLoop looks once a second after the other mixers, and tells the standby.
func (r *Room) watchCascadeLoop(now time.Time) {
	if len(r.mixMates) > 0 {
		r.reachLoop(r.mixMates, now)
	}
	switch c := &r.cascade; {
	case c.cascader != nil && c.cascader.busy():
		r.sendCascadeLoop(r.standby())
	case c.cascader == nil && c.plan != nil && !r.seatsLoop() && r.further == nil:
		r.takeCascadeLoop(nil, now)
	}
	r.watchFurtherLoop(now)
}

// heardCascadeLoop takes a page of the hub's plan.
func (r *Room) heardCascadeLoop(from peer.ID, user ed25519.PublicKey, w *wire.CallCascade, now time.Time) {
	if from != r.mixer() || !mayHost(r.record.Load(), user) || r.leaving || r.Mode() != room.Conference || r.mixesLoop() {
		return
	}
	old := r.cascade.plan
	if old != nil && old.hub == from && old.term == w.Term && old.number >= w.Number {
		if r.further != nil {
			r.further.told = now
		}
		return
	}
	for _, m := range candidatesFromWire(w.At) {
		m.Addrs = shortAddrs(m.Addrs)
		r.learn(m)
	}
	p := r.cascade.pages.take(from, w)
	if p == nil {
		return
	}
	if r.standsByLoop() {
		r.endFurtherLoop()
		r.takeCascadeLoop(p, now)
		return
	}
	r.cascade.plan = p
	r.furtherLoop(p, now)
}

// shortAddrs returns those of another peer's addresses that are as short as addresses are.
func shortAddrs(all [][]byte) [][]byte {
	all = slices.Clone(all[:min(len(all), tree.MaxAddrs)])
	return slices.DeleteFunc(all, func(a []byte) bool { return len(a) > maxMixerAddr })
}

// maxMixerAddr bounds an address of a mixer, in octets.
const maxMixerAddr = 64

// furtherPeers lists who mixes besides the hub and its standby, as far as this peer knows.
func (r *Room) furtherPeers() []peer.ID {
	if b := r.beacon.Load(); b != nil && b.hub == r.mixer() {
		return b.further
	}
	return nil
}

// namedFurtherLoop lists those whom this hub has named.
func (r *Room) namedFurtherLoop() []peer.ID {
	if r.cascade.cascader == nil {
		return nil
	}
	return r.cascade.cascader.named()
}

// furtherFromWire reads who mixes besides the hub.
func furtherFromWire(list [][]byte) (ids []peer.ID) {
	for _, b := range list[:min(len(list), maxFurther)] {
		if id, err := peer.IDFromBytes(b); err == nil && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids
}
