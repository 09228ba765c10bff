package guest

import (
	"strings"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/checks"
	"github.com/castd/castd/engine/udp"
	"github.com/castd/castd/engine/wire"
)

// History of a viewer's stream, for retransmission. Packets are shared by the histories of all viewers.
const (
	audioHistory = 256  // packets, a power of two
	videoHistory = 2048 // packets, a power of two
	historyAge   = time.Second
	maxResends   = 5 // of one packet
)

// viewerTrack is one RTP stream to a viewer. The payload type is chosen for each packet: the codec may change while the stream
// goes on.
type viewerTrack struct {
	// Constant.
	kind   wire.Kind
	codecs []codec
	ext    map[string]uint8
	mixed  bool
	ssrc   uint32

	// Owned by the writer.
	line     timeline
	numbers  continuity
	stream   *engine.StreamState // that choice is for
	choice   choice
	fits     bool
	vp8      bool         // stream is
	needKey  bool         // video waits for a key frame
	sent     []sentPacket // history, by number; made when the first packet is sent
	packets  uint32
	octets   uint32
	reported time.Time
	header   rtp.Header // what SRTP reads of a packet
	level    [1]byte
	depends  [255]byte // a dependency descriptor that is being written
}

// sentPacket is a packet of the history. It is sent again exactly as it was: the same number must never encrypt another content.
type sentPacket struct {
	*packet // nil: empty
	at      time.Duration
	time    uint32
	seq     uint16
	choice  choice
	numbers renumbering
	resends uint8
}

func newHistory(kind wire.Kind) []sentPacket {
	if kind == wire.KindVideo {
		return make([]sentPacket, videoHistory)
	}
	return make([]sentPacket, audioHistory)
}

func newViewerTrack(kind wire.Kind, s *section, mixed bool, seq uint16, start, ssrc uint32) *viewerTrack {
	return &viewerTrack{
		kind: kind, codecs: s.codecs, ext: s.ext, mixed: mixed, ssrc: ssrc, line: newTimeline(s.codecs[0].clockRate, seq, start),
	}
}

// ready reports whether the packet may be sent: in a codec of the viewer, new, and decodable.
func (t *viewerTrack) ready(p *packet) bool {
	if p.stream != t.stream {
		t.stream = p.stream
		t.choice, t.fits = choose(t.codecs, p.stream)
		t.vp8 = strings.EqualFold(p.stream.Codec, codecVP8)
	}
	h := &p.header
	src := source{stream: h.Stream, incarnation: h.Incarnation}
	keyStart := h.KeyFrame && h.FrameStart
	if !t.fits || !t.line.fresh(src, h.Number, p.backlog && keyStart) {
		return false
	}
	if t.kind != wire.KindVideo {
		return true
	}
	if !t.line.started || src != t.line.source || !p.backlog && h.Number-t.line.number > maxJump {
		t.needKey = true
	}
	if keyStart {
		t.needKey = false
	}
	return !t.needKey
}

// send puts the packet, whose place it finds, into the batch. since is the time since the session began.
func (t *viewerTrack) send(p *packet, since time.Duration, out *outlet) (placed, bool) {
	payload, ok := t.choice.of(p)
	if !ok {
		return placed{}, false
	}
	h := &p.header
	at := t.line.place(since, source{stream: h.Stream, incarnation: h.Incarnation}, h.Number, h.Timestamp, p.backlog, p.liveTime)
	if t.sent == nil {
		t.sent = newHistory(t.kind)
	}
	s := &t.sent[int(at.seq)&(len(t.sent)-1)]
	*s = sentPacket{packet: p, at: since, time: at.time, seq: at.seq, choice: t.choice}
	if t.kind == wire.KindVideo {
		s.numbers = t.numbers.next(at.cut, t.vp8, payload, dependencyOf(h))
	}
	t.packets++
	t.octets += uint32(len(payload))
	t.write(s, payload, out)
	return at, true
}

// of returns what of the packet's payload is sent.
func (c choice) of(p *packet) ([]byte, bool) {
	if c.unwrap {
		return primaryBlock(p.payload)
	}
	return p.payload, true
}

// extensions returns the header extensions that survive a room: audio level, video orientation, dependency descriptor.
func (t *viewerTrack) extensions(h *wire.Header, numbers *renumbering) (list [2]extension) {
	if t.kind == wire.KindAudio {
		if id := t.ext[uriLevel]; id != 0 {
			if level, ok := levelExtension(h); ok {
				t.level[0] = level
				list[0] = extension{id, t.level[:]}
			}
		}
		return list
	}
	if len(h.Ext) > 0 {
		list[0] = extension{t.ext[uriOrientation], h.Extension(wire.ExtOrientation)}
		if d := dependencyOf(h); len(d) <= len(t.depends) {
			list[1] = extension{t.ext[uriDependency], t.depends[:copy(t.depends[:], d)]}
			numbers.dependency(list[1].data)
		}
	}
	return list
}

// resend sends packets of the history again and returns how many.
func (t *viewerTrack) resend(missing []uint16, since time.Duration, out *outlet) int {
	if t.sent == nil {
		return 0
	}
	n := 0
	for _, seq := range missing {
		s := &t.sent[int(seq)&(len(t.sent)-1)]
		if s.packet == nil || s.seq != seq || s.resends >= maxResends || since-s.at > historyAge {
			continue
		}
		if payload, ok := s.choice.of(s.packet); ok {
			s.resends++
			n++
			t.write(s, payload, out)
		}
	}
	return n
}

// write encrypts the packet into the batch.
func (t *viewerTrack) write(s *sentPacket, payload []byte, out *outlet) {
	space := out.batch.Space(rtpHeaderSize + maxExtensions + len(payload) + maxSRTP)
	h := &s.packet.header
	b := appendHeader(space, h.Marker, s.choice.pt, s.seq, s.time, t.ssrc, t.mixed, t.extensions(h, &s.numbers))
	b = append(b, payload...)
	s.numbers.payload(b[len(b)-len(payload):])
	b, err := out.srtp.EncryptRTP(space, b, &t.header)
	if err != nil {
		out.failed++
		return
	}
	out.batch.Add(out.path.Remote, len(b))
	out.packets++
}

// outlet is where a viewer's packets go.
type outlet struct {
	batch *udp.Batch
	path  *checks.Path
	srtp  *srtp.Context
	// RTP packets that went into the batch, and that could not be encrypted.
	packets, failed uint64
}
