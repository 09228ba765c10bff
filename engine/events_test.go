package engine_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/enginetest"
	"github.com/castd/castd/engine/wire"
)

// Events carry what scripts and other programs read: who came, who feeds, what is live, who left.
func TestEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := enginetest.NewNetwork(20)
		net.Delay = time.Millisecond
		s := newStage(t, net, 2)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		events := s.origin.Events(ctx, 0)
		ann, err := net.Add("ben/phone", 0)
		if err != nil {
			t.Fatal(err)
		}
		heard := ann.Events(ctx, 0)
		if _, err := ann.Join(t.Context(), "lobby", engine.JoinOptions{Wait: time.Second, Listen: true}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		pub, err := s.room.Publish(t.Context(), audioSlot())
		if err != nil {
			t.Fatal(err)
		}
		sendAudio(t, pub, 0, 10)
		if err := pub.End(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if n := s.room.Info().Audience; n != 1 {
			t.Errorf("audience is %d, want 1", n)
		}
		if err := ann.Engine.Close(t.Context()); err != nil {
			t.Error(err)
		}
		ann.Close()
		time.Sleep(time.Second)
		cancel()
		who := wire.ParticipantID(ann.Signer.User())
		want(t, events, []engine.Event{
			{Event: "peer", Peer: ann.Self().String(), Participant: who},
			{Event: "stream", Kind: "audio", Codec: "opus", State: "live"},
			{Event: "stream", Kind: "audio", Codec: "opus", State: "ended"},
			{Event: "left", Peer: ann.Self().String(), Participant: who},
		})
		want(t, heard, []engine.Event{
			{Event: "joined", Parent: s.origin.Self().String()},
			{Event: "parent", Peer: s.origin.Self().String(), Reason: "join"},
			{Event: "stream", Kind: "audio", Codec: "opus", State: "live"},
			{Event: "stream", Kind: "audio", Codec: "opus", State: "ended"},
		})
	})
}

// want checks that the events came in this order; of each, the fields that are set in want.
func want(t *testing.T, events <-chan engine.Event, list []engine.Event) {
	t.Helper()
	for ev := range events {
		if len(list) == 0 {
			continue
		}
		w := list[0]
		if ev.Event != w.Event {
			continue
		}
		if w.Peer != "" && ev.Peer != w.Peer || w.Parent != "" && ev.Parent != w.Parent || w.Participant != "" && ev.Participant != w.Participant ||
			w.State != "" && ev.State != w.State || w.Reason != "" && ev.Reason != w.Reason || w.Codec != "" && ev.Codec != w.Codec {
			t.Errorf("event %+v, want %+v", ev, w)
		}
		if ev.Time == "" || ev.Room == "" {
			t.Errorf("event %+v has no time or room", ev)
		}
		list = list[1:]
	}
	for _, w := range list {
		t.Errorf("no event %+v", w)
	}
}
