package engine

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/castd/castd/engine/room"
	"github.com/castd/castd/engine/wire"
)

// inviteLife is how long the right in an invite lasts unless told otherwise.
const inviteLife = 30 * 24 * time.Hour

// MaxUses is how many uses of an invite can be counted.
const MaxUses = 1000

// InviteLink returns an invite link to the room with these addresses to ask first. In a private room it carries the right to listen,
// with a right to speak where that is asked for; only the owner can give rights, a delegate, or who has them himself to pass on.
func (r *Room) InviteLink(via []string, s InviteSpec) (string, error) {
	rec := r.record.Load()
	l := &room.Link{Room: r.id, Name: rec.Name, Via: via}
	speaks := s.Speak || s.Video
	if err := CheckUses(s.Uses); err != nil {
		return "", err
	}
	if s.Cohost != "" {
		if err := r.appoint(s.Cohost); err != nil {
			return "", err
		}
		return l.String(), nil // his right is in the record
	}
	switch {
	case s.Address, !speaks && !r.private && s.Uses == 0:
		return l.String(), nil
	case !speaks && !r.private:
		return "", NewUserError(CodeNotAllowed, fmt.Sprintf("anyone may listen in room %q, so that there is nothing to count: use --uses with --speak or --guest, or in a private room", rec.Name))
	}
	expires := s.Expires
	if expires <= 0 {
		expires = inviteLife
	}
	now := time.Now()
	var seed [room.SeedSize]byte
	nonce := make([]byte, room.NonceSize)
	if _, err := rand.Read(seed[:]); err != nil {
		return "", fmt.Errorf("make invite: %w", err)
	}
	if _, err := rand.Read(nonce); err != nil {
		return "", fmt.Errorf("make invite: %w", err)
	}
	spec := room.LinkSpec{Rights: room.Listen | room.Relay, NotBefore: now, Expires: now.Add(expires), Uses: s.Uses, Nonce: nonce}
	if speaks {
		spec.Rights |= room.Speak | room.Video
	}
	if s.Uses > 0 {
		spec.Issuer = []byte(r.e.self)
	}
	inv := (*wire.Invite)(nil)
	if mayHost(rec, r.e.userKey()) {
		inv = room.NewInvite(r.e.user, r.id, seed, spec)
	} else {
		own := r.chain.Load().GetLinks()
		if n := len(own); n > 0 && own[n-1].ExpiresMs != 0 && spec.Expires.UnixMilli() > own[n-1].ExpiresMs {
			spec.Expires = time.Time{} // with his own
		}
		var err error
		if inv, err = room.ExtendInvite(r.chain.Load(), r.e.user, r.id, seed, spec); err != nil {
			return "", NewUserError(CodeNotAllowed, fmt.Sprintf("your right in room %q is not one to give on: ask its owner for an invite made with `castd invite %s --speak`", rec.Name, rec.Name))
		}
	}
	last := inv.Chain.Links[len(inv.Chain.Links)-1]
	if err := r.e.keeper.SaveInvite(SavedInvite{
		ID: room.InviteID(last), Room: r.id, Rights: spec.Rights, Made: now, Expires: time.UnixMilli(last.ExpiresMs), Uses: s.Uses,
	}); err != nil {
		return "", fmt.Errorf("keep invite: %w", err)
	}
	l.Capability = room.EncodeInvite(inv)
	return l.String(), nil
}

// CheckUses returns an error for a person who asks for more uses than can be counted.
func CheckUses(n uint32) error {
	if n > MaxUses {
		return NewUserError(CodeBadUses, fmt.Sprintf("no more than %d uses of an invite are counted: use a smaller number, or leave out --uses", MaxUses))
	}
	return nil
}

// Invites lists the invites that this peer made to the room, the newest first. Guests' links are not among them.
func (r *Room) Invites() []InviteInfo {
	now := time.Now()
	a := r.access.Load()
	out := []InviteInfo{}
	for _, s := range r.e.keeper.SavedInvites(r.id) {
		i := s.info(now)
		if a.Holds(room.Revocation{Invite: s.ID}) || a != nil && s.Made.Before(a.Before) {
			i.State = InviteRevoked
		}
		out = append(out, i)
	}
	slices.SortFunc(out, func(x, y InviteInfo) int { return y.made.Compare(x.made) })
	return out
}

// States of invites.
const (
	InviteValid   = "valid"
	InviteExpired = "expired"
	InviteSpent   = "spent"
	InviteRevoked = "revoked"
)

// info describes an invite.
func (s SavedInvite) info(now time.Time) InviteInfo {
	i := InviteInfo{
		ID: s.ID, Kind: "peer", Rights: s.Rights.String(), Made: EventTime(s.Made), Uses: s.Uses, Used: s.Used, State: InviteValid, made: s.Made,
	}
	if !s.Expires.IsZero() {
		i.Expires = EventTime(s.Expires)
	}
	switch {
	case !s.Expires.IsZero() && now.After(s.Expires):
		i.State = InviteExpired
	case s.Uses > 0 && len(s.Used) >= int(s.Uses):
		i.State = InviteSpent
	}
	return i
}

// Revoke takes rights back: of all who came by an invite (its id), of a person (his participant id), or of everyone whose invite was
// made before now ("all"). rights 0 means all of them. The first honest peer that hears of it refuses at once; a private room gets
// a new media key, which those who stay are handed. It returns when the list is on disk and on its way.
func (r *Room) Revoke(ctx context.Context, who string, rights room.Rights) error {
	rec := r.record.Load()
	if !mayHost(rec, r.e.userKey()) {
		return NewUserError(CodeNotAllowed, fmt.Sprintf("only the owner of room %q can take rights back: ask him", rec.Name))
	}
	now := time.Now()
	v := room.Revocation{Rights: rights, At: now}
	switch _, invite := room.ParseInviteID(who); {
	case who == "all":
	case invite:
		v.Invite = who
		for _, s := range r.e.keeper.SavedInvites(r.id) {
			if s.ID == who {
				v.Expires = s.Expires
			}
		}
	case room.ValidParticipant(who):
		if who == wire.ParticipantID(rec.Owner) {
			return NewUserError(CodeNotAllowed, "the owner cannot be shut out of his own room: name somebody else")
		}
		v.Participant = who
		if rights == 0 {
			if err := r.dismiss(ctx, who); err != nil {
				return err
			}
		}
	default:
		return NewUserError(CodeNoInvite, fmt.Sprintf("%q is neither an invite nor a person: see `castd invite %s --list` for the ids", who, rec.Name))
	}
	var err error
	if cerr := r.call(ctx, func() {
		if who == "all" {
			err = r.rotateLoop(accessChange{before: now}, now)
		} else {
			err = r.revokeLoop(v, now)
		}
	}); cerr != nil {
		return cerr
	}
	if errors.Is(err, room.ErrAccessFull) {
		return NewUserError(CodeFull, fmt.Sprintf("too much has been revoked in room %q to remember it one by one: use --revoke all, and make new invites", rec.Name))
	}
	return err
}

// revokeLoop signs a list with one revocation more.
func (r *Room) revokeLoop(v room.Revocation, now time.Time) error {
	a := r.access.Load()
	if a.Holds(v) {
		return nil // and is spread
	}
	all, _ := a.Merge(nil, now)
	return r.rotateLoop(accessChange{revoked: append(all, v)}, now)
}
