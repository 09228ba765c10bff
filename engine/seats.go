package engine

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/castd/castd/engine/wire"
)

// mixing is a conference that this peer mixes. The room's goroutine owns it.
type mixing struct {
	mix     Mix
	follows peer.ID       // the primary, where this peer stands by; "" else
	maps    wire.StreamID // of the primary's maps
	pub     *hold         // the mix as a stream of the room
	seats   map[*roomSeat]bool
}

// roomSeat is a seat at this peer's mix.
type roomSeat struct {
	Seat
	room *Room
	info ParticipantInfo
	far  *far // nil where the participant comes by way of this peer; the room's goroutine's
}

// Close implements Seat.
func (s *roomSeat) Close() {
	s.Seat.Close()
	s.room.tell(func() { s.room.unseatLoop(s) })
}

// seatLoop gives somebody who calls by way of a peer a seat at the mix, which begins with the first.
func (r *Room) seatLoop(c SeatConfig, by peer.ID) (Seat, error) {
	if !r.seatsLoop() {
		return nil, NewUserError(CodeTimeout, "the peer that mixes this room cannot be reached: is castd running there?")
	}
	if err := r.mixLoop(); err != nil {
		return nil, err
	}
	s, err := r.mixing.mix.Join(c)
	if err != nil {
		r.unmixLoop(false)
		return nil, err
	}
	seat := &roomSeat{Seat: s, room: r, info: ParticipantInfo{Participant: c.Participant, Name: c.Name, Peer: by.String(), Roles: []string{"speaker"}}}
	r.mixing.seats[seat] = true
	r.reseatLoop()
	r.e.events.emit(Event{Event: "peer", Room: string(r.id), Peer: seat.info.Peer, Participant: c.Participant})
	return seat, nil
}

// unseatLoop notes that a seat is empty. The mix ends with the last.
func (r *Room) unseatLoop(s *roomSeat) {
	if r.mixing == nil || !r.mixing.seats[s] {
		return
	}
	delete(r.mixing.seats, s)
	if s.far != nil {
		s.far.disconnect()
	}
	r.reseatLoop()
	r.e.events.emit(Event{Event: "left", Room: string(r.id), Peer: s.info.Peer, Participant: s.info.Participant})
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
	if !r.mixesLoop() {
		r.standByLoop()
	}
	return nil
}

// unmixLoop ends the mix of a room where nobody takes part any more; with always also where somebody does. Its slot waits for who comes next.
func (r *Room) unmixLoop(always bool) {
	m := r.mixing
	if m == nil || len(m.seats) > 0 && !always {
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
	r.reseatLoop()
	r.seatLinksLoop()
}

// reseatLoop publishes who takes part.
func (r *Room) reseatLoop() {
	seated := &seated{}
	if r.mixing != nil {
		seated.seats = maps.Clone(r.mixing.seats)
	}
	for s := range seated.seats {
		seated.participants = append(seated.participants, s.info)
	}
	slices.SortFunc(seated.participants, func(a, b ParticipantInfo) int { return cmp.Compare(a.Participant, b.Participant) })
	r.seated.Store(seated)
}

// seated is who takes part, as far as this peer knows. Values are immutable.
type seated struct {
	seats        map[*roomSeat]bool // at this peer's mix
	participants []ParticipantInfo  // by id
}

// taken reports whether somebody still has a seat.
func (r *Room) taken(s Seat) bool {
	if l, ok := s.(*line); ok {
		return l.holds(time.Now())
	}
	seat, ok := s.(*roomSeat)
	return ok && r.seated.Load().seats[seat]
}
