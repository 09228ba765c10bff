package engine

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"github.com/castd/castd/engine/room"
	"github.com/castd/castd/engine/wire"
)

// maxAnnouncements bounds those that are played in a room at a time.
const maxAnnouncements = 4

// Announcer is what a Caller can do besides where its user moderates. *Room implements it.
type Announcer interface {
	// Announce has what is written to the Call heard by all who take part and who only listen, or with to, the id of a participant or a
	// name that only one of them has, by him alone, even while he waits. What others say goes on beside it. What is written is Opus.
	Announce(ctx context.Context, to string) (Call, error)
}

var _ Announcer = (*Room)(nil)

// Announce implements Announcer.
func (r *Room) Announce(ctx context.Context, to string) (Call, error) {
	if to != "" {
		var err error
		if to, err = r.participant(to); err != nil {
			return nil, err
		}
	}
	unmixed := r.unmixed() || r.hearsBoth()
	k, err := r.Call(ctx, SeatConfig{Participant: "announcement " + rand.Text(), Self: true, Announces: true, To: to, Hear: func(*MediaPacket) {}})
	if err != nil || !unmixed {
		return k, err
	}
	least, most := time.After(announceAfter), time.After(announceWithin)
	for {
		select {
		case <-least:
			if !r.hearsBoth() {
				return k, nil
			}
			least = time.After(announceLook)
		case <-most:
			return k, nil
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), k.Close())
		}
	}
}

// Those who hear each other directly come to the mixer, which plays announcements, after announceAfter or so, and where that takes longer
// announceWithin is the end of patience.
const (
	announceAfter  = 2 * time.Second
	announceWithin = 8 * time.Second
	announceLook   = 100 * time.Millisecond
)

// hearsBoth reports whether those who take part are on the way between each other and the mixer, as far as this peer knows.
func (r *Room) hearsBoth() bool {
	p := r.plan.Load()
	return p != nil && p.hub == r.mixer() && p.has(r.e.self) && r.calls.Load() > 0 && p.phase == wire.CallPhase_CALL_BOTH
}

// mayAnnounceLoop returns an error for who wants to announce something and may not, or to somebody who is not there.
func (r *Room) mayAnnounceLoop(c SeatConfig, who room.Standing, chain *wire.Chain) error {
	if !c.Announces {
		return nil
	}
	if !who.Self || !r.policy().MayModerate(who, chain, time.Now()) {
		r.e.metrics.refused.Add(1)
		return r.unmoderated(CodeNotAllowed, Moderation{})
	}
	if c.To != "" && r.mixesLoop() && r.seatOfLoop(c.To) == nil {
		return noParticipant(c.To, r.Name())
	}
	n := 0
	if r.mixing != nil {
		for s := range r.mixing.seats {
			if s.announces {
				n++
			}
		}
	}
	if n >= maxAnnouncements {
		return NewUserError(CodeFull, "too much is announced in this room at once: wait until something of it has ended")
	}
	return nil
}
