package wire

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
)

var lowerBase32 = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// RoomID names a room: 26 characters that only the holder of the owner's user key can have made.
type RoomID string

// NewRoomID derives the id of the room that the owner calls name: the first 26 characters of lower-case base32 of
// SHA-256("castd room v1" ‖ owner's user public key ‖ 0x00 ‖ lower-case name).
func NewRoomID(owner ed25519.PublicKey, name string) RoomID {
	h := sha256.New()
	h.Write([]byte("castd room v1"))
	h.Write(owner)
	h.Write([]byte{0})
	h.Write([]byte(strings.ToLower(name)))
	return RoomID(lowerBase32.EncodeToString(h.Sum(nil))[:26])
}

var (
	roomIDForm   = regexp.MustCompile(`^[a-z2-7]{26}$`)
	roomNameForm = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)
)

// ValidRoomID reports whether s has the form of a room id.
func ValidRoomID(s string) bool { return roomIDForm.MatchString(s) }

// NormalRoomName returns the lower-case form of a room name: 1 to 64 letters, digits, '-', '_' or '.', beginning with a
// letter or digit.
func NormalRoomName(s string) (string, error) {
	n := strings.ToLower(s)
	if !roomNameForm.MatchString(n) {
		return "", fmt.Errorf("%q is not a room name: use 1 to 64 letters, digits, '-', '_' or '.', beginning with a letter or digit", s)
	}
	return n, nil
}

// Tag is the short form of a room id that peers use between themselves on a hop: the first 64 bits of its SHA-256.
func (id RoomID) Tag() uint64 {
	sum := sha256.Sum256([]byte(id))
	return binary.BigEndian.Uint64(sum[:])
}

// StreamID names one stream of one publishing device in one room.
type StreamID uint64

// String returns 16 hexadecimal digits.
func (s StreamID) String() string { return fmt.Sprintf("%016x", uint64(s)) }

// ParseStreamID reads what String wrote.
func ParseStreamID(s string) (StreamID, error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != 8 {
		return 0, fmt.Errorf("wire: %q is not a stream id", s)
	}
	return StreamID(binary.BigEndian.Uint64(b)), nil
}

// Labels of the streams of a slot that carry no media.
const (
	RecordLabel  = "record"
	ExcerptLabel = "excerpt"
)

// NewStreamID derives the id of a stream: the first 64 bits of SHA-256("castd stream v1" ‖ room id ‖ publishing device's
// public key ‖ participant ‖ 0x00 ‖ slot ‖ 0x00 ‖ label). Whoever announces a stream must own the device key, so no id can be squatted.
func NewStreamID(room RoomID, device ed25519.PublicKey, participant, slot, label string) StreamID {
	h := sha256.New()
	h.Write([]byte("castd stream v1"))
	h.Write([]byte(room))
	h.Write(device)
	h.Write([]byte(participant))
	h.Write([]byte{0})
	h.Write([]byte(slot))
	h.Write([]byte{0})
	h.Write([]byte(label))
	return StreamID(binary.BigEndian.Uint64(h.Sum(nil)))
}

// ParticipantID names a user, or a guest, by a hash of his public key: 16 characters of lower-case base32 of
// SHA-256("castd participant v1" ‖ key).
func ParticipantID(key ed25519.PublicKey) string {
	h := sha256.New()
	h.Write([]byte("castd participant v1"))
	h.Write(key)
	return lowerBase32.EncodeToString(h.Sum(nil))[:16]
}

// PeerID returns the libp2p peer id of a device key.
func PeerID(device ed25519.PublicKey) (peer.ID, error) {
	pub, err := crypto.UnmarshalEd25519PublicKey(device)
	if err != nil {
		return "", fmt.Errorf("wire: device key: %w", err)
	}
	return peer.IDFromPublicKey(pub)
}

// DeviceKey returns the Ed25519 public key inside a peer id.
func DeviceKey(id peer.ID) (ed25519.PublicKey, error) {
	pub, err := id.ExtractPublicKey()
	if err != nil {
		return nil, fmt.Errorf("wire: peer id: %w", err)
	}
	if pub.Type() != crypto.Ed25519 {
		return nil, fmt.Errorf("wire: peer id: not an Ed25519 key")
	}
	raw, err := pub.Raw()
	if err != nil {
		return nil, fmt.Errorf("wire: peer id: %w", err)
	}
	return ed25519.PublicKey(raw), nil
}
