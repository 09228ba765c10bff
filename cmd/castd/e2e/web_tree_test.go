package e2e_test

import (
	"strings"
	"testing"
	"time"
)

// drawnTree is what the page's drawing of the tree shows.
type drawnTree struct {
	Places, Items, Troubles []string
	Lines, Nameless, Marked int
	Hint, News              string
	Wide                    bool
}

// TestPageTree: the page draws the room's tree, and draws it anew when it changes.
func TestPageTree(t *testing.T) {
	b := startBrowsers(t)
	o := origin(t, "--max-children", "1")
	relay := member(t, "relay", o)
	below := []*process{audience(t, "first", o), audience(t, "second", o)}
	ends := func(p *process) string { id := p.ready().text("peer"); return id[len(id)-8:] }
	all := append([]*process{o, relay}, below...)

	for as, at := range map[string]*process{"at the origin": o, "at a relay": relay} {
		b.do(t, command{"do": "watch", "as": as, "url": at.page("lobby"), "state": "waiting"}, nil)
		var d drawnTree
		b.do(t, command{"do": "tree", "as": as, "peers": len(all)}, &d)
		if d.Lines != len(all)-1 || d.Nameless > 0 || d.Wide || len(d.Items) != len(all) || len(d.Troubles) > 0 {
			t.Errorf("%s: %+v", as, d)
		}
		for _, p := range all {
			if !strings.Contains(strings.Join(d.Items, "\n"), ends(p)) {
				t.Errorf("%s: %s is not in the list: %q", as, p.name, d.Items)
			}
		}
	}
	var d drawnTree
	b.do(t, command{"do": "tree", "as": "at the origin", "peers": len(all)}, &d)
	if !strings.Contains(d.Hint, "4 peers") {
		t.Errorf("the page says %q", d.Hint)
	}

	// A branch closes and opens by a key.
	var key struct{ Expanded string }
	const self = "#tree-drawing .peer.self"
	b.do(t, command{"do": "key", "as": "at the origin", "selector": self, "key": "Enter"}, &key)
	b.do(t, command{"do": "tree", "as": "at the origin", "peers": 1}, &d)
	if key.Expanded != "false" || d.Lines != 0 {
		t.Errorf("closed, the branch is %q and has %d lines", key.Expanded, d.Lines)
	}
	b.do(t, command{"do": "key", "as": "at the origin", "selector": self, "key": " "}, &key)
	b.do(t, command{"do": "tree", "as": "at the origin", "peers": len(all)}, nil)

	// A relay dies: those below it move, and the page says so.
	relay.kill()
	began := time.Now()
	b.do(t, command{"do": "tree", "as": "at the origin", "peers": len(all) - 1, "ms": 30000}, &d)
	t.Logf("drawn anew after %v: %s", time.Since(began).Round(100*time.Millisecond), d.News)
	if !strings.Contains(d.News, "new parent") && !strings.Contains(d.News, "fed by") && !strings.Contains(d.News, "gone") {
		t.Errorf("the page says %q", d.News)
	}
	if strings.Contains(strings.Join(d.Items, "\n"), ends(relay)) {
		t.Errorf("the dead peer is still in the list: %q", d.Items)
	}
}
