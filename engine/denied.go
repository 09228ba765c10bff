package engine

import (
	"fmt"
	"slices"

	"github.com/castd/castd/engine/room"
)

// Codes of UserErrors that say why a room does not let somebody in. They are the words that peers use between themselves.
const (
	CodeInviteNeeded  = room.DeniedNoInvite
	CodeInviteWrong   = room.DeniedWrong
	CodeInviteExpired = room.DeniedExpired
	CodeInviteEarly   = room.DeniedEarly
	CodeInviteSpent   = room.DeniedSpent
	CodeRevoked       = room.DeniedRevoked
	CodeIssuerAway    = room.DeniedIssuer
)

// denials are the reasons, those that tell most first.
var denials = [...]string{
	room.DeniedRevoked, room.DeniedPutOut, room.DeniedLocked, room.DeniedSpent, room.DeniedExpired, room.DeniedEarly, room.DeniedWrong, room.DeniedNoInvite,
	room.DeniedUnspent, room.DeniedIssuer, room.DeniedStale,
}

// denied returns what a person is told who is not let in for the reason. name may be empty.
func denied(reason, name string) *UserError {
	which := "this room"
	if name != "" {
		which = fmt.Sprintf("room %q", name)
	}
	switch reason {
	case room.DeniedNoInvite:
		return NewUserError(CodeInviteNeeded, which+" is private: ask its owner for an invite link, made with `castd invite`, and use the whole link")
	case room.DeniedExpired:
		return NewUserError(CodeInviteExpired, "the invite has expired: ask for a new one")
	case room.DeniedEarly:
		return NewUserError(CodeInviteEarly, "the invite does not hold yet: try again later, and see that this machine's clock is right")
	case room.DeniedSpent:
		return NewUserError(CodeInviteSpent, "the invite has been used as often as it may be: ask for a new one")
	case room.DeniedRevoked:
		return NewUserError(CodeRevoked, "your right to "+which+" was taken back: ask its owner for a new invite")
	case room.DeniedPutOut:
		return NewUserError(CodePutOut, "a moderator has put you out of "+which+": you may come back in a while")
	case room.DeniedLocked:
		return NewUserError(CodeLocked, which+" is locked, and lets nobody new in: try again later, or ask its owner to use `castd room unlock`")
	case room.DeniedDismiss:
		return NewUserError(CodeDismissed, "a moderator has sent you back to those who listen in "+which+": raise your hand to be called again")
	case room.DeniedUnspent, room.DeniedIssuer:
		return NewUserError(CodeIssuerAway, "the uses of this invite are counted, and the peer that counts them cannot be reached: try again when whoever gave it to you runs castd")
	case room.DeniedStale:
		return NewUserError(CodeTimeout, "who is in "+which+" has not heard of its owner for a while, and lets nobody in until then: try again later")
	}
	return NewUserError(CodeInviteWrong, "the invite does not fit "+which+": copy the whole link again, or ask for a new one")
}

// worst returns the reason among many that tells a person most, "" for none.
func worst(reasons []string) string {
	for _, d := range denials {
		if slices.Contains(reasons, d) {
			return d
		}
	}
	if len(reasons) > 0 {
		return room.DeniedWrong
	}
	return ""
}

// passing reports whether a reason may be another one soon.
func passing(reason string) bool {
	return reason == room.DeniedStale || reason == room.DeniedIssuer || reason == room.DeniedUnspent
}
