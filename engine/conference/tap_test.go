package conference_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/conference"
	"github.com/castd/castd/engine/enginetest"
)

// listening is a Tap that writes down what it gets.
type listening struct {
	mu      sync.Mutex
	voices  []string
	packets map[string]int
	last    map[string]int64 // number of the newest packet
	events  []engine.Event
}

func (l *listening) Voices(all []*engine.Voice) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.voices = nil
	for _, v := range all {
		l.voices = append(l.voices, v.Participant)
	}
	slices.Sort(l.voices)
}

func (l *listening) WriteVoice(v *engine.Voice, p *engine.MediaPacket) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.packets == nil {
		l.packets, l.last = make(map[string]int), make(map[string]int64)
	}
	l.packets[v.Participant]++
	l.last[v.Participant] = p.Sequence
}

func (l *listening) Happened(ev *engine.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, *ev)
}

// forget empties what was written down, but for who is there.
func (l *listening) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.packets, l.last, l.events = make(map[string]int), make(map[string]int64), nil
}

// story is all events in short.
func (l *listening) story() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []string
	for _, ev := range l.events {
		all = append(all, strings.TrimRight(fmt.Sprintf("%s %.1s %s%s%s", ev.Event, ev.Participant, ev.State, ev.Message, ev.Title), " "))
	}
	return strings.Join(all, ", ")
}

func tap(t *testing.T, r *engine.Room, o engine.TapOptions) (*listening, engine.Tapping) {
	t.Helper()
	l := &listening{}
	p, err := r.Tap(l, o)
	if err != nil {
		t.Fatal(err)
	}
	return l, p
}

// TestTap: at the peer that mixes a tap gets each participant's own packets and hears who talks, who raises his hand, what is written; at
// another by way of which somebody takes part all but the packets; at one that only listens nothing. Who did not ask for something does
// not get it. Who is muted is not there to be heard.
func TestTap(t *testing.T) {
	onTalk(t, 51, func(t *testing.T, k *gathering) {
		all := engine.TapOptions{Voices: true, Talking: true, Chat: true}
		hub, hubTap := tap(t, k.room, all)
		near, nearTap := tap(t, k.r1, all)
		none, noneTap := tap(t, k.room, engine.TapOptions{})
		defer noneTap.Close()
		zoe := addPeer(t, k.net, "zoe")
		far, farTap := tap(t, enter(t, zoe, engine.JoinOptions{Wait: 5 * time.Second, Listen: true}), all)
		defer farTap.Close()
		time.Sleep(time.Second)
		if got := hub.story(); got != "talking a live, talking b live, talking c live" {
			t.Errorf("at the beginning the tap is told %q", got)
		}
		if got := near.story(); got != "talking a live, talking b live, talking c live" {
			t.Errorf("at the beginning one at a participant's peer is told %q", got)
		}
		if want := []string{annID, bobID, eveID}; !slices.Equal(hub.voices, want) || len(near.voices) > 0 {
			t.Errorf("voices are %v and %v", hub.voices, near.voices)
		}
		for _, l := range []*listening{hub, near, none, far} {
			l.forget()
		}
		began := time.Now()
		k.bob.silent.Store(true)
		k.ann.call.Raise(true)
		time.Sleep(2 * time.Second)
		k.eve.call.Say("hello")
		k.do("mute", eveID)
		time.Sleep(3 * time.Second)
		k.ann.call.Raise(false)
		k.bob.silent.Store(false)
		k.bob.call.Say("bye")
		time.Sleep(5 * time.Second)
		if err := k.room.Moderate(t.Context(), engine.Moderation{Verb: "title", Title: "Tea"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		want := []string{
			"hand a live", "talking b ended", "chat c hello", "talking c ended", "hand a ended", "talking b live", "chat b bye", "title  Tea",
		}
		compare := func(who string, l *listening, want []string) {
			t.Helper()
			got := strings.Split(l.story(), ", ")
			slices.Sort(got)
			want = slices.Clone(want)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("%s is told %q", who, l.story())
			}
		}
		compare("who mixes", hub, want)
		compare("a participant's peer", near, want)
		compare("who wants nothing", none, []string{"hand a live", "hand a ended", "title  Tea"})
		compare("a listener", far, []string{"title  Tea"})
		for _, ev := range hub.events {
			at, err := time.Parse(time.RFC3339, ev.Time)
			if err != nil || ev.Room != string(k.room.ID()) || ev.Name == "" && ev.Event != engine.EventTitle {
				t.Errorf("the event is %+v", ev)
			}
			if ev.Event == engine.EventTalking && ev.Participant == bobID && ev.State == "ended" {
				if d := at.Sub(began); d < 300*time.Millisecond || d > time.Second {
					t.Errorf("bob ended after %v", d)
				}
			}
		}
		if a, b, c := hub.packets[annID], hub.packets[bobID], hub.packets[eveID]; a < 540 || a > 560 || b < 290 || b > 310 || c < 100 || c > 130 {
			t.Errorf("packets are %d of ann, %d of bob, who was silent, %d of eve, who was muted", a, b, c)
		}
		if near.packets[annID] > 0 || none.packets[annID] > 0 || far.packets[annID] > 0 {
			t.Error("there are packets where none should be")
		}
		hub.forget()
		hubTap.Close()
		hubTap.Close()
		nearTap.Close()
		hub.forget()
		k.ann.call.Say("nobody listens in")
		time.Sleep(time.Second)
		if got := hub.story(); got != "" || hub.packets[annID] > 0 {
			t.Errorf("after its end the tap is told %q, and gets %d packets", got, hub.packets[annID])
		}
	})
}

func direct(r *engine.Room) bool {
	m := r.Info().Mixer
	return m != nil && m.Mode == engine.MixerDirect
}

// TestTapOfFew: where two hear each other directly the hub mixes while somebody taps it there, and not any more afterwards; a tap that does
// not want who talks changes nothing, and at a participant's peer it is told of it without.
func TestTapOfFew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := enginetest.NewNetwork(52)
		net.Delay = 10 * time.Millisecond
		s := conference.New()
		t.Cleanup(s.Close)
		net.Mixing = s
		hub, other := addPeer(t, net, "ann/laptop"), addPeer(t, net, "bob/laptop")
		room := enter(t, hub, engine.JoinOptions{Create: true, Mode: "conference"})
		r1 := enter(t, other, engine.JoinOptions{Wait: 5 * time.Second})
		ann, bob := takePart(t, room, annID, 400), takePart(t, r1, bobID, 700)
		defer ann.leave()
		defer bob.leave()
		time.Sleep(8 * time.Second)
		hands, handTap := tap(t, room, engine.TapOptions{})
		away, awayTap := tap(t, r1, engine.TapOptions{Talking: true})
		defer awayTap.Close()
		time.Sleep(3 * time.Second)
		if got := away.story(); got != "talking a live, talking b live" {
			t.Errorf("at a participant's peer the tap is told %q", got)
		}
		if !direct(room) {
			t.Error("a tap that wants nothing of it has the hub mix")
		}
		voices, voiceTap := tap(t, room, engine.TapOptions{Voices: true, Talking: true})
		time.Sleep(6 * time.Second)
		voices.forget()
		away.forget()
		time.Sleep(2 * time.Second)
		if a, b := voices.packets[annID], voices.packets[bobID]; a < 95 || b < 95 || direct(room) {
			t.Errorf("packets are %d and %d", a, b)
		}
		check(t, ann, bob)
		bob.silent.Store(true)
		time.Sleep(2 * time.Second)
		bob.silent.Store(false)
		time.Sleep(2 * time.Second)
		for _, l := range []*listening{voices, away} {
			if got := l.story(); got != "talking b ended, talking b live" {
				t.Errorf("a tap is told %q", got)
			}
		}
		voiceTap.Close()
		handTap.Close()
		time.Sleep(10 * time.Second)
		if !direct(room) {
			t.Error("after the tap the hub goes on mixing")
		}
		if got := hands.story(); got != "" {
			t.Errorf("the tap of hands is told %q", got)
		}
	})
}

// TestTapsAreBounded: no more than a few listen in at a time.
func TestTapsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := enginetest.NewNetwork(53)
		p := addPeer(t, net, "ann")
		r := enter(t, p, engine.JoinOptions{Create: true, Mode: "conference"})
		var open []engine.Tapping
		for range 32 {
			_, one := tap(t, r, engine.TapOptions{Voices: true})
			open = append(open, one)
		}
		if _, err := r.Tap(&listening{}, engine.TapOptions{}); code(err) != engine.CodeFull {
			t.Errorf("one more: %v", err)
		}
		for _, one := range open {
			one.Close()
		}
		_, one := tap(t, r, engine.TapOptions{})
		one.Close()
		b, err := p.Join(t.Context(), "show", engine.JoinOptions{Create: true})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.Tap(&listening{}, engine.TapOptions{}); code(err) != engine.CodeWrongMode {
			t.Errorf("in a broadcast: %v", err)
		}
	})
}
