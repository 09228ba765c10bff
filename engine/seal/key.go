package seal

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"github.com/castd/castd/engine/wire"
)

// TagSize is what sealing adds to a payload, in octets.
const TagSize = 16

// RoomKeySize is the length of a room key in octets.
const RoomKeySize = 16

// RoomKey is the secret that a room's streams are sealed with. Generation grows whenever somebody is to be shut out.
type RoomKey struct {
	Generation uint32
	Key        [RoomKeySize]byte
}

// String tells the generation and never the key.
func (k RoomKey) String() string { return fmt.Sprintf("room key, generation %d", k.Generation) }

// GoString is String, so that no way of printing shows the key.
func (k RoomKey) GoString() string { return k.String() }

// PublicRoomKey returns the key of a public room: generation 0, derived from the room's id alone. Everyone who knows the id
// can read such a room, relays included; there the seal only finds damage, and the manifests' signatures protect.
func PublicRoomKey(room wire.RoomID) RoomKey {
	var k RoomKey
	b, err := hkdf.Key(sha256.New, []byte(room), nil, "castd public room key v1", RoomKeySize)
	if err != nil {
		panic("seal: internal error: " + err.Error())
	}
	copy(k.Key[:], b)
	return k
}

// Commitment returns what a room's access list says of a media key, so that nobody can hand on another one:
// SHA-256("castd room key v1" ‖ 0x00 ‖ room id ‖ generation ‖ key).
func (k RoomKey) Commitment(room wire.RoomID) []byte {
	b := append([]byte("castd room key v1\x00"), room...)
	b = binary.BigEndian.AppendUint32(b, k.Generation)
	sum := sha256.Sum256(append(b, k.Key[:]...))
	return sum[:]
}

// streamKey derives the SFrame key of one incarnation of a device's stream. The base key is
// HKDF-SHA256(room key, info "castd stream key v1" ‖ device public key ‖ stream id ‖ incarnation), 16 octets.
func streamKey(key RoomKey, device ed25519.PublicKey, stream wire.StreamID, incarnation uint16) (*FrameKey, error) {
	if len(device) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("seal: device key of %d octets", len(device))
	}
	info := append([]byte("castd stream key v1"), device...)
	info = binary.BigEndian.AppendUint64(info, uint64(stream))
	info = binary.BigEndian.AppendUint16(info, incarnation)
	base, err := hkdf.Key(sha256.New, key.Key[:], nil, string(info), 16)
	if err != nil {
		return nil, fmt.Errorf("seal: derive stream key: %w", err)
	}
	return NewFrameKey(AES128GCM, uint64(incarnation), base)
}
