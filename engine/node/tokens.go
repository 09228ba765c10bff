package node

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"strings"
	"time"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/store"
	"github.com/castd/castd/engine/wire"
)

// tokens makes and checks bearer tokens of the gateway. A room token says by itself what it allows, under a MAC whose key
// follows from the device's: room id (26 octets), flags (1), expiry (8, Unix seconds), nonce (8), MAC (16). Nothing needs to be
// kept, and a new device key ends them all.
type tokens struct {
	admin string
	key   [32]byte
}

const (
	roomTokenPrefix = "castd_"
	tokenBody       = 26 + 1 + 8 + 8
	tokenMAC        = 16
	tokenSpeaks     = 1
)

var tokenCoding = base64.RawURLEncoding

func newTokens(admin string, id store.Identity) tokens {
	t := tokens{admin: admin}
	if t.admin == "" {
		t.admin = id.Token
	}
	m := hmac.New(sha256.New, id.Device.Seed())
	m.Write([]byte("castd room token v1"))
	m.Sum(t.key[:0])
	return t
}

// room returns a token for one room.
func (t *tokens) room(id wire.RoomID, speak bool, expires time.Time) (string, error) {
	if len(id) != 26 {
		return "", errors.New("not a room id")
	}
	b := append(make([]byte, 0, tokenBody+tokenMAC), id...)
	flags := byte(0)
	if speak {
		flags |= tokenSpeaks
	}
	b = append(b, flags)
	b = binary.BigEndian.AppendUint64(b, uint64(expires.Unix()))
	b = b[:tokenBody]
	if _, err := rand.Read(b[tokenBody-8:]); err != nil {
		return "", err
	}
	return roomTokenPrefix + tokenCoding.EncodeToString(append(b, t.mac(b)...)), nil
}

func (t *tokens) mac(b []byte) []byte {
	m := hmac.New(sha256.New, t.key[:])
	m.Write(b)
	return m.Sum(nil)[:tokenMAC]
}

// authorize says what a token allows.
func (t *tokens) authorize(token string, now time.Time) (a engine.Access, ok bool) {
	if t.admin != "" && subtle.ConstantTimeCompare([]byte(token), []byte(t.admin)) == 1 {
		return engine.Access{Admin: true, Speak: true, Listen: true}, true
	}
	text, found := strings.CutPrefix(token, roomTokenPrefix)
	if !found {
		return a, false
	}
	b, err := tokenCoding.DecodeString(text)
	if err != nil || len(b) != tokenBody+tokenMAC || !hmac.Equal(t.mac(b[:tokenBody]), b[tokenBody:]) {
		return a, false
	}
	if now.Unix() >= int64(binary.BigEndian.Uint64(b[27:])) {
		return a, false
	}
	// Each token is a guest of its own.
	sum := sha256.Sum256(b[tokenBody-8 : tokenBody])
	return engine.Access{
		Room: wire.RoomID(b[:26]), Listen: true, Speak: b[26]&tokenSpeaks != 0, Subject: wire.ParticipantID(sum[:]),
	}, true
}
