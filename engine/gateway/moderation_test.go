package gateway

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/room"
)

func TestModeration(t *testing.T) {
	b := newBench(t)
	for _, tt := range []struct {
		path, body, token string
		status            int
		code              string
		want              engine.Moderation
	}{
		{"/participants/guest5:mute", "", admin, 204, "", engine.Moderation{Verb: "mute", Who: "guest5"}},
		{"/participants/Ann%20B:c:kick", `{"for":"2m"}`, admin, 204, "", engine.Moderation{Verb: "kick", Who: "Ann B:c", For: 2 * time.Minute}},
		{"/participants/guest5:grant", `{"rights":"speak,video"}`, admin, 204, "", engine.Moderation{Verb: "grant", Who: "guest5", Rights: room.Speak | room.Video}},
		{"/moderation", `{"verb":"mute-all"}`, admin, 204, "", engine.Moderation{Verb: "mute-all"}},
		{"/moderation", `{"verb":"title","title":"Tea"}`, admin, 204, "", engine.Moderation{Verb: "title", Title: "Tea"}},
		{"/participants/nobody:mute", "", admin, 404, engine.CodeNoParticipant, engine.Moderation{}},
		{"/participants/guest5:tickle", "", admin, 400, engine.CodeBadVerb, engine.Moderation{}},
		{"/participants/guest5", "", admin, 400, engine.CodeBadVerb, engine.Moderation{}},
		{"/participants/:mute", "", admin, 400, engine.CodeBadVerb, engine.Moderation{}},
		{"/participants/guest5:mute", `{"verb":"kick"}`, admin, 400, engine.CodeBadVerb, engine.Moderation{}},
		{"/participants/guest5:lock", "", admin, 400, engine.CodeBadVerb, engine.Moderation{}},
		{"/participants/guest5:grant", `{"rights":"everything"}`, admin, 400, codeBadRequest, engine.Moderation{}},
		{"/participants/guest5:mute", `{"for":"-2m"}`, admin, 400, engine.CodeBadVerb, engine.Moderation{}},
		{"/participants/guest5:mute", `[`, admin, 400, codeBadRequest, engine.Moderation{}},
		{"/moderation", `{"verb":"mute"}`, admin, 400, engine.CodeBadVerb, engine.Moderation{}},
		{"/moderation", ``, admin, 400, engine.CodeBadVerb, engine.Moderation{}},
		{"/moderation", `{"verb":"title","title":"` + strings.Repeat("x", room.MaxTitle+1) + `"}`, admin, 400, engine.CodeBadVerb, engine.Moderation{}},
		{"/participants/guest5:mute", "", talker, 403, engine.CodeNotAllowed, engine.Moderation{}},
		{"/moderation", `{"verb":"lock"}`, talker, 403, engine.CodeNotAllowed, engine.Moderation{}},
	} {
		b.service.ordered = nil
		w := b.do(call{method: http.MethodPost, path: "/api/v1/rooms/talk" + tt.path, token: tt.token, body: tt.body, headers: []string{"Content-Type: application/json"}})
		var doc struct{ Code, Detail string }
		_ = json.Unmarshal(w.Body.Bytes(), &doc)
		if w.Code != tt.status || doc.Code != tt.code {
			t.Errorf("%s %s: %d %s", tt.path, tt.body, w.Code, w.Body)
		}
		if want := []engine.Moderation{tt.want}; tt.status == 204 && !slices.Equal(b.service.ordered, want) || tt.status != 204 && len(b.service.ordered) > 0 {
			t.Errorf("%s %s: ordered was %+v", tt.path, tt.body, b.service.ordered)
		}
	}
	for token, status := range map[string]int{admin: 200, talker: 200, viewer: 403} {
		w := b.do(call{method: http.MethodGet, path: "/api/v1/rooms/talk/chat", token: token})
		if w.Code != status || status == 200 && !strings.Contains(w.Body.String(), `"text":"hello"`) {
			t.Errorf("chat for %s: %d %s", token, w.Code, w.Body)
		}
	}
}

// TestLockedRoom: who watches by a link is nobody whom a locked room knows.
func TestLockedRoom(t *testing.T) {
	b := newBench(t)
	b.service.locked = true
	for token, status := range map[string]int{viewer: 403, admin: 201} {
		if w := b.do(call{method: http.MethodPost, path: "/whep/lobby", token: token, body: "v=0", headers: []string{"Content-Type: application/sdp"}}); w.Code != status {
			t.Errorf("%s: %d %s", token, w.Code, w.Body)
		}
	}
}
