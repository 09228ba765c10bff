package engine_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/enginetest"
	"github.com/castd/castd/engine/room"
	"github.com/castd/castd/engine/seal"
	"github.com/castd/castd/engine/wire"
)

// carriage notes the media packets that go over hops.
type carriage struct {
	mu  sync.Mutex
	all []carried
}

type carried struct {
	at       time.Time
	from, to peer.ID
	pkt      []byte
}

func (c *carriage) tamper(from, to peer.ID, pkt []byte) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = append(c.all, carried{time.Now(), from, to, append([]byte(nil), pkt...)})
	return pkt
}

// opens counts the media packets since a time that a key opens.
func (c *carriage) opens(t *testing.T, device []byte, keys []seal.RoomKey, since time.Time) (opened, sealed int) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.all {
		h, n, err := wire.ParseHeader(p.pkt)
		if err != nil || h.Kind == wire.KindRecord || p.at.Before(since) {
			continue
		}
		sealed++
		for _, k := range keys {
			o, err := seal.NewOpener(k, device, h.Stream, h.Incarnation)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := o.Open(nil, p.pkt, n, h.Number); err == nil {
				opened++
			}
		}
	}
	return opened, sealed
}

func inviteOf(t *testing.T, link string) string {
	t.Helper()
	l, err := room.ParseLink(link)
	if err != nil {
		t.Fatal(err)
	}
	inv, err := l.Invite()
	if err != nil {
		t.Fatal(err)
	}
	return room.InviteID(inv.Chain.Links[len(inv.Chain.Links)-1])
}

// Somebody is shut out while ten listen: from then on no honest peer sends him anything, all others have the next key within a
// second and lose nothing, and what he holds opens nothing of what comes.
func TestRevocation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := enginetest.NewNetwork(71)
		net.Delay = 10 * time.Millisecond
		var c carriage
		net.Tamper = c.tamper
		s := newPrivate(t, net, 2)
		s.admit(3, 2, engine.InviteSpec{})
		link := invite(t, s.room, engine.InviteSpec{})
		evil := addPeer(t, net, "evil", 2)
		er := joinRoom(t, evil, link, engine.JoinOptions{Listen: true})
		esink := &enginetest.Sink{}
		if _, err := er.Subscribe(esink, engine.SinkOptions{}); err != nil {
			t.Fatal(err)
		}
		s.admit(6, 2, engine.InviteSpec{})
		events := evil.Events(t.Context(), 0)
		pub, err := s.room.Publish(t.Context(), audioSlot())
		if err != nil {
			t.Fatal(err)
		}
		sent := make(chan struct{})
		go func() { defer close(sent); sendAudio(t, pub, 0, 1000) }()
		time.Sleep(3 * time.Second)
		if len(esink.Packets()) == 0 || er.Tree().Parent == "" {
			t.Fatal("who is to be shut out heard nothing before")
		}
		held := keysOf(evil)
		before := newestKey(s.origin).Generation
		start := time.Now()
		if err := s.room.Revoke(t.Context(), inviteOf(t, link), 0); err != nil {
			t.Fatal(err)
		}
		until(t, time.Second, "the next key at all who stay", func() bool {
			for _, l := range s.listeners {
				if g := newestKey(l.Peer).Generation; g <= before || g != newestKey(s.origin).Generation {
					return false
				}
			}
			return true
		})
		t.Logf("all 9 have the next key after %v", time.Since(start))
		<-sent
		time.Sleep(time.Second)
		for i, l := range s.listeners {
			wantAudio(t, fmt.Sprintf("listener %d", i), l.sink.Packets(), 0, 1000)
		}
		last := time.Duration(0)
		for _, p := range c.all {
			if p.to == evil.Self() && p.at.Sub(start) > last {
				last = p.at.Sub(start)
			}
		}
		t.Logf("the last packet to him was sent after %v", last)
		if last > 200*time.Millisecond {
			t.Errorf("he was sent media %v after he was shut out", last)
		}
		device := s.origin.Signer.Public()
		turned := start.Add(500 * time.Millisecond)
		if opened, sealed := c.opens(t, device, held, turned); opened > 0 || sealed == 0 {
			t.Errorf("his keys open %d of %d packets", opened, sealed)
		}
		if opened, sealed := c.opens(t, device, []seal.RoomKey{newestKey(s.origin)}, turned); opened != sealed {
			t.Errorf("the new key opens %d of %d packets", opened, sealed)
		}
		if g := newestKey(evil).Generation; g > before {
			t.Error("he was handed the next key")
		}
		told := false
		for len(events) > 0 {
			ev := <-events
			told = told || ev.Event == "error" && ev.Code == engine.CodeRevoked && strings.Contains(ev.Message, "ask")
		}
		if !told || len(evil.Rooms()) != 0 {
			t.Errorf("he was not told (%v), or is still in %d rooms", told, len(evil.Rooms()))
		}
		_, err = evil.Join(t.Context(), link, engine.JoinOptions{Wait: time.Second})
		wantCode(t, "again", err, engine.CodeRevoked)
		if n := len(keysOf(s.listeners[0].Peer)); n > 2 {
			t.Errorf("%d keys are kept", n)
		}
		time.Sleep(12 * time.Second)
		if n := len(keysOf(s.listeners[0].Peer)); n != 1 {
			t.Errorf("%d keys are kept when the old one is over", n)
		}
	})
}

// A person is shut out who ignores it and says nothing: the honest end closes the hop by itself.
func TestRevokedHopIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := enginetest.NewNetwork(72)
		net.Delay = 10 * time.Millisecond
		s := newPrivate(t, net, 2)
		l := s.admit(1, 2, engine.InviteSpec{})[0]
		closed := make(chan struct{}, 4)
		go func() {
			for ev := range s.origin.Events(t.Context(), 0) {
				if ev.Event == "left" {
					closed <- struct{}{}
				}
			}
		}()
		time.Sleep(time.Second)
		net.Part(s.origin, l.Peer, true) // he hears nothing of it
		if err := s.room.Revoke(t.Context(), wire.ParticipantID(l.Signer.User()), 0); err != nil {
			t.Fatal(err)
		}
		select {
		case <-closed:
		case <-time.After(100 * time.Millisecond):
			t.Errorf("he is still a child: %+v, %v", s.room.Tree().Children, s.origin.Counters()["peers_expelled_total"])
		}
		synctest.Wait()
		for _, p := range s.origin.Peers() {
			if p.Hop {
				t.Error("the hop to him is open")
			}
		}
	})
}

// The right to speak is taken back: what he sends is passed on no more, and he may listen on.
func TestSpeakIsRevoked(t *testing.T) {
	for _, private := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			net := enginetest.NewNetwork(75)
			net.Delay = 10 * time.Millisecond
			s := &stage{t: t, net: net, origin: addPeer(t, net, "ann/laptop", 4)}
			s.room = joinRoom(t, s.origin, "lobby", engine.JoinOptions{Create: true, Private: &private})
			link := invite(t, s.room, engine.InviteSpec{Speak: true})
			bob := addPeer(t, net, "bob", 0)
			r := joinRoom(t, bob, link, engine.JoinOptions{Listen: true})
			ear := addPeer(t, net, "ear", 0)
			el := joinRoom(t, ear, invite(t, s.room, engine.InviteSpec{}), engine.JoinOptions{Listen: true, Wait: time.Second})
			sink := &enginetest.Sink{}
			if _, err := el.Subscribe(sink, engine.SinkOptions{}); err != nil {
				t.Fatal(err)
			}
			until(t, 10*time.Second, "places", func() bool { return r.Tree().Parent != "" && el.Tree().Parent != "" })
			pub, err := r.Publish(t.Context(), audioSlot())
			if err != nil {
				t.Fatal(err)
			}
			sendAudio(t, pub, 0, 100)
			time.Sleep(time.Second)
			wantSuffix(t, "before", sink.Packets(), 50, 50)
			if err := s.room.Revoke(t.Context(), inviteOf(t, link), room.Speak|room.Video); err != nil {
				t.Fatal(err)
			}
			time.Sleep(200 * time.Millisecond)
			n := len(sink.Packets())
			for i := range 50 {
				_ = pub.Write("audio", &engine.MediaPacket{Sequence: int64(200 + i), Timestamp: uint32((200 + i) * 960), Payload: payload(i)})
				time.Sleep(20 * time.Millisecond)
			}
			if got := len(sink.Packets()); got != n {
				t.Errorf("private %v: %d packets came after", private, got-n)
			}
			select {
			case <-pub.Done():
			default:
				t.Errorf("private %v: his publication goes on", private)
			}
			if _, err := r.Publish(t.Context(), audioSlot()); err == nil {
				t.Errorf("private %v: he publishes again", private)
			}
			time.Sleep(3 * time.Second)
			if r.Tree().Parent == "" {
				t.Errorf("private %v: he may not listen any more", private)
			}
		})
	}
}

// An invite that ends while somebody listens ends that as well.
func TestInviteEndsWhileListening(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := enginetest.NewNetwork(79)
		net.Delay = 10 * time.Millisecond
		s := newPrivate(t, net, 4)
		l := s.admit(1, 0, engine.InviteSpec{Expires: 20 * time.Second})[0]
		events := l.Events(t.Context(), 0)
		time.Sleep(15 * time.Second)
		if l.room.Tree().Parent == "" {
			t.Fatal("it ended too early")
		}
		until(t, 10*time.Second, "the end", func() bool { return len(l.Rooms()) == 0 && len(s.room.Tree().Children) == 0 })
		said := false
		for len(events) > 0 {
			ev := <-events
			said = said || ev.Code == engine.CodeInviteExpired
		}
		if !said {
			t.Error("nobody said so")
		}
	})
}

// What is gossiped in a private room tells a stranger nothing, and no event or list holds a secret.
func TestPrivateGossipIsSealed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := enginetest.NewNetwork(80)
		net.Delay = 10 * time.Millisecond
		var mu sync.Mutex
		var heard []string
		net.Gossip = func(topic string, msg []byte) {
			mu.Lock()
			defer mu.Unlock()
			heard = append(heard, topic+string(msg))
		}
		s := newPrivate(t, net, 2)
		s.admit(2, 2, engine.InviteSpec{})
		if err := s.room.Revoke(t.Context(), "aaaaaaaaaaaaa", 0); err != nil {
			t.Fatal(err)
		}
		time.Sleep(30 * time.Second)
		if len(heard) == 0 {
			t.Fatal("nothing was gossiped")
		}
		for _, m := range heard {
			for what, secret := range map[string]string{
				"the room's id": string(s.room.ID()), "the room's name": "lobby", "a device": string(s.origin.Signer.Public()), "a user": string(s.origin.Signer.User()),
			} {
				if strings.Contains(m, secret) {
					t.Errorf("a message on %.30s... shows %s", m, what)
				}
			}
		}
		text, err := json.Marshal(s.room.Invites())
		if err != nil || len(text) < 10 {
			t.Fatalf("%s, %v", text, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := s.room.Revoke(ctx, "nobody", 0); err == nil {
			t.Error("nobody was revoked")
		}
	})
}

// Who was put out and has a new invite is in again at once.
func TestInvitedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := enginetest.NewNetwork(81)
		net.Delay = 10 * time.Millisecond
		s := newPrivate(t, net, 4)
		first, second := invite(t, s.room, engine.InviteSpec{}), invite(t, s.room, engine.InviteSpec{})
		bob := addPeer(t, net, "bob", 0)
		r := joinRoom(t, bob, first, engine.JoinOptions{Listen: true})
		until(t, 10*time.Second, "a place", func() bool { return r.Tree().Parent != "" })
		time.Sleep(time.Second)
		if err := s.room.Revoke(t.Context(), inviteOf(t, first), 0); err != nil {
			t.Fatal(err)
		}
		time.Sleep(25 * time.Millisecond) // he has heard of it, and is about to leave
		again := joinRoom(t, bob, second, engine.JoinOptions{Listen: true, Wait: 5 * time.Second})
		until(t, 10*time.Second, "a place again", func() bool { return again.Tree().Parent != "" })
		if again == r || newestKey(bob) != newestKey(s.origin) {
			t.Error("he is in the room that he was put out of, or has an old key")
		}
	})
}
