package gateway

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/castd/castd/engine"
)

func TestOfferStatuses(t *testing.T) {
	const sdp = "Content-Type: application/sdp"
	tests := []struct {
		name   string
		call   call
		refuse error
		want   int
	}{
		{"publish as admin", call{path: "/whip/lobby", token: admin, body: "v=0", headers: []string{sdp}}, nil, 201},
		{"by id", call{path: "/whip/" + string(lobby), token: admin, body: "v=0", headers: []string{sdp}}, nil, 201},
		{"name in upper case", call{path: "/whip/LOBBY", token: admin, body: "v=0", headers: []string{sdp}}, nil, 201},
		{"publish as speaker", call{path: "/whip/lobby", token: speaker, body: "v=0", headers: []string{sdp}}, nil, 201},
		{"watch as viewer", call{path: "/whep/lobby", token: viewer, body: "v=0", headers: []string{sdp}}, nil, 201},
		{"parameters of the type", call{path: "/whep/lobby", token: viewer, body: "v=0", headers: []string{sdp + "; charset=utf-8"}}, nil, 201},
		{"broken parameters of the type", call{path: "/whep/lobby", token: viewer, body: "v=0", headers: []string{sdp + "; charset"}}, nil, 201},
		{"type in upper case", call{path: "/whep/lobby", token: viewer, body: "v=0", headers: []string{"Content-Type: Application/SDP"}}, nil, 201},
		{"slot", call{path: "/whep/lobby?slot=camera2", token: viewer, body: "v=0", headers: []string{sdp}}, nil, 201},
		{"no token", call{path: "/whip/lobby", body: "v=0", headers: []string{sdp}}, nil, 401},
		{"wrong token", call{path: "/whip/lobby", token: "guess", body: "v=0", headers: []string{sdp}}, nil, 401},
		{"token in the address", call{path: "/whip/lobby?token=" + admin, body: "v=0", headers: []string{sdp}}, nil, 401},
		{"other scheme", call{path: "/whip/lobby", body: "v=0", headers: []string{sdp, "Authorization: Basic " + admin}}, nil, 401},
		{"publish as viewer", call{path: "/whip/lobby", token: viewer, body: "v=0", headers: []string{sdp}}, nil, 403},
		{"watch without the right", call{path: "/whep/lobby", token: deaf, body: "v=0", headers: []string{sdp}}, nil, 403},
		{"other room", call{path: "/whep/attic", token: viewer, body: "v=0", headers: []string{sdp}}, nil, 403},
		{"no such room", call{path: "/whep/cellar", token: admin, body: "v=0", headers: []string{sdp}}, nil, 404},
		{"two rooms of that name", call{path: "/whep/twin", token: admin, body: "v=0", headers: []string{sdp}}, nil, 409},
		{"the token knows which twin", call{path: "/whep/twin", token: twin, body: "v=0", headers: []string{sdp}}, nil, 201},
		{"conference", call{path: "/whip/talk", token: admin, body: "v=0", headers: []string{sdp}}, nil, 409},
		{"watch a conference", call{path: "/whep/talk", token: admin, body: "v=0", headers: []string{sdp}}, nil, 201},
		{"call", call{path: "/call/talk", token: admin, body: "v=0", headers: []string{sdp}}, nil, 201},
		{"call as a guest", call{path: "/call/talk?name=Ann", token: talker, body: "v=0", headers: []string{sdp}}, nil, 201},
		{"call in a broadcast", call{path: "/call/lobby", token: admin, body: "v=0", headers: []string{sdp}}, nil, 409},
		{"call in another room", call{path: "/call/talk", token: viewer, body: "v=0", headers: []string{sdp}}, nil, 403},
		{"call without a token", call{path: "/call/talk", body: "v=0", headers: []string{sdp}}, nil, 401},
		{"whose slot", call{path: "/whep/lobby?slot=main&participant=abc", token: viewer, body: "v=0", headers: []string{sdp}}, nil, 201},
		{"bad participant", call{path: "/whep/lobby?participant=" + strings.Repeat("a", 129), token: viewer, body: "v=0", headers: []string{sdp}}, nil, 400},
		{"bad slot", call{path: "/whip/lobby?slot=a%20b", token: admin, body: "v=0", headers: []string{sdp}}, nil, 400},
		{"bad offer", call{path: "/whip/lobby", token: admin, body: "hello", headers: []string{sdp}}, nil, 400},
		{"no body", call{path: "/whip/lobby", token: admin, headers: []string{sdp}}, nil, 400},
		{"no type", call{path: "/whip/lobby", token: admin, body: "v=0"}, nil, 415},
		{"other type", call{path: "/whip/lobby", token: admin, body: "v=0", headers: []string{"Content-Type: application/json"}}, nil, 415},
		{"too large", call{path: "/whip/lobby", token: admin, body: "v=0" + strings.Repeat("x", maxBody), headers: []string{sdp}}, nil, 413},
		{"full", call{path: "/whep/lobby", token: viewer, body: "v=0", headers: []string{sdp}}, engine.NewUserError(engine.CodeFull, "full"), 503},
		{"no codec", call{path: "/whep/lobby", token: viewer, body: "v=0", headers: []string{sdp}}, engine.NewUserError(engine.CodeNoCommonCodec, "none"), 400},
		{"stage refuses", call{path: "/whip/lobby", token: admin, body: "v=0", headers: []string{sdp}}, engine.NewUserError(engine.CodeNotAllowed, "no"), 403},
		{"owner away", call{path: "/whip/lobby", token: admin, body: "v=0", headers: []string{sdp}}, engine.NewUserError(engine.CodeTimeout, "away"), 504},
		{"closing", call{path: "/whip/lobby", token: admin, body: "v=0", headers: []string{sdp}}, engine.ErrClosed, 503},
		{"inner error", call{path: "/whip/lobby", token: admin, body: "v=0", headers: []string{sdp}}, errors.New("secret detail"), 500},
		{"local", call{path: "/whip/lobby", local: true, body: "v=0", headers: []string{sdp}}, nil, 201},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			b.guests.refuse = tt.refuse
			tt.call.method = "POST"
			w := b.do(tt.call)
			if w.Code != tt.want {
				t.Fatalf("status %d, want %d: %s", w.Code, tt.want, w.Body)
			}
			h := w.Header()
			switch w.Code {
			case 201:
				s, _ := b.guests.last()
				path, _, _ := strings.Cut(tt.call.path, "?")
				if h.Get("Location") != path+"/"+s.id || h.Get("ETag") != s.ETag() || h.Get("Content-Type") != typeSDP || w.Body.String() != s.Answer() {
					t.Errorf("answered %v %q", h, w.Body)
				}
			case 401:
				if !strings.HasPrefix(h.Get("WWW-Authenticate"), "Bearer ") {
					t.Errorf("WWW-Authenticate %q", h.Get("WWW-Authenticate"))
				}
			case 500:
				if strings.Contains(w.Body.String(), "secret") {
					t.Errorf("an inner error got out: %s", w.Body)
				}
			case 503:
				if h.Get("Retry-After") == "" {
					t.Error("no Retry-After")
				}
			}
		})
	}
}

func TestGuestOptions(t *testing.T) {
	b := newBench(t)
	b.remote = "192.0.2.7:4000"
	options := func() engine.GuestOptions { // without the seat, which is another one each time
		_, o := b.guests.last()
		o.Seat = ""
		return o
	}
	b.offer("/whip/lobby?slot=side&name=%20Ann%00%20", speaker)
	if o := options(); o != (engine.GuestOptions{Slot: "side", Participant: "guest3", Name: "Ann", Remote: "192.0.2.7:4000"}) {
		t.Errorf("options %+v", o)
	}
	b.offer("/whep/lobby?slot=main&participant=ann", viewer)
	if _, o := b.guests.last(); o.Slot != "main" || o.From != "ann" {
		t.Errorf("options of a viewer %+v", o)
	}
	b.offer("/whip/lobby?participant=ann", speaker)
	if _, o := b.guests.last(); o.From != "" || o.Participant != "guest3" {
		t.Errorf("nobody says himself who he is: %+v", o)
	}
	b.do(call{method: "POST", path: "/whep/lobby", body: "v=0", headers: []string{"Content-Type: application/sdp"}, local: true})
	if o := options(); o != (engine.GuestOptions{Self: true}) {
		t.Errorf("options over the socket %+v", o)
	}
}

func TestPatch(t *testing.T) {
	const fragment = "Content-Type: application/trickle-ice-sdpfrag"
	b := newBench(t)
	at := b.offer("/whep/lobby", viewer).Header().Get("Location")
	s, _ := b.guests.last()
	first := s.ETag()
	tests := []struct {
		name    string
		token   string
		body    string
		headers []string
		want    int
		etag    bool
	}{
		{"no If-Match", viewer, "a=candidate:1", []string{fragment}, 428, false},
		{"no If-Match to restart", viewer, "restart", []string{fragment}, 428, false},
		{"old ETag", viewer, "a=candidate:1", []string{fragment, `If-Match: "old"`}, 412, false},
		{"weak ETag", viewer, "a=candidate:1", []string{fragment, "If-Match: W/" + first}, 412, false},
		{"trickle", viewer, "a=candidate:1", []string{fragment, "If-Match: " + first}, 204, false},
		{"one of several", viewer, "a=candidate:1", []string{fragment, `If-Match: "old", ` + first}, 204, false},
		{"wrong type", viewer, "a=candidate:1", []string{"Content-Type: application/sdp", "If-Match: " + first}, 415, false},
		{"too large", viewer, strings.Repeat("x", maxBody+1), []string{fragment, "If-Match: " + first}, 413, false},
		{"bad", viewer, "bad", []string{fragment, "If-Match: " + first}, 400, false},
		{"another's", viewer2, "a=candidate:1", []string{fragment, "If-Match: " + first}, 404, false},
		{"the administrator is another", admin, "a=candidate:1", []string{fragment, "If-Match: *"}, 404, false},
		{"no token", "", "a=candidate:1", []string{fragment, "If-Match: " + first}, 401, false},
		{"restart", viewer, "restart", []string{fragment, "If-Match: *"}, 200, true},
		{"before the restart", viewer, "a=candidate:1", []string{fragment, "If-Match: " + first}, 412, false},
	}
	for _, tt := range tests {
		w := b.do(call{method: "PATCH", path: at, token: tt.token, body: tt.body, headers: tt.headers})
		if w.Code != tt.want {
			t.Errorf("%s: status %d, want %d: %s", tt.name, w.Code, tt.want, w.Body)
		}
		if tag := w.Header().Get("ETag"); (tag != "") != tt.etag || tt.etag && (tag == first || tag != s.ETag() || w.Header().Get("Content-Type") != typeFragment) {
			t.Errorf("%s: ETag %q", tt.name, tag)
		}
	}
}

func TestDelete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		at := b.offer("/whip/lobby", speaker).Header().Get("Location")
		s, _ := b.guests.last()
		for _, tt := range []struct {
			path, token string
			want        int
		}{
			{at, viewer, 404},
			{at, admin, 404},
			{at, "", 401},
			{strings.Replace(at, "whip", "whep", 1), speaker, 404},
			{strings.Replace(at, "lobby", "attic", 1), speaker, 404},
			{at + "x", speaker, 404},
		} {
			if w := b.do(call{method: "DELETE", path: tt.path, token: tt.token}); w.Code != tt.want {
				t.Errorf("%s with %q: status %d, want %d", tt.path, tt.token, w.Code, tt.want)
			}
		}
		select {
		case <-s.done:
			t.Fatal("somebody else ended the session")
		default:
		}
		// The ETag does not matter.
		if w := b.do(call{method: "DELETE", path: at, token: speaker, headers: []string{`If-Match: "old"`}}); w.Code != 200 {
			t.Errorf("status %d", w.Code)
		}
		<-s.done
		if w := b.do(call{method: "DELETE", path: at, token: speaker}); w.Code != 404 {
			t.Errorf("second time: status %d", w.Code)
		}
		if w := b.do(call{method: "PATCH", path: at, token: speaker}); w.Code != 404 {
			t.Errorf("PATCH afterwards: status %d", w.Code)
		}
	})
}

func TestOptions(t *testing.T) {
	b := newBench(t)
	for _, path := range []string{"/whip/lobby", "/whep/nowhere"} {
		w := b.do(call{method: "OPTIONS", path: path})
		if w.Code != 200 || w.Header().Get("Accept-Post") != typeSDP || w.Header().Get("Allow") != "POST, OPTIONS" {
			t.Errorf("%s: %d %v", path, w.Code, w.Header())
		}
		if w.Header().Get("Access-Control-Allow-Origin") != "" {
			t.Error("there is CORS")
		}
	}
}

// TestReservedMethods checks what RFC 9725 sections 4.2 and 4.3 keep for later.
func TestReservedMethods(t *testing.T) {
	b := newBench(t)
	at := b.offer("/whip/lobby", admin).Header().Get("Location")
	for path, methods := range map[string][]string{
		"/whip/lobby": {"GET", "HEAD", "PUT", "DELETE", "PATCH"}, "/whep/lobby": {"GET", "HEAD", "PUT"}, at: {"GET", "HEAD", "POST", "PUT"},
	} {
		for _, method := range methods {
			r := call{method: method, path: path, token: admin}
			if method == "HEAD" { // no body to check
				continue
			}
			if w := b.do(r); w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") == "" {
				t.Errorf("%s %s: %d, Allow %q", method, path, w.Code, w.Header().Get("Allow"))
			}
		}
	}
}

func TestSendersPerToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		var at string
		for range maxSenders {
			w := b.offer("/whip/lobby", speaker)
			if w.Code != 201 {
				t.Fatalf("status %d", w.Code)
			}
			at = w.Header().Get("Location")
		}
		if w := b.offer("/whip/lobby", speaker); w.Code != 429 || w.Header().Get("Retry-After") == "" {
			t.Errorf("one too many: status %d", w.Code)
		}
		if w := b.offer("/whep/lobby", speaker); w.Code != 201 {
			t.Errorf("watching: status %d", w.Code)
		}
		for range maxSenders + 1 {
			if w := b.offer("/whip/lobby", admin); w.Code != 201 {
				t.Errorf("administrator: status %d", w.Code)
			}
		}
		b.do(call{method: "DELETE", path: at, token: speaker})
		synctest.Wait()
		if w := b.offer("/whip/lobby", speaker); w.Code != 201 {
			t.Errorf("after one has ended: status %d", w.Code)
		}
		// Refused offers give their place back.
		b.guests.refuse = errors.New("no")
		b.offer("/whep/lobby", speaker)
		b.guests.refuse = nil
	})
}

func TestRefusedOffersGiveTheirPlaceBack(t *testing.T) {
	b := newBench(t)
	b.guests.refuse = engine.NewUserError(engine.CodeBadOffer, "no")
	for range maxSenders + 1 {
		if w := b.offer("/whip/lobby", speaker); w.Code != 400 {
			t.Fatalf("status %d", w.Code)
		}
	}
	b.guests.refuse = nil
	if w := b.offer("/whip/lobby", speaker); w.Code != 201 {
		t.Errorf("status %d", w.Code)
	}
}

func TestSessionsEndWithReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []engine.Event
		b := newBench(t, func(c *Config) { c.Emit = func(ev engine.Event) { told = append(told, ev) } })
		b.offer("/whep/lobby", viewer)
		s, _ := b.guests.last()
		s.end(engine.NewUserError(engine.CodeNoCommonCodec, "Nothing fits."))
		b.offer("/whep/lobby", viewer)
		s, _ = b.guests.last()
		synctest.Wait()
		s.end(errors.New("inner"))
		synctest.Wait()
		if len(told) != 1 || told[0].Event != "error" || told[0].Code != engine.CodeNoCommonCodec || told[0].Room != string(lobby) || told[0].Time == "" {
			t.Errorf("told %+v", told)
		}
		b.offer("/whip/lobby?slot=screen", speaker)
		s, _ = b.guests.last()
		s.end(fmt.Errorf("session: %w", engine.ErrReplaced))
		synctest.Wait()
		if last := told[len(told)-1]; last.Code != "replaced" || last.Slot != "screen" {
			t.Errorf("of the slot that was taken over: %+v", last)
		}
		if len(b.gateway.sessions) != 0 {
			t.Error("sessions stay behind")
		}
	})
}

func TestCloseEndsSessions(t *testing.T) {
	b := newBench(t)
	b.offer("/whep/lobby", viewer)
	b.offer("/whip/lobby", admin)
	if err := b.gateway.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, s := range b.guests.sessions {
		select {
		case <-s.done:
		default:
			t.Error("a session lives on")
		}
	}
	if w := b.offer("/whep/lobby", viewer); w.Code != 503 {
		t.Errorf("afterwards: status %d", w.Code)
	}
	if w := b.do(call{method: "GET", path: "/readyz"}); w.Code != 503 {
		t.Errorf("readyz: status %d", w.Code)
	}
	if w := b.do(call{method: "GET", path: "/healthz"}); w.Code != 200 {
		t.Errorf("healthz: status %d", w.Code)
	}
}
