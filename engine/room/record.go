package room

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"github.com/castd/castd/engine/wire"
)

// Modes of rooms.
const (
	Broadcast  = "broadcast"  // the owner's devices, and who has a right to, send; all others listen
	Conference = "conference" // everyone who may join may send
)

// Bounds of room records.
const (
	MaxTitle     = 200 // octets
	MaxDelegates = 32
)

// Errors of records, for control flow. Errors of the envelope itself are wire's.
var (
	ErrRecord    = errors.New("room: malformed room record")
	ErrNotSigned = errors.New("room: room record was not signed by the room's owner or a delegate of his")
)

// Record describes a room, as its owner or a delegate signed it. It must not be changed.
type Record struct {
	ID         wire.RoomID
	Owner      ed25519.PublicKey // user key
	Name       string            // in lower case
	Title      string
	Mode       string // Broadcast, Conference
	Private    bool
	Delegates  []ed25519.PublicKey // user keys
	Epoch      uint64
	OwnerEpoch uint64 // of the owner's record: Epoch itself, unless a delegate signed this one
	Issued     time.Time
	Expires    time.Time
	Settings   Settings
	BudgetBps  uint64            // bit rate of the programme that the tree is built for; 0 unknown
	Signer     ed25519.PublicKey // user key of owner or delegate
	Envelope   []byte

	owners []byte // envelope of the owner's record, where a delegate signed this one
}

// RecordSpec says what a new record should hold.
type RecordSpec struct {
	Name      string
	Title     string
	Mode      string // "" is Broadcast
	Private   bool
	Delegates []ed25519.PublicKey
	Epoch     uint64
	Issued    time.Time
	Expires   time.Time
	BudgetBps uint64
	Settings  Settings
	// OwnerRecord is the owner's record where a delegate signs. Name, mode, privacy, delegates and budget are then the
	// owner's; only title, settings, epoch and times are the delegate's to set.
	OwnerRecord *Record
}

// NewRecord signs a room record in the name of signer's user, who is the room's owner unless spec.OwnerRecord is set. It
// returns the record and its envelope.
func NewRecord(signer *wire.Signer, spec RecordSpec) (env []byte, r *Record, err error) {
	body := &wire.RoomRecord{
		Title: spec.Title, Settings: uint32(spec.Settings), Epoch: spec.Epoch, IssuedMs: spec.Issued.UnixMilli(), ExpiresMs: spec.Expires.UnixMilli(),
	}
	if o := spec.OwnerRecord; o != nil {
		body.Owner, body.Name, body.Mode, body.Private, body.BudgetBps = o.Owner, o.Name, o.Mode, o.Private, o.BudgetBps
		for _, d := range o.Delegates {
			body.Delegates = append(body.Delegates, d)
		}
		body.OwnerRecord = o.Envelope
	} else {
		if body.Name, err = wire.NormalRoomName(spec.Name); err != nil {
			return nil, nil, err
		}
		body.Owner, body.Mode, body.Private, body.BudgetBps = signer.User(), spec.Mode, spec.Private, spec.BudgetBps
		if body.Mode == "" {
			body.Mode = Broadcast
		}
		for _, d := range spec.Delegates {
			body.Delegates = append(body.Delegates, d)
		}
	}
	id := wire.NewRoomID(body.Owner, body.Name)
	env, err = signer.Seal(id, wire.Type_ROOM_RECORD, spec.Epoch, spec.Expires, body)
	if err != nil {
		return nil, nil, err
	}
	if r, err = VerifyRecord(env, spec.Issued); err != nil {
		return nil, nil, fmt.Errorf("make room record: %w", err)
	}
	return env, r, nil
}

// VerifyRecord opens a room record and checks it against the wall clock now: that the room's id follows from its owner and
// name, and that the owner signed it, or a delegate whom the owner's own, unexpired record names.
func VerifyRecord(env []byte, now time.Time) (*Record, error) {
	r, body, err := openRecord(env, now)
	if err != nil {
		return nil, err
	}
	if bytes.Equal(r.Signer, r.Owner) {
		r.OwnerEpoch = r.Epoch
		return r, nil
	}
	if len(body.OwnerRecord) == 0 {
		return nil, ErrNotSigned
	}
	o, _, err := openRecord(body.OwnerRecord, now)
	if err != nil {
		return nil, fmt.Errorf("open owner's record: %w", err)
	}
	if o.ID != r.ID || !bytes.Equal(o.Signer, o.Owner) || !o.IsDelegate(r.Signer) {
		return nil, ErrNotSigned
	}
	if r.Mode != o.Mode || r.Private != o.Private || r.BudgetBps != o.BudgetBps || !equalKeys(r.Delegates, o.Delegates) {
		return nil, fmt.Errorf("%w: a delegate changed what is the owner's", ErrRecord)
	}
	r.OwnerEpoch, r.owners = o.Epoch, bytes.Clone(body.OwnerRecord)
	return r, nil
}

// OwnersRecord returns the record that the owner himself signed, for delegates who sign one after it.
func (r *Record) OwnersRecord(now time.Time) (*Record, error) {
	if r.owners == nil {
		return r, nil
	}
	return VerifyRecord(r.owners, now)
}

// openRecord checks one envelope and the form of its content.
func openRecord(env []byte, now time.Time) (*Record, *wire.RoomRecord, error) {
	m, err := wire.OpenEnvelope(env, now)
	if err != nil {
		return nil, nil, err
	}
	if m.Type != wire.Type_ROOM_RECORD || m.User == nil {
		return nil, nil, ErrRecord
	}
	var b wire.RoomRecord
	if err := proto.Unmarshal(m.Body, &b); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrRecord, err)
	}
	name, err := wire.NormalRoomName(b.Name)
	switch {
	case err != nil || name != b.Name:
		return nil, nil, fmt.Errorf("%w: name", ErrRecord)
	case len(b.Owner) != ed25519.PublicKeySize || wire.NewRoomID(b.Owner, b.Name) != m.Room:
		return nil, nil, fmt.Errorf("%w: id does not follow from owner and name", ErrRecord)
	case b.Mode != Broadcast && b.Mode != Conference:
		return nil, nil, fmt.Errorf("%w: unknown mode, it may be from a newer castd", ErrRecord)
	case !ValidTitle(b.Title):
		return nil, nil, fmt.Errorf("%w: title is over %d octets or has control characters", ErrRecord, MaxTitle)
	case len(b.Delegates) > MaxDelegates:
		return nil, nil, fmt.Errorf("%w: %d delegates", ErrRecord, len(b.Delegates))
	case b.Epoch != m.Epoch || b.ExpiresMs != m.Expires.UnixMilli() || b.IssuedMs > b.ExpiresMs:
		return nil, nil, fmt.Errorf("%w: epoch or times", ErrRecord)
	}
	r := &Record{
		ID: m.Room, Owner: b.Owner, Name: b.Name, Title: b.Title, Settings: Settings(b.Settings), Mode: b.Mode, Private: b.Private, Epoch: b.Epoch,
		Issued: time.UnixMilli(b.IssuedMs), Expires: m.Expires, BudgetBps: b.BudgetBps, Signer: m.User, Envelope: bytes.Clone(env),
	}
	for _, d := range b.Delegates {
		if len(d) != ed25519.PublicKeySize {
			return nil, nil, fmt.Errorf("%w: delegate's key", ErrRecord)
		}
		r.Delegates = append(r.Delegates, d)
	}
	return r, &b, nil
}

// IsDelegate reports whether the record names the user a delegate.
func (r *Record) IsDelegate(user ed25519.PublicKey) bool {
	return slices.ContainsFunc(r.Delegates, func(d ed25519.PublicKey) bool { return bytes.Equal(d, user) })
}

// IsOwner reports whether the user owns the room.
func (r *Record) IsOwner(user ed25519.PublicKey) bool { return bytes.Equal(r.Owner, user) }

// Newer reports whether a should take the place of b, of the same room; b may be nil. What follows the owner's newer word
// wins, so that a delegate cannot shut the owner out with a large epoch; then the larger epoch, then the later issue, then,
// so that all peers agree, the larger hash.
func Newer(a, b *Record) bool {
	switch {
	case b == nil:
		return true
	case a.OwnerEpoch != b.OwnerEpoch:
		return a.OwnerEpoch > b.OwnerEpoch
	case a.Epoch != b.Epoch:
		return a.Epoch > b.Epoch
	case !a.Issued.Equal(b.Issued):
		return a.Issued.After(b.Issued)
	}
	x, y := sha256.Sum256(a.Envelope), sha256.Sum256(b.Envelope)
	return bytes.Compare(x[:], y[:]) > 0
}

// ValidTitle reports whether s can be a room's title.
func ValidTitle(s string) bool {
	return len(s) <= MaxTitle && utf8.ValidString(s) && !strings.ContainsFunc(s, isControl)
}

func equalKeys(a, b []ed25519.PublicKey) bool {
	return slices.EqualFunc(a, b, func(x, y ed25519.PublicKey) bool { return bytes.Equal(x, y) })
}
