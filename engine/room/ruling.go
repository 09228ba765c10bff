package room

import (
	"cmp"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/castd/castd/engine/wire"
)

// Rulings are what moderators say of who is there: who is muted, who is put out for a while, who may moderate, whose turn it is to
// speak. They are part of the access list, and so are signed, spread, kept and numbered with it; an older list never takes the place of a
// newer one. Each ruling has the time at which it was made: of two about the same participant the later one holds, also where two
// moderators ruled at the same time and one of their lists was lost. All of them end by themselves.

// MaxRulings bounds the rulings in a list; with them and all revocations an envelope stays below wire.MaxEnvelope.
const MaxRulings = 100

// Lives of rulings, unless somebody says otherwise.
const (
	MuteLife  = 24 * time.Hour // also of what holds for everybody, and of rulings that say nothing any more
	KickLife  = time.Minute
	GrantLife = 30 * 24 * time.Hour
	TurnLife  = 10 * time.Minute // of the right to speak that goes with the microphone

	// maxRulingLife bounds what a list may say.
	maxRulingLife = 31 * 24 * time.Hour
)

// Errors of rulings, for control flow.
var (
	ErrPutOut = errors.New("room: was put out by a moderator")
	ErrMuted  = errors.New("room: is muted")
	ErrVerb   = errors.New("room: unknown verb of moderation")
)

// Everybody is the participant whom a ruling names that is about all.
const Everybody = ""

// Ruling is what holds for a participant. Of everybody, to deny Speak mutes all who have no grant of it, and to deny Listen lets nobody
// new in; to grant Listen as well has who would come wait.
type Ruling struct {
	Participant string // Everybody, a user's participant id, or that of a guest
	At, Expires time.Time
	Denied      Rights
	Granted     Rights
	// Via is, for grants to a guest, the participant id of the user of the peer by way of which he comes: guests are who their peer
	// says they are, and no other peer's word counts. It is empty for a user's own.
	Via        string
	Microphone bool // Speak was passed to him, and goes to one at a time
}

// newer reports whether r holds rather than o, which is about the same.
func (r *Ruling) newer(o *Ruling) bool {
	return cmp.Or(
		r.At.Compare(o.At), cmp.Compare(r.Denied, o.Denied), cmp.Compare(o.Granted, r.Granted), cmp.Compare(r.Via, o.Via),
		r.Expires.Compare(o.Expires), cmp.Compare(bit(r.Microphone), bit(o.Microphone)),
	) > 0
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

// silent reports whether the ruling says nothing but that an earlier one holds no longer.
func (r *Ruling) silent() bool { return r.Denied == 0 && r.Granted == 0 }

// Verbs of moderation.
const (
	Mute      = "mute"
	Unmute    = "unmute"
	Kick      = "kick" // out for a while
	Ban       = "ban"  // out for good; a Revocation, not a Ruling
	Grant     = "grant"
	Revoke    = "revoke"
	Mic       = "mic"      // passes the microphone
	Lower     = "lower"    // takes a raised hand down; nothing is signed
	Dismiss   = "dismiss"  // sends back to those who only listen
	MuteAll   = "mute-all" // all who may not moderate
	UnmuteAll = "unmute-all"
	Lock      = "lock" // lets nobody new in
	Unlock    = "unlock"
	Knock     = "knock" // locks, and has who comes wait until he is let in
	Admit     = "admit" // lets in who waits
	Refuse    = "refuse"
	Title     = "title" // a new Record, not a Ruling, like all that follow

	Tones    = "tones" // for who comes and goes
	TonesOff = "tones-off"
	Wait     = "wait" // for somebody who may moderate
	WaitOff  = "wait-off"
	Music    = "music" // for who is alone
	MusicOff = "music-off"
)

// AboutSomebody and AboutAll are the verbs that need a participant and those that take none.
var (
	AboutSomebody = []string{Mute, Unmute, Kick, Ban, Grant, Revoke, Mic, Lower, Dismiss, Admit, Refuse}
	AboutAll      = []string{MuteAll, UnmuteAll, Lock, Knock, Unlock, Title, Tones, TonesOff, Wait, WaitOff, Music, MusicOff}
)

// Order is what a moderator wants. Ban, Lower, Title and what changes settings are not among what Rule takes.
type Order struct {
	Verb        string
	Participant string
	Via         string        // see Ruling
	Rights      Rights        // of Grant and Revoke; 0: Moderate
	For         time.Duration // 0: as the verb has it
}

// rulings returns those of a list, nil for none.
func (a *Access) rulings() []Ruling {
	if a == nil {
		return nil
	}
	return a.Rulings
}

// ruling returns what holds for a participant at the wall clock now; nothing of it is set where nobody has ruled.
func (a *Access) ruling(participant string, now time.Time) Ruling {
	for _, r := range a.rulings() {
		if r.Participant == participant && now.Before(r.Expires) {
			return r
		}
	}
	return Ruling{Participant: participant}
}

// Ruled reports whether a ruling about the participant is known.
func (a *Access) Ruled(participant string, now time.Time) bool {
	return !a.ruling(participant, now).At.IsZero()
}

// Rule returns the rulings that hold after an order, sorted. It fails where there are too many.
func (a *Access) Rule(o Order, now time.Time) ([]Ruling, error) {
	all, _ := MergeRulings(a, nil, now)
	now = time.UnixMilli(now.UnixMilli()) // as precise as it is told
	set := func(participant string, life time.Duration, change func(*Ruling)) {
		i := slices.IndexFunc(all, func(r Ruling) bool { return r.Participant == participant })
		if i < 0 {
			i = len(all)
			all = append(all, Ruling{Participant: participant})
		}
		r := &all[i]
		change(r)
		if r.At = maxTime(now, r.At.Add(time.Millisecond)); r.silent() {
			r.Via, r.Microphone, life = "", false, MuteLife
		}
		// Who moderates goes on doing so when what else was ruled of him has ended.
		if end := r.At.Add(min(life, maxRulingLife)); !r.Granted.Has(Moderate) || end.After(r.Expires) {
			r.Expires = end
		}
	}
	lasts := func(life time.Duration) time.Duration {
		if o.For > 0 {
			return o.For
		}
		return life
	}
	const sends = Speak | Video
	switch o.Verb {
	case Mute:
		set(o.Participant, lasts(MuteLife), func(r *Ruling) { r.Denied, r.Granted, r.Microphone = r.Denied|sends, r.Granted&^sends, false })
	case Unmute:
		general := a.ruling(Everybody, now)
		set(o.Participant, lasts(MuteLife), func(r *Ruling) {
			r.Denied &^= sends
			if general.Denied.Has(Speak) {
				r.Granted, r.Via = r.Granted|sends, o.Via
			}
		})
	case Kick, Refuse:
		set(o.Participant, lasts(KickLife), func(r *Ruling) { *r = Ruling{Participant: r.Participant, At: r.At, Denied: All} })
	case Grant, Revoke:
		rights := o.Rights
		if rights == 0 {
			rights = Moderate
		}
		life := MuteLife
		if rights.Has(Moderate) {
			life = GrantLife
		}
		set(o.Participant, lasts(life), func(r *Ruling) {
			if o.Verb == Revoke {
				r.Granted &^= rights
				return
			}
			r.Granted, r.Denied, r.Via = r.Granted|rights, r.Denied&^rights, o.Via
		})
	case Mic:
		for _, r := range slices.Clone(all) {
			if r.Microphone && r.Participant != o.Participant {
				set(r.Participant, MuteLife, func(r *Ruling) { r.Granted, r.Microphone = r.Granted&^sends, false })
			}
		}
		set(o.Participant, lasts(TurnLife), func(r *Ruling) {
			r.Granted, r.Denied, r.Via, r.Microphone = r.Granted|sends, r.Denied&^sends, o.Via, true
		})
	case Dismiss:
		set(o.Participant, MuteLife, func(r *Ruling) { r.Granted, r.Microphone = r.Granted&^sends, false })
	case MuteAll:
		// Who was given the word before has it no longer.
		for _, r := range slices.Clone(all) {
			if r.Participant != Everybody && r.Granted&sends != 0 {
				set(r.Participant, MuteLife, func(r *Ruling) { r.Granted, r.Microphone = r.Granted&^sends, false })
			}
		}
		set(Everybody, lasts(MuteLife), func(r *Ruling) { r.Denied |= sends })
	case UnmuteAll:
		set(Everybody, lasts(MuteLife), func(r *Ruling) { r.Denied &^= sends })
	case Lock:
		set(Everybody, lasts(MuteLife), func(r *Ruling) { r.Denied, r.Granted = r.Denied|Listen, r.Granted&^Listen })
	case Knock:
		set(Everybody, lasts(MuteLife), func(r *Ruling) { r.Denied, r.Granted = r.Denied|Listen, r.Granted|Listen })
	case Unlock:
		set(Everybody, lasts(MuteLife), func(r *Ruling) { r.Denied, r.Granted = r.Denied&^Listen, r.Granted&^Listen })
	case Admit:
		set(o.Participant, lasts(MuteLife), func(r *Ruling) { r.Denied, r.Granted, r.Via = r.Denied&^Listen, r.Granted|Listen, o.Via })
	default:
		return nil, fmt.Errorf("%w: %.40q", ErrVerb, o.Verb)
	}
	return fit(all)
}

// fit leaves out what says nothing any more where there is too much, the oldest first.
func fit(all []Ruling) ([]Ruling, error) {
	for len(all) > MaxRulings {
		oldest := -1
		for i := range all {
			if all[i].silent() && (oldest < 0 || all[i].At.Before(all[oldest].At)) {
				oldest = i
			}
		}
		if oldest < 0 {
			return nil, fmt.Errorf("%w: %d rulings", ErrAccessFull, len(all))
		}
		all = slices.Delete(all, oldest, oldest+1)
	}
	sortRulings(all)
	return all, nil
}

func sortRulings(all []Ruling) {
	slices.SortFunc(all, func(x, y Ruling) int { return cmp.Compare(x.Participant, y.Participant) })
}

// MergeRulings returns what holds of two lists at the wall clock now, sorted; either may be nil. more is true where b has something that a
// lacks.
func MergeRulings(a, b *Access, now time.Time) (all []Ruling, more bool) {
	for _, l := range []*Access{a, b} {
		for _, r := range l.rulings() {
			if !now.Before(r.Expires) {
				continue
			}
			i := slices.IndexFunc(all, func(o Ruling) bool { return o.Participant == r.Participant })
			switch {
			case i < 0:
				all = append(all, r)
			case r.newer(&all[i]):
				all[i] = r
			default:
				continue
			}
			more = more || l == b && l != a
		}
	}
	sortRulings(all)
	return all, more
}

// RulingsEnd reports whether something that was ruled ends after from, and not after to: rights change then without a new list.
func (a *Access) RulingsEnd(from, to time.Time) bool {
	return slices.ContainsFunc(a.rulings(), func(r Ruling) bool { return r.Expires.After(from) && !r.Expires.After(to) })
}

// rulingsToWire and rulingsFromWire are for the access list.
func rulingsToWire(all []Ruling) []*wire.Ruling {
	var out []*wire.Ruling
	for _, r := range all {
		out = append(out, &wire.Ruling{
			Participant: r.Participant, AtMs: milli(r.At), ExpiresMs: milli(r.Expires), Denied: uint32(r.Denied), Granted: uint32(r.Granted),
			Via: r.Via, Microphone: r.Microphone,
		})
	}
	return out
}

func rulingsFromWire(list []*wire.Ruling, now time.Time) ([]Ruling, error) {
	if len(list) > MaxRulings {
		return nil, fmt.Errorf("%w: %d rulings", ErrAccess, len(list))
	}
	var all []Ruling
	for _, w := range list {
		r := Ruling{
			Participant: w.GetParticipant(), At: time.UnixMilli(w.GetAtMs()), Expires: time.UnixMilli(w.GetExpiresMs()), Denied: Rights(w.GetDenied()),
			Granted: Rights(w.GetGranted()), Via: w.GetVia(), Microphone: w.GetMicrophone(),
		}
		switch {
		case r.Participant != Everybody && !participantForm.MatchString(r.Participant), r.Via != "" && !participantForm.MatchString(r.Via):
			return nil, fmt.Errorf("%w: ruling about nobody", ErrAccess)
		case r.At.After(now.Add(wire.Leeway)) || !r.Expires.After(r.At) || r.Expires.Sub(r.At) > maxRulingLife:
			// A later ruling wins, so that one from the future would win for ever.
			return nil, fmt.Errorf("%w: times of a ruling", ErrAccess)
		case slices.ContainsFunc(all, func(o Ruling) bool { return o.Participant == r.Participant }):
			return nil, fmt.Errorf("%w: two rulings about one participant", ErrAccess)
		}
		all = append(all, r)
	}
	return all, nil
}

// Standing is who somebody on the stage is: a guest, or with Self the user of the peer by way of which he comes.
type Standing struct {
	Participant string            // as others know him
	User        ed25519.PublicKey // of his peer
	Self        bool
}

// about returns the rulings that concern somebody: about himself and, where he is a guest, about the user of his peer, whose word it is
// who he is. Grants that are not his are taken out.
func (a *Access) about(s Standing, now time.Time) (all [2]Ruling) {
	user := wire.ParticipantID(s.User)
	all[0], all[1] = a.ruling(s.Participant, now), a.ruling(user, now)
	if s.Participant == user {
		all[0] = Ruling{}
	} else if all[0].Via != user {
		all[0].Granted = 0
	}
	if !s.Self {
		all[1].Granted = 0
	}
	return all
}

// Muted reports whether somebody who otherwise may speak may not, because a moderator has said so. Nobody mutes the owner.
func (p Policy) Muted(s Standing, now time.Time) bool {
	if s.Self && p.Record.IsOwner(s.User) || p.Access == nil {
		return false
	}
	var granted Rights
	for _, r := range p.Access.about(s, now) {
		if r.Denied.Has(Speak) {
			return true
		}
		granted |= r.Granted
	}
	return p.MutedAll(now) && granted&(Speak|Moderate) == 0 && !(s.Self && p.Record.IsDelegate(s.User))
}

// PutOut reports whether somebody was put out, for a while or for good. What was revoked of a user is Check's to say.
func (p Policy) PutOut(s Standing, now time.Time) bool {
	if s.Self && p.Record.IsOwner(s.User) || p.Access == nil {
		return false
	}
	for _, r := range p.Access.about(s, now) {
		if r.Denied.Has(Listen) {
			return true
		}
	}
	return slices.ContainsFunc(p.Access.Revoked, func(r Revocation) bool {
		return r.Rights == 0 && r.Participant != "" && r.Participant == s.Participant
	})
}

// Called reports whether a moderator has given somebody the word: by the microphone, or where all are muted.
func (p Policy) Called(s Standing, now time.Time) bool {
	if p.Access == nil {
		return false
	}
	rulings := p.Access.about(s, now)
	return slices.ContainsFunc(rulings[:], func(r Ruling) bool { return r.Granted.Has(Speak) }) && !p.Muted(s, now) && !p.PutOut(s, now)
}

// MayModerate reports whether somebody may, by a chain that is his peer's user's and may be nil.
func (p Policy) MayModerate(s Standing, c *wire.Chain, now time.Time) bool {
	if p.PutOut(s, now) {
		return false
	}
	for _, r := range p.Access.about(s, now) {
		if r.Granted.Has(Moderate) {
			return true
		}
	}
	if !s.Self {
		return false
	}
	rights, _ := p.Check(s.User, c, now) // without a right it does not matter why
	return rights.Has(Moderate)
}

// MutedAll and Locked report what holds for everybody.
func (p Policy) MutedAll(now time.Time) bool {
	return p.Access.ruling(Everybody, now).Denied.Has(Speak)
}

// Knocks reports whether those who would come into a locked room may wait to be let in.
func (p Policy) Knocks(now time.Time) bool {
	r := p.Access.ruling(Everybody, now)
	return r.Denied.Has(Listen) && r.Granted.Has(Listen)
}

// Admitted reports whether a moderator has let somebody into the locked room.
func (p Policy) Admitted(s Standing, now time.Time) bool {
	if p.Access == nil {
		return false
	}
	for _, r := range p.Access.about(s, now) {
		if r.Granted.Has(Listen) {
			return true
		}
	}
	return false
}

// Locked reports whether nobody new is let in.
func (p Policy) Locked(now time.Time) bool { return p.Access.ruling(Everybody, now).Denied.Has(Listen) }

// Roles that people are shown.
const (
	RoleOwner     = "owner"
	RoleModerator = "moderator"
	RoleSpeaker   = "speaker"  // may speak
	RoleListener  = "listener" // may not
)

// Roles returns those of somebody on the stage.
func (p Policy) Roles(s Standing, c *wire.Chain, now time.Time) []string {
	var roles []string
	if s.Self && p.Record.IsOwner(s.User) {
		roles = append(roles, RoleOwner)
	}
	if p.MayModerate(s, c, now) {
		roles = append(roles, RoleModerator)
	}
	if p.Muted(s, now) {
		return append(roles, RoleListener)
	}
	return append(roles, RoleSpeaker)
}

// granted returns what a ruling about a user gives him, and whether it keeps him out.
func (a *Access) granted(user ed25519.PublicKey, now time.Time) (Rights, error) {
	r := a.ruling(wire.ParticipantID(user), now)
	switch {
	case r.Denied.Has(Listen):
		return 0, ErrPutOut
	case r.Via != "":
		return 0, nil // a guest's
	}
	return r.Granted, nil
}

func maxTime(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
