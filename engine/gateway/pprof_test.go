package gateway

import (
	"strings"
	"testing"
	"time"
)

func TestProfiles(t *testing.T) {
	b := newBench(t)
	for _, tt := range []struct {
		path, token string
		want        int
		body        string
	}{
		{"/debug/pprof/", admin, 200, "goroutine"},
		{"/debug/pprof/goroutine?debug=1", admin, 200, "goroutine profile"},
		{"/debug/pprof/heap?gc=1", admin, 200, ""},
		{"/debug/pprof/nothing", admin, 404, ""},
		{"/debug/pprof/cmdline", admin, 404, ""},
		{"/debug/pprof/profile?seconds=0", admin, 400, ""},
		{"/debug/pprof/profile?seconds=x", admin, 400, ""},
		{"/debug/pprof/trace?seconds=301", admin, 400, ""},
		{"/debug/pprof/heap?token=x", admin, 400, ""},
		{"/debug/pprof/", "", 401, ""},
		{"/debug/pprof/heap", "", 401, ""},
		{"/debug/pprof/heap", "wrong", 401, ""},
		{"/debug/pprof/heap", viewer, 403, ""},
		{"/debug/pprof/", speaker, 403, ""},
	} {
		w := b.do(call{method: "GET", path: tt.path, token: tt.token})
		if w.Code != tt.want || !strings.Contains(w.Body.String(), tt.body) {
			t.Errorf("%s with %q: %d, want %d", tt.path, tt.token, w.Code, tt.want)
		}
	}
	if w := b.do(call{method: "POST", path: "/debug/pprof/heap", token: admin}); w.Code != 405 {
		t.Errorf("POST: %d", w.Code)
	}
	if w := b.do(call{method: "GET", path: "/debug/pprof/heap", local: true}); w.Code != 200 {
		t.Errorf("over the socket: %d", w.Code)
	}
}

func TestProfileTime(t *testing.T) {
	for _, tt := range []struct {
		name, seconds string
		want          time.Duration // 0: refused
	}{
		{"profile", "", 30 * time.Second},
		{"profile", "5", 5 * time.Second},
		{"profile", "1.5", 0},
		{"trace", "0.5", time.Second / 2},
		{"heap", "300", 300 * time.Second},
		{"heap", "301", 0},
		{"heap", "-1", 0},
		{"heap", "NaN", 0},
		{"heap", "Inf", 0},
		{"heap", "1e400", 0},
	} {
		if got, err := profileTime(tt.name, tt.seconds); got != tt.want || (err == nil) != (tt.want > 0) {
			t.Errorf("%s %q: %s, %v", tt.name, tt.seconds, got, err)
		}
	}
}
