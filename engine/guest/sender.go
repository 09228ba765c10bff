package guest

import (
	"errors"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/wire"
)

// History of a viewer's stream, for retransmission.
const (
	audioHistory = 256  // packets
	videoHistory = 2048 // packets
	historyAge   = time.Second
	maxResends   = 5 // of one packet
)

var errNoCodec = errors.New("guest: no codec negotiated")

// viewerTrack is one RTP stream to a viewer. It implements webrtc.TrackLocal to choose the payload type of each packet
// itself: the codec may change while the stream goes on.
type viewerTrack struct {
	// Constant after Bind.
	kind   wire.Kind
	codecs []codec
	ext    map[string]uint8
	mixed  bool
	owner  *watcher
	writer webrtc.TrackLocalWriter
	ssrc   uint32

	// Owned by the writer.
	line     timeline
	stream   *engine.StreamState // that choice is for
	choice   choice
	fits     bool
	needKey  bool // video is held back until a key frame
	sent     []sentPacket
	oldest   uint16 // number of the oldest packet of the history
	packets  uint32
	octets   uint32
	reported time.Time
}

// sentPacket is a packet of the history. It is sent again exactly as it was: the same number must never encrypt another
// content.
type sentPacket struct {
	header  rtp.Header
	payload []byte
	buffer  *buffer // nil: empty
	level   [1]byte // header extension, which header refers to
	at      time.Time
	resends int
}

var _ webrtc.TrackLocal = (*viewerTrack)(nil)

func newViewerTrack(kind wire.Kind, s *section, mixed bool, seq uint16, start uint32, owner *watcher) *viewerTrack {
	size := audioHistory
	if kind == wire.KindVideo {
		size = videoHistory
	}
	return &viewerTrack{
		kind: kind, codecs: s.codecs, ext: s.ext, mixed: mixed, owner: owner, sent: make([]sentPacket, size),
		line: newTimeline(s.codecs[0].clockRate, seq, start), oldest: seq + 1,
	}
}

// Bind implements webrtc.TrackLocal. Pion calls it while the answer is being made.
func (t *viewerTrack) Bind(c webrtc.TrackLocalContext) (webrtc.RTPCodecParameters, error) {
	t.writer, t.ssrc = c.WriteStream(), uint32(c.SSRC())
	if codecs := c.CodecParameters(); len(codecs) > 0 {
		return codecs[0], nil
	}
	return webrtc.RTPCodecParameters{}, errNoCodec
}

// Unbind implements webrtc.TrackLocal.
func (t *viewerTrack) Unbind(webrtc.TrackLocalContext) error { return nil }

// ID implements webrtc.TrackLocal.
func (t *viewerTrack) ID() string { return t.kind.String() }

// RID implements webrtc.TrackLocal.
func (t *viewerTrack) RID() string { return "" }

// StreamID implements webrtc.TrackLocal. It is the same for audio and video, which makes players keep them in step.
func (t *viewerTrack) StreamID() string { return "castd" }

// Kind implements webrtc.TrackLocal.
func (t *viewerTrack) Kind() webrtc.RTPCodecType { return webrtc.NewRTPCodecType(t.kind.String()) }

// ready reports whether the packet may be sent: in a codec of the viewer, new, and decodable.
func (t *viewerTrack) ready(it *item) bool {
	if it.stream != t.stream {
		t.stream = it.stream
		t.choice, t.fits = choose(t.codecs, it.stream)
	}
	h := &it.header
	src := source{stream: h.Stream, incarnation: h.Incarnation}
	keyStart := h.KeyFrame && h.FrameStart
	if !t.fits || !t.line.fresh(src, h.Number, it.backlog && keyStart) {
		return false
	}
	if t.kind != wire.KindVideo {
		return true
	}
	if !t.line.started || src != t.line.source || !it.backlog && h.Number-t.line.number > maxJump {
		t.needKey = true
	}
	if keyStart {
		t.needKey = false
	}
	return !t.needKey
}

// send writes the packet and takes its buffer over.
func (t *viewerTrack) send(it *item, since time.Duration, now time.Time) (placed, bool) {
	payload := it.payload
	if t.choice.unwrap {
		block, ok := primaryBlock(payload)
		if !ok {
			t.owner.pool.put(it.buffer)
			return placed{}, false
		}
		payload = block
	}
	h := &it.header
	p := t.line.place(since, source{stream: h.Stream, incarnation: h.Incarnation}, h.Number, h.Timestamp, it.backlog, it.liveTime)
	t.forget(p.seq, now)
	s := &t.sent[int(p.seq)%len(t.sent)]
	t.owner.pool.put(s.buffer)
	s.payload, s.buffer, s.at, s.resends = payload, it.buffer, now, 0
	extensions := s.header.Extensions[:0]
	s.header = rtp.Header{
		Version: 2, Marker: h.Marker, PayloadType: t.choice.pt, SequenceNumber: p.seq, Timestamp: p.time, SSRC: t.ssrc, Extensions: extensions,
	}
	t.setExtensions(s, h)
	t.packets++
	t.octets += uint32(len(payload))
	t.write(s)
	return p, true
}

// forget empties the history of what is too old, and of the place that seq is about to take.
func (t *viewerTrack) forget(seq uint16, now time.Time) {
	for int16(seq-t.oldest) > 0 {
		s := &t.sent[int(t.oldest)%len(t.sent)]
		if int(seq-t.oldest) < len(t.sent) && s.buffer != nil && now.Sub(s.at) < historyAge {
			return
		}
		t.owner.pool.put(s.buffer)
		s.buffer, s.payload = nil, nil
		t.oldest++
	}
}

// setExtensions adds the header extensions that survive a room: audio level, video orientation, dependency descriptor.
func (t *viewerTrack) setExtensions(s *sentPacket, h *wire.Header) {
	out := &s.header
	if t.kind == wire.KindAudio {
		if id := t.ext[uriLevel]; id != 0 && h.Level != wire.LevelUnknown {
			s.level[0] = h.Level & 0x7F
			if h.Voice {
				s.level[0] |= 0x80
			}
			if h.Extension(wire.ExtSilentVoice) != nil {
				s.level[0] = 0xFF
			}
			t.setExtension(out, id, s.level[:])
		}
		return
	}
	t.setExtension(out, t.ext[uriOrientation], h.Extension(wire.ExtOrientation))
	t.setExtension(out, t.ext[uriDependency], h.Extension(wire.ExtDependencyDescriptor))
}

// setExtension adds an extension in the one-octet form, or in the two-octet form where it must and the viewer takes both
// (RFC 8285); what fits neither is left out.
func (t *viewerTrack) setExtension(out *rtp.Header, id uint8, data []byte) {
	if id == 0 || len(data) == 0 {
		return
	}
	profile := uint16(rtp.ExtensionProfileOneByte)
	if id > 14 || len(data) > 16 || out.Extension && out.ExtensionProfile == rtp.ExtensionProfileTwoByte {
		profile = rtp.ExtensionProfileTwoByte
	}
	if profile == rtp.ExtensionProfileTwoByte && !t.mixed || len(data) > 255 {
		return
	}
	if !out.Extension {
		out.Extension, out.ExtensionProfile = true, profile
	}
	// The lengths have been checked; an error could only leave the extension out.
	_ = out.SetExtensionWithProfile(id, data, profile)
}

// resend sends packets of the history again and returns how many.
func (t *viewerTrack) resend(missing []uint16, now time.Time) int {
	n := 0
	for _, seq := range missing {
		s := &t.sent[int(seq)%len(t.sent)]
		if s.buffer == nil || s.header.SequenceNumber != seq || s.resends >= maxResends || now.Sub(s.at) > historyAge {
			continue
		}
		s.resends++
		n++
		t.write(s)
	}
	return n
}

func (t *viewerTrack) write(s *sentPacket) {
	count := &t.owner.session.service.count
	if _, err := t.writer.WriteRTP(&s.header, s.payload); err != nil {
		count.failed.Add(1)
		return
	}
	count.out.Add(1)
}
