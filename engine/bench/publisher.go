package bench

import (
	"encoding/binary"
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"
)

// publisher is a WHIP client that sends stamped media.
type publisher struct {
	*endpoint
	index uint8
	ssrc  [kinds]uint32
	media [kinds]bool
	pt    [kinds]uint8
	run   *run
	// sink sends a packet, which is only valid during the call.
	sink func(packet []byte)

	wanted atomic.Bool // a key frame
	stop   chan struct{}

	// Owned by the sending goroutine.
	pictureSize int // octets, mean
	sequence    [kinds]uint16
	counter     [kinds]uint64
	timestamp   [kinds]uint32
	octets      [kinds]uint32
	sinceKey    int
	picture     uint16
	packet      [12 + videoPayload]byte
	// inWindow counts packets that were sent in the measuring window.
	inWindow [kinds]uint64
}

// send paces packets until stop.
func (p *publisher) send() {
	start := time.Now()
	nextAudio, nextVideo := start, start
	nextReport := start.Add(time.Second)
	p.sinceKey = keyEvery
	timer := time.NewTimer(0)
	defer timer.Stop()
	var pictures int64
	for {
		select {
		case <-p.stop:
			return
		case <-timer.C:
		}
		now := time.Now()
		if p.media[audio] && !now.Before(nextAudio) {
			p.sendAudio()
			nextAudio = nextAudio.Add(audioEvery)
		}
		if p.media[video] && !now.Before(nextVideo) {
			p.sendPicture()
			pictures++
			nextVideo = start.Add(time.Duration(pictures) * time.Second / pictureRate)
		}
		if now.After(nextReport) {
			nextReport = now.Add(time.Second)
			p.report(now)
		}
		next := nextReport
		if p.media[audio] && nextAudio.Before(next) {
			next = nextAudio
		}
		if p.media[video] && nextVideo.Before(next) {
			next = nextVideo
		}
		timer.Reset(time.Until(next))
	}
}

func (p *publisher) sendAudio() {
	b := p.packet[:12+audioSize]
	opusPayload(b[12:])
	p.write(audio, b, false)
	p.timestamp[audio] += audioTicks
}

// sendPicture sends one picture in one burst: packets as large as they may be, the last one shorter.
func (p *publisher) sendPicture() {
	key := p.sinceKey >= keyEvery || p.wanted.Load() && p.sinceKey >= keyGap
	// All keyEvery pictures together have the size of keyEvery mean ones.
	size := p.pictureSize * keyEvery / (keyEvery - 1 + keyFactor)
	if key {
		p.wanted.Store(false)
		p.sinceKey = 0
		size *= keyFactor
	}
	p.sinceKey++
	p.picture++
	for first := true; size > 0; first = false {
		b := p.packet[:]
		n := vp8Headers(b[12:], p.picture, key, first)
		content := min(size, videoPayload-n)
		size -= content
		b = b[:12+max(n+content, n+stampSize)]
		p.write(video, b, size <= 0)
	}
	p.timestamp[video] += videoTicks
}

// write fills in header and stamp and sends. The payload's other octets are there already.
func (p *publisher) write(k kind, b []byte, marker bool) {
	b[0], b[1] = 2<<6, p.pt[k]
	if marker {
		b[1] |= 0x80
	}
	binary.BigEndian.PutUint16(b[2:], p.sequence[k])
	binary.BigEndian.PutUint32(b[4:], p.timestamp[k])
	binary.BigEndian.PutUint32(b[8:], p.ssrc[k])
	now := time.Now().UnixNano()
	stamp{publisher: p.index, kind: k, counter: p.counter[k], sent: now}.put(b)
	if p.run.window.holds(now) {
		p.inWindow[k]++
	}
	p.sequence[k]++
	p.counter[k]++
	p.octets[k] += uint32(len(b) - 12)
	p.sink(b)
}

// report tells which timestamp belongs to which time (RFC 3550 section 6.4.1).
func (p *publisher) report(now time.Time) {
	for k := range kinds {
		if !p.media[k] {
			continue
		}
		r := senderReport(p.ssrc[k], now, p.timestamp[k], uint32(p.counter[k]), p.octets[k])
		if b, err := rtcp.Marshal([]rtcp.Packet{r, named(p.ssrc[k], "bench")}); err == nil {
			p.sendRTCP(b)
		}
	}
}

func senderReport(ssrc uint32, now time.Time, timestamp, packets, octets uint32) *rtcp.SenderReport {
	wall := uint64(now.UnixNano())
	return &rtcp.SenderReport{
		SSRC: ssrc, NTPTime: (wall/1e9+2208988800)<<32 | (wall%1e9)<<32/1e9, RTPTime: timestamp, PacketCount: packets, OctetCount: octets,
	}
}

// readFeedback serves wishes for key frames.
func (p *publisher) readFeedback(b []byte) {
	packets, err := rtcp.Unmarshal(b)
	if err != nil {
		return
	}
	for _, packet := range packets {
		switch packet.(type) {
		case *rtcp.PictureLossIndication, *rtcp.FullIntraRequest:
			p.wanted.Store(true)
		}
	}
}
