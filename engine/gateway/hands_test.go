package gateway

import (
	"encoding/json"
	"net/http"
	"path"
	"strings"
	"testing"
	"time"

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

// TestPutOut: who was put out and comes again by the same link from the same address is the same, so that it holds; nobody else is.
func TestPutOut(t *testing.T) {
	b := newBench(t)
	b.remote = "192.0.2.7:4000"
	seat := func(path, token, remote string) string {
		t.Helper()
		b.remote = remote
		if w := b.offer(path, token); w.Code != http.StatusCreated {
			t.Fatalf("%s: %d %s", path, w.Code, w.Body)
		}
		_, o := b.guests.last()
		return o.Seat
	}
	end := func(code string) {
		t.Helper()
		s, _ := b.guests.last()
		s.end(engine.NewUserError(code, "you are out"))
		for deadline := time.Now().Add(10 * time.Second); b.gateway.sessionOf(s.id); time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("the session has not ended")
			}
		}
	}
	const here, there = "192.0.2.7:4000", "192.0.2.8:4000"
	first := seat("/call/talk", talker, here)
	end(engine.CodeTimeout)
	second := seat("/call/talk", talker, here)
	if first == second {
		t.Error("who only lost his connection has the seat of before")
	}
	end(engine.CodePutOut)
	if again := seat("/call/talk", talker, "192.0.2.7:5000"); again != second {
		t.Errorf("who was put out comes as %q, was %q", again, second)
	}
	if other := seat("/call/talk", talker, here); other == second {
		t.Error("two in the call have one seat")
	}
	if other := seat("/call/talk", talker, there); other == second {
		t.Error("somebody at another address has the seat")
	}
	// The administrator is never kept out.
	owner := seat("/call/talk", admin, here)
	end(engine.CodePutOut)
	if again := seat("/call/talk", admin, here); again == owner {
		t.Error("the administrator is remembered")
	}
	// What is remembered is bounded, and ends.
	b.gateway.mu.Lock()
	defer b.gateway.mu.Unlock()
	now := time.Now()
	for i := range 2 * maxOuts {
		s := &session{owner: tokenKey{byte(i), byte(i >> 8)}, id: talk, about: engine.GuestOptions{Remote: here, Seat: "x"}}
		b.gateway.mu.Unlock()
		b.gateway.notePutOut(s, now.Add(time.Duration(i)*time.Millisecond))
		b.gateway.mu.Lock()
	}
	if n := len(b.gateway.outs); n != maxOuts {
		t.Errorf("%d are remembered", n)
	}
	b.gateway.mu.Unlock()
	b.gateway.notePutOut(&session{id: talk, about: engine.GuestOptions{Remote: here}}, now.Add(2*outLife))
	b.gateway.mu.Lock()
	if n := len(b.gateway.outs); n != 1 {
		t.Errorf("%d are remembered for ever", n)
	}
}

// sessionOf reports whether there still is a session.
func (g *Gateway) sessionOf(id string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	_, ok := g.sessions[id]
	return ok
}
