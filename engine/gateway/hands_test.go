package gateway

import (
	"encoding/json"
	"net/http"
	"path"
	"strings"
	"testing"

	"github.com/castd/castd/engine"
)

// handsUp counts the hands that are up.
func (b *bench) handsUp() int {
	b.service.hands.mu.Lock()
	defer b.service.hands.mu.Unlock()
	return len(b.service.hands.all)
}

// TestHands: who watches a conference raises his hand by his session and nobody else's, and it goes down with that.
func TestHands(t *testing.T) {
	b := newBench(t)
	session := b.offer("/whep/talk", talker).Header().Get("Location")
	lobby := b.offer("/whep/lobby", viewer).Header().Get("Location")
	const up, down = `{"raised":true,"name":"Bob\u0007"}`, `{"raised":false}`
	for _, tt := range []struct {
		method, path, token, body string
		status                    int
		says                      string
		hands                     int
	}{
		{"GET", session, talker, "", 200, `"raised":false`, 0},
		{"PUT", session, talker, up, 200, `"raised":true,"place":1`, 1},
		{"PUT", session, talker, up, 200, `"raised":true,"place":1`, 1},
		{"GET", session, talker, "", 200, `"raised":true`, 1},
		{"PUT", session, viewer, down, 404, "", 1},
		{"PUT", session, admin, down, 404, "", 1},
		{"PUT", session + "x", talker, down, 404, "", 1},
		{"PUT", session, "", down, 401, "", 1},
		{"PUT", session, talker, `{}`, 400, "true or false", 1},
		{"PUT", session, talker, `[`, 400, "", 1},
		{"PUT", session, talker, `{"raised":true,"name":"too many"}`, 503, "Too many hands", 1},
		{"PUT", lobby, viewer, up, 409, "broadcast", 1},
		{"GET", lobby, viewer, "", 409, "broadcast", 1},
		{"PUT", session, talker, down, 200, `"raised":false`, 0},
		{"PUT", "/api/v1/rooms/talk", admin, up, 200, `"participant":"self-user","raised":true`, 1},
		{"GET", "/api/v1/rooms/talk", admin, "", 200, `"raised":true`, 1},
		{"PUT", "/api/v1/rooms/talk", talker, up, 403, "", 1},
		{"PUT", "/api/v1/rooms/lobby", admin, up, 409, "broadcast", 1},
		{"PUT", "/api/v1/rooms/talk", admin, down, 200, `"raised":false`, 0},
	} {
		w := b.do(call{method: tt.method, path: tt.path + "/hand", token: tt.token, body: tt.body, headers: []string{"Content-Type: application/json"}})
		if n := b.handsUp(); w.Code != tt.status || !strings.Contains(w.Body.String(), tt.says) || n != tt.hands {
			t.Errorf("%s %s %s: %d %s, %d hands are up", tt.method, tt.path, tt.body, w.Code, w.Body, n)
		}
	}
	b.do(call{method: "PUT", path: session + "/hand", token: talker, body: up, headers: []string{"Content-Type: application/json"}})
	b.do(call{method: http.MethodDelete, path: session, token: talker})
	if err := b.gateway.Close(t.Context()); err != nil || b.handsUp() > 0 {
		t.Errorf("%d hands are up of sessions that have ended: %v", b.handsUp(), err)
	}
}

// TestSeats: who goes from one session to the next is the same for the others, where it is his, and never twice in the call.
func TestSeats(t *testing.T) {
	b := newBench(t)
	seat := func(path, token string) (string, string) {
		t.Helper()
		w := b.offer(path, token)
		if w.Code != http.StatusCreated {
			t.Fatalf("%s: %d %s", path, w.Code, w.Body)
		}
		_, o := b.guests.last()
		return o.Seat, w.Header().Get("Location")
	}
	listens, session := seat("/whep/talk", talker)
	id := path.Base(session)
	calls, in := seat("/call/talk?session="+id, talker)
	if listens == "" || calls != listens {
		t.Errorf("he listens as %q, and calls as %q", listens, calls)
	}
	for what, query := range map[string]struct{ path, token string }{
		"twice in the call": {"/call/talk?session=" + id, talker},
		"another token":     {"/call/talk?session=" + id, admin},
		"no such session":   {"/call/talk?session=nothing", talker},
		"no session":        {"/whep/talk", talker},
		"another room":      {"/whep/lobby?session=" + id, admin},
	} {
		if other, _ := seat(query.path, query.token); other == listens || other == "" {
			t.Errorf("%s: %q", what, other)
		}
	}
	if back, _ := seat("/whep/talk?session="+path.Base(in), talker); back != listens {
		t.Errorf("he comes back as %q", back)
	}
	// A hand that is up goes along, and stays up when the session ends in which it was raised.
	w := b.do(call{method: "PUT", path: session + "/hand", token: talker, body: `{"raised":true}`, headers: []string{"Content-Type: application/json"}})
	var state engine.HandState
	if err := json.Unmarshal(w.Body.Bytes(), &state); err != nil || state.Participant != engine.GuestID("guest5", listens) {
		t.Errorf("%s: %v", w.Body, err)
	}
	b.do(call{method: http.MethodDelete, path: session, token: talker})
	if b.handsUp() != 1 {
		t.Error("the hand is down")
	}
}
