package engine

import (
	"cmp"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/castd/castd/engine/room"
	"github.com/castd/castd/engine/wire"
)

// mixing is a conference that this peer mixes. The room's goroutine owns it.
type mixing struct {
	mix     Mix
	follows peer.ID       // the primary, where this peer stands by; "" else
	maps    wire.StreamID // of the primary's maps
	pub     *hold         // the mix as a stream of the room
	seats   map[*roomSeat]bool
	lobby   lobby
}

// roomSeat is a seat at this peer's mix.
type roomSeat struct {
	MixSeat
	// constant
	room      *Room
	who       room.Standing
	by        peer.ID
	chain     *wire.Chain // right of the user of his peer
	tell      *teller
	news      func(*CallNews)
	announces bool   // he is no participant
	voice     *Voice // nil of an announcement
	config    SeatConfig

	silent atomic.Bool // he is muted, or waits
	away   away        // where his sound goes, see cascade.go
	direct atomic.Bool // he hears the others directly, and nothing from here

	// the room's goroutine's
	info ParticipantInfo
	far  *far // nil where the participant comes by way of this peer
	said limit
	presence
	handNumber uint64 // of what was heard of his hand last
}

// Write implements Seat. Nothing is heard of who is muted, or waits, whatever his peer does.
func (s *roomSeat) Write(p *MediaPacket) {
	if s.silent.Load() {
		s.room.e.metrics.muted.Add(1)
		return
	}
	s.returns()
	s.MixSeat.Write(p)
	s.heard(p)
	s.pass(p)
}

// take takes a packet that a further mixer has passed on. It goes no further.
func (s *roomSeat) take(p *MediaPacket) {
	if s.silent.Load() {
		s.room.e.metrics.muted.Add(1)
		return
	}
	s.MixSeat.Write(p)
	s.heard(p)
}

// Close implements Seat.
func (s *roomSeat) Close() {
	s.MixSeat.Close()
	s.tell.close()
	s.room.tell(func() { s.room.unseatLoop(s) })
}

// seatLoop gives somebody who calls by way of a peer a seat at the mix, which begins with the first.
func (r *Room) seatLoop(c SeatConfig, who room.Standing, chain *wire.Chain, by peer.ID) (*roomSeat, error) {
	if !r.seatsLoop() {
		return nil, NewUserError(CodeTimeout, "the peer that mixes this room cannot be reached: is castd running there?")
	}
	if err := r.mayAnnounceLoop(c, who, chain); err != nil {
		return nil, err
	}
	if err := r.mixLoop(); err != nil {
		return nil, err
	}
	seat := &roomSeat{
		room: r, who: who, by: by, chain: chain, config: c, tell: &teller{room: r, to: c.Tell, self: c.Participant}, news: c.News,
		announces: c.Announces, info: ParticipantInfo{Participant: c.Participant, Name: c.Name, Peer: by.String()},
	}
	if !c.Announces {
		seat.voice = &Voice{Participant: c.Participant, Name: c.Name, RED: c.RED, Stereo: c.SendsStereo, Started: time.Now()}
	}
	r.cascade.seats++
	seat.away.order, seat.away.voice = r.cascade.seats, new(voice)
	c.Tell = func(s *CallState) {
		seat.away.voice.told(s, c.Participant)
		seat.tell.mixed(s)
	}
	hear := c.Hear
	c.Hear = func(p *MediaPacket) {
		if !seat.direct.Load() {
			hear(p)
		}
	}
	now := time.Now()
	seat.inside = r.insideLoop(who, chain, now) || !r.mixesLoop() && !c.Waiting
	if !seat.inside && r.waitersLoop() >= maxWaiting {
		r.unmixLoop(false)
		return nil, NewUserError(CodeFull, "too many wait to be let into this room: try again later")
	}
	var err error
	if seat.MixSeat, err = r.mixing.mix.Join(c); err != nil {
		r.unmixLoop(false)
		return nil, err
	}
	r.mixing.seats[seat] = true
	if r.raised.drop(c.Participant) {
		r.e.events.emit(Event{Event: "hand", Room: string(r.id), Participant: c.Participant, State: HandDown})
	}
	r.reseatLoop()
	if seat.announces {
		return seat, nil
	}
	r.e.events.emit(Event{Event: "peer", Room: string(r.id), Peer: seat.info.Peer, Participant: c.Participant})
	return seat, nil
}

// unseatLoop notes that a seat is empty. The mix ends with the last, unless who listens waits for the host.
func (r *Room) unseatLoop(s *roomSeat) {
	if r.mixing == nil || !r.mixing.seats[s] {
		return
	}
	delete(r.mixing.seats, s)
	if s.far != nil {
		s.far.disconnect()
	}
	if !s.announces {
		r.floor.lower(s.info.Participant)
		r.leftLoop(s)
	}
	r.reseatLoop()
	if !s.announces {
		r.e.events.emit(Event{Event: "left", Room: string(r.id), Peer: s.info.Peer, Participant: s.info.Participant})
	}
	r.unmixLoop(false)
	r.seatLinksLoop()
}

// mixLoop begins to mix, where that has not begun yet.
func (r *Room) mixLoop() error {
	if r.mixing != nil {
		return nil
	}
	if r.e.mixing == nil {
		return NewUserError(CodeFull, "this peer cannot mix a conference: call at another peer of the room")
	}
	pub, err := r.publishLoop(mixSlot, SlotConfig{Participant: wire.ParticipantID(r.e.userKey()), Streams: mixStream()})
	if err != nil {
		return err
	}
	mix, err := r.e.mixing.Open(func(p *MediaPacket) { _ = pub.Write("audio", p) }) // after its end nobody wants it
	if err != nil {
		_ = pub.Close()
		return err
	}
	r.mixing = &mixing{mix: mix, pub: pub, seats: make(map[*roomSeat]bool)}
	mix.Maps(r.sendMaps())
	mix.Talks(r.talksLoop(talkMixed))
	if !r.mixesLoop() {
		r.standByLoop()
	}
	return nil
}

// unmixLoop ends the mix of a room where nobody takes part any more; with always also where somebody does, or an audience waits. Its slot waits for who comes next.
func (r *Room) unmixLoop(always bool) {
	m := r.mixing
	if m == nil || (len(m.seats) > 0 || r.entertainsLoop()) && !always {
		return
	}
	r.mixing = nil
	r.unfollowLoop(m)
	for s := range m.seats {
		if s.far != nil {
			s.far.disconnect()
			r.sendSeatNews(s.far.peer, &wire.SeatNews{Participant: s.far.participant, Gone: true})
		}
	}
	m.mix.Close()
	_ = m.pub.Close()
	r.floor.hands = nil // who goes on at another mixer takes his along
	r.reseatLoop()
	r.seatLinksLoop()
}

// reseatLoop publishes who takes part, and makes who is muted silent.
func (r *Room) reseatLoop() {
	now, p := time.Now(), r.policy()
	audience, hands := r.raised.list(p, now)
	seated := &seated{hands: r.floor.queue(hands), participants: audience}
	if r.mixing != nil {
		seated.seats = maps.Clone(r.mixing.seats)
		r.lobbyLoop(p, now)
	}
	for s := range seated.seats {
		if s.announces {
			continue
		}
		muted := p.Muted(s.who, now)
		if muted != s.info.Muted && s.present {
			s.mutedTone(muted, p)
		}
		s.info.Muted, s.info.Waiting = muted, s.waits != ""
		s.info.Roles = p.Roles(s.who, s.chain, now)
		s.silent.Store(s.info.Muted || s.info.Waiting)
		seated.participants = append(seated.participants, s.info)
	}
	slices.SortFunc(seated.participants, func(a, b ParticipantInfo) int { return cmp.Compare(a.Participant, b.Participant) })
	r.seated.Store(seated)
	r.e.changes.tell()
	r.tapsLoop(now)
	r.untold = true
	r.retellLoop(now)
	r.planLoop(now)
	r.recascadeLoop(now)
}

// seated is who takes part, as far as this peer knows. Values are immutable but for what is reckoned from them.
type seated struct {
	seats        map[*roomSeat]bool // at this peer's mix
	participants []ParticipantInfo  // by id
	hands        []string           // that are up, the first one first
	full         atomic.Pointer[fullState]
}

// taken reports whether somebody still has a seat.
func (r *Room) taken(s Seat) bool {
	if l, ok := s.(*line); ok {
		return l.holds(time.Now())
	}
	seat, ok := s.(*roomSeat)
	return ok && r.seated.Load().seats[seat]
}
