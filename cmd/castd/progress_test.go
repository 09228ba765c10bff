package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/node"
)

func TestStatusLine(t *testing.T) {
	var terminal bytes.Buffer
	l := &statusLine{w: &terminal}
	above := l.over(&terminal)
	fmt.Fprintln(above, "first")
	l.show("a")
	l.show("a")
	fmt.Fprintln(above, "second")
	l.show(strings.Repeat("ü", 100))
	l.end()
	l.end()
	want := "first\n" + clearLine + "a" + clearLine + "second\na" + clearLine + strings.Repeat("ü", lineWidth) + "\n"
	if got := terminal.String(); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	var none *statusLine
	none.show("a")
	none.end()
}

func TestSendingText(t *testing.T) {
	begin := time.Unix(1000, 0)
	s := sending{}
	for _, c := range []struct {
		after time.Duration
		p     node.Progress
		want  string
	}{
		{0, node.Progress{State: node.StateWaiting}, "waiting for a first receiver"},
		{0, node.Progress{State: node.StateSending, Total: 90 * time.Second, Receivers: 1}, "0:00 of 1:30  1 receiver  0.0 % lost"},
		{time.Second, node.Progress{State: node.StateSending, Sent: time.Second, Total: 90 * time.Second, Bytes: 125_000, Receivers: 3, Loss: 0.0039},
			"0:01 of 1:30  1Mbit/s  3 receivers  0.4 % lost"},
		{1250 * time.Millisecond, node.Progress{State: node.StateSending, Sent: 1250 * time.Millisecond, Bytes: 130_000}, "0:01  1Mbit/s  0 receivers  0.0 % lost"},
		{2 * time.Second, node.Progress{State: node.StateSending, Sent: 3700 * time.Second, Bytes: 250_000}, "1:01:40  1Mbit/s  0 receivers  0.0 % lost"},
		{3 * time.Second, node.Progress{State: node.StateDraining, Sent: 62 * time.Second}, "1:02 sent; receivers may still ask for what they miss"},
	} {
		if got := s.text(c.p, begin.Add(c.after)); got != c.want {
			t.Errorf("after %v: %q, want %q", c.after, got, c.want)
		}
	}
}

func TestReceivingText(t *testing.T) {
	begin := time.Unix(1000, 0)
	number := func(n uint64) *uint64 { return &n }
	for _, file := range []bool{false, true} {
		r := newReceiving(begin, file)
		for _, ev := range []engine.Event{
			{Event: "stream", Stream: "a", State: "live"},
			{Event: "stream", Stream: "b", State: "live"},
			{Event: "stream", Stream: "a", State: "ended"},
			{Event: "stats", Stream: "a", Lost: number(1), Bytes: number(1_000_000)},
			{Event: "stats", Stream: "b", Lost: number(2), Bytes: number(500_000)},
			{Event: "stats", Stream: "b", Lost: number(3), Bytes: number(2_200_000)},
			{Event: "stats"},
		} {
			if got := r.event(&ev); got != (ev.Event == "stats") {
				t.Errorf("%+v was taken: %v", ev, got)
			}
		}
		w := counting(io.Discard, r)
		if n, err := w.Write(make([]byte, 40_000)); n != 40_000 || err != nil {
			t.Errorf("wrote %d, %v", n, err)
		}
		want := "0:42  3.2 MB  1 stream  4 lost"
		if file {
			want = "0:42  40 kB  1 stream  4 lost"
		}
		if got := r.text(begin.Add(42 * time.Second)); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestLastLine(t *testing.T) {
	for _, c := range []struct {
		writes []string
		want   string
	}{
		{nil, ""},
		{[]string{"one\ntwo\n"}, "two"},
		{[]string{"one\ntw", "o"}, "two"},
		{[]string{"one\n", "\n \r\n"}, "one"},
		{[]string{"one\r\ntwo \r\n"}, "two"},
		{[]string{strings.Repeat("x", 10000)}, strings.Repeat("x", maxLine)},
		{[]string{"a\xff"}, "a?"},
	} {
		var l lastLine
		for _, w := range c.writes {
			if n, err := l.Write([]byte(w)); n != len(w) || err != nil {
				t.Fatal(n, err)
			}
		}
		if got := l.String(); got != c.want {
			t.Errorf("%q: %q, want %q", c.writes, got, c.want)
		}
	}
}

func TestFormatSize(t *testing.T) {
	for n, want := range map[uint64]string{0: "0 kB", 1999: "1 kB", 1_250_000: "1.2 MB", 3_456_000_000: "3.46 GB"} {
		if got := formatSize(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}

func TestClause(t *testing.T) {
	for in, want := range map[string]string{
		"":                            "",
		"A":                           "A",
		"At byte 7: cut.":             "at byte 7: cut",
		"H264 is in the way.":         "H264 is in the way",
		"Use  ffmpeg -i IN OUT.webm.": "use  ffmpeg -i IN OUT.webm",
	} {
		if got := clause(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
