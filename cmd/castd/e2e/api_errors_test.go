package e2e_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"
)

// TestAPIErrors tries what the gateway must refuse on a running server, error by error. That each answer is a problem document
// with a sentence, and described, is checked for all of them.
func TestAPIErrors(t *testing.T) {
	t.Parallel()
	o := origin(t, "--room", "attic", "--max-children", "2")
	a := apiOf(t, o)
	viewer, speaker := a.roomToken("lobby", `{}`), a.roomToken("lobby", `{"speak":true}`)
	short := a.roomToken("lobby", `{"expires":"1s"}`)
	watching, sending := offerOf(t, webrtc.RTPTransceiverDirectionRecvonly), offerOf(t, webrtc.RTPTransceiverDirectionSendonly)
	sdp := "Content-Type: application/sdp"
	fragment := "Content-Type: application/trickle-ice-sdpfrag"
	isJSON := "Content-Type: application/json"

	made := a.offer("/whep/lobby", viewer, watching)
	session, etag := made.header.Get("Location"), made.header.Get("ETag")
	if made.status != 201 || !strings.HasPrefix(session, "/whep/lobby/") || etag == "" {
		t.Fatalf("no session: %d %v", made.status, made.header)
	}
	const candidate = "a=ice-ufrag:%s\r\na=ice-pwd:0123456789012345678901\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n"

	tests := []struct {
		name string
		call call
		body string
		want int
		code string // of the problem, "" any
	}{
		// methods
		{"method", call{method: "PUT", path: "/whip/lobby"}, "", 405, ""},
		{"method", call{method: "GET", path: "/whep/lobby"}, "", 405, ""},
		{"method", call{method: "PATCH", path: "/whep/lobby"}, "", 405, ""},
		{"method", call{method: "POST", path: session, token: viewer}, "", 405, ""},
		{"method", call{method: "GET", path: session, token: viewer}, "", 405, ""},
		{"method", call{method: "DELETE", path: "/api/v1/status"}, "", 405, ""},
		{"method", call{method: "POST", path: "/api/v1/events"}, "", 405, ""},
		{"method", call{method: "POST", path: "/metrics"}, "", 405, ""},
		{"method", call{method: "BREW", path: "/api/v1/rooms"}, "", 405, ""},
		{"method", call{method: "POST", path: "/r/lobby", token: "-"}, "", 405, ""},
		{"path", call{method: "GET", path: "/nothing", token: "-"}, "", 404, ""},
		{"path", call{method: "GET", path: "/api/v1"}, "", 404, ""},
		{"path", call{method: "GET", path: "/web/../../etc/passwd", token: "-"}, "", 404, ""},

		// tokens
		{"no token", call{method: "POST", path: "/whip/lobby", token: "-", headers: []string{sdp}}, sending, 401, "unauthorized"},
		{"no token", call{method: "POST", path: "/whep/lobby", token: "-", headers: []string{sdp}}, watching, 401, "unauthorized"},
		{"no token", call{method: "GET", path: "/api/v1/status", token: "-"}, "", 401, "unauthorized"},
		{"no token", call{method: "GET", path: "/metrics", token: "-"}, "", 401, "unauthorized"},
		{"no token", call{method: "GET", path: "/debug/pprof/heap", token: "-"}, "", 401, "unauthorized"},
		{"no token, no room", call{method: "POST", path: "/whep/cellar", token: "-", headers: []string{sdp}}, watching, 401, "unauthorized"},
		{"wrong token", call{method: "POST", path: "/whep/lobby", token: "guess", headers: []string{sdp}}, watching, 401, "unauthorized"},
		{"wrong token", call{method: "GET", path: "/api/v1/rooms", token: a.token + "x"}, "", 401, "unauthorized"},
		{"altered token", call{method: "POST", path: "/whep/lobby", token: altered(viewer), headers: []string{sdp}}, watching, 401, "unauthorized"},
		{"other scheme", call{method: "GET", path: "/api/v1/status", token: "-", headers: []string{"Authorization: Basic " + a.token}}, "", 401, "unauthorized"},
		{"token in the address", call{method: "GET", path: "/api/v1/status?token=" + a.token, token: "-"}, "", 401, "unauthorized"},
		{"other room", call{method: "POST", path: "/whep/attic", token: viewer, headers: []string{sdp}}, watching, 403, "not_allowed"},
		{"other room", call{method: "GET", path: "/api/v1/rooms/attic", token: viewer}, "", 403, "not_allowed"},
		{"other room", call{method: "GET", path: "/api/v1/events?room=attic", token: viewer}, "", 403, "not_allowed"},
		{"no right to send", call{method: "POST", path: "/whip/lobby", token: viewer, headers: []string{sdp}}, sending, 403, "not_allowed"},
		{"guest", call{method: "GET", path: "/api/v1/status", token: viewer}, "", 403, "not_allowed"},
		{"guest", call{method: "GET", path: "/api/v1/peers", token: speaker}, "", 403, "not_allowed"},
		{"guest", call{method: "GET", path: "/api/v1/guests", token: speaker}, "", 403, "not_allowed"},
		{"guest", call{method: "GET", path: "/api/v1/rooms", token: speaker}, "", 403, "not_allowed"},
		{"guest", call{method: "POST", path: "/api/v1/rooms", token: speaker, headers: []string{isJSON}}, `{"room":"x"}`, 403, "not_allowed"},
		{"guest", call{method: "POST", path: "/api/v1/rooms/lobby/tokens", token: speaker, headers: []string{isJSON}}, `{}`, 403, "not_allowed"},
		{"guest", call{method: "POST", path: "/api/v1/rooms/lobby/invites", token: speaker, headers: []string{isJSON}}, `{}`, 403, "not_allowed"},
		{"guest", call{method: "POST", path: "/api/v1/rooms/lobby/media", token: speaker}, "x", 403, "not_allowed"},
		{"guest", call{method: "GET", path: "/metrics", token: speaker}, "", 403, "not_allowed"},
		{"guest", call{method: "GET", path: "/debug/pprof/", token: speaker}, "", 403, "not_allowed"},
		{"guest", call{method: "GET", path: "/api/v1/openapi.yaml", token: speaker}, "", 403, "not_allowed"},

		// types and sizes
		{"type", call{method: "POST", path: "/whip/lobby", headers: []string{"Content-Type: text/plain"}}, sending, 415, ""},
		{"no type", call{method: "POST", path: "/whep/lobby"}, watching, 415, ""},
		{"type", call{method: "PATCH", path: session, token: viewer, headers: []string{sdp, "If-Match: " + etag}}, "", 415, ""},
		{"type", call{method: "POST", path: "/api/v1/rooms", headers: []string{"Content-Type: application/x-www-form-urlencoded"}}, "room=x", 415, ""},
		{"size", call{method: "POST", path: "/whip/lobby", headers: []string{sdp}}, strings.Repeat("x", 64<<10+1), 413, ""},
		{"size", call{method: "POST", path: "/api/v1/rooms", headers: []string{isJSON}}, strings.Repeat(" ", 64<<10+1), 413, ""},
		{"size", call{method: "PATCH", path: session, token: viewer, headers: []string{fragment, "If-Match: " + etag}}, strings.Repeat("x", 64<<10+1), 413, ""},

		// offers
		{"empty offer", call{method: "POST", path: "/whip/lobby", headers: []string{sdp}}, "", 400, "bad_offer"},
		{"no offer", call{method: "POST", path: "/whip/lobby", headers: []string{sdp}}, "hello", 400, "bad_offer"},
		{"offer without media", call{method: "POST", path: "/whep/lobby", headers: []string{sdp}}, "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n", 400, "bad_offer"},
		{"watching by WHIP", call{method: "POST", path: "/whip/lobby", headers: []string{sdp}}, watching, 400, "bad_offer"},
		{"sending by WHEP", call{method: "POST", path: "/whep/lobby", headers: []string{sdp}}, sending, 400, "bad_offer"},
		{"offer cut off", call{method: "POST", path: "/whep/lobby", headers: []string{sdp}}, watching[:len(watching)/8], 400, "bad_offer"},
		{"slot", call{method: "POST", path: "/whip/lobby?slot=" + url.QueryEscape("a b"), headers: []string{sdp}}, sending, 400, "bad_offer"},

		// rooms that are not there, at once
		{"no room", call{method: "POST", path: "/whip/cellar", headers: []string{sdp}}, sending, 404, "no_such_room"},
		{"no room", call{method: "POST", path: "/whep/cellar", headers: []string{sdp}}, watching, 404, "no_such_room"},
		{"no room", call{method: "GET", path: "/api/v1/rooms/cellar"}, "", 404, "no_such_room"},
		{"no room", call{method: "GET", path: "/api/v1/rooms/cellar/tree"}, "", 404, "no_such_room"},
		{"no room", call{method: "GET", path: "/api/v1/rooms/cellar/media"}, "", 404, "no_such_room"},
		{"no format", call{method: "GET", path: "/api/v1/rooms/lobby/media?format=mp3"}, "", 400, ""},
		{"no time", call{method: "GET", path: "/api/v1/rooms/lobby/media?for=soon"}, "", 400, ""},
		{"no media", call{method: "POST", path: "/api/v1/rooms/lobby/media", headers: []string{"Content-Type: application/octet-stream"}}, "hello", 400, "bad_media"},
		{"no room", call{method: "GET", path: "/api/v1/events?room=cellar"}, "", 404, "no_such_room"},
		{"no room", call{method: "POST", path: "/api/v1/rooms/cellar/tokens", headers: []string{isJSON}}, `{}`, 404, "no_such_room"},

		// sessions
		{"no session", call{method: "DELETE", path: "/whep/lobby/none"}, "", 404, "not_found"},
		{"no session", call{method: "PATCH", path: "/whep/lobby/none", headers: []string{fragment}}, "", 404, "not_found"},
		{"somebody else's session", call{method: "DELETE", path: session}, "", 404, "not_found"},
		{"somebody else's session", call{method: "DELETE", path: session, token: speaker}, "", 404, "not_found"},
		{"other protocol's session", call{method: "DELETE", path: strings.Replace(session, "whep", "whip", 1), token: viewer}, "", 404, "not_found"},
		{"no If-Match", call{method: "PATCH", path: session, token: viewer, headers: []string{fragment}}, fmt.Sprintf(candidate, "abcd"), 428, ""},
		{"old ETag", call{method: "PATCH", path: session, token: viewer, headers: []string{fragment, `If-Match: "old"`}}, fmt.Sprintf(candidate, "abcd"), 412, "stale"},
		{"weak ETag", call{method: "PATCH", path: session, token: viewer, headers: []string{fragment, "If-Match: W/" + etag}}, fmt.Sprintf(candidate, "abcd"), 412, "stale"},
		{"no fragment", call{method: "PATCH", path: session, token: viewer, headers: []string{fragment, "If-Match: " + etag}}, "hello", 400, "bad_offer"},

		// the API
		{"no JSON", call{method: "POST", path: "/api/v1/rooms", headers: []string{isJSON}}, `{"room":`, 400, ""},
		{"JSON of another kind", call{method: "POST", path: "/api/v1/rooms", headers: []string{isJSON}}, `["lobby"]`, 400, ""},
		{"nothing named", call{method: "POST", path: "/api/v1/rooms", headers: []string{isJSON}}, `{}`, 400, ""},
		{"room of nobody", call{method: "POST", path: "/api/v1/rooms", headers: []string{isJSON}}, `{"room":"nowhere","wait_ms":1}`, 504, "timeout"},
		{"negative time", call{method: "POST", path: "/api/v1/rooms/lobby/tokens", headers: []string{isJSON}}, `{"expires":-1}`, 400, ""},
		{"statistics", call{method: "GET", path: "/api/v1/events?stats=1ns"}, "", 400, ""},
		{"snapshot", call{method: "GET", path: "/api/v1/events?snapshot=perhaps"}, "", 400, ""},
		{"scope", call{method: "GET", path: "/api/v1/rooms/lobby/tree?scope=world"}, "", 400, ""},
		{"profile", call{method: "GET", path: "/debug/pprof/profile?seconds=9999"}, "", 400, ""},
		{"profile", call{method: "GET", path: "/debug/pprof/cmdline"}, "", 404, ""},

		// rebinding: a page whose name was made to lead here
		{"rebinding", call{method: "GET", path: "/", token: "-", headers: []string{"Host: evil.example"}}, "", 403, ""},
		{"rebinding", call{method: "GET", path: "/api/v1/status", headers: []string{"Host: evil.example:8470"}}, "", 403, ""},
		{"rebinding", call{method: "POST", path: "/whip/lobby", headers: []string{sdp, "Host: 127.0.0.1.evil.example"}}, sending, 403, ""},
		{"rebinding", call{method: "GET", path: "/nothing", headers: []string{"Host: evil.example"}}, "", 403, ""},

		// pages of others
		{"cross-origin", call{method: "POST", path: "/whip/lobby", headers: []string{sdp, "Origin: https://evil.example"}}, sending, 403, ""},
		{"cross-origin", call{method: "POST", path: "/whep/lobby", headers: []string{sdp, "Sec-Fetch-Site: cross-site"}}, watching, 403, ""},
		{"cross-origin", call{method: "POST", path: "/api/v1/rooms", headers: []string{isJSON, "Origin: null"}}, `{"room":"x"}`, 403, ""},
		{"same site, other port", call{method: "DELETE", path: session, token: viewer, headers: []string{"Sec-Fetch-Site: same-site", "Origin: http://127.0.0.1:1"}}, "", 403, ""},
		{"preflight", call{method: "OPTIONS", path: "/whip/lobby", token: "-", headers: []string{"Origin: https://evil.example", "Access-Control-Request-Method: POST"}}, "", 200, ""},
	}
	for _, tt := range tests {
		c := tt.call
		if tt.body != "" {
			c.body = strings.NewReader(tt.body)
		}
		begin := time.Now()
		got := a.do(c)
		where := fmt.Sprintf("%s: %s %.80s", tt.name, c.method, c.path)
		if took := time.Since(begin); took > 5*time.Second {
			t.Errorf("%s took %s", where, took)
		}
		var p struct{ Code, Detail string }
		if got.status != tt.want {
			t.Errorf("%s: %d, want %d: %s", where, got.status, tt.want, got.body)
			continue
		}
		if tt.want >= 400 {
			if err := json.Unmarshal(got.body, &p); err != nil || tt.code != "" && p.Code != tt.code {
				t.Errorf("%s: code %q, want %q (%v)", where, p.Code, tt.code, err)
			}
		}
		if got.status == 401 && !strings.HasPrefix(got.header.Get("WWW-Authenticate"), "Bearer") {
			t.Errorf("%s: WWW-Authenticate %q", where, got.header.Get("WWW-Authenticate"))
		}
		for name := range got.header {
			if strings.HasPrefix(name, "Access-Control-") {
				t.Errorf("%s: answered %s", where, name)
			}
		}
	}

	// A body without a length is bounded as well.
	if got := a.do(call{method: "POST", path: "/whep/lobby", headers: []string{sdp}, body: io.MultiReader(strings.NewReader(strings.Repeat("x", 1<<20)))}); got.status != 413 {
		t.Errorf("a body without a length: %d", got.status)
	}
	// What is right still goes through after all that.
	if got := a.do(call{method: "PATCH", path: session, token: viewer, headers: []string{fragment, "If-Match: " + etag}, body: strings.NewReader("a=end-of-candidates\r\n")}); got.status != 204 && got.status != 400 {
		t.Errorf("end of candidates: %d %s", got.status, got.body)
	}
	for _, want := range []int{200, 404} {
		if got := a.do(call{method: "DELETE", path: session, token: viewer}); got.status != want {
			t.Errorf("end of the session: %d, want %d", got.status, want)
		}
	}
	a.expired(short, watching)
	a.twins(watching)
	a.fromElsewhere(watching)
	a.tooMany()
}

// roomToken makes a token for a room.
func (a *api) roomToken(room, body string) string {
	a.t.Helper()
	got := a.do(call{method: "POST", path: "/api/v1/rooms/" + room + "/tokens", headers: []string{"Content-Type: application/json"}, body: strings.NewReader(body)})
	var made struct{ Token string }
	if err := json.Unmarshal(got.body, &made); err != nil || got.status != 201 || made.Token == "" {
		a.t.Fatalf("no token: %d %s", got.status, got.body)
	}
	return made.Token
}

// altered changes one letter in the middle of a token.
func altered(token string) string {
	b := []byte(token)
	i := len(b) / 2
	if b[i] = 'A'; token[i] == 'A' {
		b[i] = 'B'
	}
	return string(b)
}
