package engine

import (
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/castd/castd/engine/room"
	"github.com/castd/castd/engine/wire"
)

// inviteLife is how long the right in an invite lasts unless told otherwise.
const inviteLife = 30 * 24 * time.Hour

// InviteLink returns the room's invite link with these addresses to ask first; with a right to speak where that is asked for,
// which only the owner can give, or who has it himself to pass on.
func (r *Room) InviteLink(via []string, s InviteSpec) (string, error) {
	rec := r.record.Load()
	l := &room.Link{Room: r.id, Name: rec.Name, Via: via}
	if !s.Speak && !s.Video {
		return l.String(), nil
	}
	expires := s.Expires
	if expires <= 0 {
		expires = inviteLife
	}
	now := time.Now()
	var seed [room.SeedSize]byte
	if _, err := rand.Read(seed[:]); err != nil {
		return "", fmt.Errorf("make invite: %w", err)
	}
	spec := room.LinkSpec{
		Rights: room.Listen | room.Speak | room.Video | room.Relay, NotBefore: now.Add(-wire.Leeway), Expires: now.Add(expires), EpochFloor: 0,
	}
	inv := (*wire.Invite)(nil)
	if rec.IsOwner(r.e.user.Public().(ed25519.PublicKey)) {
		inv = room.NewInvite(r.e.user, r.id, seed, spec)
	} else {
		var err error
		if inv, err = room.ExtendInvite(r.chain.Load(), r.e.user, r.id, seed, spec); err != nil {
			return "", NewUserError(CodeNotAllowed, fmt.Sprintf("only the owner of room %q can let others send: ask for an invite made with `castd invite %s --speak`", rec.Name, rec.Name))
		}
	}
	l.Capability = room.EncodeInvite(inv)
	return l.String(), nil
}
