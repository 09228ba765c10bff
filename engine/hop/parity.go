package hop

import (
	"crypto/subtle"
	"encoding/binary"
	"errors"

	"github.com/castd/castd/engine/wire"
)

// A parity packet (RTP payload type 127) protects a group of video packets with consecutive hop sequence numbers. If one of
// them is lost, it is the XOR of the parity with the others. Its payload, integers big-endian:
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-------+-------+-------------------------------+---------------+
//	|  V=1  | count |     first sequence number     | XOR of the ...
//	+-------+-------+-------------------------------+---------------+
//	... lengths     |  XOR of the RTP payloads, each filled with zeros to the longest ...
//	+---------------+-----------------------------------------------+
//
// count is the number of packets, 1 to 15; the length is that of the RTP payload, that is of the origin packet, in octets.
const (
	parityVersion = 1
	paritySize    = 5 // octets before the XOR of the payloads

	// maxGroup is how many packets a group of this sender has.
	maxGroup = 4
	// maxProtected bounds the origin packets that are protected, so that a parity packet is never longer than an Ethernet frame
	// takes.
	maxProtected = 1400
)

var errParity = errors.New("malformed parity packet")

// group collects a group of packets. The zero value is an empty one.
type group struct {
	first     uint16
	count     int
	lengths   uint16
	longest   int
	timestamp uint32 // of the last packet
	xor       []byte // of the payloads; zero beyond longest
}

// add takes the packet that follows the ones before.
func (g *group) add(sequence uint16, p []byte) {
	if g.xor == nil {
		g.xor = make([]byte, maxProtected)
	}
	if g.count == 0 {
		g.first = sequence
	}
	g.count++
	g.lengths ^= uint16(len(p))
	g.longest = max(g.longest, len(p))
	g.timestamp = binary.BigEndian.Uint32(p[18:])
	subtle.XORBytes(g.xor, g.xor[:len(p)], p)
}

// append appends the parity packet's payload.
func (g *group) append(b []byte) []byte {
	b = append(b, parityVersion<<4|byte(g.count))
	b = binary.BigEndian.AppendUint16(b, g.first)
	b = binary.BigEndian.AppendUint16(b, g.lengths)
	return append(b, g.xor[:g.longest]...)
}

// reset empties the group.
func (g *group) reset() {
	clear(g.xor[:g.longest])
	*g = group{xor: g.xor}
}

// parity is a parsed parity packet; xor aliases it.
type parity struct {
	first   uint16
	count   int
	lengths uint16
	xor     []byte
}

// parseParity reads a parity packet's payload.
func parseParity(b []byte) (parity, error) {
	if len(b) < paritySize+wire.HeaderSize || len(b) > paritySize+wire.MaxPacket || b[0]>>4 != parityVersion || b[0]&15 == 0 {
		return parity{}, errParity
	}
	return parity{
		first: binary.BigEndian.Uint16(b[1:]), count: int(b[0] & 15), lengths: binary.BigEndian.Uint16(b[3:]), xor: b[paritySize:],
	}, nil
}

// recentSize is how many video packets a receiver keeps for parity: twice the largest group, a power of two.
const recentSize = 32

// recent is a ring of the newest video packets by hop sequence number.
type recent struct {
	slots [recentSize]slot
	out   []byte
}

type slot struct {
	held     bool
	sequence uint16
	pkt      []byte
}

func newRecent() *recent { return new(recent) }

// put keeps a copy of a packet.
func (r *recent) put(sequence uint16, p []byte) {
	s := &r.slots[sequence%recentSize]
	s.held, s.sequence, s.pkt = true, sequence, append(s.pkt[:0], p...)
}

func (r *recent) get(sequence uint16) []byte {
	if s := &r.slots[sequence%recentSize]; s.held && s.sequence == sequence {
		return s.pkt
	}
	return nil
}

// restore returns the one packet of the group that is missing, and keeps it; nil if none or several are, or if the parity does
// not fit what is there. The result is valid until the next call.
func (r *recent) restore(p parity) []byte {
	missing, lost := 0, uint16(0)
	length := p.lengths
	r.out = append(r.out[:0], p.xor...)
	for i := range p.count {
		sequence := p.first + uint16(i)
		pkt := r.get(sequence)
		switch {
		case pkt == nil:
			if missing++; missing > 1 {
				return nil
			}
			lost = sequence
		case len(pkt) > len(r.out):
			return nil
		default:
			length ^= uint16(len(pkt))
			subtle.XORBytes(r.out, r.out[:len(pkt)], pkt)
		}
	}
	if missing == 0 || int(length) > len(r.out) || length < wire.HeaderSize {
		return nil
	}
	r.put(lost, r.out[:length])
	return r.out[:length]
}
