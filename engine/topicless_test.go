package engine_test

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/enginetest"
	"github.com/castd/castd/engine/wire"
)

// leaves adds listeners without slots below some that have, waits until they have left the topic, and returns them.
func (s *stage) leaves(relays, n int) []*listener {
	s.t.Helper()
	s.listen(relays, 4)
	s.listen(n, 0)
	time.Sleep(20 * time.Second)
	for i, l := range s.listeners {
		off, _, age, _ := l.room.OffTopic()
		if leaf := i >= relays; off != leaf {
			s.t.Fatalf("listener %d, leaf: %v, is off the topic: %v; it has the backup %q", i, leaf, off, l.room.Tree().Backup)
		}
		if age > 3*time.Second {
			s.t.Fatalf("listener %d has heard nothing of the hub for %v", i, age)
		}
	}
	return s.listeners[relays:]
}

// within waits until all of the listeners are as they should be.
func within(t *testing.T, d time.Duration, who []*listener, what string, fits func(l *listener) bool) {
	t.Helper()
	for end := time.Now().Add(d); ; time.Sleep(20 * time.Millisecond) {
		left := 0
		for _, l := range who {
			if !fits(l) {
				left++
			}
		}
		if left == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d of %d: not %s within %v", left, len(who), what, d)
		}
	}
}

// Peers without slots are off the room's topic, and hear at once of what is signed there: a right that is taken back, another
// hub. When nobody passes it on they are on the topic again.
func TestLeavesAreOffTopic(t *testing.T) {
	for seed := range uint64(3) {
		synctest.Test(t, func(t *testing.T) {
			net := enginetest.NewNetwork(80 + seed)
			net.Delay = 10 * time.Millisecond
			s := newStage(t, net, 3)
			heir, _ := s.second("ann/desktop")
			leaves := s.leaves(4, 6)
			link, err := s.room.InviteLink(nil, engine.InviteSpec{Speak: true})
			if err != nil {
				t.Fatal(err)
			}
			if err := s.room.Revoke(t.Context(), inviteOf(t, link), 0); err != nil {
				t.Fatal(err)
			}
			_, _, _, want := s.room.OffTopic()
			within(t, 200*time.Millisecond, leaves, "told of who is shut out", func(l *listener) bool {
				_, _, _, have := l.room.OffTopic()
				return have == want
			})
			net.Cut(s.origin, true)
			net.Kill(s.origin)
			within(t, 3*time.Second, leaves, "told of the new hub", func(l *listener) bool {
				_, hub, _, _ := l.room.OffTopic()
				return hub == heir.Self()
			})
			// Half of the relays go at once; whoever loses parents finds others, and what is signed comes from those.
			for _, l := range s.listeners[:2] {
				net.Cut(l.Peer, true)
				net.Kill(l.Peer)
			}
			time.Sleep(20 * time.Second)
			within(t, 5*time.Second, leaves, "in touch with the hub", func(l *listener) bool {
				_, hub, age, _ := l.room.OffTopic()
				return hub == heir.Self() && age < 3*time.Second && l.room.Tree().Parent != ""
			})
		})
	}
}

// Parents that pass on nothing, or what was not signed by whoever may, gain nothing.
func TestParentsPassOnNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := enginetest.NewNetwork(84)
		net.Delay = 10 * time.Millisecond
		var withheld atomic.Bool
		net.Swallow = func(_, _ peer.ID, msg []byte) bool {
			m, err := wire.ReadEnvelope(msg)
			return err == nil && m.Type == wire.Type_BEACON && withheld.Load()
		}
		s := newStage(t, net, 3)
		leaves := s.leaves(4, 4)
		withheld.Store(true)
		within(t, 8*time.Second, leaves, "on the topic again", func(l *listener) bool {
			off, _, _, _ := l.room.OffTopic()
			return !off
		})
		_, hub, _, _ := leaves[0].room.OffTopic()
		if hub != s.origin.Self() {
			t.Fatalf("takes %s for the hub", hub)
		}
		liar := s.listeners[0]
		env, err := liar.Signer.Seal(s.room.ID(), wire.Type_BEACON, 0, time.Now().Add(time.Minute), &wire.Beacon{
			Hub: []byte(liar.Self()), Term: 99, SinceMs: uint64(time.Now().UnixMilli()),
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range leaves {
			for _, from := range []peer.ID{liar.Self(), peerOf(t, l.room.Tree().Parent), peerOf(t, l.room.Tree().Backup)} {
				l.Engine.HandleMessage(from, env)
			}
		}
		time.Sleep(time.Second)
		for i, l := range leaves {
			if _, hub, _, _ := l.room.OffTopic(); hub != s.origin.Self() {
				t.Errorf("leaf %d takes %s for the hub", i, hub)
			}
		}
	})
}

func peerOf(t *testing.T, s string) peer.ID {
	t.Helper()
	id, err := peer.Decode(s)
	if err != nil {
		t.Fatal(err)
	}
	return id
}
