package room

import (
	"crypto/ed25519"
	"errors"
	"time"

	"github.com/castd/castd/engine/wire"
)

// ErrNoChain says that a private room was asked for without a right to it.
var ErrNoChain = errors.New("room: private, and no right was shown")

// Policy is what a room's rights follow from. Its fields are constant.
type Policy struct {
	Record *Record
	Access *Access // nil: nothing was revoked
}

// Check returns what a user may do in the room at the wall clock now, by a chain that may be nil. The owner and his delegates
// may do everything; whether somebody is muted is Muted's to say. In a public room everyone may listen and relay, in a public conference speak as well: there an error says
// what is wrong with the chain, or that the person was shut out, and the rights are what is left without it. In a private room
// an error means no right at all.
func (p Policy) Check(user ed25519.PublicKey, c *wire.Chain, now time.Time) (Rights, error) {
	rec := p.Record
	if len(user) != ed25519.PublicKeySize {
		return p.open(), ErrNoChain
	}
	if rec.IsOwner(user) || rec.IsDelegate(user) {
		return All, nil
	}
	base, err := p.Access.left(p.open(), user, nil)
	if err != nil {
		return 0, err
	}
	granted, err := p.Access.granted(user, now)
	if err != nil {
		return 0, err
	}
	if !rec.Private {
		base |= granted // beside the way in, which a private room asks for
	}
	if len(c.GetLinks()) == 0 {
		if rec.Private {
			return 0, ErrNoChain
		}
		return base, nil
	}
	rights, err := rec.VerifyChain(c, user, now)
	if err == nil {
		rights, err = p.Access.left(rights, user, c)
	}
	if err != nil {
		return base, err
	}
	if rec.Mode == Conference && rights.Has(Listen) {
		rest, _ := p.Access.left(Speak|Video, user, c) // checked above
		rights |= rest
	}
	return base | rights | granted, nil
}

// May is Check for a room that somebody wants to be in: it returns an error where he may not listen.
func (p Policy) May(user ed25519.PublicKey, c *wire.Chain, now time.Time) (Rights, error) {
	rights, err := p.Check(user, c, now)
	if rights.Has(Listen) {
		return rights, nil
	}
	if err == nil {
		err = ErrRevoked
	}
	return 0, err
}

// open returns what everyone may do.
func (p Policy) open() Rights {
	switch {
	case p.Record.Private:
		return 0
	case p.Record.Mode == Conference:
		return Listen | Relay | Speak | Video
	}
	return Listen | Relay
}

// VerifyChain is VerifyChain for a chain that begins at the room's owner or at a delegate of his.
func (r *Record) VerifyChain(c *wire.Chain, subject ed25519.PublicKey, now time.Time) (Rights, error) {
	rights, err := VerifyChain(c, r.ID, r.Owner, subject, now, r.Epoch)
	for _, d := range r.Delegates {
		if !errors.Is(err, ErrChainSigned) {
			break
		}
		rights, err = VerifyChain(c, r.ID, d, subject, now, r.Epoch)
	}
	return rights, err
}

// Reasons why somebody is not let in, as peers tell each other.
const (
	DeniedNoInvite = "invite_needed"     // he showed none
	DeniedWrong    = "invite_wrong"      // it is not of this room, or was not signed by who may, or is somebody else's
	DeniedExpired  = "invite_expired"    // its time is over
	DeniedEarly    = "invite_early"      // or has not begun
	DeniedSpent    = "invite_spent"      // it has been used as often as it may be
	DeniedUnspent  = "invite_unredeemed" // its uses are counted, and it has not been presented to who counts
	DeniedRevoked  = "revoked"
	DeniedPutOut   = "put_out"     // a moderator has put him out for a while
	DeniedLocked   = "locked"      // the room lets nobody new in
	DeniedDismiss  = "dismissed"   // a moderator has just sent him back to those who only listen
	DeniedIssuer   = "issuer_away" // who counts its uses cannot be reached
	DeniedStale    = "no_beacon"   // the asked has not heard of the room's hub for too long to know
)

// Denial returns the reason that an error of Policy stands for.
func Denial(err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, ErrNoChain):
		return DeniedNoInvite
	case errors.Is(err, ErrRevoked):
		return DeniedRevoked
	case errors.Is(err, ErrPutOut):
		return DeniedPutOut
	case errors.Is(err, ErrChainExpired):
		return DeniedExpired
	case errors.Is(err, ErrChainEarly):
		return DeniedEarly
	case errors.Is(err, ErrChainCounted):
		return DeniedUnspent
	}
	return DeniedWrong
}
