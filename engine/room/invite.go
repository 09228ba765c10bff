package room

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/castd/castd/engine/wire"
)

// SeedSize is the length of an invite's seed in octets; it must come from a cryptographic source.
const SeedSize = ed25519.SeedSize

// maxCapability bounds the text of a capability in an invite link, in characters.
const maxCapability = 1600

// ErrInvite is returned for an invite that is not well formed.
var ErrInvite = errors.New("room: malformed invite")

// NewInvite returns an invite from the room's owner: whoever holds it may give the link's rights to his own user key. Subject
// of l is ignored; an invite is a bearer's, made from seed.
func NewInvite(owner ed25519.PrivateKey, id wire.RoomID, seed [SeedSize]byte, l LinkSpec) *wire.Invite {
	l.Subject = bearer(seed[:]).Public().(ed25519.PublicKey)
	return &wire.Invite{Chain: NewChain(owner, id, l), Seed: seed[:]}
}

// ExtendInvite returns an invite from somebody who has a chain himself. The chain may have at most two links, because the
// invite adds one and whoever redeems it another.
func ExtendInvite(c *wire.Chain, signer ed25519.PrivateKey, id wire.RoomID, seed [SeedSize]byte, l LinkSpec) (*wire.Invite, error) {
	if len(c.GetLinks()) > MaxLinks-2 {
		return nil, fmt.Errorf("%w: chain of %d links is too long for an invite", ErrChain, len(c.GetLinks()))
	}
	l.Subject = bearer(seed[:]).Public().(ed25519.PublicKey)
	chain, err := Extend(c, signer, id, l)
	if err != nil {
		return nil, err
	}
	return &wire.Invite{Chain: chain, Seed: seed[:]}, nil
}

// Redeem returns the chain that gives an invite's rights to a user. The first link can be verified only by who knows the
// room's owner; here the form, the bearer's key, times and the later signatures are.
func Redeem(inv *wire.Invite, user ed25519.PublicKey, id wire.RoomID, now time.Time) (*wire.Chain, error) {
	if len(inv.GetSeed()) != SeedSize || len(user) != ed25519.PublicKeySize {
		return nil, ErrInvite
	}
	links := inv.GetChain().GetLinks()
	if len(links) == 0 || len(links) >= MaxLinks {
		return nil, fmt.Errorf("%w: %d links", ErrInvite, len(links))
	}
	last := links[len(links)-1]
	if err := checkChain(links, now, last.GetEpochFloor()); err != nil {
		return nil, err
	}
	for i := 1; i < len(links); i++ {
		if !ed25519.Verify(links[i-1].Subject, linkBytes(id, links[i-1], links[i]), links[i].Signature) {
			return nil, ErrChainSigned
		}
	}
	key := bearer(inv.Seed)
	if string(key.Public().(ed25519.PublicKey)) != string(last.Subject) {
		return nil, ErrChainSubject
	}
	return Extend(inv.Chain, key, id, LinkSpec{Subject: user, Rights: Rights(last.Rights)})
}

// EncodeInvite returns the capability that stands in the fragment of an invite link.
func EncodeInvite(inv *wire.Invite) string {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(inv)
	if err != nil {
		panic("room: internal error: " + err.Error())
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// DecodeInvite reads a capability. It checks the form alone; Redeem does the rest.
func DecodeInvite(s string) (*wire.Invite, error) {
	if len(s) > maxCapability {
		return nil, fmt.Errorf("%w: %d characters", ErrInvite, len(s))
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvite, err)
	}
	var inv wire.Invite
	if err := proto.Unmarshal(b, &inv); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvite, err)
	}
	n := len(inv.GetChain().GetLinks())
	if len(inv.Seed) != SeedSize || n == 0 || n >= MaxLinks {
		return nil, ErrInvite
	}
	return &inv, nil
}

func bearer(seed []byte) ed25519.PrivateKey { return ed25519.NewKeyFromSeed(seed) }
