package wire

import (
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

func peerIDOf(s string) peer.ID { return peer.ID(s) }

var update = flag.Bool("update", false, "write testdata/vectors.json anew; only for a new version of the formats")

// vectors freeze the formats: headers, ids, certificates and envelopes. Keys are made from a seed of one octet repeated.
type vectors struct {
	Headers     []headerVector    `json:"headers"`
	IDs         map[string]string `json:"ids"`
	Certificate string            `json:"certificate"` // user ‖ device ‖ issued_ms ‖ signature
	Envelope    string            `json:"envelope"`
}

type headerVector struct {
	Header  Header `json:"header"`
	Encoded string `json:"encoded"`
}

func makeVectors(t *testing.T) *vectors {
	v := &vectors{IDs: make(map[string]string)}
	for _, h := range []Header{
		{Level: 30, Voice: true, Stream: 1},
		{Level: LevelUnknown, Marker: true, Stream: 0xFEDCBA9876543210, Number: MaxNumber, Timestamp: 0xFFFFFFFF, Incarnation: 0xFFFF},
		{Kind: KindVideo, FrameStart: true, KeyFrame: true, Stream: 2, Number: 0x0102030405, Timestamp: 90000, Incarnation: 3},
		{Kind: KindVideo, FrameEnd: true, Marker: true, Discardable: true, LayerSync: true, Spatial: 2, Temporal: 5, Stream: 2, Number: 1,
			Ext: AppendExtension(AppendExtension(nil, ExtOrientation, []byte{1}), ExtDiscontinuity, nil)},
		{Kind: KindRecord, Stream: 3, Number: 7, Timestamp: 1000},
	} {
		v.Headers = append(v.Headers, headerVector{h, hex.EncodeToString(h.Append(nil))})
	}
	room := NewRoomID(testPublic(1), "Lobby")
	id, err := PeerID(testPublic(2))
	if err != nil {
		t.Fatal(err)
	}
	participant := ParticipantID(testPublic(1))
	v.IDs["room of user 1, lobby"] = string(room)
	v.IDs["its tag"] = StreamID(room.Tag()).String()
	v.IDs["participant of user 1"] = participant
	v.IDs["peer of device 2"] = id.String()
	v.IDs["stream audio of slot main"] = NewStreamID(room, testPublic(2), participant, "main", "audio").String()
	v.IDs["record stream of slot main"] = NewStreamID(room, testPublic(2), participant, "main", RecordLabel).String()
	c := NewCertificate(testKey(1), testPublic(2), testTime)
	v.Certificate = hex.EncodeToString(append(certificateBytes(c), c.Signature...))
	env, err := testSigner().Seal(room, Type_ROOM_QUERY, 9, testTime.Add(time.Minute), &RoomQuery{Room: "lobby"})
	if err != nil {
		t.Fatal(err)
	}
	v.Envelope = hex.EncodeToString(env)
	return v
}

func TestFrozenVectors(t *testing.T) {
	path := filepath.Join("testdata", "vectors.json")
	made := makeVectors(t)
	if *update {
		b, err := json.MarshalIndent(made, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, append(b, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var frozen vectors
	if err := json.Unmarshal(b, &frozen); err != nil {
		t.Fatal(err)
	}
	for _, h := range frozen.Headers {
		raw, err := hex.DecodeString(h.Encoded)
		if err != nil {
			t.Fatal(err)
		}
		if got, n, err := ParseHeader(raw); err != nil || n != len(raw) || !reflect.DeepEqual(got, h.Header) {
			t.Errorf("%s parses as %+v, %v", h.Encoded, got, err)
		}
	}
	if !reflect.DeepEqual(frozen.Headers, made.Headers) || !reflect.DeepEqual(frozen.IDs, made.IDs) || frozen.Certificate != made.Certificate {
		t.Errorf("the formats have changed:\nfrozen %+v\nnow    %+v", frozen, *made)
	}
	// Protobuf may be written in more than one way; what was written once must open for ever.
	raw, err := hex.DecodeString(frozen.Envelope)
	if err != nil {
		t.Fatal(err)
	}
	if m, err := OpenEnvelope(raw, testTime); err != nil || m.Type != Type_ROOM_QUERY || m.Epoch != 9 || m.User == nil {
		t.Errorf("the frozen envelope opens as %+v, %v", m, err)
	}
}
