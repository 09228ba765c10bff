package bench

import (
	"encoding/binary"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"
)

// viewer is a WHEP client that reads stamps.
type viewer struct {
	*endpoint
	run       *run
	ssrc      uint32 // of its reports
	nextRR    time.Time
	connectAt time.Time

	// Owned by the reading goroutine, and readable by all once that has ended.
	tracks  map[trackKey]*track
	delay   [kinds]histogram
	picture struct {
		begun     bool
		timestamp uint32
	}
	firstPacket  time.Duration // since POST; 0: none
	firstPicture time.Duration // a key frame is complete
	unstamped    uint64
	askedAt      time.Time

	// Read by the run's clerk for reports.
	streams [kinds]streamState
	arrived atomic.Bool
}

// streamState is what receiver reports speak of.
type streamState struct {
	ssrc    atomic.Uint32
	highest atomic.Uint32 // extended
	lastSR  atomic.Uint32
	gotSR   atomic.Int64
}

type trackKey struct {
	publisher uint8
	kind      kind
}

// track is what came of one publisher's track.
type track struct {
	seen       [64]uint64 // the last 4096 numbers
	highest    uint64
	packets    uint64
	inWindow   uint64 // different packets that were sent in the window
	first      uint64 // number in the window
	last       uint64
	duplicates uint64
	reordered  uint64
}

const seenPackets = 64 * 64

// note counts a number; fresh is false for a duplicate.
func (t *track) note(n uint64) (fresh bool) {
	switch {
	case t.packets == 0:
		t.highest = n
	case n > t.highest:
		for i := t.highest + 1; i <= n && i <= t.highest+seenPackets; i++ {
			t.seen[i/64%64] &^= 1 << (i % 64)
		}
		t.highest = n
	case t.highest-n >= seenPackets:
		t.reordered++ // so old that it cannot be told whether it had been here
	default:
		if t.seen[n/64%64]&(1<<(n%64)) != 0 {
			t.duplicates++
			return false
		}
		t.reordered++
	}
	t.packets++
	t.seen[n/64%64] |= 1 << (n % 64)
	return true
}

// packet takes a decrypted RTP packet.
func (v *viewer) packet(b []byte, at time.Time) {
	v.run.received.Add(1)
	v.run.octets.Add(uint64(len(b)))
	if v.firstPacket == 0 {
		v.firstPacket = at.Sub(v.posted)
		v.arrived.Store(true)
	}
	payload, ok := payloadOf(b)
	if !ok {
		return
	}
	s, ok := readStamp(payload)
	if !ok {
		v.unstamped++
		return
	}
	state := &v.streams[s.kind]
	state.follow(b)
	if s.kind == video && v.firstPicture == 0 {
		v.lookForPicture(b, payload, at)
	}
	key := trackKey{s.publisher, s.kind}
	t := v.tracks[key]
	if t == nil {
		t = &track{}
		v.tracks[key] = t
	}
	if !t.note(s.counter) || !v.run.window.holds(s.sent) {
		return
	}
	if t.inWindow == 0 {
		t.first = s.counter
	}
	t.inWindow++
	t.last = max(t.last, s.counter)
	v.delay[s.kind].add(time.Duration(at.UnixNano() - s.sent))
}

// lookForPicture waits for a whole key frame, and asks for one when something else comes first.
func (v *viewer) lookForPicture(b, payload []byte, at time.Time) {
	timestamp := binary.BigEndian.Uint32(b[4:])
	switch {
	case vp8KeyFrame(payload):
		v.picture.begun, v.picture.timestamp = true, timestamp
	case !v.picture.begun:
		if at.Sub(v.askedAt) > 500*time.Millisecond {
			v.askedAt = at
			if m, err := (&rtcp.PictureLossIndication{SenderSSRC: v.ssrc, MediaSSRC: ssrcOf(b)}).Marshal(); err == nil {
				v.sendRTCP(m)
			}
		}
		return
	}
	if b[1]&0x80 != 0 && timestamp == v.picture.timestamp {
		v.firstPicture = at.Sub(v.posted)
	}
}

// payloadOf returns an RTP packet's payload without padding.
func payloadOf(b []byte) ([]byte, bool) {
	if len(b) < 12 {
		return nil, false
	}
	n := 12 + 4*int(b[0]&0x0f)
	if b[0]&0x10 != 0 {
		if len(b) < n+4 {
			return nil, false
		}
		n += 4 + 4*int(binary.BigEndian.Uint16(b[n+2:]))
	}
	end := len(b)
	if b[0]&0x20 != 0 {
		end -= int(b[end-1])
	}
	if n >= end {
		return nil, false
	}
	return b[n:end], true
}

func (s *streamState) follow(b []byte) {
	number := uint32(binary.BigEndian.Uint16(b[2:]))
	ssrc := ssrcOf(b)
	highest := s.highest.Load()
	if s.ssrc.Load() != ssrc {
		s.ssrc.Store(ssrc)
		s.highest.Store(number)
		return
	}
	if d := int16(uint16(number) - uint16(highest)); d > 0 {
		s.highest.Store(highest + uint32(d))
	}
}

// readReports remembers sender reports, which receiver reports refer to.
func (v *viewer) readReports(b []byte) {
	packets, err := rtcp.Unmarshal(b)
	if err != nil {
		return
	}
	for _, p := range packets {
		if r, ok := p.(*rtcp.SenderReport); ok {
			for k := range v.streams {
				v.streams[k].note(r, time.Now())
			}
		}
	}
}

// note remembers a sender report, if it is the stream's.
func (s *streamState) note(r *rtcp.SenderReport, now time.Time) {
	if s.ssrc.Load() == r.SSRC {
		s.lastSR.Store(uint32(r.NTPTime >> 16))
		s.gotSR.Store(now.UnixNano())
	}
}

// report sends a receiver report each second, as browsers do.
func (v *viewer) report(now time.Time) {
	if now.Before(v.nextRR) || !v.arrived.Load() {
		return
	}
	v.nextRR = now.Add(time.Second/2 + rand.N(time.Second))
	r := &rtcp.ReceiverReport{SSRC: v.ssrc}
	for k := range v.streams {
		r.Reports = v.streams[k].report(r.Reports, now)
	}
	if b, err := rtcp.Marshal([]rtcp.Packet{r, named(v.ssrc, "viewer")}); err == nil {
		v.sendRTCP(b)
	}
}

// report appends what is to be told of the stream, once it has come.
func (s *streamState) report(list []rtcp.ReceptionReport, now time.Time) []rtcp.ReceptionReport {
	ssrc := s.ssrc.Load()
	if ssrc == 0 {
		return list
	}
	report := rtcp.ReceptionReport{SSRC: ssrc, LastSequenceNumber: s.highest.Load(), LastSenderReport: s.lastSR.Load()}
	if got := s.gotSR.Load(); got != 0 {
		report.Delay = uint32((now.UnixNano() - got) * 65536 / 1e9)
	}
	return append(list, report)
}

// named is the packet that reports are accompanied by (RFC 3550 section 6.5).
func named(ssrc uint32, name string) *rtcp.SourceDescription {
	return &rtcp.SourceDescription{Chunks: []rtcp.SourceDescriptionChunk{{
		Source: ssrc, Items: []rtcp.SourceDescriptionItem{{Type: rtcp.SDESCNAME, Text: name}},
	}}}
}
