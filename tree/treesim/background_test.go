package treesim

import (
	"crypto/ed25519"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/castd/castd/engine/seal"
	"github.com/castd/castd/engine/wire"
	"github.com/castd/castd/tree/coord"
)

// near fails where a size differs from what it is taken to be by more than so many per cent.
func near(t *testing.T, what string, got, taken, percent float64) {
	t.Helper()
	t.Logf("%s: %.1f, taken to be %.1f", what, got, taken)
	if got > taken*(1+percent/100) || got < taken*(1-percent/100) {
		t.Errorf("%s: %.1f, it is taken to be %.1f", what, got, taken)
	}
}

const hour = 3_600_000 // ms: how long the room of these tests has been there

// Pulses weigh what they are taken to weigh.
func TestPulseSizes(t *testing.T) {
	pulse := func(p *wire.RoomPulse) float64 {
		p.Room = 1 << 60
		return float64(proto.Size(&wire.HopControl{Pulse: &wire.Pulse{Stamp: hour, Echo: hour, EchoDelay: 300, Rooms: []*wire.RoomPulse{p}}}))
	}
	marks := []*wire.StreamMark{{Stream: 1 << 60, Number: hour / 20}, {Stream: 1 << 60, Number: hour / 5}, {Stream: 1 << 60, Number: hour / 60}}
	near(t, "a parent's pulse", pulse(&wire.RoomPulse{Depth: 5, MediaAgeMs: 20, Feeding: true, OriginClock: hour, Marks: marks}), feedingPulse, 5)
	near(t, "a second parent's pulse", pulse(&wire.RoomPulse{Depth: 5, MediaAgeMs: 20, OriginClock: hour}), sparePulse, 5)
	leaf := pulse(&wire.RoomPulse{Depth: 6, Audience: 1})
	inner := pulse(&wire.RoomPulse{Depth: 4, Audience: 200, Below: 200, FreeBelow: 150, Free: 2})
	near(t, "a child's pulse", 0.6*leaf+0.4*inner, childPulse, 5)
}

// signer signs as a device whose user may open the room does.
func signer() *wire.Signer {
	device := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	return &wire.Signer{
		Device: device, Sequence: func() uint64 { return uint64(time.Now().UnixNano()) },
		Certificate: &wire.DeviceCertificate{
			User: make([]byte, 32), Device: device.Public().(ed25519.PublicKey), IssuedMs: time.Now().UnixMilli(), Signature: make([]byte, 64),
		},
	}
}

// Adverts and beacons weigh what they are taken to weigh.
func TestGossipSizes(t *testing.T) {
	id := make([]byte, idSize)
	addrs := [][]byte{make([]byte, 14), make([]byte, 14), make([]byte, 14)}
	where := coord.Coord{Vec: [4]float32{1, 2, 3, 4}, Height: 3, Err: 0.5}.Append(nil)
	advert := &wire.Advert{
		Self:  &wire.Candidate{Peer: id, Addrs: addrs, Depth: 5, Free: 2, Slots: 7, DelayUs: 150_000, Coord: where, Branch: 1 << 30},
		Offer: &wire.Offer{Slots: 7, UptimeS: hour / 1000, Reach: 2, Version: "v0.10.0", LoadPermille: 300},
	}
	around := func(n int) float64 { // pubsub's RPC ‖ Message: data, topic
		const topic = len("castd/1/room/") + 26
		message := protowire.SizeTag(2) + protowire.SizeBytes(n) + protowire.SizeTag(4) + protowire.SizeBytes(topic)
		rpc := protowire.SizeTag(2) + protowire.SizeBytes(message)
		return float64(protowire.SizeBytes(rpc) - n)
	}
	near(t, "what is around a message of gossip", around(envelope+beaconSize), topicSize, 5)
	near(t, "an advert", float64(proto.Size(advert)), advertSize, 5)
	beacon := &wire.Beacon{
		Hub: id, Addrs: addrs, Marks: []*wire.StreamMark{{Stream: 1 << 60, Number: hour / 20}, {Stream: 1 << 60, Number: hour / 5}},
		Audience: 10_000, SinceMs: uint64(time.Now().UnixMilli()), Access: 3, AccessHash: make([]byte, 16), Term: 2,
	}
	near(t, "a beacon", float64(proto.Size(beacon)), beaconSize, 5)
}

// Manifests of the programme weigh what they are taken to weigh. The times at which they are made are those of engine's publications.
func TestManifestRate(t *testing.T) {
	const (
		room    = wire.RoomID("abcdefghijklmnopqrstuvwxyz")
		seconds = 60
		step    = time.Millisecond
	)
	s := signer()
	stream := func(id uint64, kind wire.Kind, label, codec string, rate uint32) *wire.StreamInfo {
		return &wire.StreamInfo{Id: id, Kind: uint32(kind), Label: label, Codec: codec, ClockRate: rate, Channels: 1, Incarnation: 1, First: 1 << 16}
	}
	announce := &wire.Announce{
		Participant: strings.Repeat("x", 26), Name: "somebody", Slot: "camera", Record: 1 << 60, StartedMs: time.Now().UnixMilli(), RecordFirst: 1 << 16,
		Streams: []*wire.StreamInfo{stream(1<<60, wire.KindAudio, "audio", "opus", 48000), stream(1<<61, wire.KindVideo, "video", "vp8", 90000)},
	}
	env, err := s.Seal(room, wire.Type_ANNOUNCE, 0, time.Now().Add(time.Minute), announce)
	if err != nil {
		t.Fatal(err)
	}
	notary := seal.NewNotary(s.Device, 1<<60, 0, 1<<16, 1<<60)
	packets, octets, excerpts := 0, 0, 0
	var numbers [2]uint64
	var waits time.Duration // since when a packet waits for its manifest; 0: none does
	var facts, announced, sent time.Duration
	flush := func(now time.Duration) {
		if now-facts >= time.Second {
			facts = now
			for id := range numbers {
				notary.Clock(wire.StreamID(id+1)<<60, uint32(now/time.Microsecond), time.Now().UnixMicro())
			}
		}
		if now-announced >= 4*time.Second {
			announced = now
			if err := notary.Announce(env); err != nil {
				t.Fatal(err)
			}
		}
		for _, b := range notary.Build(uint32(now / time.Millisecond)) {
			packets++
			octets += len(b)
			x, err := seal.Excerpt(b, 1<<62)
			if err != nil {
				t.Fatal(err)
			}
			excerpts += len(x)
		}
		sent, waits = now, 0
	}
	send := func(kind int, n int, now time.Duration) {
		for i := range n {
			numbers[kind]++
			h := wire.Header{
				Kind: wire.Kind(kind), Stream: wire.StreamID(kind+1) << 60, Number: 1<<16 + numbers[kind], Timestamp: uint32(now),
				FrameStart: i == 0, FrameEnd: i == n-1,
			}
			notary.Add(h.Stream, h.Number, h.Append(nil))
		}
		if waits == 0 {
			waits = now
		}
		if kind == 1 && now-sent >= manifestWait*5/8 { // the end of a picture
			flush(now)
		}
	}
	for now := step; now <= seconds*time.Second; now += step {
		if waits != 0 && now-waits >= manifestWait {
			flush(now)
		}
		if now%(20*time.Millisecond) == 3*time.Millisecond {
			send(0, 1, now)
		}
		if now*30/time.Second != (now-step)*30/time.Second {
			send(1, 6, now)
		}
	}
	near(t, "manifests a second", float64(packets)/seconds, manifests, 5)
	near(t, "octets of them", float64(octets)/seconds, manifestOctets, 5)
	near(t, "octets of excerpts", float64(excerpts)/seconds, excerptOctets, 5)
}

// manifestWait is engine's manifestEvery; how much earlier a packet takes its manifest along is that of engine's vouch.
const manifestWait = 120 * time.Millisecond
