package main

import (
	"strings"
	"testing"
	"time"

	"github.com/castd/castd/plugins/sdk"
)

func TestTalk(t *testing.T) {
	began := time.UnixMilli(1_700_000_000_000)
	talk := newTalk(began, 50, time.Second)
	talk.streams([]sdk.Stream{{Track: 1, Kind: "audio", Name: "Ann & <Bob>"}, {Track: 2, Kind: "audio", Slot: "main", Participant: "p"}, {Track: 3, Kind: "video"}})
	var got strings.Builder
	for i := range 500 { // ten seconds
		now := began.Add(time.Duration(i) * 20 * time.Millisecond)
		ann := sdk.Packet{Track: 1, WallUs: now.UnixMicro(), Level: 100, Payload: make([]byte, 60)}
		if i >= 50 && i < 100 || i >= 120 && i < 150 { // a pause of 0.4 s is none
			ann.Level = 20
		}
		talk.packet(&ann)
		silence := sdk.Packet{Track: 2, ArrivedUs: now.UnixMicro(), Payload: make([]byte, 3)}
		if i >= 400 {
			silence.Payload = make([]byte, 80)
		}
		talk.packet(&silence)
		talk.packet(&sdk.Packet{Track: 9})
		for _, c := range talk.look(now) {
			got.WriteString(c.String())
		}
	}
	for _, c := range talk.end(began.Add(10 * time.Second)) {
		got.WriteString(c.String())
	}
	want := "00:00:01.000 --> 00:00:03.000\n<v Ann &amp; &lt;Bob&gt;>Ann &amp; &lt;Bob&gt;\n\n00:00:08.000 --> 00:00:10.000\n<v main of p>main of p\n\n"
	if got.String() != want {
		t.Errorf("got:\n%s", got.String())
	}
}

// TestTalking: in a conference castd says who talks; what somebody says goes on over a short pause, and ends with the room.
func TestTalking(t *testing.T) {
	began := time.UnixMilli(1_700_000_000_000)
	talk := newTalk(began, 50, time.Second)
	var got strings.Builder
	say := func(ms int, participant, state string) {
		at := began.Add(time.Duration(ms) * time.Millisecond)
		for _, c := range talk.look(at) {
			got.WriteString(c.String())
		}
		talk.event(&sdk.Event{
			Name: "talking", Time: at.UTC().Format("2006-01-02T15:04:05.000Z07:00"),
			JSON: []byte(`{"participant":"` + participant + `","name":"N` + participant + `","state":"` + state + `"}`),
		})
	}
	say(1000, "a", "live")
	say(2000, "a", "ended")
	say(2500, "b", "live")
	say(2600, "a", "live")
	say(3000, "a", "ended")
	talk.event(&sdk.Event{Name: "talking", JSON: []byte("[")})
	talk.event(&sdk.Event{Name: "hand"})
	say(8000, "a", "ended") // of what was over
	for _, c := range talk.end(began.Add(9 * time.Second)) {
		got.WriteString(c.String())
	}
	want := "00:00:01.000 --> 00:00:03.000\n<v Na>Na\n\n00:00:02.500 --> 00:00:09.000\n<v Nb>Nb\n\n"
	if got.String() != want {
		t.Errorf("got:\n%s", got.String())
	}
	if len(talk.people) > 0 {
		t.Errorf("people are kept who say nothing: %v", talk.people)
	}
}
