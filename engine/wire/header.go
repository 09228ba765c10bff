package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// The origin header, version 1. Every packet of a room carries it in clear, before its sealed payload, and it is the
// associated data of the seal: relays read it, nobody can change it. Integers are big-endian.
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+---+---+-+-+-+-+---------------+-------------------------------+
//	|V=1|Knd|M|S|E|X|  kind's octet |          incarnation          |
//	+---+---+-+-+-+-+---------------+-------------------------------+
//	|                           stream id                           |
//	|                           (64 bits)                           |
//	+---------------------------------------------------------------+
//	|                    origin number (48 bits)                    |
//	|                               +-------------------------------+
//	|                               |    origin timestamp (32 bits) |
//	+-------------------------------+-------------------------------+
//	|                               |  X: length, extension block...|
//	+-------------------------------+-------------------------------+
//
// M is the RTP marker; S and E are the first and last packet of a frame (RFC 9626). X announces an extension block:
// one octet of length, then elements of id, length, data. The kind's octet is
//
//	audio:  V(1) level(7)                 RFC 6464; 0xFF (voice, yet silent) says that the level is unknown
//	video:  I(1) D(1) B(1) SID(2) TID(3)  RFC 9626: independent (key) frame, discardable, base layer sync
//	record, excerpt: reserved, zero
const (
	headerVersion = 1

	// HeaderSize is the length of an origin header without extensions, in octets.
	HeaderSize = 22
	// MaxNumber is the largest origin number; at 10,000 packets a second it lasts 890 years.
	MaxNumber = 1<<48 - 1
	// MaxPacket bounds an origin packet: header, extensions and sealed payload, in octets.
	MaxPacket = 1500
)

// Kind says what a stream carries.
type Kind uint8

// Kinds of streams. A record stream carries signed manifests (see Manifest); it is never sealed. An excerpt stream carries what of the
// same slot's manifests vouches for sound, under the same numbers; whoever has the manifests makes it of them.
const (
	KindAudio   Kind = 0
	KindVideo   Kind = 1
	KindRecord  Kind = 2
	KindExcerpt Kind = 3
)

// Media reports whether streams of the kind carry what a source sends.
func (k Kind) Media() bool { return k == KindAudio || k == KindVideo }

// String returns the name that events and the API use.
func (k Kind) String() string {
	switch k {
	case KindAudio:
		return "audio"
	case KindVideo:
		return "video"
	case KindRecord:
		return "record"
	case KindExcerpt:
		return "excerpt"
	}
	return "unknown"
}

// LevelUnknown is the Level of an audio packet whose publisher did not measure it.
const LevelUnknown = 0xFF

// Extension ids.
const (
	ExtOrientation          = 1 // video orientation, one octet as in 3GPP TS 26.114
	ExtDependencyDescriptor = 2 // AV1 dependency descriptor, as in the RTP header extension
	ExtDiscontinuity        = 3 // no data: first packet after the publisher was away; the source's clock began anew
	ExtSilentVoice          = 4 // audio, no data: Level is 127 although Voice is set, which the header's octet cannot say
)

// Errors of ParseHeader.
var (
	ErrShort      = errors.New("wire: packet is too short")
	ErrVersion    = errors.New("wire: unknown header version")
	ErrExtensions = errors.New("wire: malformed extensions")
)

// Header is the origin header of a packet. The zero value of a field that does not belong to Kind is ignored.
type Header struct {
	Kind       Kind
	Marker     bool
	FrameStart bool
	FrameEnd   bool

	// Audio: level in -dBov, 0 (loudest) to 127 (silent), or LevelUnknown.
	Level uint8
	Voice bool

	// Video.
	KeyFrame    bool // packet of an independent frame of its spatial layer
	Discardable bool // no other frame depends on it
	LayerSync   bool // depends on the base temporal layer only
	Spatial     uint8
	Temporal    uint8

	Incarnation uint16
	Stream      StreamID
	Number      uint64 // 48 bits
	Timestamp   uint32 // units of the stream's clock rate

	Ext []byte // extension elements without the leading length; at most 255 octets; aliases the parsed packet
}

// Size returns the encoded length in octets.
func (h *Header) Size() int {
	if len(h.Ext) == 0 {
		return HeaderSize
	}
	return HeaderSize + 1 + len(h.Ext)
}

// Append appends the encoded header to b.
func (h *Header) Append(b []byte) []byte {
	first := byte(headerVersion)<<6 | byte(h.Kind&3)<<4
	first |= bit(h.Marker, 3) | bit(h.FrameStart, 2) | bit(h.FrameEnd, 1) | bit(len(h.Ext) > 0, 0)
	var second byte
	switch h.Kind {
	case KindAudio:
		if h.Level == LevelUnknown {
			second = LevelUnknown
		} else {
			second = bit(h.Voice, 7) | min(h.Level, 127)
			if second == LevelUnknown {
				second = 126 | 1<<7 // silent voice would read as unknown
			}
		}
	case KindVideo:
		second = bit(h.KeyFrame, 7) | bit(h.Discardable, 6) | bit(h.LayerSync, 5) | (h.Spatial&3)<<3 | h.Temporal&7
	case KindRecord, KindExcerpt:
	}
	b = append(b, first, second)
	b = binary.BigEndian.AppendUint16(b, h.Incarnation)
	b = binary.BigEndian.AppendUint64(b, uint64(h.Stream))
	b = binary.BigEndian.AppendUint16(b, uint16(h.Number>>32))
	b = binary.BigEndian.AppendUint32(b, uint32(h.Number))
	b = binary.BigEndian.AppendUint32(b, h.Timestamp)
	if len(h.Ext) > 0 {
		b = append(b, byte(len(h.Ext)))
		b = append(b, h.Ext...)
	}
	return b
}

// ParseHeader reads the header of an origin packet and returns its length. Ext aliases b.
func ParseHeader(b []byte) (h Header, n int, err error) {
	if len(b) < HeaderSize {
		return h, 0, ErrShort
	}
	if b[0]>>6 != headerVersion {
		return h, 0, fmt.Errorf("%w: %d", ErrVersion, b[0]>>6)
	}
	h.Kind = Kind(b[0] >> 4 & 3)
	h.Marker, h.FrameStart, h.FrameEnd = b[0]&8 != 0, b[0]&4 != 0, b[0]&2 != 0
	switch h.Kind {
	case KindAudio:
		h.Level, h.Voice = b[1]&127, b[1]&128 != 0
		if b[1] == LevelUnknown {
			h.Level, h.Voice = LevelUnknown, false
		}
	case KindVideo:
		h.KeyFrame, h.Discardable, h.LayerSync = b[1]&128 != 0, b[1]&64 != 0, b[1]&32 != 0
		h.Spatial, h.Temporal = b[1]>>3&3, b[1]&7
	case KindRecord, KindExcerpt:
	}
	h.Incarnation = binary.BigEndian.Uint16(b[2:])
	h.Stream = StreamID(binary.BigEndian.Uint64(b[4:]))
	h.Number = uint64(binary.BigEndian.Uint16(b[12:]))<<32 | uint64(binary.BigEndian.Uint32(b[14:]))
	h.Timestamp = binary.BigEndian.Uint32(b[18:])
	n = HeaderSize
	if b[0]&1 != 0 {
		if len(b) < n+1 {
			return h, 0, ErrShort
		}
		size := int(b[n])
		n++
		if size == 0 || len(b) < n+size {
			return h, 0, ErrExtensions
		}
		h.Ext = b[n : n+size : n+size]
		n += size
		if !wellFormed(h.Ext) {
			return h, 0, ErrExtensions
		}
	}
	return h, n, nil
}

// Extension returns the data of the first extension element with the id, or nil.
func (h *Header) Extension(id byte) []byte {
	for e := h.Ext; len(e) >= 2; {
		end := 2 + int(e[1])
		if end > len(e) {
			return nil
		}
		if e[0] == id {
			return e[2:end:end]
		}
		e = e[end:]
	}
	return nil
}

// AppendExtension appends one element to an extension block, to be used as Header.Ext.
// Elements that would make the block longer than 255 octets are left out.
func AppendExtension(ext []byte, id byte, data []byte) []byte {
	if len(data) > 255 || len(ext)+2+len(data) > 255 {
		return ext
	}
	return append(append(ext, id, byte(len(data))), data...)
}

func wellFormed(ext []byte) bool {
	for len(ext) > 0 {
		if len(ext) < 2 || len(ext) < 2+int(ext[1]) {
			return false
		}
		ext = ext[2+int(ext[1]):]
	}
	return true
}

func bit(set bool, shift uint) byte {
	if set {
		return 1 << shift
	}
	return 0
}
