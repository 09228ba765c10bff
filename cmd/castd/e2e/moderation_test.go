//go:build linux

package e2e_test

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// guestToken makes a token for a guest of the peer's.
func guestToken(t *testing.T, base, token, room string) string {
	t.Helper()
	res, body := newGuest(t, base, token).request(context.Background(), t, http.MethodPost, "/api/v1/rooms/"+room+"/tokens", "application/json", `{"speak":true}`)
	var answer struct{ Token string }
	if err := json.Unmarshal(body, &answer); err != nil || res.StatusCode != http.StatusCreated {
		t.Fatalf("%s: %v: %s", res.Status, err, body)
	}
	return answer.Token
}

// quiet waits until somebody hears a tone no more.
func quiet(t *testing.T, p *participant, frequency float64) {
	t.Helper()
	level := 0.0
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		p.ear.Forget()
		time.Sleep(2 * time.Second) // a second has to be heard
		if level = p.ear.Level(frequency); level < -60 {
			return
		}
	}
	t.Errorf("after %v %.0f Hz is heard at %.1f dB", patience, frequency, level)
}

// TestModeration: the owner moderates by the command line two guests of another peer and one of his own. Who is muted is not heard, is told
// why, and speaks again; with the microphone only one speaks; who is put out is out; and what cannot be is refused with a hint.
func TestModeration(t *testing.T) {
	hub := launch(t, "hub", "start", "--room", "talk", "--mode", "conference", "--http", "127.0.0.1:0")
	first := hub.ready()
	other := launch(t, "other", "start", "--room", "talk", "--http", "127.0.0.1:0", "--bootstrap", hub.address())
	second := other.ready()
	base1, base2 := first.text("http"), second.text("http")
	guest1, guest2 := guestToken(t, base1, first.text("token"), "talk"), guestToken(t, base2, second.text("token"), "talk")
	ann := joinCall(t, base1, first.text("token"), "talk", "Ann", 400) // the owner
	bob := joinCall(t, base2, guest2, "talk", "Bob", 700)
	eve := joinCall(t, base1, guest1, "talk", "Eve", 1200)
	hear(t, ears{"Ann", ann.ear, 400, []float64{700, 1200}}, ears{"Bob", bob.ear, 700, []float64{400, 1200}}, ears{"Eve", eve.ear, 1200, []float64{400, 700}})

	room := func(dir string, want int, args ...string) string {
		t.Helper()
		out, errs, code := castd(t, append(append([]string{"room"}, args...), "--data-dir", dir)...)
		if code != want {
			t.Errorf("castd room %v: exit %d, want %d: %s", args, code, want, errs)
		}
		return out + errs
	}
	if out := room(hub.dir, 0, "who", "talk"); !strings.Contains(out, "Bob") || !strings.Contains(out, "owner,moderator,speaker") {
		t.Errorf("who is there:\n%s", out)
	}
	room(hub.dir, 0, "mute", "talk", "bob")
	ann.until(t, "Bob is muted", func() bool {
		return slices.ContainsFunc(ann.state.Participants, func(p partOfCall) bool { return p.Name == "Bob" && p.Muted })
	})
	bob.until(t, "Bob is told", func() bool { return bob.muted() && slices.Contains(bob.codes, "muted") })
	quiet(t, ann, 700)
	if info := roomOf(t, bob.guest, "talk"); !slices.ContainsFunc(info.Participants, func(p partOfRoom) bool {
		return p.Name == "Bob" && p.Muted && slices.Equal(p.Roles, []string{"listener"})
	}) {
		t.Errorf("the API tells %+v", info.Participants)
	}
	room(hub.dir, 0, "unmute", "talk", "Bob")
	ann.ear.Forget()
	hear(t, ears{"Ann", ann.ear, 400, []float64{700, 1200}})

	room(hub.dir, 0, "mute-all", "talk")
	quiet(t, ann, 1200)
	quiet(t, ann, 700)
	eve.send(t, map[string]any{"type": "hand", "raised": true})
	bob.until(t, "a raised hand", func() bool { return len(bob.state.Hands) == 1 && bob.state.MutedAll })
	room(hub.dir, 0, "mic", "talk", "Eve")
	bob.ear.Forget()
	hear(t, ears{"Bob", bob.ear, 700, []float64{400, 1200}})
	bob.until(t, "no raised hand", func() bool { return len(bob.state.Hands) == 0 })
	room(hub.dir, 0, "unmute", "talk")
	room(hub.dir, 0, "title", "talk", "Tea at five")
	bob.until(t, "the title", func() bool { return bob.state.Title == "Tea at five" && !bob.state.MutedAll })

	for _, c := range []struct {
		dir  string
		code int
		says string
		args []string
	}{
		{hub.dir, 3, "room who", []string{"mute", "talk", "Zoe"}},
		{hub.dir, 3, "", []string{"mute", "attic", "Bob"}},
		{other.dir, 1, "grant", []string{"mute", "talk", "Eve"}},
		{other.dir, 1, "grant", []string{"lock", "talk"}},
		{hub.dir, 1, "owner", []string{"kick", "talk", "Ann"}},
		{hub.dir, 2, "did you mean", []string{"muet", "talk", "Bob"}},
		{hub.dir, 2, "who is meant", []string{"mute", "talk"}},
		{hub.dir, 2, "right", []string{"grant", "talk", "Bob", "--rights", "everything"}},
	} {
		if out := room(c.dir, c.code, c.args...); !strings.Contains(out, c.says) {
			t.Errorf("castd room %v says %q", c.args, out)
		}
	}

	// Bob moderates once he was given the right.
	bob.send(t, map[string]any{"type": "moderate", "verb": "mute", "participant": eve.told().You})
	bob.until(t, "a refusal", func() bool { return slices.Contains(bob.codes, "not_allowed") })
	room(hub.dir, 0, "grant", "talk", "Bob")
	bob.until(t, "the right", func() bool {
		return slices.ContainsFunc(bob.state.Participants, func(p partOfCall) bool { return p.Name == "Bob" && slices.Contains(p.Roles, "moderator") })
	})
	bob.send(t, map[string]any{"type": "moderate", "verb": "mute", "participant": eve.told().You})
	eve.until(t, "Eve is muted", func() bool { return eve.muted() })

	bob.send(t, map[string]any{"type": "chat", "text": "sorry, Eve"})
	eve.until(t, "a message", func() bool { return slices.Equal(eve.texts, []string{"sorry, Eve"}) })

	room(hub.dir, 0, "kick", "talk", "Eve")
	ann.until(t, "Eve is gone", func() bool { return len(ann.state.Participants) == 2 })
	eve.until(t, "Eve is told", func() bool {
		return slices.Contains(eve.codes, "put_out") || eve.pc.ConnectionState().String() != "connected"
	})
	offer := strings.ReplaceAll(callOffer, "\n", "\r\n")
	if res, body := newGuest(t, base1, guest1).request(context.Background(), t, http.MethodPost, "/call/talk", "application/sdp", offer); res.StatusCode != http.StatusForbidden || !strings.Contains(string(body), "put_out") {
		t.Errorf("Eve comes again: %s: %s", res.Status, body)
	}
	room(hub.dir, 0, "lock", "talk")
	guest1 = guestToken(t, base1, first.text("token"), "talk")
	if res, body := newGuest(t, base1, guest1).request(context.Background(), t, http.MethodPost, "/call/talk", "application/sdp", offer); res.StatusCode != http.StatusForbidden || !strings.Contains(string(body), "locked") {
		t.Errorf("into a locked room: %s: %s", res.Status, body)
	}
	room(hub.dir, 0, "unlock", "talk")
}
