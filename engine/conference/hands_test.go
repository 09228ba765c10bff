package conference_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/room"
)

// Listeners of these tests.
const (
	maxID = "mmmmmmmmmmmmmmmm"
	ninID = "nnnnnnnnnnnnnnnn"
)

// hand returns how it is with a listener's hand.
func hand(t *testing.T, r *engine.Room, id string) engine.HandState {
	t.Helper()
	s, err := r.Hand(id)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestListenersHands: those who only listen raise their hands beside participants, are seen in the queue in the order in which they did, are
// called up, take part under the same name, and are sent back.
func TestListenersHands(t *testing.T) {
	onTalk(t, 51, func(t *testing.T, k *gathering) {
		k.do(room.MuteAll, "")
		time.Sleep(time.Second)
		raise := func(r *engine.Room, id, name string) {
			t.Helper()
			s, err := r.RaiseHand(t.Context(), engine.HandConfig{Participant: id, Name: name}, true)
			if err != nil || !s.Raised {
				t.Fatalf("%s: %+v, %v", name, s, err)
			}
			time.Sleep(time.Second)
		}
		raise(k.r1, maxID, "Max\x07")
		k.bob.call.Raise(true)
		time.Sleep(time.Second)
		raise(k.room, ninID, "Nina") // at the hub itself
		queue := []string{maxID, bobID, ninID}
		for _, c := range []*caller{k.ann, k.bob, k.eve} {
			if s := k.told(c); !slices.Equal(s.Hands, queue) || len(s.Participants) != 5 {
				t.Errorf("%s is told %+v", c.name, s)
			}
			if p := k.of(c, maxID); !p.Audience || p.Name != "Max" || !slices.Equal(p.Roles, []string{room.RoleListener}) || p.Called {
				t.Errorf("%s is told %+v", c.name, p)
			}
		}
		for _, r := range []*engine.Room{k.room, k.r2} {
			if got := r.Info().Hands; !slices.Equal(got, queue) {
				t.Errorf("the API tells %v", got)
			}
		}
		if s := hand(t, k.room, ninID); s.Place != 3 {
			t.Errorf("Nina is told %+v", s)
		}

		// A moderator takes one down, and calls up another, by name.
		k.do(room.Lower, "nina")
		time.Sleep(5 * time.Second)
		if s := hand(t, k.room, ninID); s.Raised {
			t.Errorf("Nina is told %+v", s)
		}
		k.do(room.Mic, "max")
		time.Sleep(3 * time.Second)
		if s := hand(t, k.r1, maxID); !s.Called {
			t.Errorf("Max is told %+v", s)
		}
		if p := k.of(k.eve, maxID); !p.Called || !slices.Equal(k.told(k.eve).Hands, []string{bobID}) {
			t.Errorf("eve is told %+v of %+v", p, k.told(k.eve))
		}
		if s := hand(t, k.r2, maxID); s.Raised || s.Called {
			t.Errorf("another peer has a hand: %+v", s)
		}

		// He comes, and is heard, although all are muted; then he is sent back, and joins no more for now.
		max := takePart(t, k.r1, maxID, 2000)
		time.Sleep(3 * time.Second)
		k.heard(k.ann, max, true)
		k.heard(k.ann, k.bob, false)
		if s := hand(t, k.r1, maxID); s.Raised || k.of(k.ann, maxID).Audience {
			t.Errorf("his hand is %+v, and he is %+v", s, k.of(k.ann, maxID))
		}
		k.do(room.Dismiss, maxID)
		time.Sleep(2 * time.Second)
		select {
		case <-max.call.Done():
		default:
			t.Error("who was sent back is in the call")
		}
		if got := code(max.call.Err()); got != engine.CodeDismissed {
			t.Errorf("he is told %v", max.call.Err())
		}
		if _, err := k.r1.Call(t.Context(), engine.SeatConfig{Participant: maxID, Hear: func(*engine.MediaPacket) {}}); code(err) != engine.CodeDismissed {
			t.Errorf("he joins again: %v", err)
		}
		if p := k.of(k.ann, maxID); p.Participant != "" {
			t.Errorf("ann is told %+v", p)
		}
		max.leave()
		time.Sleep(5 * time.Second)
		// He raises his hand again, takes it down by himself, and goes.
		raise(k.r1, maxID, "")
		if got := k.room.Info().Hands; !slices.Equal(got, []string{bobID, maxID}) {
			t.Errorf("the queue is %v", got)
		}
		// Into the call without having been called he takes his place in the queue along.
		max = takePart(t, k.r1, maxID, 2000)
		time.Sleep(3 * time.Second)
		if got := k.room.Info().Hands; !slices.Equal(got, []string{bobID, maxID}) {
			t.Errorf("the queue is %v", got)
		}
		max.leave()
		time.Sleep(time.Second)
		raise(k.r1, maxID, "Max")
		if s, err := k.r1.RaiseHand(t.Context(), engine.HandConfig{Participant: maxID}, false); err != nil || s.Raised {
			t.Errorf("%+v, %v", s, err)
		}
		if got := k.room.Info().Hands; !slices.Equal(got, []string{bobID}) {
			t.Errorf("the queue is %v", got)
		}
		// Who was put out raises none, nor does he take a name that somebody has.
		raise(k.r1, maxID, "Max")
		k.do(room.Kick, maxID)
		time.Sleep(5 * time.Second)
		if s := hand(t, k.r1, maxID); s.Raised {
			t.Errorf("he was put out: %+v", s)
		}
		if _, err := k.r1.RaiseHand(t.Context(), engine.HandConfig{Participant: maxID}, true); code(err) != engine.CodePutOut {
			t.Errorf("he was put out: %v", err)
		}
		if _, err := k.r1.RaiseHand(t.Context(), engine.HandConfig{Participant: annID}, true); code(err) != engine.CodeReplaced {
			t.Errorf("under the name of another one: %v", err)
		}
	})
}

// TestManyHands: a peer whose listeners all raise their hands does not fill the queue, and one that goes without a word is forgotten.
func TestManyHands(t *testing.T) {
	onTalk(t, 52, func(t *testing.T, k *gathering) {
		full := 0
		for i := range 40 {
			_, err := k.r1.RaiseHand(t.Context(), engine.HandConfig{Participant: fmt.Sprintf("zzzzzzzzzzzzzz%c%c", 'a'+i/20, 'a'+i%20)}, true)
			if code(err) == engine.CodeFull {
				full++
			}
		}
		if n := len(k.room.Info().Hands); n > 16 || full < 20 {
			t.Errorf("%d hands are up, %d were refused", n, full)
		}
		time.Sleep(5 * time.Second)
		if n := len(k.room.Info().Hands); n != 16 {
			t.Errorf("%d hands are up", n)
		}
		if _, err := k.r2.RaiseHand(t.Context(), engine.HandConfig{Participant: maxID}, true); err != nil {
			t.Error(err)
		}
		var last error
		for range 20 {
			if _, err := k.r2.RaiseHand(t.Context(), engine.HandConfig{Participant: maxID}, true); err != nil {
				last = err
			}
		}
		if code(last) != engine.CodeTooMany {
			t.Errorf("too often: %v", last)
		}
		k.net.Kill(k.near)
		time.Sleep(30 * time.Second)
		if got := k.room.Info().Hands; !slices.Equal(got, []string{maxID}) {
			t.Errorf("hands of a peer that has gone: %v", got)
		}
	})
}
