package engine_test

import (
	"crypto/ed25519"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/enginetest"
	"github.com/castd/castd/engine/room"
	"github.com/castd/castd/engine/wire"
)

// Of two who race for the last use exactly one gets in; he may come again, and a member who never saw the issuer admits him.
func TestInviteIsUsedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := enginetest.NewNetwork(63)
		net.Delay = 10 * time.Millisecond
		s := newPrivate(t, net, 4)
		s.admit(1, 4, engine.InviteSpec{})
		link := invite(t, s.room, engine.InviteSpec{Uses: 1})
		var wg sync.WaitGroup
		errs := make([]error, 5)
		peers := make([]*enginetest.Peer, len(errs))
		for i := range errs {
			peers[i] = addPeer(t, net, fmt.Sprintf("racer%d", i), 0)
		}
		for i, p := range peers {
			wg.Go(func() { _, errs[i] = p.Join(t.Context(), link, engine.JoinOptions{Wait: time.Second}) })
		}
		wg.Wait()
		winner := -1
		for i, err := range errs {
			if err == nil && winner < 0 {
				winner = i
				continue
			}
			wantCode(t, fmt.Sprintf("racer %d", i), err, engine.CodeInviteSpent)
		}
		if winner < 0 {
			t.Fatal("nobody got in")
		}
		list := s.room.Invites()
		if list[0].State != engine.InviteSpent || len(list[0].Used) != 1 || list[0].Used[0] != wire.ParticipantID(peers[winner].Signer.User()) {
			t.Errorf("the list shows %+v", list[0])
		}
		// Another device of the winner, who has his user key: the same use.
		again := addPeer(t, net, fmt.Sprintf("racer%d/phone", winner), 0)
		joinRoom(t, again, link, engine.JoinOptions{Wait: time.Second})
		// The issuer goes, the winner starts again: any member lets him in.
		net.Cut(s.origin, true)
		net.Kill(peers[winner])
		back, err := net.Restart(peers[winner], 0)
		if err != nil {
			t.Fatal(err)
		}
		closeAtEnd(t, back)
		joinRoom(t, back, link, engine.JoinOptions{Wait: time.Second})
		if newestKey(back).Generation == 0 {
			t.Error("he has no key")
		}
		_, err = addPeer(t, net, "late", 0).Join(t.Context(), link, engine.JoinOptions{Wait: time.Second})
		wantCode(t, "without the issuer", err, engine.CodeIssuerAway)
	})
}

// A newcomer who cannot reach the issuer presents a counted invite through a member.
func TestInviteIsRedeemedThroughMember(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := enginetest.NewNetwork(64)
		net.Delay = 10 * time.Millisecond
		s := newPrivate(t, net, 4)
		s.admit(1, 4, engine.InviteSpec{})
		link := invite(t, s.room, engine.InviteSpec{Uses: 1})
		bob, eve := addPeer(t, net, "bob", 0), addPeer(t, net, "eve", 0)
		net.Part(bob, s.origin, true)
		net.Part(eve, s.origin, true)
		r := joinRoom(t, bob, link, engine.JoinOptions{Wait: time.Second})
		until(t, 10*time.Second, "a place below the member", func() bool { return r.Tree().Parent == s.listeners[0].Self().String() })
		_, err := eve.Join(t.Context(), link, engine.JoinOptions{Wait: time.Second})
		wantCode(t, "eve", err, engine.CodeInviteSpent)
	})
}

// While the owner sleeps, members let newcomers in and hand them the key: for as long as they hear of a hub, or have heard of one
// a moment ago.
func TestMemberAdmitsWhileOwnerSleeps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := enginetest.NewNetwork(65)
		net.Delay = 10 * time.Millisecond
		s := newPrivate(t, net, 1)
		link := invite(t, s.room, engine.InviteSpec{})
		speak := invite(t, s.room, engine.InviteSpec{Speak: true})
		desktop := addPeer(t, net, "ann/desktop", 1)
		other := joinRoom(t, desktop, "lobby", engine.JoinOptions{Create: true})
		s.admit(3, 2, engine.InviteSpec{})
		time.Sleep(2 * time.Second)
		net.Kill(s.origin)
		until(t, 20*time.Second, "the owner's other device is the hub", func() bool { return other.Tree().Depth == 0 && len(other.Tree().Path) == 1 })
		// The desktop is out of the newcomer's reach: members do it all.
		bob := addPeer(t, net, "bob", 0)
		net.Part(bob, desktop, true)
		sink := &enginetest.Sink{}
		r := joinRoom(t, bob, link, engine.JoinOptions{Wait: time.Second, Listen: true})
		if _, err := r.Subscribe(sink, engine.SinkOptions{Backlog: true}); err != nil {
			t.Fatal(err)
		}
		until(t, 15*time.Second, "a place", func() bool { return r.Tree().Parent != "" })
		cat := addPeer(t, net, "cat", 0)
		cr := joinRoom(t, cat, speak, engine.JoinOptions{Silent: true})
		pub, err := cr.Publish(t.Context(), audioSlot())
		if err != nil {
			t.Fatal(err)
		}
		sendAudio(t, pub, 0, 200)
		time.Sleep(time.Second)
		wantSuffix(t, "bob", sink.Packets(), 50, 150)
		// Nobody is left who may be the hub.
		net.Kill(desktop)
		joinRoom(t, addPeer(t, net, "dan", 0), link, engine.JoinOptions{Wait: time.Second})
		time.Sleep(31 * time.Second)
		_, err = addPeer(t, net, "fay", 0).Join(t.Context(), link, engine.JoinOptions{Wait: time.Second})
		wantCode(t, "half a minute later", err, engine.CodeTimeout)
		if r.Tree().Peer == "" || len(bob.Rooms()) != 1 {
			t.Error("who was there has been put out")
		}
	})
}

// A member passes his right on, and counts its uses himself; what the owner takes from him he takes from all who came by him.
func TestMemberInvites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := enginetest.NewNetwork(66)
		net.Delay = 10 * time.Millisecond
		s := newPrivate(t, net, 4)
		ofBob := invite(t, s.room, engine.InviteSpec{})
		bob, cat, eve := addPeer(t, net, "bob", 2), addPeer(t, net, "cat", 0), addPeer(t, net, "eve", 0)
		br := joinRoom(t, bob, ofBob, engine.JoinOptions{Listen: true})
		link := invite(t, br, engine.InviteSpec{Uses: 1})
		if _, err := br.InviteLink(nil, engine.InviteSpec{Speak: true}); err == nil {
			t.Error("a listener lets others speak")
		}
		if err := br.Revoke(t.Context(), "all", 0); err == nil {
			t.Error("a listener takes rights back")
		}
		cr := joinRoom(t, cat, link, engine.JoinOptions{Listen: true})
		_, err := eve.Join(t.Context(), link, engine.JoinOptions{Wait: time.Second})
		wantCode(t, "eve", err, engine.CodeInviteSpent)
		until(t, 10*time.Second, "places", func() bool { return br.Tree().Parent != "" && cr.Tree().Parent != "" })
		time.Sleep(time.Second)
		if err := s.room.Revoke(t.Context(), inviteOf(t, ofBob), 0); err != nil {
			t.Fatal(err)
		}
		until(t, 2*time.Second, "both are out", func() bool {
			return len(bob.Rooms()) == 0 && len(cat.Rooms()) == 0 && len(s.room.Tree().Children) == 0
		})
	})
}

// A delegate keeps a private room open without its owner: he makes its key, lets people in and puts them out.
func TestDelegateHostsPrivateRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := enginetest.NewNetwork(67)
		net.Delay = 10 * time.Millisecond
		owner, del := addPeer(t, net, "ann/laptop", 2), addPeer(t, net, "del", 2)
		_, rec, err := room.NewRecord(owner.Signer, room.RecordSpec{
			Name: "lobby", Private: true, Delegates: []ed25519.PublicKey{del.Signer.User()}, Epoch: 1, Issued: time.Now(), Expires: time.Now().Add(time.Hour),
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range []*enginetest.Peer{owner, del} {
			if err := p.Keeper.SaveRoom(engine.SavedRoom{Name: "lobby", ID: rec.ID, Record: rec.Envelope}); err != nil {
				t.Fatal(err)
			}
		}
		net.Cut(owner, true)
		s := &stage{t: t, net: net, origin: del}
		s.room = joinRoom(t, del, "lobby", engine.JoinOptions{Create: true})
		s.admit(2, 2, engine.InviteSpec{})
		once := invite(t, s.room, engine.InviteSpec{Uses: 1})
		bad := addPeer(t, net, "bad", 0)
		joinRoom(t, bad, once, engine.JoinOptions{Listen: true})
		pub, err := s.room.Publish(t.Context(), audioSlot())
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if err := s.room.Revoke(t.Context(), wire.ParticipantID(bad.Signer.User()), 0); err != nil {
			t.Fatal(err)
		}
		sendAudio(t, pub, 0, 100)
		time.Sleep(time.Second)
		for _, l := range s.listeners {
			wantAudio(t, "listener", l.sink.Packets(), 0, 100)
		}
		if len(bad.Rooms()) != 0 {
			t.Error("who was put out is in the room")
		}
		// The owner comes: he takes the delegate's list and key, and what he then says holds for all.
		net.Cut(owner, false)
		r := joinRoom(t, owner, "lobby", engine.JoinOptions{Create: true})
		if got := r.Info(); !got.Private || got.Role != "owner" {
			t.Errorf("%+v", got)
		}
		until(t, 30*time.Second, "one key", func() bool {
			return newestKey(owner) == newestKey(del) && newestKey(owner) == newestKey(s.listeners[0].Peer)
		})
		if err := r.Revoke(t.Context(), "all", 0); err != nil {
			t.Fatal(err)
		}
		until(t, 30*time.Second, "nobody but the owner and the delegate is there", func() bool {
			return len(s.listeners[0].Rooms())+len(s.listeners[1].Rooms()) == 0
		})
		if newestKey(owner) != newestKey(del) {
			t.Error("the delegate has another key")
		}
	})
}

// What the owner said of his room holds when he opens it again, also when its record has expired meanwhile.
func TestRoomIsReopened(t *testing.T) {
	for _, away := range []time.Duration{time.Hour, 20 * 24 * time.Hour, 40 * 24 * time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			net := enginetest.NewNetwork(68)
			net.Delay = time.Millisecond
			ann := addPeer(t, net, "ann/laptop", 2)
			r := joinRoom(t, ann, "lobby", engine.JoinOptions{Create: true, Private: yes(), Title: "The lobby"})
			net.Kill(ann)
			time.Sleep(away)
			again, err := net.Restart(ann, 2)
			if err != nil {
				t.Fatal(err)
			}
			closeAtEnd(t, again)
			r2 := joinRoom(t, again, "lobby", engine.JoinOptions{Create: true})
			if got := r2.Info(); got.Room != string(r.ID()) || !got.Private || got.Title != "The lobby" {
				t.Errorf("after %v: %+v", away, got)
			}
			_, err = addPeer(t, net, "mallory", 0).Join(t.Context(), string(r.ID()), engine.JoinOptions{})
			wantCode(t, "a stranger", err, engine.CodeInviteNeeded)
			// And it is opened to all when he says so.
			net.Kill(again)
			if again, err = net.Restart(again, 2); err != nil {
				t.Fatal(err)
			}
			closeAtEnd(t, again)
			open := false
			r3 := joinRoom(t, again, "lobby", engine.JoinOptions{Create: true, Private: &open})
			if got := r3.Info(); got.Private || got.Title != "The lobby" {
				t.Errorf("opened to all: %+v", got)
			}
			if _, err := addPeer(t, net, "bob", 0).Join(t.Context(), "lobby", engine.JoinOptions{Wait: time.Second}); err != nil {
				t.Errorf("bob: %v", err)
			}
		})
	}
}
