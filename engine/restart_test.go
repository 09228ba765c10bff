package engine_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/enginetest"
)

// closeAtEnd ends a peer that was started again.
func closeAtEnd(t *testing.T, p *enginetest.Peer) {
	t.Cleanup(func() {
		_ = p.Engine.Close(t.Context())
		p.Close()
	})
}

// The origin dies without a word and is started again: its room goes on with the listeners that waited for it.
func TestOriginRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := enginetest.NewNetwork(21)
		net.Delay = 10 * time.Millisecond
		s := newStage(t, net, 2)
		s.listen(6, 2)
		pub, err := s.room.Publish(t.Context(), audioSlot())
		if err != nil {
			t.Fatal(err)
		}
		sendAudio(t, pub, 0, 100)
		net.Kill(s.origin)
		time.Sleep(5 * time.Second)
		again, err := net.Restart(s.origin, 2)
		if err != nil {
			t.Fatal(err)
		}
		closeAtEnd(t, again)
		r, err := again.Join(t.Context(), "lobby", engine.JoinOptions{Create: true})
		if err != nil {
			t.Fatal(err)
		}
		if r.ID() != s.room.ID() {
			t.Fatalf("room %s became %s", s.room.ID(), r.ID())
		}
		if pub, err = r.Publish(t.Context(), audioSlot()); err != nil {
			t.Fatal(err)
		}
		sendAudio(t, pub, 1000, 300)
		time.Sleep(time.Second)
		for i, l := range s.listeners {
			t.Logf("listener %d: parent %.8s depth %d", i, l.room.Tree().Parent, l.room.Tree().Depth)
			wantSuffix(t, "listener", l.sink.Packets(), 1150, 150)
		}
	})
}

// A member who publishes loses the hub: when it is back, so is he, with the same publication.
func TestPublisherLosesHub(t *testing.T) {
	for _, silent := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			net := enginetest.NewNetwork(22)
			net.Delay = 10 * time.Millisecond
			s := newStage(t, net, 2)
			s.listen(3, 2)
			link, err := s.room.InviteLink(nil, engine.InviteSpec{Speak: true})
			if err != nil {
				t.Fatal(err)
			}
			bob := addPeer(t, net, "bob", 2)
			r, err := bob.Join(t.Context(), link, engine.JoinOptions{Silent: silent})
			if err != nil {
				t.Fatal(err)
			}
			pub, err := r.Publish(t.Context(), audioSlot())
			if err != nil {
				t.Fatal(err)
			}
			sendAudio(t, pub, 0, 100)
			net.Kill(s.origin)
			sendAudio(t, pub, 100, 100)
			again, err := net.Restart(s.origin, 2)
			if err != nil {
				t.Fatal(err)
			}
			closeAtEnd(t, again)
			if _, err := again.Join(t.Context(), "lobby", engine.JoinOptions{Create: true}); err != nil {
				t.Fatal(err)
			}
			sendAudio(t, pub, 200, 400)
			time.Sleep(time.Second)
			for i, l := range s.listeners {
				t.Logf("silent %v listener %d: parent %.8s depth %d", silent, i, l.room.Tree().Parent, l.room.Tree().Depth)
				wantSuffix(t, "listener", l.sink.Packets(), 400, 200)
			}
		})
	}
}

// Two devices of the owner opened the room while they did not hear of each other. One of them gives way, and everybody hears
// whoever publishes.
func TestTwoHubs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := enginetest.NewNetwork(23)
		net.Delay = 10 * time.Millisecond
		s := newStage(t, net, 2)
		s.listen(2, 1)
		other := addPeer(t, net, "ann/desktop", 2)
		net.Cut(other, true)
		r, err := other.Join(t.Context(), "lobby", engine.JoinOptions{Create: true})
		if err != nil {
			t.Fatal(err)
		}
		pub, err := r.Publish(t.Context(), audioSlot())
		if err != nil {
			t.Fatal(err)
		}
		sendAudio(t, pub, 0, 50)
		net.Cut(other, false)
		sendAudio(t, pub, 50, 400)
		time.Sleep(time.Second)
		if path := r.Tree().Path; len(path) < 2 && len(s.room.Tree().Path) < 2 {
			t.Error("still two hubs")
		}
		for _, l := range s.listeners {
			wantSuffix(t, "listener", l.sink.Packets(), 250, 200)
		}
	})
}

// The hub dies while another of the owner's devices is in the room: that one takes over.
func TestOwnersOtherDeviceTakesOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := enginetest.NewNetwork(24)
		net.Delay = 10 * time.Millisecond
		s := newStage(t, net, 2)
		s.listen(3, 2)
		other := addPeer(t, net, "ann/desktop", 2)
		r, err := other.Join(t.Context(), "lobby", engine.JoinOptions{Create: true})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		if parent := r.Tree().Parent; parent == "" {
			t.Fatal("the second device has no place")
		}
		net.Kill(s.origin)
		time.Sleep(10 * time.Second)
		pub, err := r.Publish(t.Context(), audioSlot())
		if err != nil {
			t.Fatal(err)
		}
		sendAudio(t, pub, 0, 200)
		time.Sleep(time.Second)
		for _, l := range s.listeners {
			wantAudio(t, "listener", l.sink.Packets(), 0, 200)
		}
	})
}
