package engine

import (
	"context"
	"crypto/ed25519"
	"errors"
	"reflect"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/castd/castd/engine/room"
	"github.com/castd/castd/engine/wire"
)

// far is what a seat has where its participant comes by way of another peer.
type far struct {
	// constant
	room        *Room
	peer        peer.ID
	participant string
	user        ed25519.PublicKey // of the peer
	chain       *wire.Chain       // his right to speak
	say, hear   wire.StreamID
	state       chan *CallState // capacity 1: the newest that the peer has not been told
	asked       uint64          // sequence number of the message that asked for the seat
	stop        context.CancelFunc

	// The room's goroutine's.
	hopless time.Time // since when there is no hop to the peer
	hop     *hopState // that was there last
	doubt   time.Time // since when it is another one, behind which the peer may not know of the seat

	heard atomic.Bool // something has come from the participant
}

const (
	// maxPeerSeats bounds the seats of participants who come by way of one peer.
	maxPeerSeats = 64
	// farPatience is how long a seat is kept for a peer that there is no hop to, and by way of which nothing comes over a new one.
	farPatience = 10 * time.Second
)

// seatJoinLoop answers a peer that asks for a seat at this one's mix.
func (r *Room) seatJoinLoop(from peer.ID, m *wire.Message, j *wire.SeatJoin) *wire.SeatAnswer {
	if j.Sound {
		return r.nativeJoinLoop(from, m, j)
	}
	if !r.seatsLoop() {
		return &wire.SeatAnswer{Reason: "not_hub"}
	}
	now := time.Now()
	who := room.Standing{Participant: j.Participant, User: m.User, Self: j.Self}
	reason := ""
	switch {
	case len(j.Participant) > maxParticipantID || len(j.To) > maxParticipantID || j.Participant == "":
		reason = "not_allowed"
	case r.refusal(m.User, j.Chain, now) != "" || !r.maySpeakBy(m.User, j.Chain):
		if reason = "not_allowed"; r.policy().PutOut(who, now) {
			reason = room.DeniedPutOut
		}
	default:
		reason = r.admitsLoop(who, j.Chain, now)
	}
	if reason != "" {
		r.e.metrics.refused.Add(1)
		return &wire.SeatAnswer{Reason: reason}
	}
	if old := r.farLoop(from, j.Participant); old != nil {
		r.emptyLoop(old)
	}
	if len(r.seatsOfLoop(from)) >= maxPeerSeats {
		return &wire.SeatAnswer{Reason: "full"}
	}
	f := &far{room: r, peer: from, participant: j.Participant, user: m.User, chain: j.Chain, asked: m.Sequence, state: make(chan *CallState, 1)}
	f.say, f.hear = lineIDs(r.id, m.Device, j.Participant, r.e.self)
	s, err := r.seatLoop(SeatConfig{
		Participant: j.Participant, Name: room.CleanName(j.Name), RED: j.Red, SendsStereo: j.SendsStereo, HearsStereo: j.HearsStereo, Waiting: j.Waiting,
		Announces: j.Announces, To: j.To,
		Hear: func(p *MediaPacket) { r.e.writeLine(from, f.hear, p) }, Tell: f.tell, News: f.news,
	}, who, j.Chain, from)
	var user *UserError
	switch {
	case errors.As(err, &user) && (user.Code == CodeFull || user.Code == CodeNotAllowed || user.Code == CodeNoParticipant):
		return &wire.SeatAnswer{Reason: user.Code}
	case err != nil:
		r.e.log.Debug("cannot seat a participant", "peer", from, "err", err)
		return &wire.SeatAnswer{Reason: "cannot"}
	}
	seat := s
	seat.far = f
	ctx, stop := context.WithCancel(r.ctx)
	f.stop = stop
	r.done.Go(func() { f.run(ctx) })
	r.e.connect(f.say, &lineEnd{from: from, take: func(h *wire.Header, payload []byte) {
		f.heard.Store(true)
		seat.Write(ofLine(h, payload))
	}})
	r.expect(from)
	r.seatLinksLoop()
	r.grants[from] = &grant{user: m.User, chain: j.Chain, ends: room.ExpiresAt(j.Chain)}
	answer := &wire.SeatAnswer{}
	if r.planner != nil {
		answer.Plan = r.plannedLoop().toWire()
	}
	r.cascadeLoop(now) // he may have to go elsewhere
	return answer
}

// maxParticipantID bounds the name under which a peer seats somebody, in octets.
const maxParticipantID = 64

// farLoop returns a seat of another peer's, or nil.
func (r *Room) farLoop(from peer.ID, participant string) *roomSeat {
	for _, s := range r.seatsOfLoop(from) {
		if s.far.participant == participant {
			return s
		}
	}
	return nil
}

// seatsOfLoop returns the seats of those who come by way of a peer.
func (r *Room) seatsOfLoop(from peer.ID) (list []*roomSeat) {
	if r.mixing == nil {
		return nil
	}
	for s := range r.mixing.seats {
		if s.far != nil && s.far.peer == from {
			list = append(list, s)
		}
	}
	return list
}

// emptyLoop takes somebody's seat away.
func (r *Room) emptyLoop(s *roomSeat) {
	s.MixSeat.Close()
	s.tell.close()
	r.unseatLoop(s)
}

// disconnect ends what the seat has of a line.
func (f *far) disconnect() {
	f.stop()
	f.room.e.connect(f.say, nil)
}

// tell keeps the newest state for run.
func (f *far) tell(s *CallState) {
	select {
	case <-f.state:
	default:
	}
	select {
	case f.state <- s:
	default:
	}
}

// run tells the peer the state, as fast as he takes it.
func (f *far) run(ctx context.Context) {
	number := uint64(time.Now().UnixMicro()) // above those of a seat before
	for {
		select {
		case <-ctx.Done():
			return
		case s := <-f.state:
			state := f.room.stateToWire(s)
			state.Number = number
			number++
			f.room.sendSeatNews(f.peer, &wire.SeatNews{Participant: f.participant, State: state})
		}
	}
}

// news tells the peer what was written.
func (f *far) news(n *CallNews) {
	f.room.sendSeatNews(f.peer, &wire.SeatNews{Participant: f.participant, Notice: n.Code, Chat: chatToWire(n.Chat)})
}

// stateToWire adds by way of which peers the participants come.
func (r *Room) stateToWire(s *CallState) *wire.SeatState {
	peers := make(map[string]string)
	for _, p := range r.seated.Load().participants {
		peers[p.Participant] = p.Peer
	}
	out := &wire.SeatState{Dominant: s.Dominant, Hands: s.Hands, Locked: s.Locked, MutedAll: s.MutedAll, Title: s.Title, Waiting: s.Waiting, Knock: s.Knock}
	if s.Settings != nil {
		out.Settings = uint32(s.Settings.bits())
	}
	for _, p := range s.Participants {
		out.Participants = append(out.Participants, &wire.SeatParticipant{
			Participant: p.Participant, Name: p.Name, Talking: p.Talking, Peer: peers[p.Participant], Muted: p.Muted, Roles: p.Roles, Waiting: p.Waiting,
			Audience: p.Audience, Called: p.Called,
		})
	}
	return out
}

// seatNewsLoop takes news of a seat: at the peer that mixes from the participant's, and there from the one that mixes.
// sequence is that of the message: what was said before the seat was asked for is of another one, of which the goodbye is on its way still.
func (r *Room) seatNewsLoop(from peer.ID, sequence uint64, n *wire.SeatNews) {
	if n.Sound {
		r.nativeNewsLoop(from, n)
		for l := range r.lines {
			if n.Gone && l.sound && l.hub == from && l.config.Participant == n.Participant {
				l.gone.Store(true)
			}
		}
		return
	}
	if s := r.farLoop(from, n.Participant); s != nil {
		if sequence < s.far.asked {
			return
		}
		if n.Gone {
			r.emptyLoop(s)
			return
		}
		for _, w := range n.Wishes[:min(len(n.Wishes), maxWishes)] {
			s.Wish(w.Participant, w.Gain)
		}
		if n.LossPermille != nil {
			s.Loss(float64(*n.LossPermille) / 10)
		}
		r.heardSeatLoop(s, n, time.Now())
		return
	}
	for l := range r.lines {
		if l.sound || l.hub != from || l.config.Participant != n.Participant {
			continue
		}
		if n.Gone {
			l.gone.Store(true)
		}
		if n.State != nil {
			r.toldLoop(l, n.State)
		}
		r.heardNewsLoop(l, n)
	}
}

// toldLoop takes the state of a conference that another peer mixes.
func (r *Room) toldLoop(l *line, n *wire.SeatState) {
	if len(n.Participants) > maxTakingPart || len(n.Hands) > maxTakingPart || n.Number != 0 && n.Number <= l.state {
		return
	}
	l.state = n.Number
	state := &CallState{
		Participants: []CallParticipant{}, Dominant: n.Dominant, Hands: n.Hands, Locked: n.Locked, Knock: n.Knock,
		MutedAll: n.MutedAll, Title: r.record.Load().Title, Settings: showSettings(room.Settings(n.Settings)),
		Mixer: r.mixerInfo(), Recording: r.recordingNow(), Waiting: knownWaiting(n.Waiting),
	}
	seated := &seated{hands: n.Hands}
	for _, p := range n.Participants {
		name, roles := room.CleanName(p.Name), knownRoles(p.Roles)
		state.Participants = append(state.Participants, CallParticipant{
			Participant: p.Participant, Name: name, Talking: p.Talking, Muted: p.Muted, Waiting: p.Waiting, Roles: roles,
			Audience: p.Audience, Called: p.Called,
		})
		seated.participants = append(seated.participants, ParticipantInfo{
			Participant: p.Participant, Name: name, Peer: p.Peer, Roles: roles, Muted: p.Muted, Waiting: p.Waiting,
			Audience: p.Audience, Called: p.Called,
		})
		if !p.Waiting && !p.Audience {
			r.satLoop(p.Participant)
		}
	}
	if r.mixing == nil && (state.Waiting != WaitingAdmission || len(r.lines) == 1) { // who waits outside is not told who is inside
		old := r.seated.Swap(seated)
		if !reflect.DeepEqual(old.participants, seated.participants) {
			r.e.changes.tell()
		}
	}
	r.toldTalkingLoop(l.hub == r.mixer(), state, time.Now())
	l.told = state
	if l.config.Tell != nil {
		l.config.Tell(state)
	}
}

// maxTakingPart bounds the participants that another peer may tell of.
const maxTakingPart = 4096

// watchSeatsLoop takes the seats of peers that have gone without a word, and of those who may not speak any more.
func (r *Room) watchSeatsLoop(now time.Time) {
	if len(r.lines) == 0 && r.mixing == nil && len(r.seated.Load().participants) > 0 && len(r.raised) == 0 {
		r.seated.Store(&seated{}) // nobody tells of it any more
		r.e.changes.tell()
	}
	r.entertainLoop(now)
	if r.mixing == nil {
		return
	}
	if p := r.policy(); r.hostedLoop(now) != r.mixing.lobby.open {
		r.reseatLoop()
	} else if p.Record.Settings.Has(room.MusicAlone) {
		r.lobbyLoop(p, now) // of the audience nobody tells
	}
	for s := range r.mixing.seats {
		f := s.far
		switch {
		case f == nil:
		case !r.maySpeakBy(f.user, f.chain) || f.forgotten(r.e.hop(f.peer), now):
			r.emptyLoop(s)
			r.sendSeatNews(f.peer, &wire.SeatNews{Participant: f.participant, Gone: true})
		case r.e.hop(f.peer) != nil:
			f.hopless = time.Time{}
		case f.hopless.IsZero():
			f.hopless = now
		case now.Sub(f.hopless) >= farPatience:
			r.emptyLoop(s)
		}
		if r.mixing == nil {
			return
		}
	}
}

// forgotten reports whether the peer has most likely begun anew since it took the seat: there is another hop to it, over which nothing
// comes. If it has not, it is told, and takes another seat.
func (f *far) forgotten(hop *hopState, now time.Time) bool {
	if hop != nil && hop != f.hop {
		if f.hop != nil {
			f.doubt = now
			f.heard.Store(false)
		}
		f.hop = hop
	}
	return !f.doubt.IsZero() && !f.heard.Load() && now.Sub(f.doubt) >= farPatience
}

// maySpeakBy reports whether a user has the right to speak.
func (r *Room) maySpeakBy(user ed25519.PublicKey, chain *wire.Chain) bool {
	rights, _ := r.policy().Check(user, chain, time.Now()) // without a right it does not matter why
	return rights.Has(room.Speak)
}

// expelSeatsLoop takes all seats of a peer that is put out of the room.
func (r *Room) expelSeatsLoop(id peer.ID) {
	for _, s := range r.seatsOfLoop(id) {
		r.emptyLoop(s)
	}
}
