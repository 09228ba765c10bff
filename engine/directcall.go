package engine

import (
	"slices"

	"github.com/libp2p/go-libp2p/core/peer"
)

// The part of a call in a conference whose participants hear each other directly; see direct.go.

// localSeat is a call's seat at the mix of its own peer.
type localSeat struct {
	mix  Mix
	seat MixSeat
}

// direct returns by which way others are heard directly, nil where the plan does not name him.
func (k *call) direct() *directNow {
	d := k.room.directNow.Load()
	if d == nil {
		return nil
	}
	if _, named := d.ways[k.config.Participant]; !named {
		return nil
	}
	return d
}

// sitDirect keeps the call's seat at its own peer's mix. Only the goroutine that runs the call calls it, or makes it.
func (k *call) sitDirect() {
	d, l := k.direct(), k.local.Load()
	if l != nil && (d == nil || d.mix != l.mix) {
		k.local.Store(nil)
		l.seat.Close()
		l = nil
	}
	if d == nil || l != nil {
		return
	}
	seat, err := d.mix.Join(k.directConfig(d.mix))
	if err != nil {
		return // the mix has just ended, or the machine has no more room: tried again soon
	}
	k.mu.Lock()
	for participant, gain := range k.wants {
		seat.Wish(participant, gain)
	}
	k.local.Store(&localSeat{d.mix, seat})
	k.mu.Unlock()
}

// standDirect gives that up.
func (k *call) standDirect() {
	if l := k.local.Swap(nil); l != nil {
		l.seat.Close()
	}
}

// directConfig is what the call asks its own peer's mix for.
func (k *call) directConfig(mix Mix) SeatConfig {
	c := k.config
	c.Hear, c.News = k.hears(directFlow), nil
	c.Tell = func(s *CallState) {
		k.hearing.Lock()
		defer k.hearing.Unlock()
		k.near = s
		k.tellLocked()
	}
	return c
}

// tellLocked tells the state of the conference: of the floor, which is the hub's to say, and of who talks, which is that of who is heard.
func (k *call) tellLocked() {
	s := k.floor
	if s == nil || k.config.Tell == nil {
		return
	}
	if d := k.direct(); d != nil && d.lead && k.near != nil {
		near := *s
		near.Participants, near.Dominant = slices.Clone(s.Participants), k.near.Dominant
		for i := range near.Participants {
			p := &near.Participants[i]
			p.Talking = slices.ContainsFunc(k.near.Participants, func(o CallParticipant) bool { return o.Participant == p.Participant && o.Talking })
		}
		s = &near
	}
	k.config.Tell(s)
}

// writeDirect sends what he says to the others. It reports whether it goes to the mixer as well.
func (k *call) writeDirect(p *MediaPacket) bool {
	d := k.direct()
	if d == nil {
		return true
	}
	if l := k.local.Load(); l != nil {
		l.seat.Write(p)
	}
	for _, w := range d.ways[k.config.Participant] {
		k.room.e.writeLine(w.to, w.id, p)
	}
	return !d.only
}

// lead returns whose flow is heard.
func (k *call) lead() peer.ID {
	if d := k.direct(); d != nil && d.lead {
		return directFlow
	}
	if s := k.sound.Load(); s != nil && s.leads {
		return s.at
	}
	return k.room.mixer()
}

// relate brings the flow of a peer that mixes to the timeline of what was mixed here. It reports false where the two are not known to be of
// the same sound, and the latter is heard.
func (k *call) relate(at peer.ID) bool {
	if at == directFlow {
		return true
	}
	l := k.local.Load()
	if l == nil {
		return true
	}
	by, ok := l.mix.Ahead()
	if ok {
		k.heard.relate(at, directFlow, by)
	}
	return ok || k.heard.from != directFlow
}
