package seal

import (
	"cmp"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/castd/castd/engine/wire"
)

// A publisher's notary writes down what was sent. Every 100 ms or so it turns the hashes of the packets of that time, and
// the other facts about the slot, into signed record packets. One signature of 64 octets covers some dozens of packets: at 1.5 Mbps
// 1.5 per cent of the rate with all that is around it, where a signature in each packet would be 6 (security figures: Ed25519
// signs in 40 us and verifies in 96 us). Hashes cover origin header and sealed payload, so that a relay without the room's key
// can check them.
//
// A packet of sound has a hash of its own, 10 octets. The packets of a picture, which are of no use one without the other, have one
// together: what a line loses for good takes the picture along, as it does for a decoder. Such a hash does not tell which packet was
// forged. Where one peer alone sends the pictures that is no matter, as it is found out and left just the same. Where there are two,
// one of them could spoil each picture by one packet and be taken for the other; so who finds a picture spoiled says so (wire.Doubt),
// and the publisher has the notary give each packet its own hash for a while (Singly). Doubt that is not true costs 0.8 per cent of
// the rate, no more.

// Bounds of manifests. Sizes are in octets.
const (
	// MaxManifest bounds manifest and signature together, except where one announce needs more.
	MaxManifest = 1200
	// MaxAnnounce bounds the envelope of an announce: it must fit in one packet of wire.MaxPacket.
	MaxAnnounce = wire.MaxPacket - wire.HeaderSize - sizeSize - ed25519.SignatureSize - announceCost
	// MaxPending bounds the hashes that wait for Build. At 10,000 packets a second it is more than a second.
	MaxPending = 16384
	// maxFacts bounds the skips and the clocks that wait, each.
	maxFacts = 1024

	announceCost = 4                  // tag and length
	runCost      = 3 + 9 + 8 + 3 + 3  // tag, length; stream; first; hashes' tag and length; packets' tag and length
	hashCost     = wire.HashSize + 1  // and how many packets it covers
	skipCost     = 2 + 9 + 8 + 8      // tag, length; stream; first; last
	clockCost    = 2 + 9 + 6 + 1 + 10 // tag, length; stream; timestamp; unix_us
	manifestRoom = MaxManifest - sizeSize - ed25519.SignatureSize
)

// ErrAnnounce is returned for an announce that does not fit in a packet.
var ErrAnnounce = errors.New("seal: announce is too large for a record packet")

// sent is a packet, or the packets of a picture from number on.
type sent struct {
	stream    wire.StreamID
	number    uint64
	hash      wire.Hash
	packets   int
	begins    bool // a picture
	ends      bool
	picture   bool // it is part of one
	timestamp uint32
}

// Notary makes the record packets of one slot. It is not safe for concurrent use.
type Notary struct {
	device      ed25519.PrivateKey
	record      wire.StreamID
	sound       []wire.StreamID
	incarnation uint16
	next        uint64

	hashes   []sent
	skips    []*wire.Skip
	clocks   []*wire.Clock
	announce []byte
	dropped  uint64
	singly   bool
}

// NewNotary returns a notary whose first record packet has the number first. What it writes of the streams sound can be had by Excerpt.
func NewNotary(device ed25519.PrivateKey, record wire.StreamID, incarnation uint16, first uint64, sound ...wire.StreamID) *Notary {
	return &Notary{device: device, record: record, sound: sound, incarnation: incarnation, next: first}
}

// Add vouches for an origin packet that was sent, and returns its hash. Beyond MaxPending packets are left out, and counted:
// nobody will play them, which is for a caller that has stopped building the lesser harm.
func (n *Notary) Add(stream wire.StreamID, number uint64, pkt []byte) wire.Hash {
	h := wire.HashPacket(pkt)
	if len(n.hashes) >= MaxPending {
		n.dropped++
		return h
	}
	s := sent{stream: stream, number: number, hash: h, packets: 1}
	if o, _, err := wire.ParseHeader(pkt); err == nil && o.Kind == wire.KindVideo {
		s.picture, s.begins, s.ends, s.timestamp = true, o.FrameStart, o.FrameEnd, o.Timestamp
	}
	n.hashes = append(n.hashes, s)
	return h
}

// Singly has each packet of a picture have a hash of its own from the next Build on, or not any more.
func (n *Notary) Singly(yes bool) { n.singly = yes }

// goesOn reports whether b is the next packet of the picture that a is of. A layer's frame counts as a picture.
func (a *sent) goesOn(b *sent) bool {
	return a.picture && b.picture && a.stream == b.stream && a.number+1 == b.number && a.timestamp == b.timestamp && !a.ends && !b.begins
}

// sorted returns what is to be vouched for by stream and number, so that a source's reordering does not tear runs apart; each number
// once, for what was added first; and the packets of a picture as one, up to wire.MaxPicture.
func (n *Notary) sorted() []sent {
	slices.SortStableFunc(n.hashes, func(a, b sent) int {
		if a.stream != b.stream {
			return cmp.Compare(a.stream, b.stream)
		}
		return cmp.Compare(a.number, b.number)
	})
	list := slices.CompactFunc(n.hashes, func(a, b sent) bool { return a.stream == b.stream && a.number == b.number })
	if n.singly {
		return list
	}
	var hashes [wire.MaxPicture]wire.Hash
	out := list[:0]
	for i := 0; i < len(list); {
		s := list[i]
		hashes[0] = s.hash
		for i++; i < len(list) && s.packets < wire.MaxPicture && list[i-1].goesOn(&list[i]); i++ {
			hashes[s.packets] = list[i].hash
			s.packets++
		}
		if s.packets > 1 {
			s.hash = wire.HashPicture(hashes[:s.packets])
		}
		out = append(out, s)
	}
	return out
}

// Skip says that the numbers first to last of a stream will never be sent. Neighbouring skips are merged.
func (n *Notary) Skip(stream wire.StreamID, first, last uint64) {
	if last < first {
		return
	}
	if i := len(n.skips) - 1; i >= 0 && wire.StreamID(n.skips[i].Stream) == stream && n.skips[i].Last+1 == first {
		n.skips[i].Last = last
		return
	}
	if len(n.skips) >= maxFacts {
		n.dropped++
		return
	}
	n.skips = append(n.skips, &wire.Skip{Stream: uint64(stream), First: first, Last: last})
}

// Clock says that a stream's timestamp corresponds to the wall clock, in microseconds since 1970. The newest of a stream holds.
func (n *Notary) Clock(stream wire.StreamID, timestamp uint32, unixUs int64) {
	c := &wire.Clock{Stream: uint64(stream), Timestamp: timestamp, UnixUs: unixUs}
	for i, old := range n.clocks {
		if old.Stream == c.Stream {
			n.clocks[i] = c
			return
		}
	}
	if len(n.clocks) >= maxFacts {
		n.dropped++
		return
	}
	n.clocks = append(n.clocks, c)
}

// Announce puts an Announce's envelope into the next record packets; the newest holds. env must not be changed afterwards.
func (n *Notary) Announce(env []byte) error {
	if len(env) > MaxAnnounce {
		return fmt.Errorf("%w: %d octets of at most %d", ErrAnnounce, len(env), MaxAnnounce)
	}
	n.announce = env
	return nil
}

// Pending returns how many packets wait to be vouched for.
func (n *Notary) Pending() int { return len(n.hashes) }

// Dropped returns how many packets and facts were left out because Build was not called.
func (n *Notary) Dropped() uint64 { return n.dropped }

// Next returns the number that the next record packet will have.
func (n *Notary) Next() uint64 { return n.next }

// Build returns record packets for everything since the last call, none if there is nothing. Each carries at most MaxManifest
// octets, unless one announce needs more. The announce comes first, so that whoever has just joined knows the streams before their hashes.
func (n *Notary) Build(timestamp uint32) [][]byte {
	var out [][]byte
	var sound, rest wire.Manifest
	room := manifestRoom
	flush := func() {
		if room < manifestRoom {
			out = append(out, n.sign(&sound, &rest, timestamp))
			sound.Reset()
			rest.Reset()
			room = manifestRoom
		}
	}
	about := func(stream uint64) *wire.Manifest {
		if slices.Contains(n.sound, wire.StreamID(stream)) {
			return &sound
		}
		return &rest
	}
	need := func(cost int) {
		if cost > room {
			flush()
		}
		room -= cost
	}
	if n.announce != nil {
		need(announceCost + len(n.announce))
		rest.Announce = n.announce
	}
	for _, c := range n.clocks {
		need(clockCost)
		rest.Clocks = append(rest.Clocks, c)
	}
	for _, s := range n.skips {
		need(skipCost)
		m := about(s.Stream)
		m.Skips = append(m.Skips, s)
	}
	var run *wire.Run
	for _, s := range n.sorted() {
		if run == nil || wire.StreamID(run.Stream) != s.stream || End(run) != s.number || room < hashCost {
			need(runCost + hashCost)
			run = &wire.Run{Stream: uint64(s.stream), First: s.number}
			m := about(run.Stream)
			m.Runs = append(m.Runs, run)
		} else {
			room -= hashCost
		}
		run.Hashes, run.Packets = append(run.Hashes, s.hash[:]...), append(run.Packets, uint32(s.packets))
	}
	flush()
	n.hashes, n.skips, n.clocks, n.announce = n.hashes[:0], nil, nil, nil
	return out
}

// sign makes the next record packet.
func (n *Notary) sign(sound, rest *wire.Manifest, timestamp uint32) []byte {
	h := wire.Header{
		Kind: wire.KindRecord, Incarnation: n.incarnation, Stream: n.record, Number: n.next, Timestamp: timestamp,
	}
	n.next++
	for _, r := range append(slices.Clip(sound.Runs), rest.Runs...) {
		if !slices.ContainsFunc(r.Packets, func(n uint32) bool { return n != 1 }) {
			r.Packets = nil
		}
	}
	return sign(n.device, h.Append(nil), encode(sound), encode(rest))
}

func encode(m *wire.Manifest) []byte {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		panic("seal: internal error: " + err.Error())
	}
	return b
}
