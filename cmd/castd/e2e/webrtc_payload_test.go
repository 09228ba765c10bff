//go:build linux

package e2e_test

import (
	"bytes"
	encoding "encoding/binary"
	"sync"
	"time"
)

// What the publisher of these tests sends looks like Opus and VP8 where anybody on the way looks, and is otherwise a stamp and
// noise. The stamp names the packet, and tells when it was sent on the clock of this process, on which arrivals are told too.

// Kinds of tracks.
const (
	audioTrack = iota
	videoTrack
)

var trackNames = [...]string{"audio", "video"}

// began is the zero of the clock of stamps and arrivals.
var began = time.Now()

func clock() time.Duration { return time.Since(began) }

var stampMagic = []byte("castd-e2e-stamp1")

const stampSize = 16 + 1 + 8 + 8

// stamp is what a payload tells of itself.
type stamp struct {
	track   byte
	counter uint64        // of the track, from 0
	sent    time.Duration // clock
}

func (s stamp) append(b []byte) []byte {
	b = append(append(b, stampMagic...), s.track)
	b = encoding.BigEndian.AppendUint64(b, s.counter)
	return encoding.BigEndian.AppendUint64(b, uint64(s.sent))
}

// readStamp finds the stamp in a payload.
func readStamp(payload []byte) (stamp, bool) {
	at := bytes.Index(payload, stampMagic)
	if at < 0 || len(payload) < at+stampSize {
		return stamp{}, false
	}
	b := payload[at+len(stampMagic):]
	return stamp{track: b[0], counter: encoding.BigEndian.Uint64(b[1:]), sent: time.Duration(encoding.BigEndian.Uint64(b[9:]))}, true
}

// noise appends n octets that follow from the seed and contain no stamp.
func noise(b []byte, seed uint64, n int) []byte {
	for range n {
		seed = seed*6364136223846793005 + 1442695040888963407
		b = append(b, byte(seed>>56)|0x80)
	}
	return b
}

// opusPayload makes a packet of one 20 ms frame (RFC 6716 section 3.1: CELT only, full band, mono, one frame).
func opusPayload(s stamp) []byte {
	return noise(s.append([]byte{31 << 3}), s.counter, 50+int(s.counter%30))
}

// pictureWidth and pictureHeight are what key frames say of themselves.
const pictureWidth, pictureHeight = 640, 360

// vp8Payload makes packet index of count of a frame: payload descriptor with picture id and temporal layer (RFC 7741 section
// 4.2), frame header (RFC 6386 section 9.1) in the first. Within a frame every packet has another length, so that it can be
// told apart also where it is encrypted.
func vp8Payload(s stamp, picture uint16, key bool, index, count int) []byte {
	first := byte(0x80)
	if index == 0 {
		first |= 0x10
	}
	b := []byte{first, 0x80 | 0x40 | 0x20, 0x80 | byte(picture>>8)&0x7f, byte(picture), byte(picture), 0}
	if index == 0 {
		tag := uint32(1)<<4 | uint32(count*1000)<<5 // shown; size of the first partition
		if !key {
			tag |= 1
		}
		b = append(b, byte(tag), byte(tag>>8), byte(tag>>16))
		if key {
			b = append(b, 0x9d, 0x01, 0x2a, pictureWidth&0xff, pictureWidth>>8, pictureHeight&0xff, pictureHeight>>8)
		}
	}
	return noise(s.append(b), s.counter, 900+7*index-len(b))
}

// vp8DescriptorSize is the length of the payload descriptors that vp8Payload writes.
const vp8DescriptorSize = 6

// sentPacket is what the publisher remembers of a packet.
type sentPacket struct {
	payload     []byte
	timestamp   uint32
	marker      bool
	level       byte // audio: header extension of RFC 6464
	orientation int  // video: its octet, or -1
	at          time.Duration
	frame       int
	key, start  bool
}

// programme is all that was sent, by track. It is safe for concurrent use.
type programme struct {
	mu     sync.Mutex
	tracks [2][]sentPacket
}

func (p *programme) add(track int, s sentPacket) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tracks[track] = append(p.tracks[track], s)
}

// count returns how many packets of a track were sent.
func (p *programme) count(track int) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.tracks[track])
}

func (p *programme) packet(track int, counter uint64) (sentPacket, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if track < 0 || track >= len(p.tracks) || counter >= uint64(len(p.tracks[track])) {
		return sentPacket{}, false
	}
	return p.tracks[track][counter], true
}

// all returns a track's packets; the slice is not changed later.
func (p *programme) all(track int) []sentPacket {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.tracks[track][:len(p.tracks[track]):len(p.tracks[track])]
}
