package node

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/room"
	"github.com/castd/castd/engine/store"
	"github.com/castd/castd/engine/wire"
)

// tokens makes and checks bearer tokens of the gateway. A guest's token is random; what it allows is kept in the data folder under
// its SHA-256, so that it survives a restart, ends when it is revoked, and cannot be read out of the folder. Its methods are safe
// for concurrent use.
type tokens struct {
	admin string
	store *store.Store

	mu   sync.Mutex // guards what follows
	live map[string]*guestPlaces
}

// guestPlaces is what goes on under one token.
type guestPlaces struct {
	open  int
	freed []time.Time     // when sessions ended whose places are kept for a while
	ended []chan struct{} // of open sessions
}

const (
	roomTokenPrefix = "castd_"
	tokenSize       = 24 // octets
	// comeBack is how long the place of a counted session is kept: who reloads the page, or changes the network, takes it up again.
	comeBack = time.Minute
)

var tokenCoding = base64.RawURLEncoding

func newTokens(admin string, s *store.Store) *tokens {
	t := &tokens{admin: admin, store: s, live: make(map[string]*guestPlaces)}
	if t.admin == "" {
		t.admin = s.Identity().Token
	}
	return t
}

// guestSpec says what a guest's token allows.
type guestSpec struct {
	room    wire.RoomID
	speak   bool
	expires time.Time
	uses    uint32 // sessions; 0: any number
}

// guest makes a token for one room.
func (t *tokens) guest(g guestSpec, now time.Time) (string, error) {
	secret, id := make([]byte, tokenSize), make([]byte, room.NonceSize)
	if _, err := rand.Read(secret); err != nil {
		return "", fmt.Errorf("make token: %w", err)
	}
	if _, err := rand.Read(id); err != nil {
		return "", fmt.Errorf("make token: %w", err)
	}
	token := roomTokenPrefix + tokenCoding.EncodeToString(secret)
	hash := sha256.Sum256([]byte(token))
	rights := room.Listen
	if g.speak {
		rights |= room.Speak | room.Video
	}
	err := t.store.PutInvite(store.Invite{
		ID: guestID(id), Room: g.room, Guest: true, Token: hash[:], Rights: uint32(rights), Made: now, Expires: g.expires, Uses: g.uses,
	}, now)
	if errors.Is(err, store.ErrInvitesFull) {
		return "", engine.NewUserError(engine.CodeFull, "there are too many links already: revoke some with `castd invite ROOM --revoke ID`")
	}
	return token, err
}

// guestID is the id of a guest's link; its form is that of invites' ids.
func guestID(b []byte) string {
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b))
}

// authorize says what a token allows.
func (t *tokens) authorize(token string, now time.Time) (a engine.Access, ok bool) {
	if t.admin != "" && subtle.ConstantTimeCompare([]byte(token), []byte(t.admin)) == 1 {
		return engine.Access{Admin: true, Speak: true, Listen: true}, true
	}
	if !strings.HasPrefix(token, roomTokenPrefix) {
		return a, false
	}
	hash := sha256.Sum256([]byte(token))
	i, ok := t.store.GuestInvite(hash)
	if !ok || !holds(&i, now) {
		return a, false
	}
	// Each token is a guest of its own.
	sum := sha256.Sum256(append([]byte("castd guest v1\x00"), hash[:]...))
	rights := room.Rights(i.Rights)
	return engine.Access{
		Room: i.Room, Listen: rights.Has(room.Listen), Speak: rights.Has(room.Speak), Subject: wire.ParticipantID(sum[:]),
	}, true
}

func holds(i *store.Invite, now time.Time) bool {
	return i.Revoked.IsZero() && (i.Expires.IsZero() || now.Before(i.Expires))
}

// open begins a guest's session under the token of a SHA-256: it takes a use where those are counted. The channel is closed when the
// token holds no longer; done ends the session.
func (t *tokens) open(hash [32]byte, now time.Time) (ended <-chan struct{}, done func(), err error) {
	i, ok := t.store.GuestInvite(hash)
	if !ok || !holds(&i, now) {
		return nil, nil, engine.NewUserError(engine.CodeRevoked, "this link does not hold any more: ask for a new one")
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.live[i.ID]
	if p == nil {
		p = &guestPlaces{}
		t.live[i.ID] = p
	}
	p.freed = slices.DeleteFunc(p.freed, func(at time.Time) bool { return now.Sub(at) >= comeBack })
	switch {
	case i.Uses == 0:
	case len(p.freed) > 0:
		p.freed = p.freed[1:]
	default:
		who := make([]byte, room.NonceSize)
		if _, err := rand.Read(who); err != nil {
			return nil, nil, fmt.Errorf("count session: %w", err)
		}
		err := t.store.UseInvite(i.Room, i.ID, "session-"+guestID(who))
		if errors.Is(err, store.ErrSpent) {
			return nil, nil, engine.NewUserError(engine.CodeInviteSpent, "this link has been used as often as it may be: ask for a new one")
		}
		if err != nil {
			return nil, nil, err
		}
	}
	end := make(chan struct{})
	p.open++
	p.ended = append(p.ended, end)
	var timer *time.Timer
	if !i.Expires.IsZero() {
		timer = time.AfterFunc(i.Expires.Sub(now), func() { t.end(i.ID) })
	}
	return end, sync.OnceFunc(func() {
		if timer != nil {
			timer.Stop()
		}
		t.mu.Lock()
		defer t.mu.Unlock()
		p.open--
		p.ended = slices.DeleteFunc(p.ended, func(c chan struct{}) bool { return c == end })
		if i.Uses > 0 {
			p.freed = append(p.freed, time.Now())
		} else if p.open == 0 {
			delete(t.live, i.ID)
		}
	}), nil
}

// end ends all sessions under a token.
func (t *tokens) end(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.live[id]; p != nil {
		for _, c := range p.ended {
			close(c)
		}
		p.ended = nil
	}
}

// revoke ends a guest's token and what goes on under it. It reports false for the id of something else.
func (t *tokens) revoke(id wire.RoomID, invite string, now time.Time) (bool, error) {
	for _, i := range t.store.Invites() {
		if i.ID != invite || i.Room != id || !i.Guest {
			continue
		}
		if err := t.store.RevokeInvite(id, invite, now); err != nil {
			return true, err
		}
		t.end(invite)
		return true, nil
	}
	return false, nil
}

// list describes the guests' links to a room.
func (t *tokens) list(id wire.RoomID, now time.Time) []engine.InviteInfo {
	var out []engine.InviteInfo
	for _, i := range t.store.Invites() {
		if i.Room != id || !i.Guest {
			continue
		}
		info := engine.InviteInfo{
			ID: i.ID, Kind: "guest", Rights: room.Rights(i.Rights).String(), Made: engine.EventTime(i.Made), Uses: i.Uses, Used: i.Used,
			State: engine.InviteValid,
		}
		if !i.Expires.IsZero() {
			info.Expires = engine.EventTime(i.Expires)
		}
		switch {
		case !i.Revoked.IsZero():
			info.State = engine.InviteRevoked
		case !holds(&i, now):
			info.State = engine.InviteExpired
		case i.Uses > 0 && len(i.Used) >= int(i.Uses):
			info.State = engine.InviteSpent
		}
		out = append(out, info)
	}
	return out
}
