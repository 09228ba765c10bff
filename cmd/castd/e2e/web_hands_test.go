package e2e_test

import (
	"fmt"
	"strings"
	"testing"
)

// TestPageHands: who only listens, by a link that lets him do no more, raises his hand by his page, is seen in the queue by the page and by
// the command line, is called up, and joins only when he wants to: no microphone is opened before. He is sent back, and raises it again.
func TestPageHands(t *testing.T) {
	b := startBrowsers(t)
	o := launch(t, "peer", "start", "--room", "talk", "--mode", "conference", "--http", "127.0.0.1:0")
	o.ready()
	ann := joinByPage(t, b, o, "talk", "Ann", 400)
	out, _, code := castd(t, "invite", "talk", "--guest", "--data-dir", o.dir)
	if code != 0 {
		t.Fatal("no link for a guest")
	}
	link := strings.Fields(out[strings.Index(out, "http"):])[0]
	b.do(t, command{"do": "attend", "as": "Bob", "url": link, "voice": command{"frequency": 700}}, nil)
	bob := &pageCall{b, "Bob", 700}
	room := func(want string, args ...string) {
		t.Helper()
		eventually(t, strings.Join(args, " "), func() []string {
			out, errs, code := castd(t, append(append([]string{"room"}, args...), "--data-dir", o.dir)...)
			if code == 0 && strings.Contains(out, want) {
				return nil
			}
			return []string{fmt.Sprintf("exit %d, want %q: %s%s", code, want, out, errs)}
		})
	}
	type stands struct {
		Opened          int
		Join, Ask, Told string
		Called, Form    bool
	}
	bobStands := func(what string, right func(s stands) bool) {
		t.Helper()
		eventually(t, what, func() []string {
			var s stands
			if b.do(t, command{"do": "asking", "as": "Bob"}, &s); right(s) {
				return nil
			}
			return []string{fmt.Sprintf("Bob's page shows %+v", s)}
		})
	}
	bobStands("a button to raise a hand", func(s stands) bool { return s.Ask == "Raise hand" && s.Join == "" && !s.Form })
	room("No hand is up", "hands", "talk")
	b.do(t, command{"do": "press", "as": "Bob", "selector": "#call-ask"}, nil)
	bobStands("his hand is up", func(s stands) bool { return s.Ask == "Lower hand (number 1)" && s.Join == "" })
	ann.marked(t, "Somebody", "listening · hand up, number 1", true)
	ann.fitsScreens(t, "hands")
	room("listens", "hands", "talk")
	b.do(t, command{"do": "moderate", "as": "Ann", "name": "Somebody", "verb": "lower"}, nil)
	bobStands("his hand was taken down", func(s stands) bool { return s.Ask == "Raise hand" && strings.Contains(s.Told, "taken your hand down") })
	room("No hand is up", "hands", "talk")

	b.do(t, command{"do": "press", "as": "Bob", "selector": "#call-ask"}, nil)
	ann.marked(t, "Somebody", "hand up, number 1", true)
	b.do(t, command{"do": "moderate", "as": "Ann", "name": "Somebody", "verb": "mic"}, nil)
	bobStands("he is called", func(s stands) bool { return s.Called && s.Join == "You may speak now: join" && s.Opened == 0 })
	bob.fitsScreens(t, "called")
	ann.marked(t, "Somebody", "called up", true)
	bob.press(t, "#call-join", "live", "You are in the call.")
	allHear(t, "Bob was called up", ann, bob)
	ann.shows(t, "Ann", "Somebody")

	b.do(t, command{"do": "moderate", "as": "Ann", "name": "Somebody", "verb": "dismiss"}, nil)
	bobStands("he is sent back", func(s stands) bool {
		return s.Ask == "Raise hand" && s.Join == "" && strings.Contains(s.Told, "sent you back")
	})
	ann.hearsNothingOf(t, bob)
	var s said
	b.do(t, command{"do": "state", "as": "Bob", "id": "state", "state": "live"}, &s)
	b.do(t, command{"do": "press", "as": "Bob", "selector": "#call-ask"}, nil)
	ann.marked(t, "Somebody", "listening · hand up, number 1", true)
	b.do(t, command{"do": "press", "as": "Bob", "selector": "#call-ask"}, nil)
	room("No hand is up", "hands", "talk")
	room("your hand is up, number 1", "hand", "talk", "up", "--name", "Zoe")
	ann.marked(t, "Zoe", "listening · hand up, number 1", true)
	room("your hand is down", "hand", "talk", "down")
}
