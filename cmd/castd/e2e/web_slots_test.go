package e2e_test

import (
	"slices"
	"strings"
	"testing"
)

// sceneShape is the ratio of the sides of the picture of browser/scene.js.
const sceneShape = 1184.0 / 608

// sceneFlows is the number of its pictures within two seconds that shows that it moves, out of 20.
const sceneFlows = 10

// TestSlots has several publishers and a publisher with two slots in one room, and a viewer who chooses.
func TestSlots(t *testing.T) {
	b := startBrowsers(t)
	o := origin(t)
	page := o.page("lobby")
	b.do(t, command{"do": "publish", "as": "ada", "url": page, "name": "Ada", "source": "scene.js"}, nil)
	b.do(t, command{"do": "watch", "as": "viewer", "url": page}, nil)
	b.do(t, command{"do": "shape", "as": "viewer", "ratio": sceneShape}, nil)

	b.do(t, command{"do": "share", "as": "ada"}, nil)
	guest, _, code := castd(t, "invite", "lobby", "--guest", "--speak", "--data-dir", o.dir)
	if code != 0 {
		t.Fatal("no link for a guest")
	}
	link := ""
	for line := range strings.Lines(guest) {
		if i := strings.Index(line, "http"); i >= 0 && link == "" {
			link = strings.TrimSpace(line[i:])
		}
	}
	b.do(t, command{"do": "publish", "as": "bob", "url": link, "name": "Bob"}, nil)

	var s struct {
		Labels, Slots []string
		Chosen        int
	}
	b.do(t, command{"do": "slots", "as": "viewer", "count": 4}, &s)
	t.Logf("a viewer can choose %q", s.Labels)
	if s.Chosen != 0 || !slices.Equal(s.Labels[:2], []string{"Automatic", "Ada"}) || !slices.Contains(s.Labels, "Ada: screen") || !slices.Contains(s.Labels, "Bob") {
		t.Errorf("slots %+v", s)
	}
	var before, after reception
	b.do(t, command{"do": "press", "as": "viewer", "selector": `#slots button[data-slot="screen"]`}, nil)
	b.do(t, command{"do": "shape", "as": "viewer", "ratio": sceneShape, "not": true}, nil)
	b.do(t, command{"do": "state", "as": "viewer", "state": "live"}, nil)
	b.do(t, command{"do": "back", "as": "viewer", "ms": 10000, "least": 5}, nil) // as below; a screen on which little happens
	b.do(t, command{"do": "flow", "as": "viewer", "seconds": 2}, &before)
	if before.Samples == 0 || before.FPS < 1 {
		t.Errorf("of the screen comes %+v", before)
	}
	// A chosen slot is waited for; whatever has been live longest is back by itself.
	b.do(t, command{"do": "press", "as": "ada", "selector": "#stop-screen"}, nil)
	var said said
	b.do(t, command{"do": "state", "as": "viewer", "state": "waiting"}, &said)
	if !strings.Contains(said.Text, "Ada: screen") {
		t.Errorf("the page says %q", said.Text)
	}
	b.do(t, command{"do": "press", "as": "viewer", "selector": `#slots button:first-child`}, nil)
	b.do(t, command{"do": "shape", "as": "viewer", "ratio": sceneShape}, nil)
	b.do(t, command{"do": "state", "as": "viewer", "state": "live"}, nil)
	// The first pictures of another slot are its cached group, after which a browser on a busy machine stands still for a moment.
	b.do(t, command{"do": "back", "as": "viewer", "ms": 10000, "least": sceneFlows}, nil)
	b.do(t, command{"do": "flow", "as": "viewer", "seconds": 2}, &after)
	if after.FPS < 4 || after.Samples == 0 || len(after.Troubles) > 0 { // the scene has 10 pictures a second
		t.Errorf("of the camera comes %+v", after)
	}

	// Who goes live in a slot of his own from a second window has the first one stop.
	b.do(t, command{"do": "publish", "as": "second window", "url": link, "name": "Bob"}, nil)
	b.do(t, command{"do": "state", "as": "bob", "id": "live-state", "state": "error"}, &said)
	if !strings.Contains(said.Text, "another slot") {
		t.Errorf("the first window says %q", said.Text)
	}
	b.do(t, command{"do": "state", "as": "second window", "id": "live-state", "state": "live"}, nil)
}

// TestPageLoad loads the page as a narrow phone does.
func TestPageLoad(t *testing.T) {
	b := startBrowsers(t)
	o := origin(t)
	b.do(t, command{"do": "publish", "as": "broadcaster", "url": o.page("lobby")}, nil)
	var w struct {
		Files, All, Requests             float64
		Hosts, Small, Nameless, Troubles []string
		Names                            map[string]float64
		Wide                             bool
	}
	b.do(t, command{"do": "weigh", "url": o.page("lobby")}, &w)
	t.Logf("the page's files: %.0f octets over the wire; with all requests until it plays: %.0f in %.0f requests", w.Files, w.All, w.Requests)
	if w.Files == 0 || w.All >= 100_000 || len(w.Names) < 10 {
		t.Errorf("a page load takes %.0f octets: %v", w.All, w.Names)
	}
	if len(w.Hosts) != 1 || len(w.Troubles) > 0 {
		t.Errorf("hosts %v, troubles %v", w.Hosts, w.Troubles)
	}
	if w.Wide || len(w.Small) > 0 || len(w.Nameless) > 0 {
		t.Errorf("on 320 points: wider than the screen %v, too small to touch %v, without a name %v", w.Wide, w.Small, w.Nameless)
	}
}
