//go:build linux

package plugins

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/castd/castd/engine"
)

// decided is what a Host says to a question.
func decided(t *testing.T, h *testHost, participant, name string) (string, time.Duration) {
	t.Helper()
	began := time.Now()
	err := h.Decide(t.Context(), engine.Question{Room: h.service.media.ID(), RoomName: "lobby", Action: engine.ActionSpeak, Participant: participant, Name: name})
	took := time.Since(began)
	if err == nil {
		return "yes", took
	}
	user, ok := errors.AsType[*engine.UserError](err)
	if !ok || user.Code != engine.CodeNotAllowed {
		t.Errorf("the error is %v", err)
	}
	return err.Error(), took
}

// TestPolicy: a plugin says yes, no, nothing, too much, dies, and is down.
func TestPolicy(t *testing.T) {
	h := newTestHost(t)
	h.install("judge", Change{Grant: []string{"policy"}})
	h.start()
	if got, _ := decided(t, h, "a", "yes"); got != "yes" && !strings.Contains(got, "does not answer") { // it has half a second to start
		t.Errorf("while it starts: %q", got)
	}
	h.running("judge")
	down := "nobody can say at the moment whether you may: try again in a minute, or tell who runs this room that its plugin judge does not answer"
	for _, tt := range []struct{ name, want string }{
		{"yes", "yes"},
		{"no", `you are not let into the room "lobby": come back later`},
		{"long", `you are not let into the room "lobby": ` + strings.Repeat("x", 197) + "..."},
		{"huge", down},
		{"error", down},
	} {
		if got, _ := decided(t, h, "a", tt.name); got != tt.want {
			t.Errorf("%s: %.300q", tt.name, got)
		}
	}
	h.running("judge")
	got, took := decided(t, h, "a", "hang")
	if got != down || took < decideTime || took > decideTime+5*time.Second {
		t.Errorf("hanging: %q after %v", got, took)
	}
	// What it has said to somebody counts for a while, whatever he calls himself, also when it is dead.
	for _, who := range []string{"b", "c"} {
		if got, _ := decided(t, h, who, "known"); got != "yes" {
			t.Errorf("known: %q", got)
		}
	}
	first := h.running("judge")
	if got, _ := decided(t, h, "a", "die"); got != down {
		t.Errorf("dying: %q", got)
	}
	if got, _ := decided(t, h, "b", "no"); got != "yes" {
		t.Errorf("what was decided is forgotten: %q", got)
	}
	h.wait("judge", "running again", func(s Status) bool { return s.State == StateRunning && s.PID != first.PID })
	if got, _ := decided(t, h, "a", "no"); !strings.Contains(got, "come back") {
		t.Errorf("after it came back: %q", got)
	}

	// The operator may want it the other way round.
	if _, err := h.store.Enable("judge", Change{WhenDown: "perhaps"}); err == nil {
		t.Error("when-down takes any word")
	}
	if _, err := h.store.Enable("judge", Change{WhenDown: WhenDownAllow}); err != nil {
		t.Fatal(err)
	}
	if err := h.Reload(); err != nil {
		t.Fatal(err)
	}
	h.running("judge")
	if got, _ := decided(t, h, "a", "error"); got != "yes" {
		t.Errorf("with --when-down allow: %q", got)
	}
	if got, _ := decided(t, h, "a", "no"); !strings.Contains(got, "come back") {
		t.Errorf("with --when-down allow a no is %q", got)
	}
	if err := h.store.Disable("judge"); err != nil {
		t.Fatal(err)
	}
	if err := h.Reload(); err != nil {
		t.Fatal(err)
	}
	if got, took := decided(t, h, "a", "no"); got != "yes" || took > time.Second {
		t.Errorf("disabled: %q after %v", got, took)
	}
}

// TestPolicyOfRooms: a plugin decides only about rooms that it may see, and not without the permission, of which the operator is told.
func TestPolicyOfRooms(t *testing.T) {
	h := newTestHost(t)
	h.install("elsewhere", Change{Grant: []string{"policy"}, Rooms: []string{"another"}})
	h.install("ungranted", Change{Grant: []string{"rooms"}, Set: []string{"do=quiet"}})
	h.start()
	h.running("elsewhere")
	h.running("ungranted")
	if got, _ := decided(t, h, "a", "no"); got != "yes" {
		t.Errorf("decided: %q", got)
	}
	h.wait("ungranted", "told what it lacks", func(s Status) bool { return strings.Contains(s.Problem, "--grant policy") })
}

// TestPolicyManyQuestions: of very many at a time each is answered, or refused in time, and what is remembered is bounded.
func TestPolicyManyQuestions(t *testing.T) {
	h := newTestHost(t)
	h.install("judge", Change{Grant: []string{"policy"}})
	h.start()
	h.running("judge")
	var wg sync.WaitGroup
	began := time.Now()
	for i := range 3 * maxAnswers {
		wg.Go(func() { decided(t, h, fmt.Sprint(i), "known") })
	}
	wg.Wait()
	t.Logf("%d questions took %v", 3*maxAnswers, time.Since(began))
	if n := len(h.supervisors()[0].answers.all); n == 0 || n > maxAnswers {
		t.Errorf("%d answers are remembered", n)
	}
	if got, _ := decided(t, h, "x", "yes"); got != "yes" {
		t.Errorf("after all of them: %q", got)
	}
}

// TestPolicyOfNobody: without plugins nothing is asked, and nothing waits.
func TestPolicyOfNobody(t *testing.T) {
	h := newTestHost(t)
	h.start()
	if err := h.Decide(context.Background(), engine.Question{}); err != nil {
		t.Error(err)
	}
}
