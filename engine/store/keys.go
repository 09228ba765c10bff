package store

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// Key files are text, so that people can look at them, print them and carry them:
//
//	castd-user-key-v1
//	secret: BASE64URL of the Ed25519 seed
//	public: BASE64URL of the public key
//
// The public key is there so that damage is noticed. Empty lines and lines that begin with # are skipped.

// Kinds of key files: their first lines.
const (
	userKeyKind   = "castd-user-key-v1"
	deviceKeyKind = "castd-device-key-v1"
	maxKeyFile    = 4096 // octets
)

func encodeKey(kind, comment string, key ed25519.PrivateKey) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# %s\n%s\nsecret: %s\npublic: %s\n", comment, kind,
		base64.RawURLEncoding.EncodeToString(key.Seed()),
		base64.RawURLEncoding.EncodeToString(key.Public().(ed25519.PublicKey)))
	return b.Bytes()
}

// decodeKey reads a key file. Its errors never hold a part of it.
func decodeKey(kind string, data []byte) (ed25519.PrivateKey, error) {
	if len(data) > maxKeyFile {
		return nil, errors.New("it is too long for a key")
	}
	var lines []string
	for line := range strings.Lines(string(data)) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			lines = append(lines, line)
		}
	}
	if len(lines) == 0 || lines[0] != kind {
		return nil, fmt.Errorf("it does not begin with %q", kind)
	}
	if len(lines) != 3 {
		return nil, errors.New("it should have a line with the secret key and one with the public key")
	}
	seed, err := keyField("secret", lines[1])
	if err != nil {
		return nil, err
	}
	public, err := keyField("public", lines[2])
	if err != nil {
		return nil, err
	}
	key := ed25519.NewKeyFromSeed(seed)
	if !bytes.Equal(key.Public().(ed25519.PublicKey), public) {
		return nil, errors.New("its secret key and its public key do not belong together")
	}
	return key, nil
}

func keyField(name, line string) ([]byte, error) {
	text, ok := strings.CutPrefix(line, name+":")
	if !ok {
		return nil, fmt.Errorf("there is no line %q", name+":")
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(strings.TrimSpace(text))
	if err != nil || len(b) != ed25519.SeedSize {
		return nil, fmt.Errorf("the line %q does not hold a key", name+":")
	}
	return b, nil
}
