package node

import (
	"crypto/sha256"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/store"
	"github.com/castd/castd/engine/wire"
)

func testTokens(t *testing.T, dir string) (*tokens, *store.Store) {
	t.Helper()
	s, err := store.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return newTokens("", s), s
}

func mustToken(t *testing.T, tk *tokens, g guestSpec, now time.Time) string {
	t.Helper()
	g.room = wire.NewRoomID(make([]byte, 32), "club")
	token, err := tk.guest(g, now)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestTokens(t *testing.T) {
	dir := t.TempDir()
	tk, s := testTokens(t, dir)
	now := time.Now()
	listener := mustToken(t, tk, guestSpec{expires: now.Add(time.Hour)}, now)
	speaker := mustToken(t, tk, guestSpec{speak: true, expires: now.Add(time.Minute)}, now)
	admin := s.Identity().Token
	check := func(tk *tokens, when string, now time.Time, want map[string]string) {
		t.Helper()
		for token, rights := range want {
			a, ok := tk.authorize(token, now)
			got := "none"
			switch {
			case ok && a.Admin:
				got = "admin"
			case ok && a.Speak:
				got = "speak"
			case ok && a.Listen:
				got = "listen"
			}
			if got != rights || ok && !a.Admin && (a.Room == "" || a.Subject == "") {
				t.Errorf("%s: %.8s... is %s (%+v), want %s", when, token, got, a, rights)
			}
		}
	}
	check(tk, "new", now, map[string]string{
		listener: "listen", speaker: "speak", admin: "admin", "": "none", "castd_": "none", listener + "x": "none", listener[:20]: "none",
		strings.ToUpper(listener): "none",
	})
	check(tk, "later", now.Add(2*time.Minute), map[string]string{listener: "listen", speaker: "none"})
	a, _ := tk.authorize(listener, now)
	b, _ := tk.authorize(speaker, now)
	if a.Subject == b.Subject {
		t.Error("two guests are one participant")
	}
	all := tk.list(a.Room, now) // of one instant, in any order
	id := all[slices.IndexFunc(all, func(i engine.InviteInfo) bool { return !strings.Contains(i.Rights, "speak") })].ID
	if ok, err := tk.revoke(a.Room, id, now); !ok || err != nil {
		t.Errorf("revoke: %v, %v", ok, err)
	}
	if ok, _ := tk.revoke(a.Room, "aaaaaaaaaaaaa", now); ok {
		t.Error("no guest's link was revoked as one")
	}
	check(tk, "revoked", now, map[string]string{listener: "none", speaker: "speak"})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again, _ := testTokens(t, dir)
	check(again, "after a restart", now, map[string]string{listener: "none", speaker: "speak", admin: "admin"})
	states := []string{}
	for _, i := range again.list(a.Room, now.Add(time.Hour)) {
		states = append(states, i.State)
	}
	slices.Sort(states)
	if strings.Join(states, ",") != "expired,revoked" {
		t.Errorf("the list shows %v", states)
	}
}

// A counted link opens so many sessions; who comes back within a minute takes up the place that he left.
func TestSessionsAreCounted(t *testing.T) {
	tk, _ := testTokens(t, t.TempDir())
	now := time.Now()
	token := mustToken(t, tk, guestSpec{expires: now.Add(time.Hour), uses: 2}, now)
	hash := sha256.Sum256([]byte(token))
	open := func(at time.Time, want string) (func(), <-chan struct{}) {
		t.Helper()
		ended, done, err := tk.open(hash, at)
		var user *engine.UserError
		switch {
		case want == "" && err != nil:
			t.Fatal(err)
		case want != "" && (!errors.As(err, &user) || user.Code != want):
			t.Fatalf("%v, want %s", err, want)
		}
		return done, ended
	}
	first, _ := open(now, "")
	_, second := open(now, "")
	open(now, engine.CodeInviteSpent)
	first()
	first() // twice is once
	third, _ := open(now.Add(30*time.Second), "")
	open(now.Add(30*time.Second), engine.CodeInviteSpent)
	third()
	open(now.Add(3*time.Minute), engine.CodeInviteSpent)
	if i := tk.list(wire.NewRoomID(make([]byte, 32), "club"), now)[0]; i.State != engine.InviteSpent || len(i.Used) != 2 {
		t.Errorf("%+v", i)
	}
	if _, err := tk.revoke(wire.NewRoomID(make([]byte, 32), "club"), tk.list(wire.NewRoomID(make([]byte, 32), "club"), now)[0].ID, now); err != nil {
		t.Fatal(err)
	}
	select {
	case <-second:
	default:
		t.Error("the session goes on although its link was taken back")
	}
	open(now, engine.CodeRevoked)
	// A link that ends while somebody watches.
	short := mustToken(t, tk, guestSpec{expires: now.Add(50 * time.Millisecond)}, now)
	hash = sha256.Sum256([]byte(short))
	_, ended := open(now, "")
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		t.Error("the session goes on although its link has expired")
	}
}
