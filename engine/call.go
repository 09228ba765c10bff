package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/castd/castd/engine/room"
	"github.com/castd/castd/engine/wire"
)

// Caller is what a Media can do besides where its room is a conference. *Room implements it.
type Caller interface {
	// Call takes part in the conference on behalf of somebody. Errors for people are of type *UserError.
	Call(ctx context.Context, c SeatConfig) (Call, error)
}

// Call is somebody's part in a conference. It lasts whoever mixes the room: where another peer takes that over, numbers and timestamps of
// what is heard go on. All methods are safe for concurrent use; none blocks but Close.
type Call interface {
	// Write takes a packet of what he says.
	Write(p *MediaPacket)
	// Loss tells what part of the packets to him is lost, in percent, and Wish how loud he wants to hear another one; see Seat.
	Loss(percent float64)
	Wish(participant string, gain float32)
	// Raise puts his hand up or takes it down. Say writes to all who take part; what is too much of it is refused by News.
	Raise(up bool)
	Say(text string)
	// Moderate does what he wants as a moderator, if he may. It waits for an answer.
	Moderate(ctx context.Context, m Moderation) error
	// Done is closed when the call has ended, for whatever reason; Err then tells it.
	Done() <-chan struct{}
	Err() error
	Close() error
}

const (
	// callLook is how often a call looks whether it is still where the room is mixed.
	callLook = 100 * time.Millisecond
	// callStay is for how long it keeps a seat at a peer that neither mixes nor stands by: while one takes the other's place, what is
	// known of both may be of two moments.
	callStay = time.Second
)

// call is a Call. Its goroutine keeps it at a seat of the peer that mixes, and at one of its standby, which hears and says the same.
type call struct {
	// constant
	room   *Room
	config SeatConfig
	ctx    context.Context
	cancel context.CancelFunc
	done   chan struct{}

	seats atomic.Pointer[[]callSeat]
	local atomic.Pointer[localSeat] // while others are heard directly, or about to be
	place atomic.Pointer[placed]    // where the hub says that his sound is to go
	sound atomic.Pointer[soundSeat] // at a further mixer; nil: it goes to the hub
	muted atomic.Bool               // he is, by what this peer knows

	// of its goroutine
	obeyed   *room.Access // by which muted was looked at last, and when
	obeyedAt time.Time
	needless map[peer.ID]time.Time // since when there are seats where none is needed
	turn     soundTurn

	hearing sync.Mutex // guards what is heard, and is held while Hear is called
	heard   splice[MediaPacket]
	floor   *CallState // as the peer that mixes told it last
	near    *CallState // and the mix of this one

	mu     sync.Mutex // guards what follows
	wants  map[string]float32
	waits  bool      // who mixes has him wait to be let in
	hand   time.Time // since when his hand is up; zero: it is not
	handUp bool      // and the mixer knows
	read   []uint64  // numbers of the messages that he was told last
	err    error
}

// callSeat is a call's seat at a peer that mixes or stands by.
type callSeat struct {
	at   peer.ID
	seat Seat
}

// callTry is what came of asking a peer for a seat.
type callTry struct {
	callSeat // without a seat where asking again may help
	err      error
}

var _ Caller = (*Room)(nil)

// Call implements Caller.
func (r *Room) Call(ctx context.Context, c SeatConfig) (Call, error) {
	if r.Mode() != room.Conference {
		return nil, NewUserError(CodeWrongMode, fmt.Sprintf("room %q is a broadcast, in which nobody can be called: watch it, or make a conference with `castd start --room ROOM --mode conference`", r.Name()))
	}
	if !r.maySpeak(SlotConfig{}) {
		return nil, NewUserError(CodeNotAllowed, fmt.Sprintf("you may not speak in room %q: ask its owner for an invite made with `castd invite %s --speak`", r.Name(), r.Name()))
	}
	k := newCall(r, c)
	if r.policy().PutOut(k.who(), time.Now()) {
		return nil, denied(room.DeniedPutOut, r.Name())
	}
	if !c.Announces {
		if err := r.Decide(ctx, Question{Action: ActionSpeak, Participant: c.Participant, Name: c.Name, Self: c.Self}); err != nil {
			return nil, err
		}
	}
	r.calls.Add(1)
	s, err := k.takeSeat(ctx)
	if err != nil {
		r.calls.Add(-1)
		return nil, err
	}
	k.seats.Store(&[]callSeat{s})
	k.carryHand(ctx)
	k.sitDirect()
	k.ctx, k.cancel = context.WithCancel(r.ctx)
	r.done.Go(k.run)
	return k, nil
}

// newCall returns a call without seats, which may be told the state of the conference before it knows that it has one.
func newCall(r *Room, c SeatConfig) *call {
	k := &call{
		room: r, config: c, turn: soundTurn{tries: make(chan callTry, 1), again: make(map[peer.ID]time.Time)}, done: make(chan struct{}), wants: make(map[string]float32), needless: make(map[peer.ID]time.Time),
		heard: splice[MediaPacket]{copy: func(to, from *MediaPacket) { *to = *from }}, // payloads may be kept
	}
	k.seats.Store(&[]callSeat{})
	return k
}

// takeSeat sits somebody down where the room is mixed, which may change meanwhile.
func (k *call) takeSeat(ctx context.Context) (callSeat, error) {
	r := k.room
	ctx, cancel := context.WithTimeout(ctx, stageTimeout)
	defer cancel()
	for {
		if at := r.mixers(); len(at) > 0 {
			try, stop := ctx, func() {}
			if at[0] != r.e.self {
				try, stop = r.whileHub(ctx, at[0])
			}
			s, err := r.seatAt(try, at[0], k.seatConfig(at[0]))
			stop()
			if s != nil || err != nil {
				return callSeat{at[0], s}, err
			}
		} else {
			r.askAgain()
		}
		select {
		case <-ctx.Done():
			return callSeat{}, NewUserError(CodeTimeout, fmt.Sprintf("the peer that mixes room %q cannot be reached: is castd running there?", r.Name()))
		case <-time.After(seatRetry):
		}
	}
}

// Times between two tries to get a seat: where the room is mixed, and at the standby, which is not needed at once.
const (
	seatRetry  = 100 * time.Millisecond
	spareRetry = time.Second
)

// seatAt asks a peer for a seat. It returns nothing where asking again may help.
func (r *Room) seatAt(ctx context.Context, at peer.ID, c SeatConfig) (Seat, error) {
	if at != r.e.self {
		return r.dialLine(ctx, at, c)
	}
	var s Seat
	var failed error
	err := r.call(ctx, func() {
		who, now := room.Standing{Participant: c.Participant, User: r.e.userKey(), Self: c.Self}, time.Now()
		if why := r.admitsLoop(who, r.chain.Load(), now); why != "" {
			r.e.metrics.refused.Add(1)
			failed = denied(why, r.Name())
			return
		}
		var seat *roomSeat
		if seat, failed = r.seatLoop(c, who, r.chain.Load(), r.e.self); failed == nil {
			s = seat
			seat.ready = true
			r.greetLoop(seat)
		}
	})
	if err != nil {
		return nil, err
	}
	return s, failed
}

// run keeps the call at its seats, and ends it.
func (k *call) run() {
	defer close(k.done)
	defer k.room.calls.Add(-1)
	tries := make(chan callTry, 2)
	trying, again := make(map[peer.ID]bool), make(map[peer.ID]time.Time)
	defer func() {
		k.standDirect()
		k.standSound()
		for range trying {
			if t := <-tries; t.seat != nil {
				t.seat.Close()
			}
		}
		for _, s := range *k.seats.Swap(&[]callSeat{}) {
			s.seat.Close()
		}
	}()
	look, looksNear := time.NewTicker(callLook), false
	defer look.Stop()
	for {
		at := k.room.mixers()
		k.leaveBut(at, time.Now())
		k.sitDirect()
		k.sitSound(time.Now())
		for i, id := range at {
			if k.at(id) || trying[id] || len(trying) == cap(tries) || time.Now().Before(again[id]) {
				continue
			}
			if len(again) > 8 {
				clear(again)
			}
			again[id] = time.Now().Add(spareRetry)
			if i == 0 {
				again[id] = time.Now().Add(seatRetry)
			}
			trying[id] = true
			k.room.done.Go(func() {
				s, err := k.room.seatAt(k.ctx, id, k.seatConfig(id))
				tries <- callTry{callSeat{id, s}, err}
			})
		}
		select {
		case <-k.ctx.Done():
			return
		case <-look.C:
			if near := k.sound.Load() != nil; near != looksNear {
				looksNear = near
				look.Reset(map[bool]time.Duration{false: callLook, true: soundLook}[near])
			}
		case t := <-k.turn.tries:
			k.triedSound(t, time.Now())
		case t := <-tries:
			delete(trying, t.at)
			k.tried(t)
		}
		if !k.obey(time.Now()) {
			return
		}
	}
}

// at reports whether the call has a seat at a peer.
func (k *call) at(id peer.ID) bool {
	return slices.ContainsFunc(*k.seats.Load(), func(s callSeat) bool { return s.at == id })
}

// leaveBut gives up the seats that are gone, and those that have been at peers for a while that neither mix nor stand by.
func (k *call) leaveBut(at []peer.ID, now time.Time) {
	old := *k.seats.Load()
	keep := make([]callSeat, 0, len(old))
	for _, s := range old {
		if k.room.taken(s.seat) && !k.needlessAt(s.at, at, now) {
			keep = append(keep, s)
		} else {
			delete(k.needless, s.at)
		}
	}
	if len(keep) == len(old) {
		return
	}
	k.seats.Store(&keep)
	for _, s := range old {
		if !slices.Contains(keep, s) {
			s.seat.Close()
		}
	}
}

// needlessAt reports whether no seat has been needed at a peer for a while.
func (k *call) needlessAt(id peer.ID, at []peer.ID, now time.Time) bool {
	if len(at) == 0 || slices.Contains(at, id) {
		delete(k.needless, id)
		return false
	}
	since, known := k.needless[id]
	if !known {
		k.needless[id] = now
	}
	return known && now.Sub(since) >= callStay
}

// tried takes what came of asking for a seat. That the standby has none for him does not matter.
func (k *call) tried(t callTry) {
	var user *UserError
	switch {
	case t.err == nil && t.seat != nil:
		k.mu.Lock()
		for participant, gain := range k.wants {
			t.seat.Wish(participant, gain)
		}
		if k.waits {
			t.wait(true) // he was told after the seat was asked for
		}
		if !k.hand.IsZero() {
			t.raise(true, time.Since(k.hand))
		}
		k.mu.Unlock()
		next := append(slices.Clone(*k.seats.Load()), t.callSeat)
		k.seats.Store(&next)
	case errors.As(t.err, &user) && user.Code != CodeTimeout:
		if at := k.room.mixers(); len(at) == 0 || at[0] != t.at {
			return
		}
		k.mu.Lock()
		k.err = t.err
		k.mu.Unlock()
		k.cancel()
	}
}

// seatConfig is what the call asks a peer for.
func (k *call) seatConfig(at peer.ID) SeatConfig {
	c := k.config
	k.mu.Lock()
	c.Waiting = k.waits
	k.mu.Unlock()
	c.Hear, c.News = k.hears(at), k.news
	c.Tell = func(s *CallState) {
		k.hearing.Lock()
		defer k.hearing.Unlock()
		if lead := k.room.mixer(); lead == at || !k.at(lead) { // the standby may not know everybody yet
			k.told(s)
			k.floor = s
			k.tellLocked()
		}
	}
	return c
}

// hears takes what comes from a peer that mixes.
func (k *call) hears(at peer.ID) func(*MediaPacket) {
	return func(p *MediaPacket) {
		k.hearing.Lock()
		defer k.hearing.Unlock()
		if !k.relate(at) {
			return
		}
		for _, s := range k.heard.offer(at, k.lead(), p.Sequence, p.Timestamp, p, time.Now()) {
			if s.packet == p && s.number == p.Sequence && s.timestamp == p.Timestamp {
				k.config.Hear(p) // which others have too
				continue
			}
			moved := *s.packet
			moved.Sequence, moved.Timestamp = s.number, s.timestamp
			k.config.Hear(&moved)
		}
	}
}

// Write implements Call.
func (k *call) Write(p *MediaPacket) {
	if k.muted.Load() {
		k.room.e.metrics.muted.Add(1)
		return
	}
	if !k.writeDirect(p) || !k.writeSound(p) {
		return
	}
	for _, s := range *k.seats.Load() {
		s.seat.Write(p)
	}
}

// Loss implements Call.
func (k *call) Loss(percent float64) {
	for _, s := range k.soundSeats() {
		s.Loss(percent)
	}
}

// maxWishes bounds what is remembered of a participant's wishes.
const maxWishes = 256

// Wish implements Call.
func (k *call) Wish(participant string, gain float32) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, known := k.wants[participant]; !known && len(k.wants) >= maxWishes {
		return
	}
	k.wants[participant] = gain
	for _, s := range k.soundSeats() {
		s.Wish(participant, gain)
	}
}

// Done implements Call.
func (k *call) Done() <-chan struct{} { return k.done }

// Err implements Call.
func (k *call) Err() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.err
}

// Close implements Call.
func (k *call) Close() error {
	k.cancel()
	<-k.done
	return nil
}

// mixSlot is the slot of what is heard by those who do not take part.
const mixSlot = "mix"

// mixStream describes the mix. Its Opus is of one channel, but the format's name has always two (RFC 7587, section 7).
func mixStream() []StreamConfig {
	return []StreamConfig{{Label: "audio", Kind: wire.KindAudio, Codec: "opus", ClockRate: 48000, Channels: 2, Fmtp: "minptime=10;useinbandfec=1", Timeline: true}}
}
