package wire

import (
	"crypto/ed25519"
	"strings"
	"testing"
)

func FuzzUserKey(f *testing.F) {
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)).Public().(ed25519.PublicKey)
	f.Add(UserKeyText(key))
	f.Add(strings.ToUpper(UserKeyText(key)))
	f.Add("")
	f.Fuzz(func(t *testing.T, s string) {
		key, err := ParseUserKey(s)
		if err != nil {
			return
		}
		if len(key) != ed25519.PublicKeySize || UserKeyText(key) != strings.ToLower(s) {
			t.Fatalf("%q became %q", s, UserKeyText(key))
		}
	})
}
