package engine_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/seal"
	"github.com/castd/castd/engine/wire"
)

// A private room over the real control plane and real hops, with loss: one of ten is shut out while it plays. All others have
// the next key within a second and miss nothing; he gets nothing that he could open.
//
//	go test -run TestVNetRotation -v ./engine
func TestVNetRotation(t *testing.T) {
	private := true
	onVNetIn(t, 11, 20*time.Millisecond, 2, engine.JoinOptions{Create: true, Private: &private}, func(t *testing.T, s *vstage) {
		link := func() string {
			l, err := s.room.InviteLink(nil, engine.InviteSpec{})
			if err != nil {
				t.Fatal(err)
			}
			return l
		}
		all, bad := link(), link()
		for i := range 4 {
			s.listeners = append(s.listeners, s.listenBy(fmt.Sprintf("listener%d", i), all, 2))
		}
		evil := s.listenBy("evil", bad, 2)
		for i := range 5 {
			s.listeners = append(s.listeners, s.listenBy(fmt.Sprintf("listener%d", 4+i), all, 2))
		}
		newest := func(k interface {
			SavedRooms() []engine.SavedRoom
		}) (newest seal.RoomKey) {
			for _, o := range k.SavedRooms()[0].Keys {
				if o.Generation > newest.Generation {
					newest = o
				}
			}
			return newest
		}
		pub, err := s.room.Publish(t.Context(), audioSlot())
		if err != nil {
			t.Fatal(err)
		}
		s.net.SetLoss(0.02)
		sent := make(chan struct{})
		go func() { defer close(sent); sendAudio(t, pub, 0, 600) }()
		time.Sleep(3 * time.Second)
		if len(evil.sink.Packets()) == 0 {
			t.Fatal("he heard nothing before")
		}
		old := newest(s.origin.Keeper)
		start := time.Now()
		last := make(chan time.Duration, 1<<16)
		s.net.OnArrival(func(to, _ peer.ID, pkt []byte) {
			if h, _, err := wire.ParseHeader(pkt); err == nil && to == evil.Self() && h.Kind != wire.KindRecord {
				last <- time.Since(start)
			}
		})
		if err := s.room.Revoke(t.Context(), inviteOf(t, bad), 0); err != nil {
			t.Fatal(err)
		}
		until(t, time.Second, "the next key at all who stay", func() bool {
			for _, l := range s.listeners {
				if k := newest(l.Keeper); k == old || k != newest(s.origin.Keeper) {
					return false
				}
			}
			return true
		})
		t.Logf("all %d who stay have the next key after %v", len(s.listeners), time.Since(start))
		<-sent
		time.Sleep(time.Second)
		for i, l := range s.listeners {
			wantAudio(t, fmt.Sprintf("listener %d at depth %d", i, l.room.Tree().Depth), l.sink.Packets(), 0, 600)
		}
		worst := time.Duration(0)
		for len(last) > 0 {
			worst = max(worst, <-last)
		}
		t.Logf("the last media reached him after %v", worst)
		if worst > 300*time.Millisecond {
			t.Errorf("media reached him %v after he was shut out", worst)
		}
		if newest(evil.Keeper) != old {
			t.Error("he was handed the next key")
		}
		if n := len(evil.Rooms()); n != 0 {
			t.Errorf("he is still in %d rooms", n)
		}
	})
}
