package engine

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/castd/castd/engine/room"
	"github.com/castd/castd/engine/wire"
)

// Hands of the audience
//
// Who only listens to a conference may raise his hand too. The peer by way of which he listens tells the hub of all such hands of its own,
// when one has changed and every few seconds, and hears what became of them; the hub puts them into the queue beside those of the
// participants, where moderators see them. A hub that is another's successor is told within these seconds, with their age, so that nobody
// loses his place. A moderator calls somebody up by giving him the microphone, which is signed like everything that they rule: his peer
// sees it in the access list. Then he may take part, if he still wants to; until he does nothing is taken from a microphone of his.

const (
	// maxHands bounds the hands of those who only listen in a room, and maxPeerHands those by way of one peer. Where there are too many, the
	// newest of the peer with the most goes: no peer can fill the queue for the others.
	maxHands     = 64
	maxPeerHands = 16
	// maxHandPeers bounds the peers that the hub remembers for them.
	maxHandPeers = 256
	// handsEvery is how often a peer tells the hub of its hands, and handsLife how long the hub remembers what it was told.
	handsEvery = 2 * time.Second
	handsLife  = 15 * time.Second
	// handsPatience is how long a peer waits for the hub.
	handsPatience = 3 * time.Second
	// dismissLife is how long who was sent back from the call gets no seat there: by then his peer knows.
	dismissLife = 5 * time.Second
)

// States in events of hands.
const (
	HandUp     = "up"
	HandDown   = "down"
	HandCalled = "called"
)

// Raiser is what a Media can do besides where its room is a conference. *Room implements it. All methods are safe for concurrent use.
type Raiser interface {
	// RaiseHand puts up the hand of somebody who only listens, or takes it down, and waits for the answer of the room's hub. Who raises it may
	// be told what he must do instead: errors for people are of type *UserError. His hand stays up until he takes it down, takes part
	// under the same name, or a moderator takes it down.
	RaiseHand(ctx context.Context, c HandConfig, up bool) (HandState, error)
	// Hand tells how it is with somebody's hand.
	Hand(participant string) (HandState, error)
}

var _ Raiser = (*Room)(nil)

// HandConfig says whose hand it is.
type HandConfig struct {
	Participant string // as in the SeatConfig with which he takes part later
	Name        string
	Self        bool // he is the user of this peer, and no guest of his
}

// HandState is how it is with a hand.
type HandState struct {
	Participant string `json:"participant"`
	Raised      bool   `json:"raised"`
	Place       int    `json:"place,omitempty"`  // in the queue, from 1; 0: not known yet
	Called      bool   `json:"called,omitempty"` // he may take part and speak now
}

// ownHand is the hand of somebody who listens by way of this peer. It stays there while he is called, and then for as long as he listens.
type ownHand struct {
	HandConfig
	since  time.Time
	number uint64
	place  int
	called bool // he was told
	said   limit
	up     bool
}

// state is what he is told.
func (h *ownHand) state() HandState {
	return HandState{Participant: h.Participant, Raised: h.up, Place: h.place, Called: h.up && h.called}
}

// RaiseHand implements Raiser.
func (r *Room) RaiseHand(ctx context.Context, c HandConfig, up bool) (HandState, error) {
	var failed error
	if r.Mode() != room.Conference {
		return HandState{}, NewUserError(CodeWrongMode, fmt.Sprintf("room %q is a broadcast, in which nobody raises his hand: use a room made with --mode conference", r.Name()))
	}
	if !room.ValidParticipant(c.Participant) {
		return HandState{}, NewUserError(CodeNoParticipant, "the name under which you listen is not one of a participant: open the room again")
	}
	known := false
	err := r.call(ctx, func() {
		if known = up || r.ownHands[c.Participant] != nil; known {
			failed = r.raiseLoop(c, up, time.Now())
		}
	})
	if err = cmp.Or(failed, err); err != nil || !known {
		return HandState{Participant: c.Participant}, err
	}
	reason, err := r.tellHands(ctx, c.Participant)
	if err != nil {
		return HandState{}, err
	}
	switch reason {
	case "", CodeTooMany, room.Lower: // the hub is told again, or somebody was quick
	case CodeFull:
		return HandState{}, NewUserError(CodeFull, fmt.Sprintf("too many hands are up in room %q: try again when some of them are down", r.Name()))
	case handTaken:
		return HandState{}, NewUserError(CodeReplaced, "somebody takes part under the same name already: lower your hand there, or leave the call")
	default:
		return HandState{}, denied(reason, r.Name())
	}
	return r.Hand(c.Participant)
}

// Hand implements Raiser.
func (r *Room) Hand(participant string) (s HandState, err error) {
	s.Participant = participant
	err = r.call(r.ctx, func() {
		if h := r.ownHands[participant]; h != nil {
			s = h.state()
		}
	})
	return s, err
}

// raiseLoop notes that somebody here has raised his hand, or taken it down.
func (r *Room) raiseLoop(c HandConfig, up bool, now time.Time) error {
	h := r.ownHands[c.Participant]
	switch {
	case h == nil && len(r.ownHands) >= maxPeerHands:
		for id, o := range r.ownHands {
			if !o.up && o.said.full.Before(now) {
				delete(r.ownHands, id)
			}
		}
		if len(r.ownHands) >= maxPeerHands {
			return NewUserError(CodeFull, "too many who listen by way of this peer have their hands up: try again when some of them are down")
		}
		fallthrough
	case h == nil:
		h = &ownHand{}
		r.ownHands[c.Participant] = h
	}
	if !h.said.take(now) {
		return NewUserError(CodeTooMany, "this is too much at once: wait a little")
	}
	if name := room.CleanName(c.Name); name != "" || h.Participant == "" {
		c.Name = name
	} else {
		c.Name = h.Name
	}
	h.HandConfig = c
	switch {
	case up && !h.up:
		h.up, h.since, h.number, h.place, h.called = true, now, max(h.number+1, uint64(now.UnixMicro())), 0, false
	case !up && h.up:
		r.lowerOwnLoop(h)
	}
	return nil
}

// lowerOwnLoop takes the hand of somebody here down.
func (r *Room) lowerOwnLoop(h *ownHand) {
	h.up, h.place, h.called = false, 0, false
	r.ownHandEvent(h.Participant, HandDown)
}

// ownHandEvent tells what has become of a hand. The hub tells of all of them by itself.
func (r *Room) ownHandEvent(participant, state string) {
	if !r.links.Load().place.Origin {
		r.e.events.emit(Event{Event: "hand", Room: string(r.id), Participant: participant, State: state})
	}
}

// handsLoop lists the hands here, nil where none is up.
func (r *Room) handsLoop(now time.Time) *wire.Hands {
	q := &wire.Hands{Chain: r.shownChain()}
	for _, id := range sortedKeys(r.ownHands) {
		if h := r.ownHands[id]; h.up {
			q.Hands = append(q.Hands, &wire.AudienceHand{
				Participant: h.Participant, Name: h.Name, Self: h.Self, AgeMs: uint32(min(now.Sub(h.since), maxHand).Milliseconds()), Number: h.number,
			})
		}
	}
	return q
}

// tellHands tells the hub of the hands here, and returns what became of one of them.
func (r *Room) tellHands(ctx context.Context, participant string) (reason string, err error) {
	ctx, cancel := context.WithTimeout(ctx, handsPatience)
	defer cancel()
	for {
		var q *wire.Hands
		var answer *wire.HandsAnswer
		if err := r.call(ctx, func() {
			now := time.Now()
			r.handsAt = now
			q = r.handsLoop(now)
			if r.links.Load().place.Origin {
				answer = r.heardHandsLoop(r.e.self, r.e.userKey(), q, now)
			}
		}); err != nil {
			break
		}
		if hub := r.hubNow(); answer == nil && hub != "" && hub != r.e.self {
			answer = new(wire.HandsAnswer)
			if err := r.e.request(ctx, hub, r.id, wire.Type_HANDS, q, wire.Type_HANDS_ANSWER, answer); err != nil {
				r.e.log.Debug("hub does not answer who raises a hand", "peer", hub, "err", err)
				answer = nil
			}
		}
		if answer != nil && answer.Reason != "not_hub" {
			if err := r.call(ctx, func() { reason = r.handsAnsweredLoop(q, answer, participant) }); err != nil {
				return "", err
			}
			return cmp.Or(answer.Reason, reason), nil
		}
		select {
		case <-ctx.Done():
		case <-time.After(seatRetry):
			continue
		}
		break
	}
	return "", NewUserError(CodeTimeout, fmt.Sprintf("the peer that hosts room %q cannot be reached: your hand is counted when its owner runs castd", r.Name()))
}

// handsAnsweredLoop takes what became of the hands that the hub was told of, and returns why that of one is not up.
func (r *Room) handsAnsweredLoop(q *wire.Hands, answer *wire.HandsAnswer, participant string) (reason string) {
	if answer.Reason != "" && answer.Reason != CodeTooMany { // nobody here may raise one
		for _, h := range r.ownHands {
			if h.up {
				r.lowerOwnLoop(h)
			}
		}
	}
	for _, a := range answer.Hands[:min(len(answer.Hands), maxPeerHands)] {
		h := r.ownHands[a.Participant]
		if h == nil || !h.up || h.number != a.Number {
			continue
		}
		h.place = int(min(a.Place, maxHands+maxTakingPart))
		if a.Reason == "" {
			continue
		}
		if a.Participant == participant {
			reason = a.Reason
		}
		r.lowerOwnLoop(h)
	}
	r.calledLoop(time.Now())
	return reason
}

// calledLoop notes who of those here was called up, by what is signed.
func (r *Room) calledLoop(now time.Time) {
	p := r.policy()
	for _, h := range r.ownHands {
		called := h.up && p.Called(room.Standing{Participant: h.Participant, User: r.e.userKey(), Self: h.Self}, now)
		if called && !h.called {
			r.ownHandEvent(h.Participant, HandCalled)
		}
		h.called = called
	}
}

// watchHandsLoop tells the hub again of the hands here, and forgets at the hub those of peers that have gone.
func (r *Room) watchHandsLoop(now time.Time) {
	if len(r.ownHands) > 0 {
		r.calledLoop(now)
	}
	up := false
	for _, h := range r.ownHands {
		up = up || h.up
	}
	if up && now.Sub(r.handsAt) >= handsEvery {
		r.handsAt = now
		r.done.Go(func() { _, _ = r.tellHands(r.ctx, "") }) // again in a while
	}
	changed := false
	for id, p := range r.raised {
		if now.Sub(p.heard) >= handsLife {
			for _, h := range p.hands {
				changed = r.handEventLoop(h, HandDown) || changed
			}
			delete(r.raised, id)
		}
	}
	for who, until := range r.dismissed {
		if now.After(until) {
			delete(r.dismissed, who)
		}
	}
	if changed || r.raised.recalled(r.policy(), now) {
		r.rehandLoop(now)
	}
}

// handEventLoop tells of a hand at the hub, unless a moderator has taken it down, which was told.
func (r *Room) handEventLoop(h *raisedHand, state string) bool {
	if h.down != "" {
		return false
	}
	r.e.events.emit(Event{Event: "hand", Room: string(r.id), Participant: h.who.Participant, State: state})
	return true
}

// raisedHands are those of the audience at the hub, by the peers that told of them.
type raisedHands map[peer.ID]*peerHands

// peerHands are those that came by way of one peer.
type peerHands struct {
	heard time.Time
	said  limit
	hands []*raisedHand
}

// raisedHand is one of them.
type raisedHand struct {
	who    room.Standing
	name   string
	by     peer.ID
	since  time.Time
	number uint64
	down   string // why it is not up any more, which its peer may not know yet: room.Lower, CodeFull
	called bool   // as was told last
}

// find returns the hand of somebody, nil where it is not up.
func (l raisedHands) find(participant string) *raisedHand {
	for _, p := range l {
		for _, h := range p.hands {
			if h.who.Participant == participant && h.down == "" {
				return h
			}
		}
	}
	return nil
}

// drop forgets the hand of somebody, and reports whether it was up.
func (l raisedHands) drop(participant string) bool {
	h := l.find(participant)
	if h != nil {
		p := l[h.by]
		p.hands = slices.DeleteFunc(p.hands, func(o *raisedHand) bool { return o == h })
	}
	return h != nil
}

// count returns how many are up, and the one that goes first where those are too many.
func (l raisedHands) count() (n int, newest *raisedHand) {
	most := 0
	for _, p := range l {
		up := 0
		var last *raisedHand
		for _, h := range p.hands {
			if h.down != "" {
				continue
			}
			up++
			if last == nil || h.since.After(last.since) {
				last = h
			}
		}
		n += up
		if up > most || up == most && up > 0 && last.since.After(newest.since) {
			most, newest = up, last
		}
	}
	return n, newest
}

// recalled notes who was called up, and reports whether that has changed for anybody.
func (l raisedHands) recalled(p room.Policy, now time.Time) (changed bool) {
	for _, own := range l {
		for _, h := range own.hands {
			changed = changed || h.called != p.Called(h.who, now)
		}
	}
	return changed
}

// list returns those who are shown beside the participants, by id, and the hands among them that wait.
func (l raisedHands) list(p room.Policy, now time.Time) (who []ParticipantInfo, hands []hand) {
	for _, own := range l {
		for _, h := range own.hands {
			if h.down != "" {
				continue
			}
			called := p.Called(h.who, now)
			if !called {
				hands = append(hands, hand{h.who.Participant, h.since})
			}
			who = append(who, ParticipantInfo{
				Participant: h.who.Participant, Name: h.name, Peer: h.by.String(), Roles: []string{room.RoleListener}, Audience: true, Called: called,
			})
		}
	}
	slices.SortFunc(hands, func(a, b hand) int {
		return cmp.Or(a.since.Compare(b.since), cmp.Compare(a.participant, b.participant))
	})
	return who, hands
}

// handTaken says that a hand is up under the name of somebody else.
const handTaken = "taken"

// heardHandsLoop takes the hands of those who listen by way of a peer.
func (r *Room) heardHandsLoop(from peer.ID, user ed25519.PublicKey, q *wire.Hands, now time.Time) *wire.HandsAnswer {
	if !r.links.Load().place.Origin {
		return &wire.HandsAnswer{Reason: "not_hub"}
	}
	if why := r.refusal(user, q.Chain, now); why != "" {
		r.e.metrics.refused.Add(1)
		return &wire.HandsAnswer{Reason: why}
	}
	p := r.raised[from]
	switch {
	case p != nil && !p.said.take(now):
		r.e.metrics.refused.Add(1)
		return &wire.HandsAnswer{Reason: CodeTooMany}
	case p == nil && len(q.Hands) == 0:
		return &wire.HandsAnswer{}
	case p == nil && len(r.raised) >= maxHandPeers:
		return &wire.HandsAnswer{Reason: CodeFull}
	case p == nil:
		p = &peerHands{}
		r.raised[from] = p
	}
	p.heard = now
	old := p.hands
	p.hands = nil
	answer := &wire.HandsAnswer{}
	policy, changed := r.policy(), false
	for _, w := range q.Hands[:min(len(q.Hands), maxPeerHands)] {
		who := room.Standing{Participant: w.GetParticipant(), User: user, Self: w.GetSelf()}
		reason := ""
		switch taken := r.raised.find(who.Participant); {
		case !room.ValidParticipant(who.Participant):
			continue
		case policy.PutOut(who, now):
			reason = room.DeniedPutOut
		case taken != nil, r.seatOfLoop(who.Participant) != nil:
			reason = handTaken
		}
		if reason != "" {
			answer.Hands = append(answer.Hands, &wire.AudienceAnswer{Participant: who.Participant, Number: w.Number, Reason: reason})
			continue
		}
		age := min(time.Duration(w.AgeMs)*time.Millisecond, maxHand)
		h := &raisedHand{who: who, name: room.CleanName(w.Name), by: from, since: now.Add(-age), number: w.Number}
		if i := slices.IndexFunc(old, func(o *raisedHand) bool { return o.who.Participant == who.Participant }); i >= 0 {
			if o := old[i]; o.number == h.number {
				h.since, h.down, h.called = o.since, o.down, o.called
				changed = changed || o.name != h.name
			} else {
				changed = r.handEventLoop(h, HandUp) || changed
			}
			old = slices.Delete(slices.Clone(old), i, i+1)
		} else {
			changed = r.handEventLoop(h, HandUp) || changed
		}
		p.hands = append(p.hands, h)
	}
	for _, h := range old {
		changed = r.handEventLoop(h, HandDown) || changed
	}
	for n, newest := r.raised.count(); n > maxHands; n, newest = r.raised.count() {
		changed = r.handEventLoop(newest, HandDown)
		newest.down = CodeFull
		r.e.metrics.handsDropped.Add(1)
	}
	if changed {
		r.rehandLoop(now)
	}
	queue := r.seated.Load().hands
	for _, h := range p.hands {
		a := &wire.AudienceAnswer{Participant: h.who.Participant, Number: h.number, Place: uint32(slices.Index(queue, h.who.Participant) + 1)}
		if h.down != "" {
			a.Place, a.Reason = 0, h.down
		}
		answer.Hands = append(answer.Hands, a)
	}
	return answer
}

// rehandLoop tells those who take part of the hands of those who only listen, and who of these was called up.
func (r *Room) rehandLoop(now time.Time) {
	if !r.links.Load().place.Origin {
		return
	}
	p := r.policy()
	for _, own := range r.raised {
		for _, h := range own.hands {
			called := p.Called(h.who, now)
			if called && !h.called {
				r.handEventLoop(h, HandCalled)
			}
			h.called = called
		}
	}
	r.reseatLoop()
}

// lowerLoop takes the hand of somebody who only listens down. His peer is told when it tells of its hands next.
func (r *Room) lowerLoop(participant string) {
	if h := r.raised.find(participant); h != nil {
		r.handEventLoop(h, HandDown)
		h.down = room.Lower
		r.reseatLoop()
	}
}

// dismissSeatLoop sends somebody back to those who only listen: he loses his seat, or if he has none yet the call to take one.
func (r *Room) dismissSeatLoop(participant string, now time.Time) {
	r.lowerLoop(participant)
	s := r.seatOfLoop(participant)
	if s == nil {
		return
	}
	if len(r.dismissed) >= maxTakingPart {
		clear(r.dismissed)
	}
	r.dismissed[participant] = now.Add(dismissLife)
	r.emptyLoop(s)
	if s.far != nil {
		r.sendSeatNews(s.far.peer, &wire.SeatNews{Participant: participant, Gone: true})
	}
}

// withAudience adds to the participants of a call, which are sorted by id, those who only listen and are shown beside them.
func withAudience(list []CallParticipant, all []ParticipantInfo) []CallParticipant {
	for _, p := range all {
		if p.Audience {
			list = append(list, CallParticipant{Participant: p.Participant, Name: p.Name, Roles: p.Roles, Audience: true, Called: p.Called})
		}
	}
	slices.SortFunc(list, func(a, b CallParticipant) int { return strings.Compare(a.Participant, b.Participant) })
	return list
}

// carryHand takes somebody's hand along who goes over from those who only listen. Who was called needs it no longer.
func (k *call) carryHand(ctx context.Context) {
	_ = k.room.call(ctx, func() { // without it he raises it again
		h := k.room.ownHands[k.config.Participant]
		if h == nil {
			return
		}
		delete(k.room.ownHands, h.Participant)
		if p := k.room.policy(); !h.up || p.Called(k.who(), time.Now()) || !p.Muted(k.who(), time.Now()) {
			return
		}
		k.mu.Lock()
		defer k.mu.Unlock()
		k.hand = h.since
		for _, s := range *k.seats.Load() {
			s.raise(true, time.Since(h.since))
		}
	})
}
