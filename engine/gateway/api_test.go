package gateway

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/castd/castd/engine"
)

const isJSON = "Content-Type: application/json"

func decode[T any](t *testing.T, text string) (v T) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return v
}

func TestLists(t *testing.T) {
	b := newBench(t)
	get := func(path string) string {
		t.Helper()
		w := b.do(call{method: "GET", path: path, token: admin})
		if w.Code != 200 || w.Header().Get("Content-Type") != "application/json" || w.Header().Get("Cache-Control") != "no-store" {
			t.Fatalf("%s: %d %v", path, w.Code, w.Header())
		}
		return w.Body.String()
	}
	if s := decode[engine.Status](t, get("/api/v1/status")); s.Peer != "self" {
		t.Errorf("status %+v", s)
	}
	if s := strings.TrimSpace(get("/api/v1/peers")); s != "[]" {
		t.Errorf("no peers are %s", s)
	}
	if rooms := decode[[]engine.RoomInfo](t, get("/api/v1/rooms")); len(rooms) != 5 {
		t.Errorf("rooms %+v", rooms)
	}
	w := b.do(call{method: "GET", path: "/api/v1/openapi.yaml", token: admin})
	if w.Code != 200 || w.Header().Get("Content-Type") != "application/yaml" || w.Body.Len() != len(openAPIText) {
		t.Errorf("openapi: %d %v", w.Code, w.Header())
	}
}

func TestRoomInfo(t *testing.T) {
	b := newBench(t)
	for _, tt := range []struct {
		path, token string
		want        int
		allowed     []string
	}{
		{"lobby", admin, 200, []string{"listen", "speak", "admin"}},
		{"lobby", viewer, 200, []string{"listen"}},
		{"lobby", speaker, 200, []string{"listen", "speak"}},
		{"lobby", deaf, 200, []string{}},
		{string(lobby), viewer, 200, []string{"listen"}},
		{"attic", viewer, 403, nil},
		{"cellar", viewer, 404, nil},
		{"twin", admin, 409, nil},
		{"twin", viewer, 409, nil},
		{"twin", twin, 200, []string{"listen"}},
	} {
		w := b.do(call{method: "GET", path: "/api/v1/rooms/" + tt.path, token: tt.token})
		if w.Code != tt.want {
			t.Errorf("%s with %s: %d, want %d", tt.path, tt.token, w.Code, tt.want)
			continue
		}
		if w.Code != 200 {
			continue
		}
		if strings.Contains(w.Body.String(), "null") {
			t.Errorf("null in %s", w.Body)
		}
		got := decode[struct {
			engine.RoomInfo
			Allowed []string
		}](t, w.Body.String())
		if got.Audience != 3 || !slices.Equal(got.Allowed, tt.allowed) {
			t.Errorf("%s with %s: %s", tt.path, tt.token, w.Body)
		}
	}
}

func TestTree(t *testing.T) {
	b := newBench(t)
	get := func(query string, want int) string {
		t.Helper()
		w := b.do(call{method: "GET", path: "/api/v1/rooms/lobby/tree" + query, token: admin})
		if w.Code != want || strings.Contains(w.Body.String(), "null") {
			t.Errorf("%q: %d %s", query, w.Code, w.Body)
		}
		return w.Body.String()
	}
	if place := decode[engine.TreeInfo](t, get("", 200)); place.Peer != "self" || place.Parent != "" {
		t.Errorf("place %+v", place)
	}
	all := decode[struct{ Nodes []engine.TreeInfo }](t, get("?scope=room", 200))
	if len(all.Nodes) != 2 || all.Nodes[1].Peer != "other" {
		t.Errorf("nodes %+v", all)
	}
	get("?scope=world", 400)
	b.service.origin = false
	get("", 200)
	get("?scope=room", 409)
	if known := decode[struct{ Nodes []engine.TreeInfo }](t, get("?scope=known", 200)); len(known.Nodes) == 0 {
		t.Error("elsewhere nothing is known")
	}
}

func TestAddRoom(t *testing.T) {
	b := newBench(t)
	post := func(body string, headers ...string) int {
		t.Helper()
		return b.do(call{method: "POST", path: "/api/v1/rooms", token: admin, body: body, headers: headers}).Code
	}
	if code := post(`{"room":"garden","create":true,"title":"Garden","wait_ms":2000,"publish":true,"later":1}`, isJSON); code != 201 {
		t.Errorf("status %d", code)
	}
	if want := (engine.RoomSpec{Room: "garden", Create: true, Title: "Garden", WaitMs: 2000, Publish: true}); b.service.spec != want {
		t.Errorf("spec %+v", b.service.spec)
	}
	post(`{"room":"garden","wait_ms":-5}`, isJSON)
	if b.service.spec.WaitMs != 0 {
		t.Errorf("waits %d", b.service.spec.WaitMs)
	}
	for body, want := range map[string]int{`{}`: 400, `{"room":5}`: 400, `[]`: 400, ``: 400, `{"room":"x"`: 400} {
		if code := post(body, isJSON); code != want {
			t.Errorf("%s: %d", body, code)
		}
	}
	if code := post(`{"room":"garden"}`); code != 415 {
		t.Errorf("no type: %d", code)
	}
	if code := post(`{"room":"`+strings.Repeat("x", maxBody)+`"}`, isJSON); code != 413 {
		t.Errorf("too large: %d", code)
	}
	b.service.joining = engine.NewUserError(engine.CodeTimeout, "nobody")
	if code := post(`{"room":"garden"}`, isJSON); code != 504 {
		t.Errorf("nobody: %d", code)
	}
	b.service.joining = engine.NewUserError(engine.CodeNoRoom, "no name")
	if code := post(`{"room":"?"}`, isJSON); code != 404 {
		t.Errorf("no name: %d", code)
	}
}

func TestInvites(t *testing.T) {
	b := newBench(t)
	post := func(body string) (int, map[string]string) {
		t.Helper()
		w := b.do(call{method: "POST", path: "/api/v1/rooms/lobby/invites", token: admin, body: body, headers: []string{isJSON}})
		if w.Code != 201 {
			return w.Code, nil
		}
		return w.Code, decode[map[string]string](t, w.Body.String())
	}
	if _, got := post(`{}`); got["invite"] != "link" || len(got) != 1 {
		t.Errorf("invite %v", got)
	}
	if _, got := post(`{"guest":true,"speak":true,"expires":"90m"}`); got["url"] != "link" || len(got) != 1 {
		t.Errorf("guest %v", got)
	}
	if want := (engine.InviteSpec{Guest: true, Speak: true, Expires: 90 * time.Minute}); b.service.invite != want {
		t.Errorf("spec %+v", b.service.invite)
	}
	// The command line sends engine's own encoding.
	own, err := json.Marshal(engine.InviteSpec{Speak: true, Expires: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	if code, _ := post(string(own)); code != 201 || b.service.invite != (engine.InviteSpec{Speak: true, Expires: time.Hour}) {
		t.Errorf("%d, spec %+v", code, b.service.invite)
	}
	if _, got := post(`{"qr":true}`); !strings.HasPrefix(got["qr"], "<svg ") {
		t.Errorf("qr %v", got)
	}
	for _, body := range []string{`{"expires":"soon"}`, `{"expires":-1}`, `{"expires":"-1h"}`, `{"expires":{}}`} {
		if code, _ := post(body); code != 400 {
			t.Errorf("%s: %d", body, code)
		}
	}
}

func TestTokens(t *testing.T) {
	b := newBench(t)
	for body, want := range map[string]time.Duration{`{"speak":true}`: tokenLife, `{"speak":true,"expires":"2h"}`: 2 * time.Hour, `{"speak":true,"expires":"99999h"}`: maxTokenLife} {
		w := b.do(call{method: "POST", path: "/api/v1/rooms/lobby/tokens", token: admin, body: body, headers: []string{isJSON}})
		got := decode[map[string]any](t, w.Body.String())
		if w.Code != 201 || got["token"] != "token-true" || got["room"] != string(lobby) || b.service.valid != want {
			t.Errorf("%s: %d %s, valid %s", body, w.Code, w.Body, b.service.valid)
		}
	}
	if w := b.do(call{method: "POST", path: "/api/v1/rooms/cellar/tokens", token: admin, body: `{}`, headers: []string{isJSON}}); w.Code != 404 {
		t.Errorf("no room: %d", w.Code)
	}
}

func TestMedia(t *testing.T) {
	b := newBench(t)
	// Media is not limited as other bodies are.
	w := b.do(call{method: "POST", path: "/api/v1/rooms/lobby/media", body: strings.Repeat("x", 3*maxBody), local: true})
	if w.Code != 200 || w.Body.String() != `{"packets":196608}` {
		t.Errorf("upload: %d %s", w.Code, w.Body)
	}
	w = b.do(call{method: "GET", path: "/api/v1/rooms/lobby/media?format=ogg", token: admin})
	if w.Code != 200 || w.Body.String() != `{"packets":0}` {
		t.Errorf("download: %d %s", w.Code, w.Body)
	}
}

func TestQR(t *testing.T) {
	if svg, ok := qrSVG("castd://room/name"); !ok || !strings.Contains(svg, `viewBox="0 0 29 29"`) || !strings.Contains(svg, `d="M4 4h7v1h-7z`) || !strings.HasSuffix(svg, `"/></svg>`) {
		t.Errorf("%v %.200s", ok, svg)
	}
	if _, ok := qrSVG(strings.Repeat("x", 5000)); ok {
		t.Error("too much text fits")
	}
}
