package guest

import (
	"encoding/binary"

	"github.com/castd/castd/engine/wire"
)

// RTP header extension profiles (RFC 8285).
const (
	oneByteProfile = 0xBEDE
	twoByteProfile = 0x1000
	rtpHeaderSize  = 12
	// maxExtensions bounds the extensions of a packet to a viewer, in octets: the level alone, or orientation and dependency
	// descriptor in the two-octet form, with padding.
	maxExtensions = 4 + 2*(2+255) + 3
	// maxSRTP bounds what SRTP adds to a packet: the tag of AES-GCM is the longest.
	maxSRTP = 16
)

// extension is one RTP header extension that is to be written.
type extension struct {
	id   uint8 // 0: none
	data []byte
}

// appendHeader appends an RTP header. Extensions are in the one-octet form, or all in the two-octet form where one must and mixed
// says that the viewer takes both; what fits neither is left out.
func appendHeader(b []byte, marker bool, pt uint8, seq uint16, timestamp, ssrc uint32, mixed bool, extensions [2]extension) []byte {
	start := len(b)
	second := pt & 0x7F
	if marker {
		second |= 0x80
	}
	b = append(b, 2<<6, second)
	b = binary.BigEndian.AppendUint16(b, seq)
	b = binary.BigEndian.AppendUint32(b, timestamp)
	b = binary.BigEndian.AppendUint32(b, ssrc)
	long, some := false, false
	for i := range extensions {
		e := &extensions[i]
		switch {
		case len(e.data) == 0 || len(e.data) > 255:
			e.id = 0
		case e.id > 14 || len(e.data) > 16:
			if mixed {
				long = true
			} else {
				e.id = 0
			}
		}
		some = some || e.id != 0
	}
	if !some {
		return b
	}
	b[start] |= 1 << 4
	profile := uint16(oneByteProfile)
	if long {
		profile = twoByteProfile
	}
	b = binary.BigEndian.AppendUint16(b, profile)
	length := len(b)
	b = append(b, 0, 0)
	for _, e := range extensions {
		switch {
		case e.id == 0:
			continue
		case long:
			b = append(b, e.id, byte(len(e.data)))
		default:
			b = append(b, e.id<<4|byte(len(e.data)-1))
		}
		b = append(b, e.data...)
	}
	for (len(b)-length-2)%4 != 0 {
		b = append(b, 0)
	}
	binary.BigEndian.PutUint16(b[length:], uint16((len(b)-length-2)/4))
	return b
}

// levelExtension is the audio level as RFC 6464 writes it: voice, then -dBov. An unknown one is 0xFF with ok false.
func levelExtension(h *wire.Header) (level byte, ok bool) {
	if h.Level == wire.LevelUnknown {
		return 0, false
	}
	level = h.Level & 0x7F
	if h.Voice {
		level |= 0x80
	}
	if h.Extension(wire.ExtSilentVoice) != nil {
		level = 0xFF
	}
	return level, true
}
