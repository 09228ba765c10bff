package wire

import (
	"crypto/ed25519"
	"errors"
	"strings"
)

var errUserKey = errors.New("wire: not a user's public key")

// UserKeyText returns a user's public key as people pass it on: 52 characters of lower-case base32.
func UserKeyText(key ed25519.PublicKey) string { return lowerBase32.EncodeToString(key) }

// ParseUserKey reads what UserKeyText wrote; case does not matter.
func ParseUserKey(s string) (ed25519.PublicKey, error) {
	if len(s) != lowerBase32.EncodedLen(ed25519.PublicKeySize) {
		return nil, errUserKey
	}
	b, err := lowerBase32.DecodeString(strings.ToLower(s))
	if err != nil || len(b) != ed25519.PublicKeySize || UserKeyText(b) != strings.ToLower(s) {
		return nil, errUserKey
	}
	return b, nil
}
