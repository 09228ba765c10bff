package gateway

import (
	"crypto/rand"
	"maps"
	"time"

	"github.com/castd/castd/engine"
)

const (
	// outLife is how long it is remembered who was put out of a room, and maxOuts bounds how many of them are: the one that was first goes.
	outLife = 24 * time.Hour
	maxOuts = 1024
)

// outKey names who may have been put out: a token at an address, in a room.
type outKey struct {
	limitKey
	room string
}

// out is the seat that somebody had when he was put out.
type out struct {
	seat string
	at   time.Time
}

// seatFor returns the seat of a guest's new session. Who goes from those who listen into the call, or back, names the session before, of the
// same token, and has its seat, so that he is the same for the others. Who was put out and comes again from where he came has his
// old one too, so that what was said of him holds for as long as it was said. Everybody else has a new one. Two who take part never have
// the same.
func (g *Gateway) seatFor(c caller, p protocol, m engine.Media, earlier string, now time.Time) string {
	fresh := rand.Text()
	if p == whip {
		return fresh
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	seat := ""
	if from := g.sessions[earlier]; from != nil && from.owner == c.key && from.id == m.ID() && from.protocol != whip.name {
		seat = from.about.Seat
	} else if o, ok := g.outs[outKey{keyOf(c), string(m.ID())}]; ok && now.Sub(o.at) < outLife {
		seat = o.seat
	}
	for _, s := range g.sessions {
		if p == tele && s.protocol == tele.name && s.about.Seat == seat && s.owner == c.key {
			return fresh
		}
	}
	if seat == "" {
		return fresh
	}
	return seat
}

// notePutOut remembers somebody who was put out. The administrator is who he is by whatever seat.
func (g *Gateway) notePutOut(s *session, now time.Time) {
	if s.about.Self {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	maps.DeleteFunc(g.outs, func(_ outKey, o out) bool { return now.Sub(o.at) >= outLife })
	key := outKey{keyOf(caller{key: s.owner, remote: s.about.Remote}), string(s.id)}
	if _, known := g.outs[key]; !known && len(g.outs) >= maxOuts {
		var first outKey
		for k, o := range g.outs {
			if f, ok := g.outs[first]; !ok || o.at.Before(f.at) {
				first = k
			}
		}
		delete(g.outs, first)
	}
	g.outs[key] = out{s.about.Seat, now}
}
