package gateway

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/wire"
)

// ledgerService is a fakeService that knows invites and counts guests' sessions.
type ledgerService struct {
	*fakeService

	mu      sync.Mutex
	revoked []string
	left    int // sessions that may be opened
	ended   chan struct{}
	done    int
}

func (l *ledgerService) Invites(wire.RoomID) ([]engine.InviteInfo, error) {
	return []engine.InviteInfo{{ID: "aaaaaaaaaaaaa", Kind: "peer", Rights: "listen", Made: engine.EventTime(time.Now()), State: engine.InviteValid}}, nil
}

func (l *ledgerService) Revoke(_ context.Context, _ wire.RoomID, who string, speakOnly bool) error {
	if who == "nobody" {
		return engine.NewUserError(engine.CodeNoInvite, "there is no such invite: look at the list")
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if speakOnly {
		who += " speak"
	}
	l.revoked = append(l.revoked, who)
	return nil
}

func (l *ledgerService) OpenGuest([32]byte) (<-chan struct{}, func(), error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.left == 0 {
		return nil, nil, engine.NewUserError(engine.CodeInviteSpent, "this link has been used as often as it may be: ask for a new one")
	}
	l.left--
	return l.ended, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.done++
	}, nil
}

func newLedger(t *testing.T) (*bench, *ledgerService) {
	t.Helper()
	l := &ledgerService{ended: make(chan struct{})}
	b := newBench(t, func(c *Config) {
		l.fakeService = c.Service.(*fakeService)
		c.Service = l
	})
	return b, l
}

func TestInvitesAndRevoke(t *testing.T) {
	b, l := newLedger(t)
	for _, tt := range []struct {
		call call
		want int
	}{
		{call{method: "GET", path: "/api/v1/rooms/lobby/invites", token: admin}, 200},
		{call{method: "GET", path: "/api/v1/rooms/lobby/invites", token: viewer}, 403},
		{call{method: "GET", path: "/api/v1/rooms/lobby/invites"}, 401},
		{call{method: "GET", path: "/api/v1/rooms/cellar/invites", token: admin}, 404},
		{call{method: "DELETE", path: "/api/v1/rooms/lobby/invites/aaaaaaaaaaaaa", token: admin}, 204},
		{call{method: "DELETE", path: "/api/v1/rooms/lobby/invites/all?rights=speak", token: admin}, 204},
		{call{method: "DELETE", path: "/api/v1/rooms/lobby/invites/all?rights=everything", token: admin}, 400},
		{call{method: "DELETE", path: "/api/v1/rooms/lobby/invites/nobody", token: admin}, 404},
		{call{method: "DELETE", path: "/api/v1/rooms/lobby/invites/all", token: speaker}, 403},
		{call{method: "DELETE", path: "/api/v1/rooms/cellar/invites/all", token: admin}, 404},
	} {
		if w := b.do(tt.call); w.Code != tt.want {
			t.Errorf("%s %s by %q: status %d, want %d: %s", tt.call.method, tt.call.path, tt.call.token, w.Code, tt.want, w.Body)
		}
	}
	if got := strings.Join(l.revoked, ","); got != "aaaaaaaaaaaaa,all speak" {
		t.Errorf("revoked %q", got)
	}
	if w := b.do(call{method: "GET", path: "/api/v1/rooms/lobby/invites", token: admin}); !strings.Contains(w.Body.String(), `"state":"valid"`) || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("%v %s", w.Header(), w.Body)
	}
}

// Sessions under a guest's token are counted, and end with it.
func TestGuestSessionsEndWithTheirToken(t *testing.T) {
	b, l := newLedger(t)
	l.left = 1
	offer := call{method: "POST", path: "/whep/lobby", token: viewer, body: "v=0", headers: []string{"Content-Type: application/sdp"}}
	if w := b.do(offer); w.Code != http.StatusCreated {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	if w := b.do(offer); w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), engine.CodeInviteSpent) {
		t.Errorf("a session too many: status %d: %s", w.Code, w.Body)
	}
	offer.token = admin
	if w := b.do(offer); w.Code != http.StatusCreated {
		t.Errorf("the administrator: status %d: %s", w.Code, w.Body)
	}
	close(l.ended)
	for range 500 {
		l.mu.Lock()
		done := l.done
		l.mu.Unlock()
		if done == 1 {
			b.gateway.mu.Lock()
			defer b.gateway.mu.Unlock()
			if n := len(b.gateway.sessions); n != 1 {
				t.Errorf("%d sessions, want the administrator's", n)
			}
			return
		}
		<-time.After(10 * time.Millisecond)
	}
	t.Error("the session goes on")
}
