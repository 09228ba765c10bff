package codec

import (
	"encoding/binary"
	"time"
)

// OpusDuration returns how long an Opus packet plays, from its first octets (RFC 6716, section 3.1); 0 for a malformed one.
func OpusDuration(packet []byte) time.Duration {
	n := opusFrames(packet)
	if n == 0 {
		return 0
	}
	d := time.Duration(n) * OpusFrameDuration(packet[0])
	if d > 120*time.Millisecond {
		return 0
	}
	return d
}

// OpusFrameDuration returns the duration of each frame of a packet that begins with toc.
func OpusFrameDuration(toc byte) time.Duration {
	const tick = 2500 * time.Microsecond
	switch config := toc >> 3; {
	case config < 12: // SILK: 10, 20, 40, 60 ms
		return tick * [4]time.Duration{4, 8, 16, 24}[config&3]
	case config < 16: // hybrid: 10, 20 ms
		return tick * 4 << (config & 1)
	default: // CELT: 2.5, 5, 10, 20 ms
		return tick << (config & 3)
	}
}

func opusFrames(packet []byte) int {
	if len(packet) == 0 {
		return 0
	}
	switch packet[0] & 3 {
	case 0:
		return 1
	case 1, 2:
		return 2
	}
	if len(packet) < 2 {
		return 0
	}
	return int(packet[1] & 63)
}

// OpusHead returns the identification header of an Opus stream, which is also its CodecPrivate in Matroska (RFC 7845, section
// 5.1), for one or two channels. preSkip is in samples of 48 kHz.
func OpusHead(channels, preSkip int) []byte {
	b := append([]byte("OpusHead"), 1, byte(channels))
	b = binary.LittleEndian.AppendUint16(b, uint16(preSkip))
	b = binary.LittleEndian.AppendUint32(b, AudioClock)
	return append(b, 0, 0, 0) // no gain, mapping family 0
}

// ParseOpusHead reads an identification header.
func ParseOpusHead(b []byte) (channels, preSkip int, ok bool) {
	if len(b) < 19 || string(b[:8]) != "OpusHead" || b[8]&0xf0 != 0 || b[9] == 0 {
		return 0, 0, false
	}
	return int(b[9]), int(binary.LittleEndian.Uint16(b[10:])), true
}
