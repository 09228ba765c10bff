package e2e_test

import (
	"strings"
	"testing"
	"time"
)

// sameUser makes a data folder of the same user as another.
func sameUser(t *testing.T, as *process) string {
	t.Helper()
	key, dir := inTemp(t, "me.key"), folder(t)
	if _, errs, code := castd(t, "id", "export", key, "--data-dir", as.dir); code != 0 {
		t.Fatalf("export: %d %s", code, errs)
	}
	if _, errs, code := castd(t, "id", "import", key, "--data-dir", dir); code != 0 {
		t.Fatalf("import: %d %s", code, errs)
	}
	return dir
}

// TestHubIsKilled kills the hub while somebody else publishes: a second device of the owner takes its place, and the room goes on.
// Nothing is missing afterwards: what was on its way through the hub when it died comes from whoever has it.
func TestHubIsKilled(t *testing.T) {
	out, file := succession(t, (*process).kill, 3500)
	same(t, out, file, "a")
	same(t, out, file, "v")
}

// TestHubGoes: a hub that is told to end hands over, and nobody notices.
func TestHubGoes(t *testing.T) {
	out, file := succession(t, func(p *process) {
		if code, took := p.stop(); code != 0 || took > 3*time.Second {
			t.Errorf("the hub ended with %d after %v", code, took)
		}
	}, 250)
	same(t, out, file, "a")
	same(t, out, file, "v")
}

// succession ends the hub, and checks that gaps at a leaf are no longer than that. It returns what the leaf wrote and what was sent.
func succession(t *testing.T, end func(*process), gapMs float64) (out, file string) {
	t.Helper()
	file = clip(t, "clip.webm", 14)
	o := origin(t)
	link, errs, code := castd(t, "invite", "lobby", "--speak", "--data-dir", o.dir)
	if code != 0 {
		t.Fatalf("invite ended with %d: %s", code, errs)
	}
	dir := sameUser(t, o)
	second := spawn(t, "second device", dir, append([]string{"start", "--room", "lobby", "--http", "off", "--bootstrap", o.address()}, free(dir)...)...)
	second.wait("parent", 1, is("joined"))
	inner := audience(t, "inner", o, "--max-children", "2", "--bootstrap", second.address())
	out = inTemp(t, "copy.webm")
	leaf := audience(t, "leaf", o, "--until-end", "--out", out, "--bootstrap", second.address(), "--bootstrap", inner.address())
	pub := launch(t, "publisher", "publish", strings.TrimSpace(link), file, "--bootstrap", o.address(), "--bootstrap", second.address())
	leaf.wait("video", 1, is("stream", "kind", "video", "state", "live"))
	time.Sleep(4 * time.Second) // media flows, and the second device is named; processes have no fake clock
	end(o)
	if code := pub.exit(); code != 0 {
		t.Errorf("publish ended with %d", code)
	}
	if code := leaf.exit(); code != 0 {
		t.Errorf("listen ended with %d", code)
	}
	for _, g := range leaf.seen(is("gap")) {
		t.Logf("gap %v", g)
		if g.number("ms") > gapMs || g.number("lost") > 0 {
			t.Errorf("gap %v", g)
		}
	}
	return out, file
}
