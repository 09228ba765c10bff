package guest

import (
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/wire"
)

// feedbackInterval is how often a publisher is told what the network beyond this peer bears.
const feedbackInterval = time.Second

// publisher is the part of a session that feeds a slot.
type publisher struct {
	// Constant.
	session *session
	room    engine.Media
	config  engine.SlotConfig
	keys    chan struct{} // a key frame is wanted
	pc      *webrtc.PeerConnection

	mu     sync.Mutex         // guards all following fields
	pub    engine.Publication // set by open, before any packet can arrive
	tracks map[string]*sourceTrack
	clock  sourceClock
	// keyWaits is set when a key frame was wanted before there was a source to ask.
	keyWaits bool
}

// sourceTrack is one RTP stream of a guest. Its reading goroutine owns it but for the constants.
type sourceTrack struct {
	label  string // constant
	ssrc   uint32 // constant while the stream is read
	codec  codec  // constant
	ext    map[string]uint8
	number extender
	red    []byte // where Opus gets a RED header
}

func newPublisher(s *session, m engine.Media, o engine.GuestOptions) *publisher {
	p := &publisher{
		session: s, room: m, keys: make(chan struct{}, 1), tracks: map[string]*sourceTrack{},
		config: engine.SlotConfig{Slot: o.Slot, Participant: o.Participant, Name: o.Name},
	}
	for _, kind := range []string{kindAudio, kindVideo} {
		section := s.offer.accepted(kind)
		if section == nil {
			continue
		}
		c := section.codecs[0]
		stream := engine.StreamConfig{
			Label: kind, Kind: wire.KindAudio, Codec: c.name, ClockRate: c.clockRate, Channels: uint32(c.channels), Fmtp: c.fmtp,
		}
		if kind == kindVideo {
			stream.Kind, stream.KeyFrame = wire.KindVideo, p.wantKeyFrame
		}
		p.config.Streams = append(p.config.Streams, stream)
	}
	return p
}

func (p *publisher) carrier() (carrier, error) {
	c, err := p.session.service.newPionCarrier(p.session, p.track)
	if err != nil {
		return nil, err
	}
	p.pc = c.pc
	return c, nil
}

// open opens the slot. What will come is known from the answer, which leaves the guest no choice.
func (p *publisher) open(ctx context.Context) error {
	pub, err := p.room.Publish(ctx, p.config)
	if err != nil {
		return err
	}
	p.mu.Lock()
	p.pub = pub
	p.mu.Unlock()
	return nil
}

func (p *publisher) close() {
	pub := p.publication()
	if pub == nil {
		return
	}
	end := pub.Close // the slot waits for who lost his connection
	if p.session.saidGoodbye() {
		end = pub.End
	}
	if err := end(); err != nil {
		p.session.log.Debug("close slot", "error", err)
	}
}

func (p *publisher) publication() engine.Publication {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pub
}

// wantKeyFrame asks for a key frame soon. It never blocks; wishes that are not served yet are one.
func (p *publisher) wantKeyFrame() {
	select {
	case p.keys <- struct{}{}:
	default:
	}
}

// run tells the source what is wanted of it.
func (p *publisher) run(ctx context.Context) {
	pub := p.publication()
	ticker := time.NewTicker(feedbackInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-pub.Done():
			p.session.end(pub.Err())
			return
		case <-p.keys:
			if video := p.keySource(); video != 0 {
				p.send(&rtcp.PictureLossIndication{MediaSSRC: video})
			}
		case <-ticker.C:
			if f := pub.Feedback(); f.Bitrate > 0 {
				p.send(&rtcp.ReceiverEstimatedMaximumBitrate{Bitrate: float32(f.Bitrate), SSRCs: slices.Sorted(maps.Values(p.sources()))})
			}
		}
	}
}

func (p *publisher) send(packet rtcp.Packet) {
	if err := p.pc.WriteRTCP([]rtcp.Packet{packet}); err != nil {
		p.session.log.Debug("send feedback", "error", err)
	}
}

// keySource returns the SSRC of the video; while there is none, 0, and the wish waits for it.
func (p *publisher) keySource() uint32 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if t := p.tracks[kindVideo]; t != nil {
		return t.ssrc
	}
	p.keyWaits = true
	return 0
}

// sources returns the SSRCs that have come, by label.
func (p *publisher) sources() map[string]uint32 {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := map[string]uint32{}
	for label, t := range p.tracks {
		all[label] = t.ssrc
	}
	return all
}

// track is called by pion when the first packet of a stream has come. Of several streams of a kind the first is taken.
func (p *publisher) track(remote *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) {
	label := remote.Kind().String()
	section := p.session.offer.accepted(label)
	if section == nil || section.rid != "" && remote.RID() != section.rid {
		return
	}
	t := &sourceTrack{label: label, ssrc: uint32(remote.SSRC()), codec: section.codecs[0], ext: section.ext}
	p.mu.Lock()
	if p.tracks[label] != nil {
		p.mu.Unlock()
		p.session.log.Debug("second stream of a kind ignored", "kind", label)
		return
	}
	p.tracks[label] = t
	if label == kindVideo && p.keyWaits {
		p.wantKeyFrame()
	}
	p.mu.Unlock()
	p.session.spawn(func() { p.readMedia(remote, t) })
	p.session.spawn(func() { p.readReports(remote, receiver, t) })
}

// readMedia feeds the slot until the connection ends.
func (p *publisher) readMedia(remote *webrtc.TrackRemote, t *sourceTrack) {
	pub := p.publication()
	p.session.readTrack(remote, t, func(m *engine.MediaPacket) error { return pub.Write(t.label, m) })
}

// readTrack gives each packet of a track to take until the connection ends, and counts those that were taken and those that were not.
// Slices of a packet are valid during the call.
func (s *session) readTrack(remote *webrtc.TrackRemote, t *sourceTrack, take func(*engine.MediaPacket) error) {
	count := &s.service.count
	buf := make([]byte, receiveMTU)
	var header rtp.Header
	var packet engine.MediaPacket
	for {
		n, _, err := remote.Read(buf)
		if errors.Is(err, io.ErrShortBuffer) {
			count.refused.Add(1)
			continue
		}
		if err != nil {
			return
		}
		if !t.parse(buf[:n], &header, &packet) {
			continue
		}
		if err := take(&packet); err != nil {
			count.refused.Add(1)
			continue
		}
		count.in.Add(1)
	}
}

// parse reads an RTP packet into p, whose slices alias b and t. It is false for padding and for what was not agreed upon.
func (t *sourceTrack) parse(b []byte, h *rtp.Header, p *engine.MediaPacket) bool {
	n, err := h.Unmarshal(b)
	if err != nil {
		return false
	}
	payload := b[n:]
	if h.Padding {
		if len(payload) == 0 || int(payload[len(payload)-1]) > len(payload) {
			return false
		}
		payload = payload[:len(payload)-int(payload[len(payload)-1])]
	}
	sequence := t.number.extend(h.SequenceNumber)
	if len(payload) == 0 {
		return false
	}
	switch {
	case h.PayloadType == t.codec.pt:
	case t.codec.name == codecRED && h.PayloadType == t.codec.primary:
		// Browsers send a frame that has no room for redundancy as plain Opus; a stream has one codec.
		t.red = appendRED(t.red[:0], t.codec.primary, payload)
		payload = t.red
	default:
		return false
	}
	*p = engine.MediaPacket{
		Sequence: sequence, Timestamp: h.Timestamp, Marker: h.Marker, Payload: payload, Level: wire.LevelUnknown,
		Orientation: t.extension(h, uriOrientation), Dependency: t.extension(h, uriDependency),
	}
	if level := t.extension(h, uriLevel); len(level) > 0 {
		p.Level, p.Voice = level[0]&0x7F, level[0]&0x80 != 0
	}
	return true
}

func (t *sourceTrack) extension(h *rtp.Header, uri string) []byte {
	id := t.ext[uri]
	if id == 0 {
		return nil
	}
	return h.GetExtension(id)
}

// readReports tells the slot's clock from the source's sender reports. Reading them also drives pion's receiver reports.
func (p *publisher) readReports(remote *webrtc.TrackRemote, receiver *webrtc.RTPReceiver, t *sourceTrack) {
	pub := p.publication()
	buf := make([]byte, receiveMTU)
	for {
		var n int
		var err error
		if rid := remote.RID(); rid != "" {
			n, _, err = receiver.ReadSimulcast(buf, rid)
		} else {
			n, _, err = receiver.Read(buf)
		}
		if err != nil {
			return
		}
		packets, err := rtcp.Unmarshal(buf[:n])
		if err != nil {
			continue
		}
		for _, packet := range packets {
			if report, ok := packet.(*rtcp.SenderReport); ok && report.SSRC == t.ssrc {
				p.mu.Lock()
				wall := p.clock.translate(report.NTPTime, time.Now())
				p.mu.Unlock()
				pub.Clock(t.label, report.RTPTime, wall)
			}
		}
	}
}
