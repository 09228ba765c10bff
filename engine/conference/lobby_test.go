package conference_test

import (
	"slices"
	"testing"
	"time"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/room"
	"github.com/castd/castd/engine/wire"
	"github.com/castd/castd/mixer/tonetest"
)

// Notes of tones and of the music, in Hz.
const (
	enterNote = 783.99 // the second one of who comes, the first one of who goes
	mutedNote = 261.63
)

// quiet has somebody take part who says nothing.
func quiet(t *testing.T, r *engine.Room, name string) engine.Call {
	t.Helper()
	c, err := r.Call(t.Context(), engine.SeatConfig{Participant: name, Hear: func(*engine.MediaPacket) {}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// note returns how loud a note was at its loudest, of all that an ear has kept.
func note(ear *tonetest.Ear, frequency float64) float64 { return ear.Loudest(frequency) }

// TestEntryTones: all hear it when somebody comes or goes, the newcomer too; of many at once one tone tells; the owner turns it off.
func TestEntryTones(t *testing.T) {
	onTalk(t, 31, func(t *testing.T, k *gathering) {
		forget := func() {
			for _, c := range []*caller{k.ann, k.bob, k.eve} {
				c.ear.Forget()
			}
		}
		told := func(what string, want bool, all ...*caller) {
			t.Helper()
			for _, c := range all {
				if level := note(c.ear, enterNote); want != (level > -40) {
					t.Errorf("%s: %s hears a tone at %.1f dB", what, c.name, level)
				}
			}
		}
		all := []*caller{k.ann, k.bob, k.eve}
		forget()
		time.Sleep(2 * time.Second)
		told("nobody comes", false, all...)
		zoe := takePart(t, k.r2, "dddddddddddddddd", 2000)
		time.Sleep(2 * time.Second)
		told("Zoe comes", true, append(all, zoe)...)
		forget()
		zoe.leave()
		time.Sleep(2 * time.Second)
		told("Zoe goes", true, all...)
		k.do(room.TonesOff, "")
		if k.room.Info().Settings.Tones || k.r1.Info().Settings == nil {
			t.Errorf("settings %+v", k.room.Info().Settings)
		}
		time.Sleep(time.Second)
		if s := k.told(k.bob).Settings; s == nil || s.Tones {
			t.Errorf("bob is told %+v", s)
		}
		forget()
		zoe = takePart(t, k.r2, "dddddddddddddddd", 2000)
		time.Sleep(2 * time.Second)
		told("Zoe comes quietly", false, append(all, zoe)...)
		zoe.leave()
		k.do(room.Tones, "")
		time.Sleep(2 * time.Second)
		forget()
		// To who is muted, and to him alone.
		k.do(room.Mute, bobID)
		time.Sleep(2 * time.Second)
		if level := note(k.bob.ear, mutedNote); level < -40 {
			t.Errorf("who is muted hears a tone at %.1f dB", level)
		}
		if level := note(k.eve.ear, mutedNote); level > -50 {
			t.Errorf("another one hears it at %.1f dB", level)
		}
		// Where there are many, nobody is announced.
		for i := range 6 {
			quiet(t, k.r2, string(slices.Repeat([]byte{'q' + byte(i)}, 16)))
		}
		time.Sleep(5 * time.Second)
		forget()
		last := quiet(t, k.r2, "yyyyyyyyyyyyyyyy")
		time.Sleep(2 * time.Second)
		_ = last.Close()
		time.Sleep(2 * time.Second)
		told("one of ten comes and goes", false, all...)
	})
}

// music reports whether somebody hears music: notes of the chords, which nobody sends.
func music(c *caller) float64 { return c.ear.Power() }

// TestWaitForHost: who comes while no moderator is there hears music and nobody else, is told so, and is let in without joining again when
// one comes; when the last has left for a minute, all wait again.
func TestWaitForHost(t *testing.T) {
	onTalk(t, 32, func(t *testing.T, k *gathering) {
		k.do(room.Wait, "")
		time.Sleep(3 * time.Second)
		waits := func(want bool) {
			t.Helper()
			for _, c := range []*caller{k.ann, k.bob, k.eve} {
				if s := k.told(c); (s.Waiting == engine.WaitingHost) != want || k.of(c, c.name).Waiting != want {
					t.Errorf("%s is told %+v", c.name, s)
				}
			}
		}
		waits(true)
		k.heard(k.ann, k.bob, false)
		k.heard(k.ann, k.eve, false)
		for _, c := range []*caller{k.ann, k.bob, k.eve} {
			if level := music(c); level < -50 || level > -28 {
				t.Errorf("%s hears music at %.1f dB", c.name, level)
			}
		}
		for _, p := range k.r1.Info().Participants {
			if !p.Waiting {
				t.Errorf("the API tells %+v", p)
			}
		}
		k.bob.call.Say("is nobody there?")
		time.Sleep(time.Second)
		if got := k.eve.texts(); !slices.Equal(got, []string{"is nobody there?"}) {
			t.Errorf("who waits reads %q", got)
		}
		host, err := k.room.Call(t.Context(), engine.SeatConfig{Participant: "hhhhhhhhhhhhhhhh", Self: true, Hear: func(*engine.MediaPacket) {}})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		waits(false)
		k.heard(k.ann, k.bob, true)
		k.heard(k.eve, k.ann, true)
		_ = host.Close()
		time.Sleep(55 * time.Second)
		waits(false)
		time.Sleep(10 * time.Second)
		waits(true)
		k.heard(k.ann, k.bob, false)
		k.do(room.WaitOff, "")
		time.Sleep(2 * time.Second)
		waits(false)
		check(t, k.ann, k.bob, k.eve)
	})
}

// TestKnock: in a locked room with a waiting list who comes waits, learns nothing of those inside, and is let in by name, or refused.
func TestKnock(t *testing.T) {
	onTalk(t, 33, func(t *testing.T, k *gathering) {
		time.Sleep(10 * time.Second)
		k.bob.call.Say("a secret")
		k.do(room.Mute, eveID) // of four only three would be heard
		k.do(room.Knock, "")
		time.Sleep(time.Second)
		zoe := takePart(t, k.r1, "dddddddddddddddd", 2000)
		max := takePart(t, k.r2, "eeeeeeeeeeeeeeee", 2600)
		time.Sleep(4 * time.Second)
		for _, c := range []*caller{zoe, max} {
			s := k.told(c)
			if s.Waiting != engine.WaitingAdmission || len(s.Participants) != 1 || s.Participants[0].Participant != c.name || s.Dominant != "" {
				t.Errorf("%s is told %+v", c.name, s)
			}
			if len(c.texts()) > 0 {
				t.Errorf("%s reads %q", c.name, c.texts())
			}
			if level := c.ear.Level(400); level > -60 {
				t.Errorf("%s hears Ann at %.1f dB", c.name, level)
			}
			if level := music(c); level < -50 {
				t.Errorf("%s hears music at %.1f dB", c.name, level)
			}
		}
		zoe.call.Say("let me in")
		zoe.call.Raise(true)
		time.Sleep(time.Second)
		k.heard(k.ann, zoe, false)
		if s := k.told(k.ann); !k.of(k.ann, zoe.name).Waiting || len(s.Hands) > 0 || len(k.ann.texts()) != 1 {
			t.Errorf("ann is told %+v and reads %q", s, k.ann.texts())
		}
		if len(k.r1.Info().Participants) != 5 {
			t.Errorf("the API tells %+v", k.r1.Info().Participants)
		}
		if got := code(k.bob.call.Moderate(t.Context(), engine.Moderation{Verb: room.Admit, Who: zoe.name})); got != engine.CodeNotAllowed {
			t.Errorf("a guest lets somebody in: %q", got)
		}
		if got := code(max.call.Moderate(t.Context(), engine.Moderation{Verb: room.Admit, Who: max.name})); got != engine.CodeNotAllowed {
			t.Errorf("he lets himself in: %q", got)
		}
		k.do(room.Admit, zoe.name)
		k.do(room.Refuse, max.name)
		time.Sleep(3 * time.Second)
		k.heard(k.ann, zoe, true)
		k.heard(zoe, k.bob, true)
		if got := zoe.texts(); !slices.Equal(got, []string{"a secret"}) {
			t.Errorf("who was let in reads %q", got)
		}
		select {
		case <-max.call.Done():
		default:
			t.Error("who was refused waits on")
		}
		zoe.leave()
		zoe = takePart(t, k.r1, zoe.name, 2000) // he may come back
		time.Sleep(3 * time.Second)
		k.heard(k.ann, zoe, true)
		zoe.leave()
		max.leave()
	})
}

// TestMusicAlone: who is the only one hears music where the owner wants that, until somebody comes.
func TestMusicAlone(t *testing.T) {
	onTalk(t, 34, func(t *testing.T, k *gathering) {
		k.do(room.Music, "")
		k.bob.leave()
		k.eve.leave()
		time.Sleep(5 * time.Second)
		if level := music(k.ann); level > -60 {
			t.Errorf("Ann, whom somebody may listen to, hears music at %.1f dB", level)
		}
		k.far.Close()
		time.Sleep(10 * time.Second)
		if level := music(k.ann); level < -50 || level > -25 {
			t.Errorf("alone, Ann hears music at %.1f dB", level)
		}
		if s := k.told(k.ann); s.Waiting != "" || k.of(k.ann, annID).Waiting {
			t.Errorf("ann is told %+v", s)
		}
		k.bob, k.eve = takePart(t, k.r1, bobID, 700), takePart(t, k.r1, eveID, 1200)
		time.Sleep(4 * time.Second)
		check(t, k.ann, k.bob, k.eve)
	})
}

// announce plays a tone into an announcement for some seconds.
func announce(t *testing.T, call engine.Call, frequency float64, seconds int) {
	t.Helper()
	voice, err := tonetest.NewVoice(frequency, 0.1)
	if err != nil {
		t.Fatal(err)
	}
	defer voice.Close()
	for n := range int64(50 * seconds) {
		payload, level, err := voice.Packet()
		if err != nil {
			t.Fatal(err)
		}
		call.Write(&engine.MediaPacket{Sequence: n, Timestamp: uint32(n) * 960, Payload: payload, Level: level})
		time.Sleep(20 * time.Millisecond)
	}
}

// TestAnnounce: who moderates announces something to all, beside what the loudest say, or to one alone, also from a peer that does not mix.
// An announcement is nobody's who takes part. Nobody else may.
func TestAnnounce(t *testing.T) {
	onTalk(t, 35, func(t *testing.T, k *gathering) {
		audience := listen(t, k.r2)
		call, err := k.room.Announce(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		announce(t, call, 3000, 3)
		for _, c := range []*caller{k.ann, k.bob, k.eve} {
			if level := c.ear.Level(3000); level < -24 || level > -16 {
				t.Errorf("%s hears the announcement at %.1f dB", c.name, level)
			}
		}
		if level := audience.ear.Level(3000); level < -24 || level > -16 {
			t.Errorf("who listens hears it at %.1f dB", level)
		}
		check(t, k.ann, k.bob, k.eve) // three people, who hear each other as before
		if n := len(k.room.Info().Participants); n != 3 {
			t.Errorf("%d take part", n)
		}
		if err := call.Close(); err != nil {
			t.Error(err)
		}

		if _, err := k.r1.Announce(t.Context(), ""); code(err) != engine.CodeNotAllowed {
			t.Errorf("a member announces something: %v", err)
		}
		if _, err := k.r1.Call(t.Context(), engine.SeatConfig{Participant: "nobody", Announces: true, Hear: func(*engine.MediaPacket) {}}); code(err) != engine.CodeNotAllowed {
			t.Errorf("a guest announces something: %v", err)
		}
		k.do(room.Grant, wire.ParticipantID(k.near.Signer.User()))
		time.Sleep(time.Second)
		if _, err := k.r1.Announce(t.Context(), "nobody"); code(err) != engine.CodeNoParticipant {
			t.Errorf("an announcement for who is not there: %v", err)
		}
		k.eve.ear.Forget()
		if call, err = k.r1.Announce(t.Context(), eveID); err != nil {
			t.Fatal(err)
		}
		announce(t, call, 2600, 3)
		if level := k.eve.ear.Level(2600); level < -24 || level > -16 {
			t.Errorf("eve hears what is for her at %.1f dB", level)
		}
		for _, ear := range []*tonetest.Ear{k.ann.ear, k.bob.ear, audience.ear} {
			if level := ear.Loudest(2600); level > -60 {
				t.Errorf("somebody else hears it at %.1f dB", level)
			}
		}
		_ = call.Close()
		k.do(room.Revoke, wire.ParticipantID(k.near.Signer.User()))
		time.Sleep(time.Second)
		if _, err := k.r1.Announce(t.Context(), ""); code(err) != engine.CodeNotAllowed {
			t.Errorf("who was a moderator announces something: %v", err)
		}
		var open []engine.Call
		for range 4 {
			c, err := k.room.Announce(t.Context(), "")
			if err != nil {
				t.Fatal(err)
			}
			open = append(open, c)
		}
		if _, err := k.room.Announce(t.Context(), ""); code(err) != engine.CodeFull {
			t.Errorf("a fifth at once: %v", err)
		}
		for _, c := range open {
			_ = c.Close()
		}
		time.Sleep(3 * time.Second)
		check(t, k.ann, k.bob, k.eve)
	})
}

// TestAudienceWaits: where the room waits for its host, those who only listen hear music though nobody takes part, and the mix when somebody
// does; else a room without participants is silent, and costs nothing.
func TestAudienceWaits(t *testing.T) {
	onTalk(t, 36, func(t *testing.T, k *gathering) {
		audience := listen(t, k.r2)
		for _, c := range []*caller{k.ann, k.bob, k.eve} {
			c.leave()
		}
		time.Sleep(5 * time.Second)
		audience.ear.Forget()
		time.Sleep(2 * time.Second)
		if all, _ := audience.ear.Packets(); all > 0 {
			t.Errorf("%d packets of silence", all)
		}
		k.do(room.Wait, "")
		time.Sleep(5 * time.Second)
		if level := audience.ear.Power(); level < -50 || level > -25 {
			t.Errorf("who listens hears music at %.1f dB", level)
		}
		host, err := k.room.Call(t.Context(), engine.SeatConfig{Participant: "hhhhhhhhhhhhhhhh", Self: true, Hear: func(*engine.MediaPacket) {}})
		if err != nil {
			t.Fatal(err)
		}
		k.ann, k.bob, k.eve = takePart(t, k.room, annID, 400), takePart(t, k.r1, bobID, 700), takePart(t, k.r2, eveID, 1200)
		time.Sleep(4 * time.Second)
		if level := audience.ear.Level(700); level < -24 || level > -16 {
			t.Errorf("when the host is there who listens hears Bob at %.1f dB", level)
		}
		_ = host.Close()
		for _, c := range []*caller{k.ann, k.bob, k.eve} {
			c.leave()
		}
		time.Sleep(4 * time.Second)
		if level := audience.ear.Power(); level < -50 || level > -25 {
			t.Errorf("when all have left who listens hears music at %.1f dB", level)
		}
		k.do(room.WaitOff, "")
		time.Sleep(5 * time.Second)
		audience.ear.Forget()
		time.Sleep(2 * time.Second)
		if all, _ := audience.ear.Packets(); all > 0 {
			t.Errorf("%d packets of silence", all)
		}
		k.ann, k.bob, k.eve = takePart(t, k.room, annID, 400), takePart(t, k.r1, bobID, 700), takePart(t, k.r2, eveID, 1200)
	})
}

// TestWaitingLasts: who waits to be let in still does when another peer mixes, hears music without a pause, and is let in there.
func TestWaitingLasts(t *testing.T) {
	onTalk(t, 37, func(t *testing.T, k *gathering) {
		heir := addPeer(t, k.net, "ann/desktop")
		next := enter(t, heir, engine.JoinOptions{Create: true})
		time.Sleep(10 * time.Second)
		if m := k.room.Info().Mixer; m == nil || m.Standby != heir.Self().String() {
			t.Fatalf("mixed by %+v", m)
		}
		k.do(room.Knock, "")
		time.Sleep(time.Second)
		zoe := takePart(t, k.r1, "dddddddddddddddd", 2000)
		time.Sleep(5 * time.Second)
		k.ann.leave()
		k.net.Cut(k.hub, true)
		for range 8 {
			zoe.ear.Forget()
			time.Sleep(2 * time.Second)
			if s := k.told(zoe); s.Waiting != engine.WaitingAdmission {
				t.Fatalf("she is told %+v", s)
			}
			if level := zoe.ear.Level(700); level > -60 {
				t.Errorf("she hears Bob at %.1f dB", level)
			}
			if level := music(zoe); level < -50 {
				t.Errorf("she hears music at %.1f dB", level)
			}
		}
		k.heard(k.eve, zoe, false)
		if err := next.Moderate(t.Context(), engine.Moderation{Verb: room.Admit, Who: zoe.name}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		k.heard(k.eve, zoe, true)
		k.heard(zoe, k.bob, true)
		zoe.leave()
		k.ann = takePart(t, next, annID, 400)
	})
}
