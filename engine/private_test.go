package engine_test

import (
	"errors"
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

// newPrivate is newStage for a private room.
func newPrivate(t *testing.T, net *enginetest.Network, slots int) *stage {
	t.Helper()
	s := &stage{t: t, net: net, origin: addPeer(t, net, "ann/laptop", slots)}
	s.room = joinRoom(t, s.origin, "lobby", engine.JoinOptions{Create: true, Private: yes()})
	return s
}

func yes() *bool { v := true; return &v }

func joinRoom(t *testing.T, p *enginetest.Peer, name string, o engine.JoinOptions) *engine.Room {
	t.Helper()
	r, err := p.Join(t.Context(), name, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func invite(t *testing.T, r *engine.Room, s engine.InviteSpec) string {
	t.Helper()
	link, err := r.InviteLink(nil, s)
	if err != nil {
		t.Fatal(err)
	}
	return link
}

// admit adds n listeners with an invite of their own kind, each with a sink, and waits until they have places.
func (s *stage) admit(n, slots int, spec engine.InviteSpec) []*listener {
	s.t.Helper()
	link := invite(s.t, s.room, spec)
	var all []*listener
	for range n {
		p := addPeer(s.t, s.net, fmt.Sprintf("listener%d", len(s.listeners)), slots)
		l := &listener{Peer: p, room: joinRoom(s.t, p, link, engine.JoinOptions{Listen: true}), sink: &enginetest.Sink{}}
		if _, err := l.room.Subscribe(l.sink, engine.SinkOptions{Backlog: true}); err != nil {
			s.t.Fatal(err)
		}
		s.listeners, all = append(s.listeners, l), append(all, l)
	}
	until(s.t, 10*time.Second, "places for all", func() bool {
		for _, l := range all {
			if l.room.Tree().Parent == "" {
				return false
			}
		}
		return true
	})
	return all
}

// until waits for something, in virtual time.
func until(t *testing.T, most time.Duration, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(most); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", most, what)
		}
	}
}

// keysOf returns what a peer keeps of its only room.
func keysOf(p *enginetest.Peer) []seal.RoomKey {
	for _, r := range p.Keeper.SavedRooms() {
		return r.Keys
	}
	return nil
}

// newestKey returns the newest key that a peer keeps.
func newestKey(p *enginetest.Peer) (k seal.RoomKey) {
	for _, o := range keysOf(p) {
		if o.Generation > k.Generation {
			k = o
		}
	}
	return k
}

func wantCode(t *testing.T, who string, err error, code string) {
	t.Helper()
	var user *engine.UserError
	if !errors.As(err, &user) || user.Code != code {
		t.Errorf("%s: %v, want code %s", who, err, code)
		return
	}
	if user.Message == "" || strings.ContainsAny(user.Message, "\n") {
		t.Errorf("%s: %q is not a sentence", who, user.Message)
	}
}

// Whoever has an invite hears a private room through the tree; nobody else is told of it, has a hop, or can open a packet.
func TestPrivateRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := enginetest.NewNetwork(61)
		net.Delay = 10 * time.Millisecond
		var mu sync.Mutex
		var carried [][]byte
		net.Tamper = func(_, _ peer.ID, pkt []byte) []byte {
			mu.Lock()
			defer mu.Unlock()
			carried = append(carried, append([]byte(nil), pkt...))
			return pkt
		}
		s := newPrivate(t, net, 2)
		if !s.room.Info().Private {
			t.Error("the room is not shown to be private")
		}
		s.admit(9, 2, engine.InviteSpec{})
		pub, err := s.room.Publish(t.Context(), audioSlot())
		if err != nil {
			t.Fatal(err)
		}
		stranger := addPeer(t, net, "mallory", 2)
		_, err = stranger.Join(t.Context(), string(s.room.ID()), engine.JoinOptions{Wait: time.Second})
		wantCode(t, "by id", err, engine.CodeInviteNeeded)
		_, err = stranger.Join(t.Context(), "lobby", engine.JoinOptions{Wait: time.Second})
		wantCode(t, "by name", err, engine.CodeTimeout)
		sendAudio(t, pub, 0, 200)
		time.Sleep(time.Second)
		for i, l := range s.listeners {
			wantAudio(t, fmt.Sprintf("listener %d at depth %d", i, l.room.Tree().Depth), l.sink.Packets(), 0, 200)
		}
		for _, p := range stranger.Peers() {
			if p.Hop {
				t.Errorf("the stranger has a hop to %s", p.Peer)
			}
		}
		device := s.origin.Signer.Public()
		opened := 0
		for _, pkt := range carried {
			h, n, err := wire.ParseHeader(pkt)
			if err != nil || h.Kind == wire.KindRecord {
				continue
			}
			for _, k := range []seal.RoomKey{seal.PublicRoomKey(s.room.ID()), newestKey(s.origin)} {
				o, err := seal.NewOpener(k, device, h.Stream, h.Incarnation)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := o.Open(nil, pkt, n, h.Number); err == nil {
					if k.Generation == 0 {
						t.Fatal("a packet opens with what everyone knows")
					}
					opened++
				}
			}
		}
		if opened == 0 {
			t.Error("no packet was seen")
		}
	})
}

// Each kind of invite that does not hold is refused at the first peer, which says why.
func TestPrivateRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := enginetest.NewNetwork(62)
		net.Delay = 10 * time.Millisecond
		s := newPrivate(t, net, 4)
		other := joinRoom(t, s.origin, "attic", engine.JoinOptions{Create: true, Private: yes()})
		good := invite(t, s.room, engine.InviteSpec{})
		short := invite(t, s.room, engine.InviteSpec{Expires: 10 * time.Second})
		once := invite(t, s.room, engine.InviteSpec{Uses: 1})
		revoked := invite(t, s.room, engine.InviteSpec{})
		parse := func(link string) (*room.Link, *wire.Invite) {
			l, err := room.ParseLink(link)
			if err != nil {
				t.Fatal(err)
			}
			inv, err := l.Invite()
			if err != nil {
				t.Fatal(err)
			}
			return l, inv
		}
		changed := func(change func(l *room.Link, inv *wire.Invite)) string {
			l, inv := parse(good)
			change(l, inv)
			l.Capability = room.EncodeInvite(inv)
			return l.String()
		}
		if _, err := addPeer(t, net, "first", 0).Join(t.Context(), once, engine.JoinOptions{}); err != nil {
			t.Fatal(err)
		}
		_, inv := parse(revoked)
		if err := s.room.Revoke(t.Context(), room.InviteID(inv.Chain.Links[0]), 0); err != nil {
			t.Fatal(err)
		}
		time.Sleep(12 * time.Second)
		forger := enginetest.Keys("user mallory")
		for i, c := range []struct{ name, link, code string }{
			{"expired", short, engine.CodeInviteExpired},
			{"spent", once, engine.CodeInviteSpent},
			{"revoked", revoked, engine.CodeRevoked},
			{"none", changed(func(l *room.Link, inv *wire.Invite) {}) + "x", engine.CodeNoRoom}, // damaged: not a link
			{"forged", changed(func(l *room.Link, inv *wire.Invite) {
				*inv = *room.NewInvite(forger, l.Room, [32]byte{1}, room.LinkSpec{Rights: room.All, Nonce: make([]byte, room.NonceSize)})
			}), engine.CodeInviteWrong},
			{"of another room", changed(func(l *room.Link, inv *wire.Invite) {
				_, of := parse(invite(t, other, engine.InviteSpec{}))
				inv.Chain, inv.Seed = of.Chain, of.Seed
			}), engine.CodeInviteWrong},
			{"longer", changed(func(_ *room.Link, inv *wire.Invite) { inv.Chain.Links[0].ExpiresMs += 1000 }), engine.CodeInviteWrong},
			{"with more rights", changed(func(_ *room.Link, inv *wire.Invite) { inv.Chain.Links[0].Rights |= uint32(room.Speak) }), engine.CodeInviteWrong},
			{"not counted any more", changed(func(_ *room.Link, inv *wire.Invite) {
				_, of := parse(invite(t, s.room, engine.InviteSpec{Uses: 1}))
				of.Chain.Links[0].Uses = 0
				inv.Chain, inv.Seed = of.Chain, of.Seed
			}), engine.CodeInviteWrong},
		} {
			p := addPeer(t, net, fmt.Sprintf("guest%d", i), 0)
			_, err := p.Join(t.Context(), c.link, engine.JoinOptions{Wait: time.Second})
			wantCode(t, c.name, err, c.code)
			for _, o := range p.Peers() {
				if o.Hop {
					t.Errorf("%s: has a hop", c.name)
				}
			}
			if len(keysOf(p)) > 0 {
				t.Errorf("%s: has keys", c.name)
			}
		}
		if n := len(s.room.Tree().Children); n != 1 {
			t.Errorf("%d children", n)
		}
	})
}
