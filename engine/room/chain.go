package room

import (
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/castd/castd/engine/wire"
)

// A chain of rights goes from the room's owner to a user. Link 0 is signed by the owner's user key, link i by the subject of
// link i-1; each signature also covers the hash of the whole link before it, so that links cannot be put together anew. The
// bytes signed are
//
//	"castd right v1" ‖ 0x00 ‖ room id ‖ 0x00 ‖ SHA-256 of the link before, signature included (32 zero octets for link 0) ‖ link
//
// where a link is encoded as protobuf with fields in the order of their numbers, unset ones left out, and link is the one
// being signed without its signature. Fields that are added later have higher numbers and are kept by an old castd, so that it
// verifies what it does not understand.

// MaxLinks is how long a chain may be.
const MaxLinks = 4

const (
	rightDomain = "castd right v1\x00"
	maxNonce    = 32 // octets
	maxIssuer   = 64 // octets
)

// Errors of chains, for control flow.
var (
	ErrChain        = errors.New("room: malformed chain of rights")
	ErrChainSigned  = errors.New("room: chain's signature does not verify")
	ErrChainSubject = errors.New("room: chain belongs to another user")
	ErrChainExpired = errors.New("room: chain has expired")
	ErrChainEarly   = errors.New("room: chain does not hold yet")
	ErrChainWidens  = errors.New("room: chain grants more than its signer had")
	ErrChainCounted = errors.New("room: chain's uses are counted, and it was not presented to the peer that counts them")
)

// LinkSpec says what one link grants.
type LinkSpec struct {
	Subject    ed25519.PublicKey
	Rights     Rights
	NotBefore  time.Time // zero: from the link before, or from the beginning
	Expires    time.Time // zero: with the link before, or with the room
	EpochFloor uint64    // the room's epoch from which on the link holds: who knows only older records refuses it
	Uses       uint32    // 0: any number. Counted by Issuer, who exchanges such a link for one that is not counted
	Issuer     []byte    // peer that counts the uses
	Nonce      []byte    // tells equal links apart; at most 32 octets
}

// NewChain returns a chain of one link, signed by the room's owner.
func NewChain(owner ed25519.PrivateKey, id wire.RoomID, l LinkSpec) *wire.Chain {
	link := newLink(l)
	signLink(owner, id, nil, link)
	return &wire.Chain{Links: []*wire.Link{link}}
}

// Extend returns a chain longer by one link, signed by signer, who must be the subject of c's last link. What l leaves open is
// taken from that link. It returns ErrChainWidens where l asks for more.
func Extend(c *wire.Chain, signer ed25519.PrivateKey, id wire.RoomID, l LinkSpec) (*wire.Chain, error) {
	n := len(c.GetLinks())
	if n == 0 || n >= MaxLinks {
		return nil, fmt.Errorf("%w: %d links cannot be extended", ErrChain, n)
	}
	last := c.Links[n-1]
	if string(signer.Public().(ed25519.PublicKey)) != string(last.Subject) {
		return nil, ErrChainSubject
	}
	link := newLink(l)
	if link.ExpiresMs == 0 {
		link.ExpiresMs = last.ExpiresMs
	}
	if l.NotBefore.IsZero() {
		link.NotBeforeMs = last.NotBeforeMs
	}
	link.EpochFloor = max(link.EpochFloor, last.EpochFloor)
	if link.Uses == 0 {
		link.Uses, link.Issuer = last.Uses, last.Issuer
	}
	if err := checkNarrower(last, link); err != nil {
		return nil, err
	}
	signLink(signer, id, last, link)
	return &wire.Chain{Links: append(append([]*wire.Link(nil), c.Links...), link)}, nil
}

// VerifyChain checks a chain of the room against its owner's user key, the wall clock now and the room's epoch, and returns
// the rights that it gives to subject. Clocks may differ by wire.Leeway, at the end of a short life by a tenth of it. A chain
// with counted uses gives no rights: see VerifyCounted.
func VerifyChain(c *wire.Chain, id wire.RoomID, owner, subject ed25519.PublicKey, now time.Time, epoch uint64) (Rights, error) {
	rights, err := verifyChain(c, id, owner, subject, now, epoch)
	if err == nil && c.Links[len(c.Links)-1].Uses != 0 {
		return 0, ErrChainCounted
	}
	return rights, err
}

// VerifyCounted is VerifyChain for the peer that counts: it returns the rights that a chain with counted uses is to be
// exchanged for, and the link that tells how many uses there are.
func VerifyCounted(c *wire.Chain, id wire.RoomID, owner, subject ed25519.PublicKey, now time.Time, epoch uint64) (Rights, *wire.Link, error) {
	rights, err := verifyChain(c, id, owner, subject, now, epoch)
	if err != nil {
		return 0, nil, err
	}
	n := len(c.Links)
	if n < 2 || c.Links[n-2].Uses == 0 {
		return 0, nil, fmt.Errorf("%w: no use of it is counted", ErrChain)
	}
	return rights, c.Links[n-2], nil
}

func verifyChain(c *wire.Chain, id wire.RoomID, owner, subject ed25519.PublicKey, now time.Time, epoch uint64) (Rights, error) {
	links := c.GetLinks()
	if err := checkChain(links, now, epoch); err != nil {
		return 0, err
	}
	last := links[len(links)-1]
	if string(last.Subject) != string(subject) {
		return 0, ErrChainSubject
	}
	signer := owner
	var before *wire.Link
	for _, l := range links {
		if len(signer) != ed25519.PublicKeySize || !ed25519.Verify(signer, linkBytes(id, before, l), l.Signature) {
			return 0, ErrChainSigned
		}
		before, signer = l, l.Subject
	}
	return Rights(last.Rights), nil
}

// checkChain checks everything but signatures.
func checkChain(links []*wire.Link, now time.Time, epoch uint64) error {
	if len(links) == 0 || len(links) > MaxLinks {
		return fmt.Errorf("%w: %d links", ErrChain, len(links))
	}
	for i, l := range links {
		if len(l.GetSubject()) != ed25519.PublicKeySize || len(l.Signature) != ed25519.SignatureSize || len(l.Nonce) > maxNonce || len(l.Issuer) > maxIssuer {
			return fmt.Errorf("%w: link %d", ErrChain, i)
		}
		if i > 0 {
			if err := checkNarrower(links[i-1], l); err != nil {
				return err
			}
		}
	}
	last := links[len(links)-1] // the narrowest
	switch {
	case last.ExpiresMs != 0 && now.After(time.UnixMilli(last.ExpiresMs).Add(leewayOf(last))):
		return ErrChainExpired
	case last.NotBeforeMs != 0 && now.Before(time.UnixMilli(last.NotBeforeMs).Add(-wire.Leeway)):
		return ErrChainEarly
	case epoch < last.EpochFloor:
		return ErrChainEarly
	}
	return nil
}

// leewayOf returns how long after its end a link still holds: other clocks differ, but a life of seconds is not to be minutes.
func leewayOf(l *wire.Link) time.Duration {
	if l.NotBeforeMs == 0 {
		return wire.Leeway
	}
	return min(wire.Leeway, time.Duration(max(l.ExpiresMs-l.NotBeforeMs, 0))*time.Millisecond/10)
}

// ExpiresAt returns when a chain ends for all clocks, zero if it does not.
func ExpiresAt(c *wire.Chain) time.Time {
	n := len(c.GetLinks())
	if n == 0 || c.Links[n-1].GetExpiresMs() == 0 {
		return time.Time{}
	}
	return time.UnixMilli(c.Links[n-1].ExpiresMs).Add(leewayOf(c.Links[n-1]))
}

// Counted returns the peer that counts the uses of a chain; nil where nobody does.
func Counted(c *wire.Chain) (issuer []byte, counted bool) {
	n := len(c.GetLinks())
	if n == 0 || c.Links[n-1].GetUses() == 0 {
		return nil, false
	}
	return c.Links[n-1].Issuer, true
}

func checkNarrower(before, l *wire.Link) error {
	switch {
	case l.Rights&^before.Rights != 0,
		l.NotBeforeMs < before.NotBeforeMs,
		before.ExpiresMs != 0 && (l.ExpiresMs == 0 || l.ExpiresMs > before.ExpiresMs),
		l.EpochFloor < before.EpochFloor,
		before.Uses != 0 && (l.Uses == 0 || l.Uses > before.Uses || string(l.Issuer) != string(before.Issuer)):
		return ErrChainWidens
	}
	return nil
}

func newLink(l LinkSpec) *wire.Link {
	link := &wire.Link{
		Subject: l.Subject, Rights: uint32(l.Rights), EpochFloor: l.EpochFloor, Uses: l.Uses, Issuer: l.Issuer, Nonce: l.Nonce,
	}
	if !l.NotBefore.IsZero() {
		link.NotBeforeMs = l.NotBefore.UnixMilli()
	}
	if !l.Expires.IsZero() {
		link.ExpiresMs = l.Expires.UnixMilli()
	}
	return link
}

func signLink(signer ed25519.PrivateKey, id wire.RoomID, before, l *wire.Link) {
	l.Signature = ed25519.Sign(signer, linkBytes(id, before, l))
}

func linkBytes(id wire.RoomID, before, l *wire.Link) []byte {
	b := append([]byte(rightDomain), id...)
	b = append(b, 0)
	var hash [sha256.Size]byte
	if before != nil {
		hash = sha256.Sum256(encodeLink(before))
	}
	b = append(b, hash[:]...)
	bare := proto.Clone(l).(*wire.Link)
	bare.Signature = nil
	return append(b, encodeLink(bare)...)
}

func encodeLink(l *wire.Link) []byte {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(l)
	if err != nil {
		panic("room: internal error: " + err.Error())
	}
	return b
}
