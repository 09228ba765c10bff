package engine_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/enginetest"
)

// wantSuffix checks that all of n packets from first on were the last that came.
func wantSuffix(t *testing.T, who string, got []enginetest.Got, first, n int) {
	t.Helper()
	if len(got) < n {
		t.Errorf("%s: %d packets, want at least %d", who, len(got), n)
		return
	}
	wantAudio(t, who, got[len(got)-n:], first, n)
}

// Who joins when the announce has just been signed anew gets the old one and the new one among the first record packets.
func TestLateJoinAcrossAnnounces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := enginetest.NewNetwork(31)
		net.Delay = 10 * time.Millisecond
		s := newStage(t, net, 8)
		s.listen(1, 2)
		pub, err := s.room.Publish(t.Context(), audioSlot())
		if err != nil {
			t.Fatal(err)
		}
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			sendAudio(t, pub, 0, 1700)
		}()
		time.Sleep(29500 * time.Millisecond)
		for range 6 {
			s.listen(1, 0)
			time.Sleep(300 * time.Millisecond)
		}
		<-sent
		time.Sleep(time.Second)
		for _, l := range s.listeners {
			wantSuffix(t, "listener", l.sink.Packets(), 1650, 50)
		}
	})
}

// A child whose hop was replaced by a new one is fed on.
func TestHopIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := enginetest.NewNetwork(32)
		net.Delay = 10 * time.Millisecond
		s := newStage(t, net, 2)
		s.listen(1, 2)
		pub, err := s.room.Publish(t.Context(), audioSlot())
		if err != nil {
			t.Fatal(err)
		}
		for i := range 10 {
			sendAudio(t, pub, i*50, 50)
			if err := s.listeners[0].NewHop(t.Context(), s.origin); err != nil {
				t.Fatal(err)
			}
		}
		sendAudio(t, pub, 500, 100)
		time.Sleep(time.Second)
		wantAudio(t, "listener", s.listeners[0].sink.Packets(), 0, 600)
	})
}

// So is the hub by a publisher, whose publication goes on.
func TestUplinkIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := enginetest.NewNetwork(33)
		net.Delay = 10 * time.Millisecond
		s := newStage(t, net, 2)
		s.listen(1, 2)
		link, err := s.room.InviteLink(nil, engine.InviteSpec{Speak: true})
		if err != nil {
			t.Fatal(err)
		}
		bob := addPeer(t, net, "bob", 0)
		r, err := bob.Join(t.Context(), link, engine.JoinOptions{Silent: true})
		if err != nil {
			t.Fatal(err)
		}
		pub, err := r.Publish(t.Context(), audioSlot())
		if err != nil {
			t.Fatal(err)
		}
		for i := range 10 {
			sendAudio(t, pub, i*50, 50)
			if err := bob.NewHop(t.Context(), s.origin); err != nil {
				t.Fatal(err)
			}
		}
		sendAudio(t, pub, 500, 100)
		time.Sleep(time.Second)
		wantAudio(t, "listener", s.listeners[0].sink.Packets(), 0, 600)
	})
}
