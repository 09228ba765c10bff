package engine

import (
	"crypto/ed25519"
	"slices"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/castd/castd/engine/wire"
)

// The plan of a conference says by which way its participants hear each other: by a mixer, or directly. The hub makes it; see direct.go.

// maxDirect is how many participants do without a mixer at most.
const maxDirect = 4

// plan is what a hub says. Values are immutable.
type plan struct {
	hub          peer.ID
	term, number uint64
	phase        wire.CallPhase
	seats        []planSeat // by participant; none where the phase is CALL_MIXED
}

// planSeat is a participant in a plan.
type planSeat struct {
	participant string
	peer        peer.ID           // by way of which he takes part
	user        ed25519.PublicKey // of that peer
	self        bool
	red, stereo bool

	// Of a cascade only.
	hearsStereo bool
	announces   bool
	to          string
}

func (s planSeat) same(o planSeat) bool {
	return s.participant == o.participant && s.peer == o.peer && s.self == o.self && s.red == o.red && s.stereo == o.stereo && s.user.Equal(o.user) &&
		s.hearsStereo == o.hearsStereo && s.announces == o.announces && s.to == o.to
}

// toWire writes a plan.
func (p *plan) toWire() *wire.CallPlan {
	out := &wire.CallPlan{Term: p.term, Number: p.number, Phase: p.phase}
	for _, s := range p.seats {
		out.Seats = append(out.Seats, &wire.CallSeat{Participant: s.participant, Peer: []byte(s.peer), User: s.user, Self: s.self, Red: s.red, SendsStereo: s.stereo})
	}
	return out
}

// planFromWire reads the plan of a hub, nil if it makes no sense.
func planFromWire(hub peer.ID, w *wire.CallPlan) *plan {
	if w == nil || len(w.Seats) > maxDirect {
		return nil
	}
	p := &plan{hub: hub, term: w.Term, number: w.Number, phase: w.Phase}
	if p.phase < wire.CallPhase_CALL_MIXED || p.phase > wire.CallPhase_CALL_DIRECT {
		p.phase = wire.CallPhase_CALL_MIXED // of a later version
	}
	for _, s := range w.Seats {
		id, err := peer.IDFromBytes(s.GetPeer())
		switch {
		case err != nil, s.Participant == "", len(s.Participant) > maxParticipantID, len(s.User) != ed25519.PublicKeySize && len(s.User) != 0:
			return nil
		case slices.ContainsFunc(p.seats, func(o planSeat) bool { return o.participant == s.Participant }):
			return nil
		}
		p.seats = append(p.seats, planSeat{participant: s.Participant, peer: id, user: s.User, self: s.Self, red: s.Red, stereo: s.SendsStereo})
	}
	return p
}

// has reports whether somebody takes part by way of a peer.
func (p *plan) has(id peer.ID) bool {
	return slices.ContainsFunc(p.seats, func(s planSeat) bool { return s.peer == id })
}

// planner decides what the plan is. It is a value without clock and network; the hub's room drives it.
//
// A room of a few begins without a mixer. Where it outgrows that, everybody sends both ways for a while, and goes over to the mixer's sound
// when it has come for long enough and is on the same timeline as what he hears: nobody misses anything, or hears it twice. The way back is
// the same in the other direction; it is gone when the room has been small for a while, and not soon again where peers did not reach
// each other.
type planner struct {
	phase   wire.CallPhase
	number  uint64
	seats   []planSeat
	since   time.Time // when the phase began
	down    bool      // the phase CALL_BOTH is on the way to the mixer
	fitted  time.Time // since when the room has been small enough; zero: it is not
	retry   time.Time // not earlier does anybody try to do without the mixer again
	failed  int       // times that it did not work, one after the other
	peers   map[peer.ID]time.Time
	reports map[peer.ID]planReport
}

// planReport is what a peer says of itself.
type planReport struct {
	at      time.Time
	number  uint64
	ready   bool
	missing []peer.ID
}

// planFacts are what a planner goes by.
type planFacts struct {
	seats  []planSeat            // all participants, by id
	needed bool                  // somebody needs the mix, whoever takes part
	hears  func(id peer.ID) bool // a peer is heard at the hub
}

const (
	// planCalm is how long a room that was mixed must have been small enough before it does without.
	planCalm = 4 * time.Second
	// planSettle is how long the mixer is heard, or the others directly, before nothing is sent the other way any more.
	planSettle = 4 * time.Second
	// planReady is the least time that everybody sends both ways before all go over to hearing the others directly, and planPatience how long
	// that may take.
	planReady    = 1500 * time.Millisecond
	planPatience = 10 * time.Second
	// planAnswer is how long a peer that takes part may say nothing of the plan: it may not know of any.
	planAnswer = 3 * time.Second
	// planReports is how long a report counts.
	planReports = 3 * time.Second
	// planRetry is how long the mixer is kept after peers did not reach each other, doubled each time up to planRetryMost.
	planRetry     = 30 * time.Second
	planRetryMost = 10 * time.Minute
	// planWorked is how long it must have worked to forget that.
	planWorked = time.Minute
)

// newPlanner begins with what another hub of the room said last, if there was one.
func newPlanner(before *plan, seats int, now time.Time) *planner {
	p := &planner{phase: wire.CallPhase_CALL_DIRECT, since: now, peers: make(map[peer.ID]time.Time), reports: make(map[peer.ID]planReport)}
	switch {
	case before != nil:
		p.phase, p.number, p.down = before.phase, before.number, true
	case seats > 1:
		p.phase, p.down = wire.CallPhase_CALL_BOTH, true // nobody knows what they do
	}
	return p
}

// report takes what a peer says. It reports whether that was about the present plan.
func (p *planner) report(from peer.ID, r planReport) bool {
	if _, known := p.peers[from]; known {
		p.reports[from] = r
	}
	return r.number == p.number
}

// step looks at what has become of the room, and reports whether there is another plan.
func (p *planner) step(f planFacts, now time.Time) bool {
	changed := p.seat(f.seats, now)
	fits := p.fits(f)
	if !fits {
		p.fitted = time.Time{}
	} else if p.fitted.IsZero() {
		p.fitted = now
	}
	before, age := p.phase, now.Sub(p.since)
	switch p.phase {
	case wire.CallPhase_CALL_MIXED:
		if fits && len(p.seats) == 1 && now.After(p.retry) {
			p.enter(wire.CallPhase_CALL_DIRECT, false, now) // there is nobody to hear
		} else if fits && now.Sub(p.fitted) >= planCalm && now.After(p.retry) {
			p.enter(wire.CallPhase_CALL_BOTH, false, now)
		}
	case wire.CallPhase_CALL_BOTH:
		switch {
		case p.down && age >= planSettle:
			p.enter(wire.CallPhase_CALL_MIXED, false, now)
		case p.down:
		case !fits:
			p.enter(wire.CallPhase_CALL_BOTH, true, now)
		case p.troubled(f, now) || age >= planPatience:
			p.fail(now)
		case age >= planReady && p.all(func(r planReport) bool { return r.ready }):
			p.enter(wire.CallPhase_CALL_APART, false, now)
		}
	case wire.CallPhase_CALL_APART:
		switch {
		case !fits:
			p.enter(wire.CallPhase_CALL_BOTH, true, now)
		case p.troubled(f, now) || age >= planPatience:
			p.fail(now)
		case age >= planReady && p.all(func(planReport) bool { return true }):
			p.enter(wire.CallPhase_CALL_DIRECT, false, now)
		}
	case wire.CallPhase_CALL_DIRECT:
		switch {
		case !fits:
			p.enter(wire.CallPhase_CALL_BOTH, true, now)
		case p.troubled(f, now):
			p.fail(now)
		case age >= planWorked:
			p.failed = 0
		}
	}
	if changed = changed || p.phase != before; changed {
		p.number++
	}
	return changed
}

// seat notes who takes part, and reports whether that is news to those who send to each other.
func (p *planner) seat(all []planSeat, now time.Time) bool {
	seats := all
	if len(seats) > maxDirect { // those who heard each other directly do so for a while
		seats = slices.Clone(p.seats)
		seats = slices.DeleteFunc(seats, func(s planSeat) bool { return !slices.ContainsFunc(all, s.same) })
	}
	changed := !slices.EqualFunc(p.seats, seats, planSeat.same)
	p.seats = seats
	next := make(map[peer.ID]time.Time)
	for _, s := range seats {
		next[s.peer] = now
		if since, known := p.peers[s.peer]; known {
			next[s.peer] = since
		}
	}
	for id := range p.reports {
		if _, still := next[id]; !still {
			delete(p.reports, id)
		}
	}
	p.peers = next
	return changed
}

// fits reports whether the room needs no mixer.
func (p *planner) fits(f planFacts) bool {
	if f.needed || len(f.seats) == 0 || len(f.seats) > maxDirect {
		return false
	}
	for i, s := range f.seats[1:] {
		if s.participant == f.seats[i].participant {
			return false // he moves from one peer to another
		}
	}
	return true
}

func (p *planner) enter(phase wire.CallPhase, down bool, now time.Time) {
	p.phase, p.down, p.since = phase, down, now
}

// fail goes back to the mixer, for a while.
func (p *planner) fail(now time.Time) {
	p.retry = now.Add(min(planRetry<<min(p.failed, 10), planRetryMost))
	p.failed++
	p.enter(wire.CallPhase_CALL_BOTH, true, now)
}

// all reports whether all peers follow the present plan, and so.
func (p *planner) all(so func(planReport) bool) bool {
	for id := range p.peers {
		if r, ok := p.reports[id]; !ok || r.number != p.number || !so(r) {
			return false
		}
	}
	return true
}

// troubled reports whether some do not reach each other although both are there, or do not know of plans.
func (p *planner) troubled(f planFacts, now time.Time) bool {
	for id, since := range p.peers {
		if !f.hears(id) {
			continue // whoever is gone has no seat soon
		}
		r, ok := p.reports[id]
		if !ok {
			if len(p.peers) > 1 && now.Sub(since) >= planAnswer && now.Sub(p.since) >= planAnswer {
				return true
			}
			continue
		}
		if now.Sub(r.at) < planReports && slices.ContainsFunc(r.missing, func(other peer.ID) bool {
			_, member := p.peers[other]
			return member && f.hears(other)
		}) {
			return true
		}
	}
	return false
}

// plan returns what is to be told.
func (p *planner) plan(hub peer.ID, term uint64) *plan {
	out := &plan{hub: hub, term: term, number: p.number, phase: p.phase}
	if p.phase != wire.CallPhase_CALL_MIXED {
		out.seats = p.seats
	}
	return out
}

// bySeat orders seats.
func bySeat(a, b planSeat) int { return strings.Compare(a.participant, b.participant) }
