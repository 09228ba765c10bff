package engine

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"slices"
	"strings"

	"github.com/castd/castd/engine/room"
	"github.com/castd/castd/engine/wire"
)

// Co-hosts are the delegates whom the owner's record names: their devices may be the room's hub and let others in, so that the room
// stays open while the owner is away. They cannot name others, nor change what the owner said.

// appoint names a user a co-host, by his key.
func (r *Room) appoint(text string) error {
	key, err := wire.ParseUserKey(strings.TrimSpace(text))
	if err != nil {
		return NewUserError(CodeBadMedia, fmt.Sprintf("%.80q is not a user's public key: use the one that `castd id` shows on his machine", text))
	}
	if !r.own {
		return NewUserError(CodeNotAllowed, fmt.Sprintf("only the owner of room %q can name who keeps it open for him", r.Name()))
	}
	var failed error
	err = r.call(r.ctx, func() {
		rec := r.record.Load()
		switch {
		case rec.IsOwner(key) || rec.IsDelegate(key):
			return
		case len(rec.Delegates) >= room.MaxDelegates:
			failed = NewUserError(CodeFull, fmt.Sprintf("room %q has as many co-hosts as there can be: take one back with `castd invite %s --revoke`", rec.Name, rec.Name))
			return
		}
		failed = r.delegatesLoop(append(slices.Clone(rec.Delegates), key))
	})
	if err != nil {
		return err
	}
	return failed
}

// dismiss takes the part of a co-host back, where the participant has it.
func (r *Room) dismiss(ctx context.Context, participant string) error {
	var failed error
	if err := r.call(ctx, func() { failed = r.dismissLoop(participant) }); err != nil {
		return err
	}
	return failed
}

func (r *Room) dismissLoop(participant string) error {
	left := slices.DeleteFunc(slices.Clone(r.record.Load().Delegates), func(d ed25519.PublicKey) bool { return wire.ParticipantID(d) == participant })
	if len(left) == len(r.record.Load().Delegates) {
		return nil
	}
	if !r.own {
		return NewUserError(CodeNotAllowed, fmt.Sprintf("only the owner of room %q can take back who keeps it open for him", r.Name()))
	}
	return r.delegatesLoop(left)
}

// delegatesLoop signs a record with these delegates, and tells the room.
func (r *Room) delegatesLoop(delegates []ed25519.PublicKey) error {
	spec := again(r.record.Load())
	spec.Delegates = delegates
	return r.reviseLoop(spec)
}
