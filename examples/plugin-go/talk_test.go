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
	for _, c := range talk.end() {
		got.WriteString(c.String())
	}
	want := "00:00:01.000 --> 00:00:03.000\n<v Ann &amp; &lt;Bob&gt;>Ann &amp; &lt;Bob&gt;\n\n00:00:08.000 --> 00:00:10.000\n<v main of p>main of p\n\n"
	if got.String() != want {
		t.Errorf("got:\n%s", got.String())
	}
}
