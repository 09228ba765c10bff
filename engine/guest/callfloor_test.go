package guest

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"

	"github.com/castd/castd/engine"
)

// floorCall notes what a guest does besides speaking.
type floorCall struct {
	engine.Call
	wished, raised, lowered int
	said                    []string
}

func (c *floorCall) Wish(string, float32) { c.wished++ }
func (c *floorCall) Say(text string)      { c.said = append(c.said, text) }
func (c *floorCall) Raise(up bool) {
	if up {
		c.raised++
	} else {
		c.lowered++
	}
}

func (c *floorCall) Moderate(context.Context, engine.Moderation) error {
	return engine.NewUserError(engine.CodeNotAllowed, "no")
}

// floorCaller is a caller who is not connected.
func floorCaller() (*caller, *floorCall) {
	call := &floorCall{}
	s := &session{service: &Service{}, log: slog.New(slog.DiscardHandler), ctx: context.Background()}
	return &caller{session: s, call: call, wake: make(chan struct{}, 1)}, call
}

func TestFloorMessages(t *testing.T) {
	c, call := floorCaller()
	for _, text := range []string{
		`{"type":"hand","raised":true}`, `{"type":"hand","raised":false}`, `{"type":"chat","text":"hello"}`, `{"type":"chat"}`, `{"type":"chat","text":7}`,
		`{"type":"wish","participant":"a","gain":0.5}`, `{"type":"wish","participant":"a"}`, `{"type":"tickle"}`, `{`, `{"type":"hand","participant":"` + strings.Repeat("x", 65) + `"}`,
	} {
		c.wished([]byte(text))
	}
	if call.raised != 1 || call.lowered != 1 || call.wished != 1 || len(call.said) != 1 || call.said[0] != "hello" {
		t.Errorf("%+v", call)
	}
	c.moderate(call, engine.Moderation{Verb: "mute"})
	c.news(&engine.CallNews{Code: engine.NewsMuted})
	c.news(&engine.CallNews{Code: "something new"})
	c.news(&engine.CallNews{Chat: []engine.ChatMessage{{Number: 1, Participant: "a", Text: "hello", Time: "now"}}})
	var all []string
	for _, m := range c.untold {
		b, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, string(b))
	}
	want := `{"type":"notice","code":"not_allowed","message":"no"}
{"type":"notice","code":"muted","message":"You are muted by a moderator; raise your hand to ask for the word."}
{"type":"chat","messages":[{"id":1,"participant":"a","text":"hello","time":"now"}]}`
	if got := strings.Join(all, "\n"); got != want {
		t.Errorf("told is\n%s", got)
	}
	for range 3 * maxNews {
		c.notice("muted", "x")
	}
	if len(c.untold) != maxNews {
		t.Errorf("%d notices wait for a guest who takes none", len(c.untold))
	}
}

func FuzzWished(f *testing.F) {
	f.Add([]byte(`{"type":"wish","participant":"a","gain":0.5}`))
	f.Add([]byte(`{"type":"chat","text":"hello"}`))
	f.Add([]byte(`{"type":"hand","raised":true}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, call := floorCaller()
		c.moderates.Store(true) // what he wants takes its time
		c.wished(text)
		if call.wished+call.raised+call.lowered+len(call.said)+len(c.untold) > 1 {
			t.Fatalf("one message did %+v", call)
		}
	})
}
