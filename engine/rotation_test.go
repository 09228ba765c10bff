package engine_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/enginetest"
	"github.com/castd/castd/engine/room"
	"github.com/castd/castd/engine/wire"
)

// Who misses a rotation because the network failed gets list and key when it is back, and hears on.
func TestMissedRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := enginetest.NewNetwork(73)
		net.Delay = 10 * time.Millisecond
		s := newPrivate(t, net, 2)
		s.admit(5, 2, engine.InviteSpec{})
		link := invite(t, s.room, engine.InviteSpec{})
		pub, err := s.room.Publish(t.Context(), audioSlot())
		if err != nil {
			t.Fatal(err)
		}
		sent := make(chan struct{})
		go func() { defer close(sent); sendAudio(t, pub, 0, 1500) }()
		time.Sleep(2 * time.Second)
		lost := s.listeners[4]
		net.Cut(lost.Peer, true)
		if err := s.room.Revoke(t.Context(), inviteOf(t, link), 0); err != nil {
			t.Fatal(err)
		}
		time.Sleep(4 * time.Second)
		if newestKey(lost.Peer).Generation == newestKey(s.origin).Generation {
			t.Fatal("he has the key although nothing reached him")
		}
		net.Cut(lost.Peer, false)
		back := time.Now()
		until(t, 10*time.Second, "list and key", func() bool { return newestKey(lost.Peer) == newestKey(s.origin) })
		t.Logf("caught up after %v", time.Since(back))
		<-sent
		time.Sleep(time.Second)
		wantSuffix(t, "who was away", lost.sink.Packets(), 1100, 400)
	})
}

// The owner's process dies in the middle of a rotation: what was revoked stays so, and when he is back everyone has the new key.
func TestOwnerDiesDuringRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := enginetest.NewNetwork(74)
		net.Delay = 10 * time.Millisecond
		s := newPrivate(t, net, 2)
		s.admit(3, 2, engine.InviteSpec{})
		link := invite(t, s.room, engine.InviteSpec{})
		bad := addPeer(t, net, "bad", 0)
		br := joinRoom(t, bad, link, engine.JoinOptions{Listen: true})
		until(t, 10*time.Second, "a place", func() bool { return br.Tree().Parent != "" })
		old := newestKey(s.origin)
		// The disk takes nothing: then nothing has happened.
		s.origin.Keeper.Full(true)
		if err := s.room.Revoke(t.Context(), inviteOf(t, link), 0); err == nil {
			t.Error("revoked without a trace on disk")
		}
		s.origin.Keeper.Full(false)
		time.Sleep(time.Second)
		if newestKey(s.origin) != old || br.Tree().Parent == "" {
			t.Error("half a revocation")
		}
		// It is on disk, and nobody has heard of it.
		net.Cut(s.origin, true)
		if err := s.room.Revoke(t.Context(), inviteOf(t, link), 0); err != nil {
			t.Fatal(err)
		}
		net.Kill(s.origin)
		time.Sleep(3 * time.Second)
		again, err := net.Restart(s.origin, 2)
		if err != nil {
			t.Fatal(err)
		}
		closeAtEnd(t, again)
		r := joinRoom(t, again, "lobby", engine.JoinOptions{Create: true})
		if !r.Info().Private {
			t.Error("the room has become public")
		}
		until(t, 20*time.Second, "the new key at all, and nobody else", func() bool {
			for _, l := range s.listeners {
				if k := newestKey(l.Peer); k != newestKey(again) || k == old {
					return false
				}
			}
			return len(bad.Rooms()) == 0
		})
		pub, err := r.Publish(t.Context(), audioSlot())
		if err != nil {
			t.Fatal(err)
		}
		sendAudio(t, pub, 0, 300)
		time.Sleep(time.Second)
		for _, l := range s.listeners {
			wantSuffix(t, "listener", l.sink.Packets(), 200, 100)
		}
		if k := newestKey(bad); k != old {
			t.Error("who was shut out has another key")
		}
	})
}

// A list that was replaced does not come back, nor does one that somebody else signed, nor another key.
func TestOldListIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := enginetest.NewNetwork(76)
		net.Delay = 10 * time.Millisecond
		s := newPrivate(t, net, 4)
		l := s.admit(1, 0, engine.InviteSpec{})[0]
		evil := s.admit(1, 0, engine.InviteSpec{})[0]
		first := s.origin.Keeper.SavedRooms()[0]
		if err := s.room.Revoke(t.Context(), "aaaaaaaaaaaaa", 0); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		newest := newestKey(l.Peer)
		if newest != newestKey(s.origin) || newest == first.Keys[0] {
			t.Fatal("no new key")
		}
		forged, err := room.NewAccess(evil.Signer, mustVerify(t, first.Record), room.AccessSpec{
			Number: 1 << 60, Generation: 1 << 31, Commitment: make([]byte, room.CommitmentSize), Made: time.Now(), Expires: time.Now().Add(time.Hour),
		})
		if err == nil || forged != nil {
			t.Error("anybody can sign a list")
		}
		access := s.origin.Keeper.SavedRooms()[0].Access
		for name, m := range map[string]*wire.Keys{
			"replayed": {Access: first.Access, Keys: []*wire.MediaKey{{Generation: first.Keys[0].Generation, Key: first.Keys[0].Key[:]}}},
			"wrong":    {Access: access, Keys: []*wire.MediaKey{{Generation: newest.Generation, Key: make([]byte, 16)}}},
			"later":    {Access: access, Keys: []*wire.MediaKey{{Generation: newest.Generation + 1, Key: make([]byte, 16)}}},
			"public":   {Access: access, Keys: []*wire.MediaKey{{Generation: 0, Key: make([]byte, 16)}}},
			"short":    {Access: access, Keys: []*wire.MediaKey{{Generation: newest.Generation, Key: []byte{1}}}},
			"nothing":  {},
		} {
			env, err := evil.Signer.Seal(s.room.ID(), wire.Type_KEYS, 0, time.Now().Add(time.Minute), m)
			if err != nil {
				t.Fatal(err)
			}
			if err := evil.Message(t.Context(), l.Peer, env); err != nil {
				t.Fatal(err)
			}
			time.Sleep(100 * time.Millisecond)
			if got := newestKey(l.Peer); got != newest {
				t.Errorf("%s: the key is another one", name)
			}
			if string(l.Keeper.SavedRooms()[0].Access) != string(access) {
				t.Errorf("%s: the list is another one", name)
			}
		}
		if n := l.Counters()["access_lists_old_total"]; n == 0 {
			t.Error("the replay was not counted")
		}
		if n := l.Counters()["media_keys_wrong_total"]; n == 0 {
			t.Error("the wrong key was not counted")
		}
	})
}

func mustVerify(t *testing.T, env []byte) *room.Record {
	t.Helper()
	rec, err := room.VerifyRecord(env, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return rec
}

// Packets of an incarnation that no announce told of are not taken.
func TestWrongGenerationIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := enginetest.NewNetwork(77)
		net.Delay = 10 * time.Millisecond
		s := newPrivate(t, net, 2)
		l := s.admit(1, 0, engine.InviteSpec{})[0]
		pub, err := s.room.Publish(t.Context(), audioSlot())
		if err != nil {
			t.Fatal(err)
		}
		sendAudio(t, pub, 0, 50)
		time.Sleep(time.Second)
		hop, err := s.origin.Hop(t.Context(), l.Peer)
		if err != nil {
			t.Fatal(err)
		}
		st := l.room.Streams()[0]
		h := wire.Header{Kind: wire.KindAudio, Incarnation: st.Incarnation + 7, Stream: st.ID, Number: st.First + 1000, Level: wire.LevelUnknown}
		if _, err := hop.WritePackets([][]byte{append(h.Append(nil), make([]byte, 40)...)}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond)
		if n := l.Counters()["packets_wrong_generation_total"]; n != 1 {
			t.Errorf("%d packets of a wrong generation", n)
		}
		wantAudio(t, "listener", l.sink.Packets(), 0, 50)
	})
}

// Both of the owner's devices revoke while they do not hear of each other: in the end both revocations hold.
func TestRevocationsMerge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := enginetest.NewNetwork(78)
		net.Delay = 10 * time.Millisecond
		s := newPrivate(t, net, 4)
		a, b := invite(t, s.room, engine.InviteSpec{}), invite(t, s.room, engine.InviteSpec{})
		s.admit(2, 0, engine.InviteSpec{})
		desktop := addPeer(t, net, "ann/desktop", 2)
		r := joinRoom(t, desktop, "lobby", engine.JoinOptions{Create: true})
		until(t, 10*time.Second, "both devices have one key", func() bool { return newestKey(desktop) == newestKey(s.origin) })
		net.Cut(desktop, true)
		if err := r.Revoke(t.Context(), inviteOf(t, a), 0); err != nil {
			t.Fatal(err)
		}
		if err := s.room.Revoke(t.Context(), inviteOf(t, b), 0); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		net.Cut(desktop, false)
		until(t, 60*time.Second, "one list", func() bool {
			x := s.origin.Keeper.SavedRooms()[0]
			for _, p := range []*enginetest.Peer{desktop, s.listeners[0].Peer, s.listeners[1].Peer} { // members let people in as well
				if string(x.Access) != string(p.Keeper.SavedRooms()[0].Access) {
					return false
				}
			}
			return newestKey(desktop) == newestKey(s.origin)
		})
		for i, link := range []string{a, b} {
			_, err := addPeer(t, net, fmt.Sprintf("late%d", i), 0).Join(t.Context(), link, engine.JoinOptions{Wait: time.Second})
			wantCode(t, link[len(link)-8:], err, engine.CodeRevoked)
		}
		until(t, 10*time.Second, "the key at all", func() bool {
			return newestKey(s.listeners[0].Peer) == newestKey(s.origin) && newestKey(s.listeners[1].Peer) == newestKey(s.origin)
		})
	})
}
