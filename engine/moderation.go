package engine

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/castd/castd/engine/room"
	"github.com/castd/castd/engine/wire"
)

// Moderation
//
// What moderators rule is signed into the room's access list (see package room), which every peer has, so that it holds everywhere: the
// peer of somebody who is muted sends nothing of him any more, whoever mixes drops what comes all the same, and no relay takes a stream
// whose publisher may not send. Owner and co-hosts sign by themselves. Who was given the right to moderate asks the hub, which is one of
// theirs.

// Moderation is what a moderator wants.
type Moderation struct {
	Verb string // see package room
	// Who is meant: a participant's id, or a name that only one of them has.
	Who    string
	Title  string
	Rights room.Rights   // of grant and revoke; 0: to moderate
	For    time.Duration // 0: as long as is usual
}

// Codes of UserErrors about moderation.
const (
	CodeNoParticipant = "no_such_participant" // 404
	CodeBadVerb       = "bad_verb"            // 400
	CodePutOut        = room.DeniedPutOut     // 403
	CodeLocked        = room.DeniedLocked     // 403
	CodeDismissed     = room.DeniedDismiss    // 403: back to those who only listen
	CodeHost          = "host"                // 403: nobody rules about the owner, and only he about co-hosts
)

// CheckModeration returns an error for a person who asks for what cannot be.
func CheckModeration(m Moderation) error {
	somebody, all := slices.Contains(room.AboutSomebody, m.Verb), slices.Contains(room.AboutAll, m.Verb)
	switch {
	case !somebody && !all:
		return NewUserError(CodeBadVerb, fmt.Sprintf("%.40q is nothing that a moderator can do: use %s", m.Verb, strings.Join(append(slices.Clone(room.AboutSomebody), room.AboutAll...), ", ")))
	case somebody && m.Who == "":
		return NewUserError(CodeBadVerb, m.Verb+" is about somebody: name a participant, by id or by name")
	case all && m.Who != "":
		return NewUserError(CodeBadVerb, m.Verb+" is about all of the room: leave out the participant")
	case m.Verb == room.Title && !room.ValidTitle(m.Title):
		return NewUserError(CodeBadVerb, fmt.Sprintf("a title has at most %d octets and no control characters: use another one", room.MaxTitle))
	case m.For < 0:
		return NewUserError(CodeBadVerb, "a time must not be negative")
	}
	return nil
}

// Moderate does it in the name of this peer's user.
func (r *Room) Moderate(ctx context.Context, m Moderation) error { return r.moderate(ctx, m, "") }

// moderate does it in the name of a guest of this peer's, or with "" of its user.
func (r *Room) moderate(ctx context.Context, m Moderation, by string) error {
	if err := CheckModeration(m); err != nil {
		return err
	}
	if m.Who != "" {
		who, err := r.participant(m.Who)
		if err != nil {
			return err
		}
		m.Who = who
	}
	ctx, cancel := context.WithTimeout(ctx, moderateTime)
	defer cancel()
	signs := mayHost(r.record.Load(), r.e.userKey())
	code := CodeTimeout
	if hub := r.hubNow(); !r.links.Load().place.Origin && hub != "" && hub != r.e.self {
		// The hub knows everybody on the stage, and of two moderators at the same time it asks one after the other.
		ask := &wire.Moderate{
			Verb: m.Verb, Participant: m.Who, Title: m.Title, Rights: uint32(m.Rights), ForMs: m.For.Milliseconds(), By: by, Chain: r.chain.Load(),
		}
		var answer wire.ModerateAnswer
		short, cancel := context.WithTimeout(ctx, moderateTime/2)
		err := r.e.request(short, hub, r.id, wire.Type_MODERATE, ask, wire.Type_MODERATE_ANSWER, &answer)
		cancel()
		if err == nil {
			code = answer.Code
		} else {
			r.e.log.Debug("hub does not answer a moderator", "peer", hub, "err", err)
		}
	}
	if code == CodeTimeout && (signs || r.links.Load().place.Origin) {
		if err := r.call(ctx, func() { code = r.moderateLoop(m, asker{r.e.self, by, r.e.userKey(), r.chain.Load()}, time.Now()) }); err != nil {
			return err
		}
	}
	return r.unmoderated(code, m)
}

// moderateTime bounds how long a moderator waits.
const moderateTime = 5 * time.Second

// unmoderated returns what a person is told for a code; nil where it was done.
func (r *Room) unmoderated(code string, m Moderation) error {
	switch name := r.Name(); code {
	case "":
		return nil
	case CodeNotAllowed:
		return NewUserError(code, fmt.Sprintf("you may not moderate room %q: ask its owner for that, who uses `castd room grant %s NAME`", name, name))
	case CodeHost:
		return NewUserError(code, fmt.Sprintf("this is the owner's to say: in room %q nobody rules about him, and only he about who keeps it open for him", name))
	case CodeNoParticipant:
		return noParticipant(m.Who, name)
	case CodeFull:
		return NewUserError(code, fmt.Sprintf("too much is ruled in room %q to remember it one by one: use mute-all, or `castd invite %s --revoke all`", name, name))
	case CodeBadVerb:
		return NewUserError(code, fmt.Sprintf("the peer that hosts room %q does not know how to %.40s: it may run an older castd", name, m.Verb))
	}
	return NewUserError(CodeTimeout, fmt.Sprintf("the peer that hosts room %q cannot be reached: try again when its owner runs castd", r.Name()))
}

func noParticipant(who, name string) error {
	return NewUserError(CodeNoParticipant, fmt.Sprintf("nobody in room %q is called %.80q: see who is there with `castd room who %s`", name, who, name))
}

// participant returns the id of who is meant.
func (r *Room) participant(who string) (string, error) {
	now := time.Now()
	var found []string
	for _, p := range r.Info().Participants {
		if p.Participant == who {
			return who, nil
		}
		if p.Name != "" && strings.EqualFold(p.Name, who) {
			found = append(found, p.Participant)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return "", NewUserError(CodeAmbiguous, fmt.Sprintf("%d people in room %q are called %.80q: use the id of one of them, of %s", len(found), r.Name(), who, strings.Join(found, ", ")))
	case room.ValidParticipant(who) && r.access.Load().Ruled(who, now):
		return who, nil // who is away, or was put out
	}
	known := false
	if err := r.call(r.ctx, func() {
		for _, user := range r.userOf {
			known = known || user == who
		}
		for _, d := range r.record.Load().Delegates {
			known = known || wire.ParticipantID(d) == who
		}
	}); err != nil {
		return "", err
	}
	if known {
		return who, nil // he listens
	}
	return "", noParticipant(who, r.Name())
}

// answerModerate answers a peer that asks this one, which is the hub, to rule.
func (r *Room) answerModerate(ctx context.Context, from peer.ID, m *wire.Message, q *wire.Moderate) *wire.ModerateAnswer {
	want := Moderation{Verb: q.Verb, Who: q.Participant, Title: q.Title, Rights: room.Rights(q.Rights), For: time.Duration(min(max(q.ForMs, 0), maxForMs)) * time.Millisecond}
	if CheckModeration(want) != nil || want.Who != "" && !room.ValidParticipant(want.Who) {
		return &wire.ModerateAnswer{Code: CodeBadVerb}
	}
	code := CodeTimeout
	_ = r.call(ctx, func() {
		if r.links.Load().place.Origin {
			code = r.moderateLoop(want, asker{from, q.By, m.User, q.Chain}, time.Now())
		}
	})
	return &wire.ModerateAnswer{Code: code}
}

// maxForMs bounds how long a ruling may be asked for, so that the time in nanoseconds fits.
const maxForMs = int64(366 * 24 * time.Hour / time.Millisecond)

// asker is who wants something of a moderator's: the user of a peer, or a guest of his.
type asker struct {
	from  peer.ID
	by    string            // the guest's id; "": the user himself
	user  ed25519.PublicKey // may be nil
	chain *wire.Chain       // the user's right
}

// standingLoop returns who he is, false where there is nobody.
func (r *Room) standingLoop(a asker) (room.Standing, bool) {
	if a.by == "" {
		return room.Standing{Participant: wire.ParticipantID(a.user), User: a.user, Self: true}, len(a.user) > 0
	}
	s := r.seatOfLoop(a.by)
	if s == nil || s.info.Peer != a.from.String() {
		return room.Standing{}, false
	}
	return s.who, true
}

// seatOfLoop returns the seat of a participant at this peer's mix, or nil.
func (r *Room) seatOfLoop(participant string) *roomSeat {
	if r.mixing == nil {
		return nil
	}
	for s := range r.mixing.seats {
		if s.info.Participant == participant {
			return s
		}
	}
	return nil
}

// moderateLoop does what a moderator wants, and returns the code of what kept it from it.
func (r *Room) moderateLoop(want Moderation, a asker, now time.Time) string {
	who, ok := r.standingLoop(a)
	p := r.policy()
	if !ok || !p.MayModerate(who, a.chain, now) {
		r.e.metrics.refused.Add(1)
		return CodeNotAllowed
	}
	if !mayHost(p.Record, r.e.userKey()) {
		return CodeTimeout // who could sign it is not here
	}
	owner, hosts := who.Self && p.Record.IsOwner(who.User), who.Self && mayHost(p.Record, who.User)
	about := r.aboutLoop(want)
	switch grants := want.Verb == room.Grant || want.Verb == room.Revoke; {
	case about.owner && want.Verb != room.Lower, about.host && !owner && want.Verb != room.Lower:
		return CodeHost
	case grants && !hosts:
		return CodeNotAllowed // to moderate is not to appoint
	}
	var err error
	switch want.Verb {
	case room.Lower:
		r.handLoop(want.Who, false, 0, now)
		r.lowerLoop(want.Who)
	case room.Title:
		err = r.rerecordLoop(func(s *room.RecordSpec) { s.Title = want.Title })
	case room.Tones, room.TonesOff, room.Wait, room.WaitOff, room.Music, room.MusicOff:
		err = r.rerecordLoop(func(s *room.RecordSpec) { s.Settings, _ = s.Settings.After(want.Verb) })
	case room.Ban:
		if about.host {
			err = r.dismissLoop(about.user)
		}
		if err == nil {
			err = r.revokeLoop(room.Revocation{Participant: about.order.Participant, At: now}, now)
		}
	default:
		var rulings []room.Ruling
		if rulings, err = r.access.Load().Rule(about.order, now); err == nil {
			err = r.rotateLoop(accessChange{rulings: rulings, sameKey: want.Verb != room.Kick}, now)
		}
		switch {
		case err != nil:
		case want.Verb == room.Mic:
			r.handLoop(want.Who, false, 0, now)
		case want.Verb == room.Dismiss:
			r.dismissSeatLoop(want.Who, now)
		}
		r.rehandLoop(now)
	}
	var user *UserError
	switch {
	case err == nil:
		return ""
	case errors.Is(err, room.ErrAccessFull):
		return CodeFull
	case errors.As(err, &user):
		return user.Code
	}
	r.e.log.Error("cannot rule", "verb", want.Verb, "err", err)
	return CodeTimeout
}

// about is whom an order is about, as far as this peer knows.
type about struct {
	order       room.Order
	user        string // participant id
	owner, host bool
}

// aboutLoop finds out whom an order is about. A participant who is the user of his peer is given rights, and put out, under his own name, so
// that it holds for all his devices and whenever he comes back; he is muted, and given the microphone, where he sits.
func (r *Room) aboutLoop(want Moderation) about {
	a := about{order: room.Order{Verb: want.Verb, Participant: want.Who, Rights: want.Rights, For: want.For}, user: want.Who}
	if want.Who == "" {
		return a
	}
	if who, ok := r.presentLoop(want.Who); ok {
		a.user = wire.ParticipantID(who.User)
		a.order.Via = a.user
		switch seat := want.Verb == room.Mute || want.Verb == room.Unmute || want.Verb == room.Mic || want.Verb == room.Dismiss; {
		case !who.Self:
			return a
		case !seat:
			a.order.Participant, a.order.Via = a.user, ""
		}
	}
	rec := r.record.Load()
	a.owner = a.user == wire.ParticipantID(rec.Owner)
	a.host = a.owner
	for _, d := range rec.Delegates {
		a.host = a.host || a.user == wire.ParticipantID(d)
	}
	return a
}

// presentLoop returns who a participant is that has a seat, or whose hand is up while he only listens.
func (r *Room) presentLoop(participant string) (room.Standing, bool) {
	if s := r.seatOfLoop(participant); s != nil {
		return s.who, true
	}
	if h := r.raised.find(participant); h != nil {
		return h.who, true
	}
	return room.Standing{}, false
}

// rerecordLoop signs another record of the room.
func (r *Room) rerecordLoop(change func(*room.RecordSpec)) error {
	rec := r.record.Load()
	spec := again(rec)
	change(&spec)
	if !rec.IsOwner(r.e.userKey()) {
		owners, err := rec.OwnersRecord(time.Now())
		if err != nil {
			return fmt.Errorf("title: %w", err)
		}
		spec.OwnerRecord = owners
	}
	return r.reviseLoop(spec)
}

// reviseLoop signs a record and tells the room.
func (r *Room) reviseLoop(spec room.RecordSpec) error {
	rec, err := r.e.newRecord(spec)
	if err != nil {
		return err
	}
	r.recordLoop(rec)
	r.recorded = time.Now()
	r.broadcastLoop(rec.Envelope, false)
	r.e.list()
	return nil
}

// ruledLoop makes what moderators say hold at this peer's mix: on a new list or record, and when something ends.
func (r *Room) ruledLoop(now time.Time) {
	r.muteVoicesLoop(now)
	r.muteFurtherLoop(now)
	if r.mixing == nil {
		return
	}
	p := r.policy()
	for s := range maps.Clone(r.mixing.seats) {
		if p.PutOut(s.who, now) || s.far != nil && !r.maySpeakBy(s.far.user, s.far.chain) {
			r.emptyLoop(s)
			if s.far != nil {
				r.sendSeatNews(s.far.peer, &wire.SeatNews{Participant: s.far.participant, Gone: true})
			}
		}
	}
	r.reseatLoop()
}

// admitsLoop returns why somebody gets no seat, "" if he does. Who sat here before may come back into a locked room; and a peer that has
// just taken over the mix does not know who that was.
func (r *Room) admitsLoop(who room.Standing, chain *wire.Chain, now time.Time) string {
	p := r.policy()
	switch {
	case p.PutOut(who, now):
		return room.DeniedPutOut
	case now.Before(r.dismissed[who.Participant]) && !p.Called(who, now):
		return room.DeniedDismiss
	case r.insideLoop(who, chain, now), p.Knocks(now):
		return ""
	case !r.mixesLoop(): // nobody hears a standby, whom those come to who sit at the mixer
		return ""
	}
	return room.DeniedLocked
}

// insideLoop reports whether somebody need not be let in.
func (r *Room) insideLoop(who room.Standing, chain *wire.Chain, now time.Time) bool {
	p := r.policy()
	return !p.Locked(now) || r.sat[who.Participant] || p.MayModerate(who, chain, now) || p.Admitted(who, now) ||
		r.mixesLoop() && now.Sub(time.UnixMilli(r.elector.Lease().Term.Since)) < lockGrace
}

// lockGrace is how long a new hub lets people in whom it does not know.
const lockGrace = 10 * time.Second

// lockedOut returns why a peer that asks for the room is told nothing of it, "" if he is: those who are in a locked room may find it again.
func (r *Room) lockedOut(m *wire.Message, c *wire.Chain) string {
	p, now := r.policy(), time.Now()
	if !p.Locked(now) {
		return ""
	}
	id, err := wire.PeerID(m.Device)
	if err == nil && (r.links.Load().uses(id) || r.e.hop(id) != nil) {
		return ""
	}
	if len(m.User) > 0 && p.MayModerate(room.Standing{Participant: wire.ParticipantID(m.User), User: m.User, Self: true}, c, now) {
		return ""
	}
	return room.DeniedLocked
}
