package wire

import (
	"strings"
	"testing"
)

func TestRoomNames(t *testing.T) {
	for in, want := range map[string]string{
		"Lobby": "lobby", "a": "a", "0": "0", "a.b-c_d": "a.b-c_d", strings.Repeat("x", 64): strings.Repeat("x", 64),
	} {
		if got, err := NormalRoomName(in); err != nil || got != want {
			t.Errorf("%q: %q, %v", in, got, err)
		}
	}
	for _, in := range []string{"", ".a", "-a", "_a", "a b", "a/b", "ä", "a\n", "\na", strings.Repeat("x", 65), "a\x00"} {
		if got, err := NormalRoomName(in); err == nil {
			t.Errorf("%q is a name: %q", in, got)
		}
	}
}

func TestRoomIDs(t *testing.T) {
	id := NewRoomID(testPublic(1), "lobby")
	if !ValidRoomID(string(id)) || NewRoomID(testPublic(1), "LOBBY") != id {
		t.Errorf("room id %q", id)
	}
	if NewRoomID(testPublic(2), "lobby") == id || NewRoomID(testPublic(1), "lobbz") == id || id.Tag() == NewRoomID(testPublic(2), "lobby").Tag() {
		t.Error("ids of different rooms are equal")
	}
	for _, s := range []string{"", "abc", strings.Repeat("a", 27), strings.Repeat("A", 26), strings.Repeat("1", 26), strings.Repeat("a", 25) + "\n"} {
		if ValidRoomID(s) {
			t.Errorf("%q has the form of a room id", s)
		}
	}
}

// Nothing of what an id is derived from can be moved into its neighbour.
func TestStreamIDsDiffer(t *testing.T) {
	seen := make(map[StreamID]string)
	for _, c := range [][3]string{
		{"p", "main", "audio"}, {"p", "main", "video"}, {"p", "main", RecordLabel}, {"p", "maina", "udio"}, {"pm", "ain", "audio"},
		{"p", "", "mainaudio"}, {"", "pmain", "audio"}, {"q", "main", "audio"},
	} {
		for device := range byte(2) {
			for _, room := range []RoomID{testRoom, "zzzzzzzzzzzzzzzzzzzzzzzzzz"} {
				id := NewStreamID(room, testPublic(device), c[0], c[1], c[2])
				if other, ok := seen[id]; ok {
					t.Errorf("%v has the id of %s", c, other)
				}
				seen[id] = strings.Join(c[:], " ")
			}
		}
	}
}

func TestParseStreamID(t *testing.T) {
	for _, id := range []StreamID{0, 1, 0xFEDCBA9876543210} {
		if got, err := ParseStreamID(id.String()); err != nil || got != id || len(id.String()) != 16 {
			t.Errorf("%v becomes %v, %v", id, got, err)
		}
	}
	for _, s := range []string{"", "0", "00000000000000000", "zzzzzzzzzzzzzzzz", "000000000000000 "} {
		if _, err := ParseStreamID(s); err == nil {
			t.Errorf("%q is a stream id", s)
		}
	}
}

func TestPeerIDs(t *testing.T) {
	id, err := PeerID(testPublic(1))
	if err != nil {
		t.Fatal(err)
	}
	if key, err := DeviceKey(id); err != nil || !key.Equal(testPublic(1)) {
		t.Errorf("key %x, %v", key, err)
	}
	if _, err := PeerID(testPublic(1)[:31]); err == nil {
		t.Error("a peer id of a short key")
	}
	for _, bad := range []string{"", "x", "\x12\x20aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"} {
		if _, err := DeviceKey(peerIDOf(bad)); err == nil {
			t.Errorf("a key inside %q", bad)
		}
	}
	if a, b := ParticipantID(testPublic(1)), ParticipantID(testPublic(2)); a == b || len(a) != 16 {
		t.Errorf("participants %q, %q", a, b)
	}
}
