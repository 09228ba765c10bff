package bench

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// answering is a server whose POST is answered by post, and which remembers what was removed.
func answering(t *testing.T, post http.HandlerFunc) (base string, removed func() []string) {
	t.Helper()
	var mu sync.Mutex
	var list []string
	mux := http.NewServeMux()
	mux.HandleFunc("POST /", post)
	mux.HandleFunc("DELETE /", func(_ http.ResponseWriter, q *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		list = append(list, q.URL.RequestURI()+" "+q.Header.Get("Authorization"))
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL, func() []string { mu.Lock(); defer mu.Unlock(); return list }
}

func TestSession(t *testing.T) {
	tests := []struct{ name, location, want string }{
		{"absolute path", "/session/1?x=y", "/session/1?x=y Bearer T"},
		{"relative to the address", "session/2", "/a/session/2 Bearer T"},
		{"whole address", "BASE/other/3", "/other/3 Bearer T"},
		{"none", "", ""},
	}
	for _, x := range tests {
		t.Run(x.name, func(t *testing.T) {
			base, removed := answering(t, func(w http.ResponseWriter, q *http.Request) {
				body, _ := io.ReadAll(q.Body)
				if string(body) != "offer" || q.Header.Get("Content-Type") != "application/sdp" || q.Header.Get("Authorization") != "Bearer T" {
					t.Errorf("request %q, %v", body, q.Header)
				}
				if q.URL.Path == "/first" {
					http.Redirect(w, q, "/a/whip", http.StatusTemporaryRedirect)
					return
				}
				if x.location != "" {
					w.Header().Set("Location", strings.Replace(x.location, "BASE", "http://"+q.Host, 1))
				}
				w.Header().Set("Link", `<stun:stun.example.net>; rel="ice-server"`)
				w.Header().Set("ETag", `"1"`)
				w.WriteHeader(http.StatusCreated)
				_, _ = io.WriteString(w, mediamtxAnswer)
			})
			c := newSignaller("T", nil)
			s, err := c.post(t.Context(), base+"/first", "offer")
			if err != nil {
				t.Fatal(err)
			}
			if s.near.String() != "127.0.0.1" || s.answer.ufrag != "abcd" {
				t.Errorf("session %+v", s)
			}
			c.remove(t.Context(), s.url)
			if got := strings.Join(removed(), ","); got != x.want {
				t.Errorf("removed %q, want %q", got, x.want)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	tests := []struct {
		status      int
		kind, body  string
		token, want string
		missing     bool
	}{
		{status: 401, want: "answered 401: it wants a token: give one with --token"},
		{status: 401, token: "T", want: "answered 401: the token is wrong"},
		{status: 403, want: "does not allow"},
		{status: 404, want: "check the path", missing: true},
		{status: 405, want: "check the path"},
		{status: 429, want: "lower --num-per-second"},
		{status: 503, kind: "application/problem+json", body: `{"title":"Full","detail":"No more\n viewers."}`, want: "lower --subscribers (No more viewers)"},
		{status: 500, kind: "application/problem+json", body: `{"title":"\u001b[31mred"}`, want: "log ([31mred)"},
		{status: 500, kind: "text/html", body: `{"title":"no"}`, want: "check the address and the server's log"},
		{status: 201, kind: "text/html", body: "<html>", want: "no session description"},
		{status: 201, kind: "application/sdp", body: strings.ReplaceAll(mediamtxAnswer, "o 9", "o 0"), want: "takes nothing of what was offered"},
	}
	for _, x := range tests {
		base, _ := answering(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", x.kind)
			w.WriteHeader(x.status)
			_, _ = io.WriteString(w, x.body)
		})
		_, err := newSignaller(x.token, nil).post(t.Context(), base+"/whip?secret=1", "offer")
		if err == nil || !strings.Contains(err.Error(), x.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%d %s: %v, want %q", x.status, x.body, err, x.want)
		}
		if errors.Is(err, ErrMissing) != x.missing {
			t.Errorf("%d: missing %v", x.status, !x.missing)
		}
	}
}

func TestUnreachable(t *testing.T) {
	tests := []struct {
		address, want string
	}{
		{"http://127.0.0.1:1/whip/x", "127.0.0.1:1 cannot be reached"},
		{"http://nobody.invalid/whip/x", "check"},
		{"http://[::1/whip", "is no address"},
	}
	for _, x := range tests {
		if _, err := newSignaller("", nil).post(t.Context(), x.address, "offer"); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: %v", x.address, err)
		}
	}
	tls := httptest.NewTLSServer(http.NotFoundHandler())
	defer tls.Close()
	tls.Config.ErrorLog = nil
	if _, err := newSignaller("", nil).post(t.Context(), tls.URL+"/whip", "offer"); err == nil || !strings.Contains(err.Error(), "--insecure") {
		t.Errorf("of an unknown certificate: %v", err)
	}
	if _, err := newSignaller("", tlsConfig(true, "")).post(t.Context(), tls.URL+"/whip", "offer"); !errors.Is(err, ErrMissing) {
		t.Errorf("of any certificate: %v", err)
	}
	sum := sha256.Sum256(tls.Certificate().Raw)
	if _, err := newSignaller("", tlsConfig(false, fmt.Sprintf("%X", sum))).post(t.Context(), tls.URL+"/whip", "offer"); !errors.Is(err, ErrMissing) {
		t.Errorf("of the certificate: %v", err)
	}
	sum[0]++
	if _, err := newSignaller("", tlsConfig(false, fmt.Sprintf("%X", sum))).post(t.Context(), tls.URL+"/whip", "offer"); err == nil || errors.Is(err, ErrMissing) {
		t.Errorf("of another certificate: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := newSignaller("", nil).post(ctx, "http://127.0.0.1:1/whip", "offer"); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
}

func TestAddresses(t *testing.T) {
	tests := []struct{ address, from, to, want string }{
		{"http://h:1/whip/lobby?slot=a", "whip", "whep", "http://h:1/whep/lobby?slot=a"},
		{"http://whip.example/whip/whip", "whip", "whep", "http://whip.example/whip/whep"},
		{"https://h/stream/whep", "whep", "whip", "https://h/stream/whip"},
		{"http://h/x", "whip", "whep", ""},
		{"", "whip", "whep", ""},
		{"http://[::1/whip", "whip", "whep", ""},
	}
	for _, x := range tests {
		if got := Sibling(x.address, x.from, x.to); got != x.want {
			t.Errorf("of %s: %q, want %q", x.address, got, x.want)
		}
	}
	if got := withSlot("http://h/whip/lobby?a=b", 2); got != "http://h/whip/lobby?a=b&slot=bench-2" {
		t.Errorf("with a slot: %s", got)
	}
}

func FuzzProblem(f *testing.F) {
	f.Add([]byte(`{"title":"Full","detail":"No more viewers."}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if s := problemDetail("application/problem+json", body); strings.ContainsAny(s, "\n\r\x1b") || len([]rune(s)) > 200 {
			t.Errorf("%q", s)
		}
		_ = fmt.Sprintf("%s", host(string(body)))
	})
}
