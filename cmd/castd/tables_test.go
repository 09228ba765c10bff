package main

import (
	"testing"
	"time"

	"github.com/castd/castd/engine"
)

func TestPeersTable(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	peers := []engine.PeerInfo{
		{Peer: "12D3KooWknown"},
		{Peer: "12D3KooWchild", Hop: true, Role: "child", Rooms: []string{"idlobby", "other"}, UpBps: 1_500_000, LossPm: 12, Addrs: []string{"192.0.2.7:8472"}},
		{Peer: "12D3KooWparent", Hop: true, Role: "parent", Rooms: []string{"idlobby"}, RTTMs: 12.34, InBps: 64_000},
	}
	guests := []engine.GuestInfo{{Protocol: "whep", Room: "idlobby", Name: "Änne", Remote: "127.0.0.1:5000", Since: "2026-01-02T03:03:00.000Z", RTTMs: 0.75, UpBps: 64_000}}
	rooms := []engine.RoomInfo{{Room: "idlobby", Name: "lobby"}}
	want := "" +
		"KIND    WHO             ROOM             RTT   LOSS         UP      DOWN   FOR  ADDRESS\n" +
		"parent  12D3KooWparent  lobby        12.3 ms  0.0 %     0bit/s  64kbit/s\n" +
		"child   12D3KooWchild   lobby other           1.2 %  1.5Mbit/s    0bit/s        192.0.2.7:8472\n" +
		"known   12D3KooWknown\n" +
		"whep    Änne            lobby         0.8 ms  0.0 %   64kbit/s            1m5s  127.0.0.1:5000\n"
	if got := peersTable(peers, guests, rooms, now); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestRoomText: of a conference is told who mixes it, and who takes part.
func TestRoomText(t *testing.T) {
	r := &engine.RoomInfo{
		Room: "idtalk", Name: "talk", Mode: "conference", Role: "owner", Audience: 2, Mixer: &engine.MixerInfo{Peer: "12D3KooWmixer", Standby: "12D3KooWspare", Further: []string{"12D3KooWthird"}},
		Participants: []engine.ParticipantInfo{{Participant: "abcd", Name: "Ann", Peer: "12D3KooWmixer"}, {Participant: "efgh", Peer: "12D3KooWother", Muted: true, Waiting: true}},
		Recording:    []engine.RecordingInfo{{Peer: "12D3KooWother", Participant: "ijkl", Name: "Eve"}},
		Streams:      []engine.StreamInfo{{Kind: "audio", Codec: "opus", Slot: "mix", Participant: "owner", State: "live"}},
	}
	want := "room talk (idtalk), conference, owner\n" +
		"  audience  2\n" +
		"  mixed by  …ooWmixer\n" +
		"  standby   …ooWspare\n" +
		"  and by    …ooWthird\n" +
		"  speaker   Ann (abcd), at …ooWmixer\n" +
		"  speaker   efgh, muted, waiting, at …ooWother\n" +
		"  recorded  by Eve (ijkl), at …ooWother\n" +
		"  stream    audio opus, slot mix of owner, live\n"
	if got := roomText(r); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

// TestTable: columns without a word in any row are left out, also their headings; what rows say is not changed.
func TestTable(t *testing.T) {
	tab := table{head: []string{"A", "EMPTY", ">N"}}
	tab.row("x", "", "10")
	tab.row(">= 5", "", "5")
	if got, want := tab.String(), "A      N\nx     10\n>= 5   5\n"; got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}
