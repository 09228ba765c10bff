package e2e_test

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// pageCall is somebody who calls by a page, with a tone of his own.
type pageCall struct {
	b    *browsers
	name string
	tone float64
}

// joinByPage opens a peer's page of a room and joins the call.
func joinByPage(t *testing.T, b *browsers, p *process, room, name string, tone float64) *pageCall {
	t.Helper()
	b.do(t, command{"do": "call", "as": name, "url": p.page(room), "name": name, "voice": command{"frequency": tone}}, nil)
	return &pageCall{b, name, tone}
}

// inaudible is how loud a tone may be at most that should not be heard: 50 dB below those that should.
const inaudible = -70

// wrong says what the page plays that it should not, or not as loud as it should.
func (c *pageCall) wrong(t *testing.T, others ...*pageCall) (wrong []string) {
	t.Helper()
	tones := []float64{}
	for _, o := range others {
		tones = append(tones, o.tone)
	}
	var e struct {
		Levels  []float64
		Residue *float64
	}
	c.b.do(t, command{"do": "ear", "as": c.name, "tones": tones, "own": c.tone}, &e)
	for i, level := range e.Levels {
		if level < -24 || level > -16 {
			wrong = append(wrong, fmt.Sprintf("%s hears %s at %.1f dB, want -20", c.name, others[i].name, level))
		}
	}
	if e.Residue == nil || *e.Residue > inaudible {
		wrong = append(wrong, fmt.Sprintf("%s hears himself: %v", c.name, e))
	}
	return wrong
}

// eventually waits until there is nothing wrong.
func eventually(t *testing.T, what string, wrong func() []string) {
	t.Helper()
	var last []string
	for deadline := time.Now().Add(2 * patience); time.Now().Before(deadline); time.Sleep(250 * time.Millisecond) {
		if last = wrong(); len(last) == 0 {
			return
		}
	}
	t.Fatalf("%s: after %v:\n%s", what, 2*patience, strings.Join(last, "\n"))
}

// allHear waits until each hears all others and not himself.
func allHear(t *testing.T, what string, all ...*pageCall) {
	t.Helper()
	eventually(t, what, func() (wrong []string) {
		for _, c := range all {
			wrong = append(wrong, c.wrong(t, slices.DeleteFunc(slices.Clone(all), func(o *pageCall) bool { return o == c })...)...)
		}
		return wrong
	})
}

// hearsNothingOf waits until the page plays nothing of another one.
func (c *pageCall) hearsNothingOf(t *testing.T, other *pageCall) {
	t.Helper()
	eventually(t, "silence", func() (wrong []string) {
		var e struct{ Residue *float64 }
		c.b.do(t, command{"do": "ear", "as": c.name, "tones": []float64{}, "own": other.tone}, &e)
		if e.Residue == nil || *e.Residue > inaudible {
			wrong = append(wrong, fmt.Sprintf("%s hears %s: %v", c.name, other.name, e))
		}
		return wrong
	})
}

// shownPeople is what a page shows of who is in the call.
type shownPeople struct {
	People []struct {
		Participant, Name, Marks, Slider string
		Talking                          bool
	}
	Level          float64
	Troubles, Chat []string
}

// marked waits until the page shows somebody with a mark, or without one.
func (c *pageCall) marked(t *testing.T, name, mark string, want bool) {
	t.Helper()
	eventually(t, "marks", func() (wrong []string) {
		var s shownPeople
		c.b.do(t, command{"do": "people", "as": c.name}, &s)
		for _, p := range s.People {
			if p.Name == name && strings.Contains(p.Marks, mark) == want {
				return nil
			}
		}
		return []string{fmt.Sprintf("%s is shown %+v: of %s %q is to be %v", c.name, s.People, name, mark, want)}
	})
}

// shows waits until the page shows these people and no others, all of them talking.
func (c *pageCall) shows(t *testing.T, names ...string) {
	t.Helper()
	eventually(t, "who is there", func() (wrong []string) {
		var s shownPeople
		c.b.do(t, command{"do": "people", "as": c.name}, &s)
		shown := []string{}
		for _, p := range s.People {
			shown = append(shown, p.Name)
			own := strings.HasPrefix(p.Marks, "you")
			if own != (p.Name == c.name) || own != (p.Slider == "") || !p.Talking {
				wrong = append(wrong, fmt.Sprintf("%s is shown %+v", c.name, p))
			}
		}
		if !slices.Equal(slices.Sorted(slices.Values(shown)), slices.Sorted(slices.Values(names))) {
			wrong = append(wrong, fmt.Sprintf("%s is shown %q", c.name, shown))
		}
		if len(s.Troubles) > 0 || s.Level <= 0 {
			wrong = append(wrong, fmt.Sprintf("level %v, troubles %v", s.Level, s.Troubles))
		}
		return wrong
	})
}

// press presses a button of the page and waits for what it then says of the call.
func (c *pageCall) press(t *testing.T, button, state, says string) {
	t.Helper()
	c.b.do(t, command{"do": "press", "as": c.name, "selector": button}, nil)
	var s said
	c.b.do(t, command{"do": "state", "as": c.name, "id": "call-state", "state": state}, &s)
	if !strings.Contains(s.Text, says) {
		t.Errorf("the page of %s says %q, want %q", c.name, s.Text, says)
	}
}

// TestPageCall: three pages of two peers talk together. Each hears the others at the right level and not himself, sees who is there, mutes
// himself, sets the loudness of others, comes back when his peer was killed and runs again, and leaves.
func TestPageCall(t *testing.T) {
	b := startBrowsers(t)
	hub := launch(t, "hub", "start", "--room", "talk", "--mode", "conference", "--http", "127.0.0.1:0")
	dir := folder(t)
	other := spawn(t, "other", dir, append([]string{"start", "--room", "talk", "--http", "127.0.0.1:0", "--bootstrap", hub.address()}, free(dir)...)...)
	page := other.ready().text("http")

	ann := joinByPage(t, b, hub, "talk", "Ann", 400)
	bob := joinByPage(t, b, other, "talk", "Bob", 700)
	eve := joinByPage(t, b, other, "talk", "Eve", 1200)
	allHear(t, "three in a call", ann, bob, eve)
	ann.shows(t, "Ann", "Bob", "Eve")
	bob.shows(t, "Ann", "Bob", "Eve")

	ann.fitsScreens(t, "talking")

	bob.press(t, "#call-mute", "live", "muted")
	ann.hearsNothingOf(t, bob)
	bob.press(t, "#call-mute", "live", "You are in the call.")
	allHear(t, "after Bob was muted", ann, bob, eve)

	b.do(t, command{"do": "loudness", "as": "Ann", "name": "Bob", "value": 0}, nil)
	ann.hearsNothingOf(t, bob)
	allHear(t, "while Ann does not want to hear Bob", eve, bob)
	b.do(t, command{"do": "loudness", "as": "Ann", "name": "Bob", "value": 1}, nil)
	allHear(t, "when she wants to again", ann, bob, eve)

	other.kill()
	b.do(t, command{"do": "state", "as": "Bob", "id": "call-state", "state": "connecting"}, nil)
	ann.hearsNothingOf(t, bob)
	spawn(t, "other again", dir, append([]string{"start", "--room", "talk", "--http", strings.TrimPrefix(page, "http://"), "--bootstrap", hub.address()}, free(dir)...)...).ready()
	b.do(t, command{"do": "state", "as": "Bob", "id": "call-state", "state": "live", "ms": 60000}, nil)
	b.do(t, command{"do": "state", "as": "Eve", "id": "call-state", "state": "live", "ms": 60000}, nil)
	allHear(t, "when the killed peer runs again", ann, bob, eve)
	ann.shows(t, "Ann", "Bob", "Eve")

	bob.press(t, "#call-leave", "idle", "You are not in the call.")
	bob.fitsScreens(t, "outside")
	ann.shows(t, "Ann", "Eve")
	bob.press(t, "#call-join", "live", "You are in the call.")
	allHear(t, "when Bob has left and joined again", ann, bob, eve)
}

// fitsScreens takes pictures of the page of a call on a desktop and on a narrow phone: nothing may be wider than the screen, too small to
// touch, or without a name. CASTD_SHOTS names a folder to keep them in.
func (c *pageCall) fitsScreens(t *testing.T, state string) {
	t.Helper()
	dir := os.Getenv("CASTD_SHOTS")
	if dir == "" {
		dir = t.TempDir()
	}
	for name, look := range map[string]command{
		"desktop": {"width": 1280, "height": 800, "cut": 1000, "dark": true},
		"phone":   {"width": 320, "height": 640, "cut": 1400},
	} {
		look["do"], look["as"], look["file"] = "picture", c.name, filepath.Join(dir, "call-"+state+"-"+name+".png")
		var found struct {
			Wide            bool
			Small, Nameless []string
		}
		c.b.do(t, look, &found)
		if found.Wide || len(found.Small) > 0 || len(found.Nameless) > 0 {
			t.Errorf("%s on a %s: %+v", state, name, found)
		}
	}
}

// TestPageModeration: a guest raises his hand and writes to the chat, and the owner mutes, unmutes and puts out guests, all by their pages.
func TestPageModeration(t *testing.T) {
	b := startBrowsers(t)
	o := launch(t, "peer", "start", "--room", "talk", "--mode", "conference", "--http", "127.0.0.1:0")
	guest := func(name string, tone float64) *pageCall {
		out, _, code := castd(t, "invite", "talk", "--guest", "--speak", "--data-dir", o.dir)
		if code != 0 {
			t.Fatal("no link for a guest")
		}
		link := strings.Fields(out[strings.Index(out, "http"):])[0]
		b.do(t, command{"do": "call", "as": name, "url": link, "name": name, "voice": command{"frequency": tone}}, nil)
		return &pageCall{b, name, tone}
	}
	o.ready()
	ann, bob, eve := joinByPage(t, b, o, "talk", "Ann", 400), guest("Bob", 700), guest("Eve", 1200)
	allHear(t, "three in a call", ann, bob, eve)
	ann.marked(t, "Ann", "host", true)

	bob.b.do(t, command{"do": "press", "as": "Bob", "selector": "#call-hand"}, nil)
	ann.marked(t, "Bob", "hand up, number 1", true)
	bob.b.do(t, command{"do": "write", "as": "Bob", "text": "<b>May I?</b>"}, nil)
	eventually(t, "chat", func() []string {
		var s shownPeople
		b.do(t, command{"do": "people", "as": "Eve"}, &s)
		if len(s.Chat) == 1 && strings.HasSuffix(s.Chat[0], "Bob <b>May I?</b>") {
			return nil
		}
		return []string{fmt.Sprintf("Eve is shown %q", s.Chat)}
	})
	ann.fitsScreens(t, "moderating")
	b.do(t, command{"do": "moderate", "as": "Ann", "name": "Bob", "verb": "lower"}, nil)
	ann.marked(t, "Bob", "hand up", false)

	b.do(t, command{"do": "moderate", "as": "Ann", "name": "Bob", "verb": "mute"}, nil)
	eve.marked(t, "Bob", "muted", true)
	ann.hearsNothingOf(t, bob)
	b.do(t, command{"do": "moderate", "as": "Ann", "name": "Bob", "verb": "unmute"}, nil)
	eve.marked(t, "Bob", "muted", false)
	allHear(t, "when Bob may talk again", ann, bob, eve)

	b.do(t, command{"do": "moderate", "as": "Ann", "name": "Eve", "verb": "kick"}, nil)
	var s said
	b.do(t, command{"do": "state", "as": "Eve", "id": "call-state", "state": "error"}, &s)
	if !strings.Contains(s.Text, "put you out") {
		t.Errorf("the page of Eve says %q", s.Text)
	}
	ann.shows(t, "Ann", "Bob")
}

// TestPageWaiting: a guest who knocks at a locked room waits with music until the owner lets him in by the page, without joining again;
// without a host all guests wait until he comes.
func TestPageWaiting(t *testing.T) {
	b := startBrowsers(t)
	o := launch(t, "peer", "start", "--room", "talk", "--mode", "conference", "--http", "127.0.0.1:0")
	o.ready()
	guest := func(name string, tone float64) *pageCall {
		out, _, code := castd(t, "invite", "talk", "--guest", "--speak", "--data-dir", o.dir)
		if code != 0 {
			t.Fatal("no link for a guest")
		}
		link := strings.Fields(out[strings.Index(out, "http"):])[0]
		b.do(t, command{"do": "call", "as": name, "url": link, "name": name, "voice": command{"frequency": tone}}, nil)
		return &pageCall{b, name, tone}
	}
	says := func(c *pageCall, want string) {
		t.Helper()
		eventually(t, "what the page says", func() []string {
			var s said
			b.do(t, command{"do": "state", "as": c.name, "id": "call-state", "state": "live"}, &s)
			if strings.Contains(s.Text, want) {
				return nil
			}
			return []string{fmt.Sprintf("the page of %s says %q, want %q", c.name, s.Text, want)}
		})
	}
	bob := guest("Bob", 700)
	if _, errs, code := castd(t, "room", "wait", "talk", "on", "--data-dir", o.dir); code != 0 {
		t.Fatal(errs)
	}
	says(bob, "Waiting for the host")
	ann := joinByPage(t, b, o, "talk", "Ann", 400)
	says(bob, "You are in the call")
	allHear(t, "the host has come", ann, bob)

	ann.press(t, "#call-knock", "live", "")
	time.Sleep(11 * time.Second) // a mixer that is new lets people in whom it does not know
	eve := guest("Eve", 1200)
	says(eve, "Waiting to be let in")
	ann.marked(t, "Eve", "waiting", true)
	ann.hearsNothingOf(t, eve)
	eve.fitsScreens(t, "waiting")
	ann.fitsScreens(t, "knocking")
	b.do(t, command{"do": "moderate", "as": "Ann", "name": "Eve", "verb": "admit"}, nil)
	says(eve, "You are in the call")
	allHear(t, "Eve is let in", ann, bob, eve)

	max := guest("Max", 2000)
	says(max, "Waiting to be let in")
	b.do(t, command{"do": "moderate", "as": "Ann", "name": "Max", "verb": "refuse"}, nil)
	var s said
	b.do(t, command{"do": "state", "as": "Max", "id": "call-state", "state": "error"}, &s)
	if !strings.Contains(s.Text, "put you out") {
		t.Errorf("the page of Max says %q", s.Text)
	}
}

// TestPageCrossing: a page that listens goes over to the call, and back, and hears the clicks of somebody else in either. What it played goes
// on until there is something of the other; the test tells how much farther apart the clicks are for it than the second that they should be.
func TestPageCrossing(t *testing.T) {
	b := startBrowsers(t)
	o := launch(t, "peer", "start", "--room", "talk", "--mode", "conference", "--http", "127.0.0.1:0")
	b.do(t, command{"do": "call", "as": "Ann", "url": o.page("talk"), "name": "Ann", "voice": command{"clicks": true}}, nil)
	b.do(t, command{"do": "attend", "as": "Bob", "url": o.page("talk"), "name": "Bob", "voice": command{"frequency": 700, "amplitude": 0.0001}}, nil)
	bob := &pageCall{b, "Bob", 700}
	var m struct{ Heard []float64 }
	hears := func(what string) {
		t.Helper()
		before := len(m.Heard)
		eventually(t, what, func() []string {
			if b.do(t, command{"do": "clicks", "as": "Bob"}, &m); len(m.Heard) >= before+3 {
				return nil
			}
			return []string{fmt.Sprintf("%d clicks heard", len(m.Heard)-before)}
		})
	}
	hears("before the call")
	for range 2 {
		bob.press(t, "#call-join", "live", "You are in the call.")
		hears("in the call")
		bob.press(t, "#call-leave", "idle", "You are not in the call.")
		hears("after the call")
	}
	slices.Sort(m.Heard)
	var jumps []float64
	for i := 1; i < len(m.Heard); i++ {
		apart := m.Heard[i] - m.Heard[i-1]
		jumps = append(jumps, math.Abs(apart-1000*math.Round(apart/1000)))
	}
	slices.Sort(jumps)
	t.Logf("over two times to the call and back, clicks of each second came off by %.0f ms at the median and %.0f ms at most", jumps[len(jumps)/2], jumps[len(jumps)-1])
}

// TestPageCallMessages checks what the page says to those who cannot take part in a call.
func TestPageCallMessages(t *testing.T) {
	b := startBrowsers(t)
	o := launch(t, "peer", "start", "--room", "talk", "--mode", "conference", "--http", "127.0.0.1:0", "--public-url", "http://castd.test:1")
	page := o.page("talk")
	guest, _, code := castd(t, "invite", "talk", "--guest", "--data-dir", o.dir)
	if code != 0 {
		t.Fatal("no link for a guest")
	}
	listen := strings.Replace(guest[strings.Index(guest, "http"):], "http://castd.test:1", o.ready().text("http"), 1)
	for name, c := range map[string]struct {
		command
		want string
	}{
		"microphone refused": {command{"url": page, "as": "stranger", "click": "call-join", "say": "call-state", "state": "error"}, "Allow it beside the address"},
		"no microphone":      {command{"url": page, "scripts": []string{"deaf.js"}, "click": "call-join", "say": "call-state", "state": "error"}, "No microphone was found"},
		"may only listen":    {command{"url": strings.Fields(listen)[0], "say": "call-why"}, "ask whoever gave you this link"},
		"page not trusted":   {command{"url": strings.Replace(page, "127.0.0.1", "{foreign}", 1), "as": "stranger", "say": "call-why"}, "browsers give camera and microphone only to https"},
		"nobody talks":       {command{"url": page, "say": "state", "state": "waiting"}, "Nobody is talking"},
	} {
		c.command["do"] = "visit"
		var s said
		b.do(t, c.command, &s)
		t.Logf("%s: %s", name, s.Text)
		if !s.Visible || !strings.Contains(s.Text, c.want) {
			t.Errorf("%s: the page says %+v, want %q", name, s, c.want)
		}
	}
}
