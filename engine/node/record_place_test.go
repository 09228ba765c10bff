package node

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/codec"
	"github.com/castd/castd/engine/container"
	"github.com/castd/castd/engine/wire"
)

// TestRecorderPlacesByTheOriginsClock: packets that come in one lump, one track's clock late, keep their relation all the same.
func TestRecorderPlacesByTheOriginsClock(t *testing.T) {
	var out bytes.Buffer
	audio := &engine.StreamState{ID: 1, Kind: wire.KindAudio, Codec: codec.Opus, ClockRate: 48000, Channels: 2, Live: true, Slot: "a"}
	video := &engine.StreamState{ID: 2, Kind: wire.KindVideo, Codec: codec.VP8, ClockRate: 90000, Live: true, Slot: "a"}
	all := func() []*engine.StreamState { return []*engine.StreamState{audio, video} }
	rec, err := newRecorder(&recordOutput{w: &out}, FormatMatroska, all)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(5, 5))
	p, err := codec.NewPacketizer(codec.VP8, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1000, 0)
	for i := range 20 {
		if i == 10 {
			now = now.Add(time.Second)
		}
		at := int64(i) * 40_000
		pk := recordPacket{Packet: container.Packet{Number: uint64(i), Timestamp: uint32(at * 48 / 1000), WallUs: 7_000_000 + at, Arrived: now, Payload: opus(r, 30)}, stream: audio, came: now}
		if err := rec.packet(&pk); err != nil {
			t.Fatal(err)
		}
		payloads, _ := p.Packetize(vp8(r, i == 0, 300), false)
		pk = recordPacket{Packet: container.Packet{Number: uint64(i), Timestamp: uint32(at * 90 / 1000), Marker: true, Arrived: now, Payload: payloads[0].Data}, stream: video, came: now}
		if i >= 10 {
			pk.WallUs = 7_030_000 + at
		}
		if err := rec.packet(&pk); err != nil {
			t.Fatal(err)
		}
	}
	if err := rec.close(); err != nil {
		t.Fatal(err)
	}
	_, got := framesOf(t, out.Bytes())
	a, v := got[wire.KindAudio], got[wire.KindVideo]
	if len(a) != 20 || len(v) != 20 {
		t.Fatalf("%d audio and %d video frames", len(a), len(v))
	}
	for i := range a {
		if d := v[i].Time - a[i].Time; d != 30*time.Millisecond {
			t.Fatalf("frame %d: video %v after audio, want 30ms", i, d)
		}
	}
}

// TestRecorderWaitsByArrivals: a cached group of pictures that is seconds old, and comes in one lump before the sound, is no reason to
// begin a file without the sound.
func TestRecorderWaitsByArrivals(t *testing.T) {
	var out bytes.Buffer
	audio := &engine.StreamState{ID: 1, Kind: wire.KindAudio, Codec: codec.Opus, ClockRate: 48000, Channels: 2, Live: true, Slot: "a"}
	video := &engine.StreamState{ID: 2, Kind: wire.KindVideo, Codec: codec.VP8, ClockRate: 90000, Live: true, Slot: "a"}
	rec, err := newRecorder(&recordOutput{w: &out}, FormatMatroska, func() []*engine.StreamState { return []*engine.StreamState{audio, video} })
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(6, 6))
	p, err := codec.NewPacketizer(codec.VP8, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1000, 0)
	for i := range 75 {
		at := time.Duration(i-75) * 40 * time.Millisecond
		payloads, _ := p.Packetize(vp8(r, i == 0, 300), false)
		if err := rec.packet(&recordPacket{
			Packet: container.Packet{
				Number: uint64(i), Timestamp: uint32(i * 3600), Marker: true, WallUs: now.Add(at).UnixMicro(), Arrived: now.Add(at), Payload: payloads[0].Data,
			},
			stream: video, came: now,
		}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 10 {
		at := now.Add(time.Duration(i) * 20 * time.Millisecond)
		if err := rec.packet(&recordPacket{
			Packet: container.Packet{Number: uint64(i), Timestamp: uint32(i * 960), WallUs: at.UnixMicro(), Arrived: at, Payload: opus(r, 30)},
			stream: audio, came: at,
		}); err != nil {
			t.Fatal(err)
		}
	}
	if err := rec.close(); err != nil {
		t.Fatal(err)
	}
	_, got := framesOf(t, out.Bytes())
	if a, v := len(got[wire.KindAudio]), len(got[wire.KindVideo]); a != 10 || v != 75 {
		t.Errorf("the file has %d frames of sound and %d pictures, want 10 and 75", a, v)
	}
}
