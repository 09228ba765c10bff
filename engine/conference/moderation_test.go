package conference_test

import (
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/conference"
	"github.com/castd/castd/engine/enginetest"
	"github.com/castd/castd/engine/room"
	"github.com/castd/castd/engine/wire"
)

// Participants of these tests: ids have a form that rulings check.
const (
	annID = "aaaaaaaaaaaaaaaa"
	bobID = "bbbbbbbbbbbbbbbb"
	eveID = "cccccccccccccccc"
)

// gathering is a conference of three peers: the owner's, which mixes, and two others.
type gathering struct {
	t              *testing.T
	net            *enginetest.Network
	hub, near, far *enginetest.Peer
	room, r1, r2   *engine.Room
	ann, bob, eve  *caller

	deaf atomic.Pointer[enginetest.Peer] // hears of no access list
}

// misses reports whether a message is one that a peer is kept from hearing.
func (k *gathering) misses(to peer.ID, msg []byte) bool {
	p := k.deaf.Load()
	if p == nil || p.Self() != to {
		return false
	}
	m, err := wire.ReadEnvelope(msg)
	return err != nil || m.Type == wire.Type_ACCESS || m.Type == wire.Type_BEACON || m.Type == wire.Type_KEYS || m.Type == wire.Type_LEASE
}

// onTalk runs a test in which three people call, each by way of another peer.
func onTalk(t *testing.T, seed uint64, test func(*testing.T, *gathering)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		net := enginetest.NewNetwork(seed)
		net.Delay = 10 * time.Millisecond
		s := conference.New()
		t.Cleanup(s.Close)
		net.Mixing = s
		k := &gathering{t: t, net: net}
		net.Unheard = k.misses
		net.Swallow = func(_, to peer.ID, msg []byte) bool { return k.misses(to, msg) }
		k.hub, k.near, k.far = addPeer(t, net, "ann/laptop"), addPeer(t, net, "bob/laptop"), addPeer(t, net, "eve/laptop")
		k.room = enter(t, k.hub, engine.JoinOptions{Create: true, Mode: "conference"})
		k.r1, k.r2 = enter(t, k.near, engine.JoinOptions{Wait: 5 * time.Second}), enter(t, k.far, engine.JoinOptions{Wait: 5 * time.Second, Listen: true})
		k.ann, k.bob, k.eve = takePart(t, k.room, annID, 400), takePart(t, k.r1, bobID, 700), takePart(t, k.r2, eveID, 1200)
		time.Sleep(4 * time.Second)
		check(t, k.ann, k.bob, k.eve)
		test(t, k)
		for _, c := range []*caller{k.ann, k.bob, k.eve} {
			c.leave()
		}
	})
}

// do has the owner's peer moderate.
func (k *gathering) do(verb, who string) {
	k.t.Helper()
	if err := k.room.Moderate(k.t.Context(), engine.Moderation{Verb: verb, Who: who}); err != nil {
		k.t.Fatalf("%s %s: %v", verb, who, err)
	}
}

// heard fails where somebody is heard who should not be, or the other way round.
func (k *gathering) heard(by *caller, of *caller, want bool) {
	k.t.Helper()
	by.ear.Forget()
	time.Sleep(3 * time.Second)
	level := by.ear.Level(of.frequency)
	if want && (level < -26 || level > -14) || !want && level > -60 {
		k.t.Errorf("%s hears %s at %.1f dB, heard should be %v", by.name, of.name, level, want)
	}
}

func (k *gathering) told(c *caller) *engine.CallState {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

// of returns what a caller is told of somebody.
func (k *gathering) of(c *caller, who string) engine.CallParticipant {
	for _, p := range k.told(c).Participants {
		if p.Participant == who {
			return p
		}
	}
	return engine.CallParticipant{}
}

func code(err error) string {
	var user *engine.UserError
	if errors.As(err, &user) {
		return user.Code
	}
	return ""
}

// TestMute: who is muted is heard by nobody until he is unmuted. His own peer sends nothing and tells him why, and everybody sees it.
func TestMute(t *testing.T) {
	onTalk(t, 11, func(t *testing.T, k *gathering) {
		k.do(room.Mute, bobID)
		k.heard(k.ann, k.bob, false)
		k.heard(k.eve, k.bob, false)
		if k.near.Counters()["packets_muted_total"] == 0 || k.hub.Counters()["packets_muted_total"] > 25 {
			t.Errorf("dropped %d packets at his own peer, %d at the mixer", k.near.Counters()["packets_muted_total"], k.hub.Counters()["packets_muted_total"])
		}
		for _, c := range []*caller{k.ann, k.bob, k.eve} {
			if p := k.of(c, bobID); !p.Muted || !slices.Equal(p.Roles, []string{room.RoleListener}) {
				t.Errorf("%s is told %+v", c.name, p)
			}
		}
		for _, r := range []*engine.Room{k.room, k.r1, k.r2} {
			for _, p := range r.Info().Participants {
				if p.Muted != (p.Participant == bobID) {
					t.Errorf("the API tells %+v", p)
				}
			}
		}
		if got := k.bob.notices(); !slices.Equal(got, []string{engine.NewsMuted}) {
			t.Errorf("bob is told %v", got)
		}
		k.do(room.Unmute, "BBBBBBBBBBBBBBBB") // by name
		k.heard(k.ann, k.bob, true)
		if got := k.bob.notices(); !slices.Equal(got, []string{engine.NewsMuted, engine.NewsUnmuted}) {
			t.Errorf("bob is told %v", got)
		}
	})
}

// TestMuteIgnored: the peer of somebody who is muted goes on sending, as it has been kept from hearing of it. The first honest peer drops
// all of that.
func TestMuteIgnored(t *testing.T) {
	onTalk(t, 12, func(t *testing.T, k *gathering) {
		k.deaf.Store(k.near)
		k.do(room.Mute, bobID)
		time.Sleep(200 * time.Millisecond)
		before := k.hub.Counters()["packets_muted_total"]
		k.heard(k.eve, k.bob, false)
		if n := k.hub.Counters()["packets_muted_total"] - before; n < 100 {
			t.Errorf("the mixer dropped %d packets", n)
		}
		if n := k.near.Counters()["packets_muted_total"]; n > 0 {
			t.Errorf("the peer that was to know nothing dropped %d packets", n)
		}
	})
}

// TestMuteAll: only the owner, moderators and who is given the word speak; the microphone goes to one at a time, and its time ends.
func TestMuteAll(t *testing.T) {
	onTalk(t, 13, func(t *testing.T, k *gathering) {
		k.do(room.MuteAll, "")
		k.heard(k.ann, k.bob, false)
		k.heard(k.bob, k.ann, false) // a guest of the owner's as well
		if s := k.told(k.eve); !s.MutedAll {
			t.Errorf("eve is told %+v", s)
		}
		k.eve.call.Raise(true)
		time.Sleep(time.Second)
		k.bob.call.Raise(true)
		time.Sleep(time.Second)
		for _, c := range []*caller{k.ann, k.bob, k.eve} {
			if s := k.told(c); !slices.Equal(s.Hands, []string{eveID, bobID}) {
				t.Errorf("%s is told of hands %v", c.name, s.Hands)
			}
		}
		if info := k.r1.Info(); !info.MutedAll || !slices.Equal(info.Hands, []string{eveID, bobID}) {
			t.Errorf("the API tells %+v", info)
		}
		k.do(room.Mic, eveID)
		k.heard(k.ann, k.eve, true)
		if s := k.told(k.bob); !slices.Equal(s.Hands, []string{bobID}) {
			t.Errorf("after she got the word hands are %v", s.Hands)
		}
		if err := k.room.Moderate(t.Context(), engine.Moderation{Verb: room.Mic, Who: bobID, For: 10 * time.Second}); err != nil {
			t.Fatal(err)
		}
		k.heard(k.ann, k.bob, true)
		k.heard(k.ann, k.eve, false)
		time.Sleep(10 * time.Second)
		k.heard(k.ann, k.bob, false)
		k.do(room.UnmuteAll, "")
		k.heard(k.ann, k.bob, true)
		k.heard(k.bob, k.eve, true)
	})
}

// TestKickAndLock: who is put out is told so and comes back only when his time is over; a locked room lets nobody in but who was there.
func TestKickAndLock(t *testing.T) {
	onTalk(t, 14, func(t *testing.T, k *gathering) {
		k.do(room.Lock, "")
		time.Sleep(11 * time.Second)
		_, err := k.r1.Call(t.Context(), engine.SeatConfig{Participant: "dddddddddddddddd", Hear: func(*engine.MediaPacket) {}})
		if code(err) != engine.CodeLocked {
			t.Errorf("into a locked room: %v", err)
		}
		_, err = k.room.Call(t.Context(), engine.SeatConfig{Participant: "dddddddddddddddd", Hear: func(*engine.MediaPacket) {}})
		if code(err) != engine.CodeLocked {
			t.Errorf("into a locked room, at the mixer: %v", err)
		}
		stranger := addPeer(t, k.net, "stranger")
		if _, err := stranger.Join(t.Context(), "talk", engine.JoinOptions{Wait: 2 * time.Second}); code(err) != engine.CodeLocked {
			t.Errorf("a peer joins a locked room: %v", err)
		}
		if err := k.bob.call.Close(); err != nil {
			t.Error(err)
		}
		if k.bob.call, err = k.r1.Call(t.Context(), engine.SeatConfig{Participant: bobID, Hear: k.bob.hear, Tell: k.bob.tell}); err != nil {
			t.Errorf("who was there comes back: %v", err)
		}
		k.do(room.Unlock, "")
		k.do(room.Kick, bobID)
		time.Sleep(time.Second)
		select {
		case <-k.bob.call.Done():
		default:
			t.Error("the call of who was put out goes on")
		}
		if got := code(k.bob.call.Err()); got != engine.CodePutOut {
			t.Errorf("he is told %v", k.bob.call.Err())
		}
		if len(k.room.Info().Participants) != 2 {
			t.Errorf("after a kick: %+v", k.room.Info().Participants)
		}
		for _, r := range []*engine.Room{k.room, k.r1, k.r2} { // also by way of others
			if _, err := r.Call(t.Context(), engine.SeatConfig{Participant: bobID, Hear: k.bob.hear}); code(err) != engine.CodePutOut {
				t.Errorf("he comes back at once: %v", err)
			}
		}
		time.Sleep(room.KickLife)
		if k.bob.call, err = k.r1.Call(t.Context(), engine.SeatConfig{Participant: bobID, Hear: k.bob.hear, Tell: k.bob.tell}); err != nil {
			t.Fatalf("he comes back when his time is over: %v", err)
		}
		k.do(room.Ban, bobID)
		time.Sleep(2 * room.KickLife)
		if _, err := k.r2.Call(t.Context(), engine.SeatConfig{Participant: bobID, Hear: k.bob.hear}); code(err) != engine.CodePutOut && code(err) != engine.CodeNotAllowed {
			t.Errorf("who was banned comes back: %v", err)
		}
	})
}

// TestKickUser: who takes part as the user of his own peer is put out with it.
func TestKickUser(t *testing.T) {
	onTalk(t, 15, func(t *testing.T, k *gathering) {
		zoe := addPeer(t, k.net, "zoe")
		r := enter(t, zoe, engine.JoinOptions{Wait: 5 * time.Second, Listen: true})
		call, err := r.Call(t.Context(), engine.SeatConfig{Participant: "dddddddddddddddd", Name: "Zoe", Self: true, Hear: func(*engine.MediaPacket) {}})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		k.do(room.Kick, "zoe")
		time.Sleep(time.Second)
		if len(zoe.Rooms()) != 0 {
			t.Error("his peer is still in the room")
		}
		select {
		case <-call.Done():
		default:
			t.Error("his call goes on")
		}
		if _, err := zoe.Join(t.Context(), "talk", engine.JoinOptions{Wait: time.Second}); err == nil {
			time.Sleep(time.Second)
			if len(zoe.Rooms()) != 0 && zoe.Rooms()[0].Tree().Parent != "" {
				t.Error("his peer has a place again at once")
			}
		}
	})
}

// TestModerators: who was given the right may moderate, by way of his peer and of no other; he may not appoint, nor rule about the owner.
func TestModerators(t *testing.T) {
	onTalk(t, 16, func(t *testing.T, k *gathering) {
		mute := func(by engine.Call, who string) string {
			return code(by.Moderate(t.Context(), engine.Moderation{Verb: room.Mute, Who: who}))
		}
		if got := mute(k.bob.call, eveID); got != engine.CodeNotAllowed {
			t.Errorf("a guest mutes another one: %q", got)
		}
		if got := code(k.r1.Moderate(t.Context(), engine.Moderation{Verb: room.MuteAll})); got != engine.CodeNotAllowed {
			t.Errorf("a member mutes all: %q", got)
		}
		if got := mute(k.ann.call, "nobody"); got != engine.CodeNoParticipant {
			t.Errorf("mute who is not there: %q", got)
		}
		if got := code(k.room.Moderate(t.Context(), engine.Moderation{Verb: "tickle", Who: bobID})); got != engine.CodeBadVerb {
			t.Errorf("an unknown verb: %q", got)
		}
		k.do(room.Grant, bobID)
		time.Sleep(time.Second)
		if p := k.of(k.eve, bobID); !slices.Contains(p.Roles, room.RoleModerator) {
			t.Errorf("eve is told %+v", p)
		}
		if got := mute(k.bob.call, eveID); got != "" {
			t.Errorf("a moderator may not mute: %q", got)
		}
		k.heard(k.ann, k.eve, false)
		if got := code(k.bob.call.Moderate(t.Context(), engine.Moderation{Verb: room.Grant, Who: eveID})); got != engine.CodeNotAllowed {
			t.Errorf("a moderator appoints another one: %q", got)
		}
		if got := code(k.r1.Moderate(t.Context(), engine.Moderation{Verb: room.MuteAll})); got != engine.CodeNotAllowed {
			t.Errorf("the user of a moderator's peer mutes all: %q", got)
		}
		if got := code(k.bob.call.Moderate(t.Context(), engine.Moderation{Verb: room.Kick, Who: wire.ParticipantID(k.hub.Signer.User())})); got != engine.CodeNoParticipant && got != engine.CodeHost {
			t.Errorf("a moderator puts the owner out: %q", got)
		}
		// Somebody says that he is the moderator: his peer is another one.
		thief, err := k.r2.Call(t.Context(), engine.SeatConfig{Participant: bobID, Hear: func(*engine.MediaPacket) {}})
		if err == nil {
			if got := mute(thief, annID); got != engine.CodeNotAllowed {
				t.Errorf("somebody moderates in a moderator's name: %q", got)
			}
			_ = thief.Close()
		}
		time.Sleep(time.Second)
		k.do(room.Revoke, bobID)
		time.Sleep(time.Second)
		if got := mute(k.bob.call, annID); got != engine.CodeNotAllowed {
			t.Errorf("who is no moderator any more mutes: %q", got)
		}
		if err := k.room.Moderate(t.Context(), engine.Moderation{Verb: room.Title, Title: "Tea at five"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if got := k.r2.Info().Title; got != "Tea at five" {
			t.Errorf("title %q", got)
		}
	})
}

// TestRulingsLast: who comes later knows who is muted, and so does the mixer that takes over, and the owner's peer after a restart.
func TestRulingsLast(t *testing.T) {
	onTalk(t, 17, func(t *testing.T, k *gathering) {
		k.do(room.Mute, bobID)
		heir := addPeer(t, k.net, "ann/desktop")
		enter(t, heir, engine.JoinOptions{Create: true})
		time.Sleep(5 * time.Second)
		k.ann.leave()
		k.net.Cut(k.hub, true)
		time.Sleep(12 * time.Second)
		k.heard(k.eve, k.bob, false)
		k.heard(k.bob, k.eve, true)
		if p := k.of(k.eve, bobID); !p.Muted {
			t.Errorf("eve is told %+v", p)
		}
		k.ann = takePart(t, heir.Engine.Rooms()[0], annID, 400)
	})
}

// TestChat: what is written comes to all, in order and once, also to who comes later; who writes too much is told so.
func TestChat(t *testing.T) {
	onTalk(t, 18, func(t *testing.T, k *gathering) {
		k.bob.call.Say("hello\x1b[2J all")
		time.Sleep(200 * time.Millisecond)
		k.ann.call.Say("hello Bob\nsecond line")
		k.ann.call.Say(" \n ")
		time.Sleep(time.Second)
		want := []string{"hello[2J all", "hello Bob\nsecond line"}
		zoe := takePart(t, k.r2, "dddddddddddddddd", 2000)
		defer zoe.leave()
		time.Sleep(time.Second)
		for _, c := range []*caller{k.ann, k.bob, k.eve, zoe} {
			if got := c.texts(); !slices.Equal(got, want) {
				t.Errorf("%s reads %q", c.name, got)
			}
		}
		for range 20 {
			k.eve.call.Say("spam")
		}
		time.Sleep(time.Second)
		if n := len(k.bob.texts()) - len(want); n < 4 || n > 7 {
			t.Errorf("%d of 20 messages at once came", n)
		}
		if got := k.eve.notices(); !slices.Contains(got, engine.CodeTooMany) {
			t.Errorf("eve is told %v", got)
		}
		for _, r := range []*engine.Room{k.room, k.r1} {
			if list, err := r.Chat(t.Context()); err != nil || len(list) < 6 || list[1].Name != annID || list[1].Time == "" {
				t.Errorf("remembered is %+v, %v", list, err)
			}
		}
	})
}
