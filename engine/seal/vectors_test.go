package seal

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/castd/castd/engine/wire"
)

var update = flag.Bool("update", false, "write testdata/vectors.json anew; only for a new version of the format")

// vectors freeze castd's profile of SFrame and the manifests' signatures: another implementation can check itself by them.
type vectors struct {
	Room          string         `json:"room"`
	PublicRoomKey hexBytes       `json:"public_room_key"`
	DeviceSeed    hexBytes       `json:"device_seed"`
	Sealed        []sealedVector `json:"sealed"`
	Manifests     manifestVector `json:"manifests"`
}

type sealedVector struct {
	Stream      wire.StreamID `json:"stream"`
	Incarnation uint16        `json:"incarnation"`
	Number      uint64        `json:"number"`
	Header      hexBytes      `json:"header"`
	Payload     hexBytes      `json:"payload"`
	Packet      hexBytes      `json:"packet"`
	Hash        hexBytes      `json:"hash"`
}

type manifestVector struct {
	Record   wire.StreamID `json:"record"`
	Packets  []hexBytes    `json:"packets"`
	Excerpts []hexBytes    `json:"excerpts"`
}

func makeVectors(t *testing.T) *vectors {
	device := testDevice(1)
	key := PublicRoomKey(testRoom)
	v := &vectors{Room: string(testRoom), PublicRoomKey: key.Key[:], DeviceSeed: device.Seed()}
	n := NewNotary(device, testRecord, 1, 1<<40, 0x0102030405060708, 0x0102030405060709)
	for i, h := range []wire.Header{
		{Kind: wire.KindAudio, Incarnation: 0, Number: 0, Level: 127},
		{Kind: wire.KindAudio, Incarnation: 7, Number: 8, Level: 33, Voice: true, Timestamp: 960},
		{Kind: wire.KindVideo, Incarnation: 0xFFFF, Number: wire.MaxNumber, KeyFrame: true, FrameStart: true, Timestamp: 0xFFFFFFFF,
			Ext: wire.AppendExtension(nil, wire.ExtOrientation, []byte{1})},
	} {
		h.Stream = wire.StreamID(0x0102030405060708 + i)
		s, err := NewSealer(key, publicKey(device), h.Stream, h.Incarnation)
		if err != nil {
			t.Fatal(err)
		}
		payload := []byte("payload number one, two or three"[:10+i])
		pkt, err := s.Seal(nil, &h, payload)
		if err != nil {
			t.Fatal(err)
		}
		hash := n.Add(h.Stream, h.Number, pkt)
		v.Sealed = append(v.Sealed, sealedVector{
			Stream: h.Stream, Incarnation: h.Incarnation, Number: h.Number, Header: h.Append(nil), Payload: payload, Packet: pkt,
			Hash: hash[:],
		})
	}
	n.Skip(0x0102030405060708, 1, 5)
	n.Clock(0x0102030405060708, 960, 1_900_000_000_000_000)
	v.Manifests.Record = testRecord
	if err := n.Announce([]byte("an announce's envelope")); err != nil {
		t.Fatal(err)
	}
	for _, pkt := range n.Build(1000) {
		v.Manifests.Packets = append(v.Manifests.Packets, pkt)
	}
	n.Add(0x0102030405060708, 6, []byte("packet"))
	for i := range uint64(3) {
		pkt, _ := filmed(40+i, i == 0, i == 2)
		n.Add(6, 40+i, pkt)
	}
	for _, pkt := range n.Build(1100) {
		v.Manifests.Packets = append(v.Manifests.Packets, pkt)
	}
	for _, pkt := range v.Manifests.Packets {
		x, err := Excerpt(pkt, testExcerpts)
		if err != nil {
			t.Fatal(err)
		}
		v.Manifests.Excerpts = append(v.Manifests.Excerpts, x)
	}
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
	if !reflect.DeepEqual(&frozen, made) {
		t.Errorf("the format has changed:\nfrozen %+v\nnow    %+v", frozen, *made)
	}
	for _, v := range frozen.Sealed {
		o, err := NewOpener(PublicRoomKey(testRoom), publicKey(testDevice(1)), v.Stream, v.Incarnation)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := o.Open(nil, v.Packet, len(v.Header), v.Number); err != nil || string(got) != string(v.Payload) {
			t.Errorf("packet %d opens to %q, %v", v.Number, got, err)
		}
	}
	for i, pkt := range frozen.Manifests.Packets {
		if _, err := VerifyManifest(publicKey(testDevice(1)), pkt); err != nil {
			t.Errorf("manifest %d: %v", i, err)
		}
		if _, err := VerifyExcerpt(publicKey(testDevice(1)), testRecord, frozen.Manifests.Excerpts[i]); err != nil {
			t.Errorf("excerpt %d: %v", i, err)
		}
	}
}
