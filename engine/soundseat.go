package engine

import (
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// The part of a call in a conference of several mixers; see cascade.go. It keeps its seats at the hub and at the standby, where its
// participant's sound begins; where the hub sends it on, the call takes another seat, for sound only, at a further mixer.
//
// It says and hears at both for a while. When it has heard the further mixer for long enough nothing goes to the hub any more, which it
// tells. On the way back, and where the further mixer falls silent, it first says at the hub again.

// soundSeat is a call's seat at a further mixer. Values are immutable.
type soundSeat struct {
	callSeat
	leads bool // what is heard is to come from there
	alone bool // what is said goes there only
}

// soundTurn is what the goroutine of a call keeps of it.
type soundTurn struct {
	tries  chan callTry // capacity 1
	trying bool
	since  time.Time // when the seat was taken, or was begun to be left
	again  map[peer.ID]time.Time
}

const (
	// soundSettle is how long a call says and hears at two mixers: more than splice takes to go over to one.
	soundSettle = handBack + 500*time.Millisecond
	// soundAgain is how long a call leaves a further mixer alone that fell silent, or that it did not reach.
	soundAgain = 10 * time.Second
	// soundRetry is the least time between two tries to get a seat.
	soundRetry = 300 * time.Millisecond
	// soundSilence bounds how long a further mixer may be silent that a call hears.
	soundSilence, soundLeast = 300 * time.Millisecond, 120 * time.Millisecond
	// soundLook is how often a call looks after it.
	soundLook = 25 * time.Millisecond
)

// sitSound keeps the seat for his sound where the hub says. Only the goroutine that runs the call calls it.
func (k *call) sitSound(now time.Time) {
	want := peer.ID("")
	if p := k.place.Load(); p != nil {
		want = p.at
	}
	s, t := k.sound.Load(), &k.turn
	switch {
	case s == nil && want != "" && !t.trying && now.After(t.again[want]):
		if len(t.again) > 2*maxFurther {
			clear(t.again)
		}
		t.again[want], t.trying = now.Add(soundRetry), true
		c := k.soundConfig(want)
		k.room.done.Go(func() {
			seat, err := k.room.soundSeatAt(k.ctx, want, c)
			t.tries <- callTry{callSeat{want, seat}, err}
		})
	case s == nil:
	case !s.leads:
		if now.Sub(t.since) >= soundSettle {
			k.sound.Store(nil)
			s.seat.Close()
		}
	case !k.heardAt(s, now):
		t.again[s.at] = now.Add(soundAgain)
		k.returnSound(s, now)
	case want != s.at:
		k.returnSound(s, now)
	case !s.alone && now.Sub(t.since) >= soundSettle && k.heardAlike(s.at):
		k.sound.Store(&soundSeat{callSeat: s.callSeat, leads: true, alone: true})
		k.tellSits(s.at, now)
	}
}

// returnSound begins to leave the seat for his sound.
func (k *call) returnSound(s *soundSeat, now time.Time) {
	k.turn.since = now
	k.sound.Store(&soundSeat{callSeat: s.callSeat})
	k.tellSits("", now)
}

// tellSits tells the hub and the standby where his sound goes.
func (k *call) tellSits(at peer.ID, now time.Time) {
	for _, s := range *k.seats.Load() {
		if f, ok := s.seat.(floorSeat); ok {
			f.sits(at, uint64(now.UnixMicro()))
		}
	}
}

// heardAt reports whether a further mixer still lives.
func (k *call) heardAt(s *soundSeat, now time.Time) bool {
	switch seat := s.seat.(type) {
	case *line:
		hop := k.room.e.hop(s.at)
		return !seat.gone.Load() && hop != nil && silentFor(hop, now) < min(max(hop.silenceLimit(), soundLeast), soundSilence)
	case *localNative:
		return seat.native.Load() == seat.n
	}
	return false
}

// heardAlike reports whether as much is heard from a further mixer as from the hub, which may both be silent.
func (k *call) heardAlike(at peer.ID) bool {
	hub := k.room.mixer()
	k.hearing.Lock()
	defer k.hearing.Unlock()
	var there, here time.Time
	for _, f := range k.heard.flows {
		switch f.from {
		case at:
			there = f.at
		case hub:
			here = f.at
		}
	}
	return here.Sub(there) < soundSilence
}

// triedSound takes what came of asking for a seat.
func (k *call) triedSound(try callTry, now time.Time) {
	k.turn.trying = false
	if try.seat == nil {
		return
	}
	if p := k.place.Load(); p == nil || p.at != try.at || k.sound.Load() != nil {
		try.seat.Close()
		return
	}
	k.mu.Lock()
	for participant, gain := range k.wants {
		try.seat.Wish(participant, gain)
	}
	k.turn.since = now
	k.sound.Store(&soundSeat{callSeat: try.callSeat, leads: true})
	k.mu.Unlock()
}

// standSound gives all that up.
func (k *call) standSound() {
	if k.turn.trying {
		if try := <-k.turn.tries; try.seat != nil {
			try.seat.Close()
		}
	}
	if s := k.sound.Swap(nil); s != nil {
		s.seat.Close()
	}
}

// soundConfig is what the call asks a further mixer for.
func (k *call) soundConfig(at peer.ID) SeatConfig {
	c := k.config
	c.Hear, c.Tell, c.News = k.hears(at), nil, nil
	return c
}

// placed takes what the hub says of where his sound is to go, and tells where it goes.
func (k *call) placed(p *placed) {
	if old := k.place.Load(); old != nil && old.number >= p.number {
		return
	}
	k.place.Store(p)
	at := peer.ID("")
	if s := k.sound.Load(); s != nil && s.alone {
		at = s.at
	}
	k.tellSits(at, time.Now())
}

// placed is where the hub says that a participant's sound is to go. Values are immutable.
type placed struct {
	at     peer.ID // "": to the hub
	number uint64
}

// writeSound sends what he says to the further mixer. It reports whether it goes to the hub as well.
func (k *call) writeSound(p *MediaPacket) bool {
	s := k.sound.Load()
	if s == nil {
		return true
	}
	s.seat.Write(p)
	return !s.alone
}

// soundSeats returns the seats for sound, wherever they are.
func (k *call) soundSeats() []Seat {
	var all []Seat
	for _, s := range *k.seats.Load() {
		all = append(all, s.seat)
	}
	if l := k.local.Load(); l != nil {
		all = append(all, l.seat)
	}
	if s := k.sound.Load(); s != nil {
		all = append(all, s.seat)
	}
	return slices.Clip(all)
}
