package room

import (
	"bytes"
	"cmp"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/castd/castd/engine/wire"
)

// An access list takes rights back that were signed before. A right in a chain holds until its end; whoever is to be shut out
// earlier is named in the list, by his invite or by himself. The list also names the generation of the room's media key and
// commits to the key, so that nobody who hands keys on can hand on a wrong one. It has a number that only grows: an older list
// never takes the place of a newer one, whoever repeats it.

// MaxRevoked bounds the revocations in a list; with it an envelope stays below wire.MaxEnvelope.
const MaxRevoked = 200

// NonceSize is the length of an invite's id in octets.
const NonceSize = 8

// CommitmentSize is the length of the commitment to a media key in octets.
const CommitmentSize = sha256.Size

// Errors of access lists, for control flow.
var (
	ErrAccess     = errors.New("room: malformed access list")
	ErrAccessFull = errors.New("room: access list is full")
	ErrRevoked    = errors.New("room: right was revoked")
)

// Access is a room's access list, as its owner or a delegate signed it. It must not be changed.
type Access struct {
	Number     uint64
	Generation uint32 // of the media key; 0 in a public room
	Commitment []byte // to that key
	Made       time.Time
	Before     time.Time // invites made before do not hold; zero: none
	Revoked    []Revocation
	Rulings    []Ruling // at most one about a participant
	ByOwner    bool     // not a delegate
	Envelope   []byte
}

// Revocation takes rights from all who came by an invite, or from one person. One of Invite and Participant is set.
type Revocation struct {
	Invite      string // InviteID
	Participant string
	Rights      Rights // 0: all
	At          time.Time
	Expires     time.Time // when the invite would have ended anyway; zero: never
}

// same reports whether two revocations are about the same.
func (r Revocation) same(o Revocation) bool {
	return r.Invite == o.Invite && r.Participant == o.Participant && r.Rights == o.Rights
}

// AccessSpec says what a new list should hold.
type AccessSpec struct {
	Number     uint64
	Generation uint32
	Commitment []byte
	Made       time.Time
	Expires    time.Time // of the envelope
	Before     time.Time
	Revoked    []Revocation
	Rulings    []Ruling
}

var idCoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// InviteID returns the id that an invite's link is known by, "" for a link without one.
func InviteID(l *wire.Link) string {
	if len(l.GetNonce()) != NonceSize {
		return ""
	}
	return idCoding.EncodeToString(l.Nonce)
}

// ParseInviteID reads an id that InviteID made.
func ParseInviteID(s string) (nonce []byte, ok bool) {
	b, err := idCoding.DecodeString(s)
	return b, err == nil && len(b) == NonceSize && idCoding.EncodeToString(b) == s
}

// ValidParticipant reports whether s has the form of a participant id.
func ValidParticipant(s string) bool { return participantForm.MatchString(s) }

// NewAccess signs a list in the name of signer's user, who must be the room's owner or a delegate.
func NewAccess(signer *wire.Signer, rec *Record, spec AccessSpec) (*Access, error) {
	if len(spec.Revoked) > MaxRevoked {
		return nil, fmt.Errorf("%w: %d revocations", ErrAccessFull, len(spec.Revoked))
	}
	rulings, err := fit(slices.Clone(spec.Rulings))
	if err != nil {
		return nil, err
	}
	body := &wire.Access{
		Number: spec.Number, Generation: spec.Generation, Commitment: spec.Commitment, MadeMs: spec.Made.UnixMilli(), BeforeMs: milli(spec.Before),
		Rulings: rulingsToWire(rulings),
	}
	for _, v := range spec.Revoked {
		r := &wire.Revocation{Participant: v.Participant, Rights: uint32(v.Rights), AtMs: milli(v.At), ExpiresMs: milli(v.Expires)}
		if v.Invite != "" {
			r.Invite, _ = ParseInviteID(v.Invite) // VerifyAccess looks at what came out
		}
		body.Revoked = append(body.Revoked, r)
	}
	env, err := signer.Seal(rec.ID, wire.Type_ACCESS, rec.Epoch, spec.Expires, body)
	if err != nil {
		return nil, err
	}
	a, err := VerifyAccess(env, rec, spec.Made)
	if err != nil {
		return nil, fmt.Errorf("make access list: %w", err)
	}
	return a, nil
}

// VerifyAccess opens a list and checks it against the room's record and the wall clock now.
func VerifyAccess(env []byte, rec *Record, now time.Time) (*Access, error) {
	m, err := wire.OpenEnvelope(env, now)
	if err != nil {
		return nil, err
	}
	if m.Type != wire.Type_ACCESS || m.Room != rec.ID || !rec.IsOwner(m.User) && !rec.IsDelegate(m.User) {
		return nil, ErrNotSigned
	}
	var b wire.Access
	if err := proto.Unmarshal(m.Body, &b); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAccess, err)
	}
	switch {
	case b.Number == 0 || len(b.Revoked) > MaxRevoked:
		return nil, fmt.Errorf("%w: number %d, %d revocations", ErrAccess, b.Number, len(b.Revoked))
	case b.Generation == 0 && len(b.Commitment) != 0, b.Generation != 0 && len(b.Commitment) != CommitmentSize:
		return nil, fmt.Errorf("%w: commitment of %d octets", ErrAccess, len(b.Commitment))
	}
	a := &Access{
		Number: b.Number, Generation: b.Generation, Commitment: b.Commitment, Made: fromMilli(b.MadeMs), Before: fromMilli(b.BeforeMs),
		ByOwner: rec.IsOwner(m.User), Envelope: bytes.Clone(env),
	}
	for _, v := range b.Revoked {
		r := Revocation{Participant: v.GetParticipant(), Rights: Rights(v.GetRights()), At: fromMilli(v.GetAtMs()), Expires: fromMilli(v.GetExpiresMs())}
		switch {
		case len(v.GetInvite()) == NonceSize && r.Participant == "":
			r.Invite = idCoding.EncodeToString(v.Invite)
		case len(v.GetInvite()) != 0 || !participantForm.MatchString(r.Participant):
			return nil, fmt.Errorf("%w: revocation of nobody", ErrAccess)
		}
		a.Revoked = append(a.Revoked, r)
	}
	if a.Rulings, err = rulingsFromWire(b.Rulings, now); err != nil {
		return nil, err
	}
	return a, nil
}

// NewerAccess reports whether a should take the place of b, of the same room; b may be nil. The larger number wins; then the
// owner's, then, so that all peers agree, the one with the larger hash.
func NewerAccess(a, b *Access) bool {
	switch {
	case b == nil:
		return true
	case a.Number != b.Number:
		return a.Number > b.Number
	case a.ByOwner != b.ByOwner:
		return a.ByOwner
	}
	x, y := sha256.Sum256(a.Envelope), sha256.Sum256(b.Envelope)
	return bytes.Compare(x[:], y[:]) > 0
}

// Hash returns what a beacon shows of the list; nil for none.
func (a *Access) Hash() []byte {
	if a == nil {
		return nil
	}
	h := sha256.Sum256(a.Envelope)
	return h[:16]
}

// Holds reports whether the list has the revocation already, or one that takes more.
func (a *Access) Holds(r Revocation) bool {
	return a != nil && slices.ContainsFunc(a.Revoked, func(o Revocation) bool {
		return o.same(r) || o.Rights == 0 && o.Invite == r.Invite && o.Participant == r.Participant
	})
}

// Merge returns the revocations of both lists that still matter at the wall clock now, sorted. Two who may sign may do so at the
// same time; nothing that either took back may come to hold again. ok is false where b has nothing that a lacks.
func (a *Access) Merge(b *Access, now time.Time) (all []Revocation, ok bool) {
	for _, l := range []*Access{a, b} {
		if l == nil {
			continue
		}
		for _, r := range l.Revoked {
			if !r.Expires.IsZero() && now.After(r.Expires.Add(wire.Leeway)) || slices.ContainsFunc(all, r.same) {
				continue
			}
			all = append(all, r)
			ok = ok || l == b && !a.Holds(r)
		}
	}
	slices.SortFunc(all, func(x, y Revocation) int {
		return cmp.Or(x.At.Compare(y.At), cmp.Compare(x.Invite, y.Invite), cmp.Compare(x.Participant, y.Participant), cmp.Compare(x.Rights, y.Rights))
	})
	return all, ok
}

// left returns what the list leaves of rights that a user has by a chain, which may be nil.
func (a *Access) left(rights Rights, user ed25519.PublicKey, c *wire.Chain) (Rights, error) {
	if a == nil {
		return rights, nil
	}
	if links := c.GetLinks(); len(links) > 0 && !a.Before.IsZero() && fromMilli(links[0].NotBeforeMs).Before(a.Before) {
		return 0, ErrRevoked
	}
	participant := wire.ParticipantID(user)
	for _, r := range a.Revoked {
		hit := r.Participant == participant
		for _, l := range c.GetLinks() {
			hit = hit || r.Invite != "" && r.Invite == InviteID(l)
		}
		switch {
		case hit && r.Rights == 0:
			return 0, ErrRevoked
		case hit:
			rights &^= r.Rights
		}
	}
	return rights, nil
}

func milli(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func fromMilli(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}
