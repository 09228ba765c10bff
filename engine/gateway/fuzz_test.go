package gateway

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// FuzzRequest sends requests of all kinds. Whatever comes, the answer is one of those that are described, errors are problem
// documents, and nothing but open routes is served without a token.
func FuzzRequest(f *testing.F) {
	f.Add("POST", "/whip/lobby?slot=a", viewer, "127.0.0.1", "application/sdp; charset=utf-8", `"x"`, "v=0")
	f.Add("PATCH", "/whep/lobby/x", speaker, "localhost:1", "application/trickle-ice-sdpfrag", `*, W/"y"`, "a=candidate:1")
	f.Add("POST", "/api/v1/rooms/lobby/invites", admin, "[::1]:80", "application/json", "", `{"guest":true,"expires":"1h","qr":true}`)
	f.Add("POST", "/api/v1/rooms", admin, "localhost.", "application/json", "", `{"room":"x","wait_ms":1e99}`)
	f.Add("GET", "/r/%2e%2e/", "", "evil.example", "", "", "")
	f.Add("OPTIONS", "*", "", "", "", "", "")
	f.Add("CONNECT", "//x", "", "", "", "", "")
	f.Fuzz(func(t *testing.T, method, path, token, host, kind, match, body string) {
		r, err := http.NewRequest(method, "http://localhost/", strings.NewReader(body))
		if err != nil {
			return
		}
		if r.URL, err = r.URL.Parse(path); err != nil {
			return
		}
		if r.URL.Path == "/api/v1/events" {
			return // lasts
		}
		b := newBench(t)
		r.Host = host
		r.RemoteAddr = b.remote
		r.Header.Set("Authorization", "Bearer "+token)
		r.Header.Set("Content-Type", kind)
		r.Header.Set("If-Match", match)
		w := httptest.NewRecorder()
		b.gateway.Handler().ServeHTTP(w, r)
		_, known := b.service.Authorize(strings.TrimSpace(token))
		_, pattern := b.gateway.remote.(*front).mux.Handler(r)
		open := slices.ContainsFunc(b.gateway.routes(), func(rt route) bool { return rt.pattern == pattern && rt.need == forAll })
		switch {
		case w.Code >= 400:
			var p problem
			if err := json.Unmarshal(w.Body.Bytes(), &p); (err != nil || p.Status != w.Code) && method != http.MethodHead {
				t.Errorf("%d with %q", w.Code, w.Body)
			}
			if w.Code == http.StatusInternalServerError {
				t.Errorf("inner error at %s %s", method, path)
			}
		case w.Code < 400 && w.Code >= 300:
		case !open && !known:
			t.Errorf("%s %s served to somebody without a token: %d", method, path, w.Code)
		}
	})
}

func FuzzDuration(f *testing.F) {
	for _, s := range []string{`1`, `"24h"`, `"-1s"`, `-5`, `1.5`, `"x"`, `null`, `{}`, `9223372036854775808`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var d duration
		if json.Unmarshal([]byte(s), &d) != nil && d != 0 {
			t.Errorf("%q left %d behind", s, d)
		}
	})
}

func FuzzHostName(f *testing.F) {
	for _, s := range []string{"localhost:80", "[::1]:80", "::1", "a.b.", "[", ":", "127.0.0.1:x:y"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		name := hostName(s)
		if name != strings.ToLower(name) {
			t.Errorf("%q is %q", s, name)
		}
		// No name of somebody else may come out as ours.
		if name == "localhost" && !strings.Contains(strings.ToLower(s), "localhost") {
			t.Errorf("%q is %q", s, name)
		}
	})
}
