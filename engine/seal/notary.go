package seal

import (
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/castd/castd/engine/wire"
)

// A publisher's notary writes down what was sent. Every 100 ms or so it turns the hashes of the packets of that time, and
// the other facts about the slot, into signed record packets. One signature of 64 octets covers some dozens of packets, 10
// octets each: at 1.5 Mbps 2 per cent of the rate, where a signature in each packet would be 6 (security figures: Ed25519
// signs in 40 us and verifies in 96 us). Hashes cover origin header and sealed payload, so that a relay without the room's key
// can check them.

// HashSize is the length of a packet's hash in a manifest, in octets.
//
// Who wants to put another packet in the place of one that was signed must find a second preimage of its hash, and has until nobody
// waits for the packet any more: seconds where it is live, some tens of seconds where it belongs to the group of pictures that newcomers
// get. A try costs one SHA-256; at 80 bits, 10 s ask for 10^23 of them a second, a hundred times what all the world's miners of Bitcoin
// make. There is no trading of time for memory and no gain from many targets, as the packet begins with its stream, incarnation and
// number, and is of use in this one place. Collisions, of 2^40 tries, are within reach of the publisher alone, who is free to
// sign two different manifests with less effort. The records of what was said, if any are kept, are not what these hashes are for.
const HashSize = 10

// Hash returns the first HashSize octets of SHA-256 over an origin packet.
func Hash(pkt []byte) (h [HashSize]byte) {
	sum := sha256.Sum256(pkt)
	copy(h[:], sum[:])
	return h
}

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
	runCost      = 3 + 9 + 8 + 3      // tag, length; stream; first; hashes' tag and length
	skipCost     = 2 + 9 + 8 + 8      // tag, length; stream; first; last
	clockCost    = 2 + 9 + 6 + 1 + 10 // tag, length; stream; timestamp; unix_us
	manifestRoom = MaxManifest - sizeSize - ed25519.SignatureSize
)

// ErrAnnounce is returned for an announce that does not fit in a packet.
var ErrAnnounce = errors.New("seal: announce is too large for a record packet")

type sent struct {
	stream wire.StreamID
	number uint64
	hash   [HashSize]byte
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
}

// NewNotary returns a notary whose first record packet has the number first. What it writes of the streams sound can be had by Excerpt.
func NewNotary(device ed25519.PrivateKey, record wire.StreamID, incarnation uint16, first uint64, sound ...wire.StreamID) *Notary {
	return &Notary{device: device, record: record, sound: sound, incarnation: incarnation, next: first}
}

// Add vouches for an origin packet that was sent, and returns its hash. Beyond MaxPending packets are left out, and counted:
// nobody will play them, which is for a caller that has stopped building the lesser harm.
func (n *Notary) Add(stream wire.StreamID, number uint64, pkt []byte) [HashSize]byte {
	h := Hash(pkt)
	if len(n.hashes) >= MaxPending {
		n.dropped++
		return h
	}
	n.hashes = append(n.hashes, sent{stream: stream, number: number, hash: h})
	return h
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
	// By stream and number, so that a source's reordering does not tear runs apart.
	slices.SortStableFunc(n.hashes, func(a, b sent) int {
		if a.stream != b.stream {
			if a.stream < b.stream {
				return -1
			}
			return 1
		}
		return int(int64(a.number) - int64(b.number))
	})
	var run *wire.Run
	for i, s := range n.hashes {
		if i > 0 && n.hashes[i-1].stream == s.stream && n.hashes[i-1].number == s.number {
			continue // vouched for once, for what was added first
		}
		goesOn := run != nil && wire.StreamID(run.Stream) == s.stream && run.First+uint64(len(run.Hashes)/HashSize) == s.number
		if !goesOn || room < HashSize {
			need(runCost + HashSize)
			run = &wire.Run{Stream: uint64(s.stream), First: s.number}
			m := about(run.Stream)
			m.Runs = append(m.Runs, run)
		} else {
			room -= HashSize
		}
		run.Hashes = append(run.Hashes, s.hash[:]...)
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
	return sign(n.device, h.Append(nil), encode(sound), encode(rest))
}

func encode(m *wire.Manifest) []byte {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		panic("seal: internal error: " + err.Error())
	}
	return b
}
