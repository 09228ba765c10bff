package gateway

import (
	"strings"
	"testing"
	"time"

	"github.com/castd/castd/engine"
)

func TestRecordings(t *testing.T) {
	archive := &fakeArchive{}
	b := newBench(t, func(c *Config) { c.Archive = archive })
	for _, tt := range []struct {
		method, path, body, token string
		status                    int
		want                      string
	}{
		{"DELETE", "/api/v1/rooms/lobby/recording", "", admin, 409, engine.CodeNotRecorded},
		{"POST", "/api/v1/rooms/lobby/recording", `{"tracks":true,"segment":"30m","keep_size":5}`, talker, 403, engine.CodeNotAllowed},
		{"POST", "/api/v1/rooms/nowhere/recording", "", admin, 404, engine.CodeNoRoom},
		{"POST", "/api/v1/rooms/lobby/recording", `{"segment":"x"}`, admin, 400, codeBadRequest},
		{"POST", "/api/v1/rooms/lobby/recording", `{"tracks":true,"segment":"30m","keep_size":5}`, admin, 201, `"state":"recording"`},
		{"POST", "/api/v1/rooms/lobby/recording", "", admin, 409, engine.CodeRecorded},
		{"DELETE", "/api/v1/rooms/lobby/recording", "", admin, 200, `"state":"ended"`},
		{"GET", "/api/v1/recordings?room=lobby", "", admin, 200, `"files":["mix.ogg"]`},
		{"GET", "/api/v1/recordings?room=none", "", admin, 200, "[]"},
		{"GET", "/api/v1/recordings", "", viewer, 403, engine.CodeNotAllowed},
	} {
		w := b.do(call{method: tt.method, path: tt.path, token: tt.token, body: tt.body, headers: []string{"Content-Type: application/json"}})
		if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.want) {
			t.Errorf("%s %s: %d %s", tt.method, tt.path, w.Code, w.Body)
		}
	}
	if want := (engine.RecordSpec{Tracks: true, Segment: 30 * time.Minute, KeepSize: 5}); archive.spec != want {
		t.Errorf("asked for %+v", archive.spec)
	}
}
