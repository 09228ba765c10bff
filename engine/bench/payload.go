package bench

import (
	"encoding/binary"
	"time"
)

// kind is a kind of media.
type kind uint8

const (
	audio kind = iota
	video
	kinds // how many there are
)

func (k kind) String() string { return [...]string{"audio", "video", "?"}[min(k, kinds)] }

// What is published.
const (
	audioEvery = 20 * time.Millisecond
	audioTicks = 960 // of 48 kHz
	audioSize  = 100 // octets of an Opus packet

	pictureRate  = 30 // a second
	videoTicks   = 90000 / pictureRate
	videoPayload = 1100 // most octets of a packet's payload
	// keyFactor is how much larger key frames are.
	keyFactor    = 4
	keyEvery     = 60 // pictures
	keyGap       = 6  // pictures between two key frames that were asked for
	pictureWidth = 640
	pictureHigh  = 360
)

// opusPayload writes one 20 ms frame (RFC 6716 section 3.1: CELT only, full band, mono, one frame) into b, up to the stamp.
func opusPayload(b []byte) {
	clear(b)
	b[0] = 31 << 3
}

const vp8Descriptor = 6 // octets

// vp8Headers writes the payload descriptor with a picture id and a temporal layer (RFC 7741 section 4.2), and in the first
// packet the frame's header (RFC 6386 section 9.1). It returns how much of b is taken.
//
// The rest of a frame is zeros, of which decoders make a picture: no segments, no filter, every block predicted flat, and no
// coefficients but those that stamps happen to be.
func vp8Headers(b []byte, picture uint16, key, first bool) int {
	clear(b)
	b[0] = 0x80 // X
	if first {
		b[0] |= 0x10 // S
	}
	b[1] = 0x80 | 0x40 | 0x20 // I, L, T
	b[2], b[3] = 0x80|byte(picture>>8)&0x7f, byte(picture)
	b[4] = byte(picture)
	n := vp8Descriptor
	if !first {
		return n
	}
	const partition = 64                       // octets of the first partition
	tag := uint32(1)<<4 | uint32(partition)<<5 // shown
	if !key {
		tag |= 1
	}
	b[n], b[n+1], b[n+2] = byte(tag), byte(tag>>8), byte(tag>>16)
	n += 3
	if key {
		b[n], b[n+1], b[n+2] = 0x9d, 0x01, 0x2a
		binary.LittleEndian.PutUint16(b[n+3:], pictureWidth)
		binary.LittleEndian.PutUint16(b[n+5:], pictureHigh)
		n += 7
	}
	return n + partition
}

// vp8KeyFrame reports whether a payload begins a VP8 key frame.
func vp8KeyFrame(p []byte) bool {
	if len(p) < 2 || p[0]&0x17 != 0x10 { // start of partition 0
		return false
	}
	n := 1
	if p[0]&0x80 != 0 {
		flags := p[1]
		n++
		if flags&0x80 != 0 {
			if len(p) <= n {
				return false
			}
			if p[n]&0x80 != 0 {
				n++
			}
			n++
		}
		if flags&0x40 != 0 {
			n++
		}
		if flags&0x30 != 0 {
			n++
		}
	}
	return len(p) > n && p[n]&1 == 0
}
