package engine

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"github.com/castd/castd/engine/wire"
)

// Hands wait in the order in which they went up, also where some come from another mixer with their age.
func TestHands(t *testing.T) {
	var f floor
	now := time.Unix(1000, 0)
	f.raise("b", now.Add(-time.Second))
	f.raise("c", now)
	f.raise("a", now.Add(-time.Minute))
	f.raise("b", now) // is up
	f.raise("d", now) // as old as another one: after it
	if got := f.queue(nil); !slices.Equal(got, []string{"a", "b", "c", "d"}) {
		t.Errorf("queue %v", got)
	}
	if !f.lower("b") || f.lower("b") || !slices.Equal(f.queue(nil), []string{"a", "c", "d"}) {
		t.Errorf("after one was lowered: %v", f.queue(nil))
	}
}

// What is remembered of a chat is bounded, in order, and once.
func TestChatIsBounded(t *testing.T) {
	var f floor
	for i := range 3 * maxChat {
		f.say("a", "Ann", fmt.Sprint(i), time.Unix(1000, 0)) // all in the same millisecond
	}
	if len(f.chat) != maxChat || f.chat[maxChat-1].Text != fmt.Sprint(3*maxChat-1) {
		t.Errorf("%d messages, the last %+v", len(f.chat), f.chat[len(f.chat)-1])
	}
	before := slices.Clone(f.chat)
	late := before[10]
	f.chat = slices.Delete(slices.Clone(before), 10, 11)
	f.remember([]ChatMessage{before[20], late, before[5]})
	if !slices.Equal(f.chat, before) {
		t.Error("what came late is not in its place")
	}
	said := 0
	s := &roomSeat{news: func(n *CallNews) {
		if size := proto.Size(&wire.SeatNews{Chat: chatToWire(n.Chat)}); size > wire.MaxEnvelope/2 {
			t.Errorf("%d octets at once", size)
		}
		said += len(n.Chat)
	}}
	for i := range f.chat {
		f.chat[i].Text = strings.Repeat("\U0001F600", ChatRunes)
	}
	if f.welcome(s); said != maxChat {
		t.Errorf("who comes later reads %d messages", said)
	}
	var l limit
	now, taken := time.Unix(1000, 0), 0
	for range 1000 {
		if l.take(now) {
			taken++
		}
		now = now.Add(10 * time.Millisecond)
	}
	if taken < chatBurst+9 || taken > chatBurst+10 {
		t.Errorf("%d messages in ten seconds", taken)
	}
}

func FuzzChat(f *testing.F) {
	f.Add("hello\nworld", "Ann", uint64(7), int64(1e12))
	f.Add("\x1b[2J\u202e", "\x00", uint64(0), int64(-1))
	f.Fuzz(func(t *testing.T, text, name string, number uint64, at int64) {
		for _, m := range chatFromWire([]*wire.ChatMessage{{Number: number, Participant: name, Name: name, Text: text, TimeMs: at}}) {
			if !utf8.ValidString(m.Text) || utf8.RuneCountInString(m.Text) > ChatRunes || strings.ContainsAny(m.Text, "\x1b\x00\r\u202e") || m.Text == "" {
				t.Fatalf("%q", m.Text)
			}
			if again := cleanChat(m.Text); again != m.Text {
				t.Fatalf("%q becomes %q", m.Text, again)
			}
		}
	})
}
