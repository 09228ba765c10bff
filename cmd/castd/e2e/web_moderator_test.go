//go:build linux

package e2e_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestPageModerator: the owner changes the room's title and its music by the page, and has a file heard by all and by one, also while he is not
// in the call himself; a guest is shown none of it.
func TestPageModerator(t *testing.T) {
	b := startBrowsers(t)
	o := launch(t, "peer", "start", "--room", "talk", "--mode", "conference", "--http", "127.0.0.1:0")
	o.ready()
	out, _, code := castd(t, "invite", "talk", "--guest", "--speak", "--data-dir", o.dir)
	if code != 0 {
		t.Fatal("no link for a guest")
	}
	b.do(t, command{"do": "call", "as": "Bob", "url": strings.Fields(out[strings.Index(out, "http"):])[0], "name": "Bob", "voice": command{"frequency": 700}}, nil)
	bob := &pageCall{b, "Bob", 700}
	b.do(t, command{"do": "attend", "as": "Ann", "url": o.page("talk"), "voice": command{"frequency": 400}}, nil)
	ann := &pageCall{b, "Ann", 400}
	isSet := func(want string) {
		t.Helper()
		eventually(t, want, func() []string {
			out, errs, code := castd(t, "rooms", "--json", "--data-dir", o.dir)
			if code == 0 && strings.Contains(out, want) {
				return nil
			}
			return []string{out + errs}
		})
	}
	press := func(selector string) {
		t.Helper()
		b.do(t, command{"do": "press", "as": "Ann", "selector": selector}, nil)
	}
	title := func(text string) {
		t.Helper()
		b.do(t, command{"do": "type", "as": "Ann", "selector": "#call-title-text", "text": text}, nil)
		isSet(`"title":"` + text + `"`)
	}
	announce := func(frequency float64, to string) {
		t.Helper()
		b.do(t, command{"do": "announce", "as": "Ann", "file": toneFile(t, frequency, 3*time.Second), "to": to}, nil)
		eventually(t, "announcement", func() []string {
			var e struct{ Levels []float64 }
			b.do(t, command{"do": "ear", "as": "Bob", "tones": []float64{frequency}, "own": 700}, &e)
			if e.Levels[0] > -50 {
				return nil
			}
			return []string{fmt.Sprintf("Bob hears %.0f Hz at %.1f dB", frequency, e.Levels[0])}
		})
	}
	press("#call-more summary")
	title("Tea at five")
	press("#call-music[data-verb=music]")
	isSet(`"music":true`)
	press("#call-music[data-verb=music-off]")
	isSet(`"music":false`)
	announce(2600, "")
	announce(2200, "Bob")
	ann.fitsScreens(t, "outside-moderating")
	bob.hidden(t, "#call-more")
	bob.hidden(t, "#call-moderation")

	ann.press(t, "#call-join", "live", "You are in the call.")
	allHear(t, "both", ann, bob)
	title("Tea at six")
	press("#call-music[data-verb=music]")
	isSet(`"music":true`)
	ann.fitsScreens(t, "inside-moderating")
}

// hidden fails where a page shows something.
func (c *pageCall) hidden(t *testing.T, selector string) {
	t.Helper()
	var s struct{ Shown bool }
	if c.b.do(t, command{"do": "shown", "as": c.name, "selector": selector}, &s); s.Shown {
		t.Errorf("the page of %s shows %s", c.name, selector)
	}
}
