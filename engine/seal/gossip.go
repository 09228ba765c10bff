package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"github.com/castd/castd/engine/wire"
)

// A private room's gossip passes peers that are not in the room. It is sealed with a key that follows from the room key:
//
//	0x01 ‖ generation (4 octets, big-endian) ‖ nonce (12 octets) ‖ AES-128-GCM of the envelope, the octets before and the room id as associated data
//
// No envelope begins with 0x01, so that both forms can be told apart.

const (
	gossipVersion = 1
	gossipHeader  = 1 + 4 + nonceSize
	// GossipOverhead is what sealing adds to an envelope, in octets.
	GossipOverhead = gossipHeader + TagSize
)

// GossipKey seals the gossip of a private room. It is safe for concurrent use.
type GossipKey struct {
	generation uint32
	room       wire.RoomID
	aead       cipher.AEAD
}

// NewGossipKey derives the key.
func NewGossipKey(room wire.RoomID, key RoomKey) (*GossipKey, error) {
	b, err := hkdf.Key(sha256.New, key.Key[:], []byte(room), "castd gossip key v1", RoomKeySize)
	if err != nil {
		return nil, fmt.Errorf("seal: derive gossip key: %w", err)
	}
	block, err := aes.NewCipher(b)
	if err != nil {
		return nil, fmt.Errorf("seal: make cipher: %w", err)
	}
	k := &GossipKey{generation: key.Generation, room: room}
	if k.aead, err = cipher.NewGCM(block); err != nil {
		return nil, fmt.Errorf("seal: make cipher: %w", err)
	}
	return k, nil
}

// Seal returns the sealed form of an envelope. The nonce must be random.
func (k *GossipKey) Seal(nonce [NonceSize]byte, env []byte) []byte {
	b := make([]byte, 0, GossipOverhead+len(env))
	b = binary.BigEndian.AppendUint32(append(b, gossipVersion), k.generation)
	b = append(b, nonce[:]...)
	return k.aead.Seal(b, nonce[:], env, k.aad(b))
}

// Open returns the envelope in a sealed message. It returns ErrOpen for another room, another key, or damage.
func (k *GossipKey) Open(b []byte) ([]byte, error) {
	if g, ok := GossipGeneration(b); !ok || g != k.generation {
		return nil, ErrOpen
	}
	head := b[:gossipHeader]
	env, err := k.aead.Open(nil, head[5:], b[gossipHeader:], k.aad(head))
	if err != nil {
		return nil, ErrOpen
	}
	return env, nil
}

func (k *GossipKey) aad(head []byte) []byte { return append(append([]byte{}, head...), k.room...) }

// GossipGeneration returns the generation of the key that a message is sealed with, false for one that is not sealed.
func GossipGeneration(b []byte) (uint32, bool) {
	if len(b) < GossipOverhead || b[0] != gossipVersion {
		return 0, false
	}
	return binary.BigEndian.Uint32(b[1:]), true
}
