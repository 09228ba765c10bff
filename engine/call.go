package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

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
	// Done is closed when the call has ended, for whatever reason; Err then tells it.
	Done() <-chan struct{}
	Err() error
	Close() error
}

// callLook is how often a call looks whether it is still where the room is mixed.
const callLook = 100 * time.Millisecond

// call is a Call. Its goroutine keeps it at a seat of the peer that mixes.
type call struct {
	// constant
	room   *Room
	config SeatConfig
	ctx    context.Context
	cancel context.CancelFunc
	done   chan struct{}

	seat atomic.Pointer[Seat] // nil while there is none

	mu    sync.Mutex // guards what follows
	wants map[string]float32
	heard heard
	err   error
}

// heard is where what somebody hears has come to.
type heard struct {
	any       bool
	number    int64
	timestamp uint32
	at        time.Time
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
	k := &call{room: r, config: c, done: make(chan struct{}), wants: make(map[string]float32)}
	s, err := r.takeSeat(ctx, k.seatConfig())
	if err != nil {
		return nil, err
	}
	k.seat.Store(&s)
	k.ctx, k.cancel = context.WithCancel(r.ctx)
	r.done.Go(k.run)
	return k, nil
}

// takeSeat sits somebody down where the room is mixed, which may change meanwhile.
func (r *Room) takeSeat(ctx context.Context, c SeatConfig) (Seat, error) {
	ctx, cancel := context.WithTimeout(ctx, stageTimeout)
	defer cancel()
	for {
		switch hub := r.hubNow(); {
		case r.links.Load().place.Origin:
			return r.nearSeat(ctx, c)
		case hub == "" || hub == r.e.self:
			r.askAgain()
		default:
			if l, err := r.dialLine(ctx, hub, c); l != nil || err != nil {
				return l, err
			}
		}
		select {
		case <-ctx.Done():
			return nil, NewUserError(CodeTimeout, fmt.Sprintf("the peer that mixes room %q cannot be reached: is castd running there?", r.Name()))
		case <-time.After(seatRetry):
		}
	}
}

// seatRetry is how long to wait before asking for a seat again.
const seatRetry = 100 * time.Millisecond

// nearSeat takes a seat at this peer's own mix.
func (r *Room) nearSeat(ctx context.Context, c SeatConfig) (Seat, error) {
	var s Seat
	var failed error
	if err := r.call(ctx, func() { s, failed = r.seatLoop(c, r.e.self) }); err != nil {
		return nil, err
	}
	return s, failed
}

// run moves the call to where the room is mixed, and ends it.
func (k *call) run() {
	defer close(k.done)
	defer func() {
		if s := k.seat.Swap(nil); s != nil {
			(*s).Close()
		}
	}()
	look := time.NewTicker(callLook)
	defer look.Stop()
	for {
		select {
		case <-k.ctx.Done():
			return
		case <-look.C:
		}
		if s := k.seat.Load(); s == nil || !k.room.taken(*s) {
			k.move(s)
		}
	}
}

// move takes another seat in place of one that is gone.
func (k *call) move(old *Seat) {
	if old != nil {
		k.seat.Store(nil)
		(*old).Close()
	}
	s, err := k.room.takeSeat(k.ctx, k.seatConfig())
	var user *UserError
	switch {
	case err == nil:
		k.mu.Lock()
		for participant, gain := range k.wants {
			s.Wish(participant, gain)
		}
		k.mu.Unlock()
		k.seat.Store(&s)
	case errors.As(err, &user) && user.Code != CodeTimeout:
		k.mu.Lock()
		k.err = err
		k.mu.Unlock()
		k.cancel()
	}
}

// seatConfig is what the call asks for. What is heard at a seat after another one goes on from there, in numbers and in time.
func (k *call) seatConfig() SeatConfig {
	c := k.config
	var begun bool
	var number int64
	var timestamp uint32
	c.Hear = func(p *MediaPacket) {
		k.mu.Lock()
		now := time.Now()
		if h := &k.heard; !begun {
			begun = true
			if h.any {
				number = h.number + 1 - p.Sequence
				timestamp = h.timestamp + uint32(now.Sub(h.at)*48000/time.Second) - p.Timestamp
			}
		}
		if number != 0 || timestamp != 0 {
			moved := *p
			moved.Sequence += number
			moved.Timestamp += timestamp
			p = &moved
		}
		if h := &k.heard; !h.any || p.Sequence > h.number {
			*h = heard{any: true, number: p.Sequence, timestamp: p.Timestamp, at: now}
		}
		k.mu.Unlock()
		k.config.Hear(p)
	}
	return c
}

// Write implements Call.
func (k *call) Write(p *MediaPacket) {
	if s := k.seat.Load(); s != nil {
		(*s).Write(p)
	}
}

// Loss implements Call.
func (k *call) Loss(percent float64) {
	if s := k.seat.Load(); s != nil {
		(*s).Loss(percent)
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
	if s := k.seat.Load(); s != nil {
		(*s).Wish(participant, gain)
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
	return []StreamConfig{{Label: "audio", Kind: wire.KindAudio, Codec: "opus", ClockRate: 48000, Channels: 2, Fmtp: "minptime=10;useinbandfec=1"}}
}
