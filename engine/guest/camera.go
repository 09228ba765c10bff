package guest

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/interceptor/pkg/twcc"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/wire"
)

const (
	// cameraSlot is the slot of a participant's own video.
	cameraSlot = "camera"
	// cameraSilence is how long nothing need come of a camera until its slot ends.
	cameraSilence = 5 * time.Second
	// cameraRetry is how long it takes until a slot that was refused, or has ended, is asked for again.
	cameraRetry = 5 * time.Second
	// cameraAgain is how long a camera that was turned off stays off for the others at least: each time costs the whole room an announce.
	cameraAgain = time.Second
	// maxSources bounds the SSRCs that a participant's video may have during a call.
	maxSources = 32
	// arrivalsEvery is how often he is told when his packets came.
	arrivalsEvery = 50 * time.Millisecond
	// maxArrivals bounds the messages about that which wait for the writer.
	maxArrivals = 16
)

// camera is the video that a participant sends: while packets come it is a slot of the room, as they are. What it fails at he is told, and
// the call goes on.
type camera struct {
	// Constant.
	caller  *caller
	section *section
	nack    bool
	offered []uint32          // SSRCs, where he told
	repairs map[uint32]uint32 // those of retransmissions, to what they repair, where he told
	wake    chan struct{}     // capacity 1: there is something for run to do

	// Atomic.
	pub    atomic.Pointer[engine.Publication]
	cameAt atomic.Int64 // Unix nanoseconds of the last packet
	off    atomic.Bool  // he says that he has turned it off

	encodings []*encoding // constant; the first is the best where he keeps to the order that is usual

	mu       sync.Mutex // guards the following field
	arrivals []rtcp.Packet

	// Owned by the socket's goroutine.
	sources  int // SSRCs that were taken so far
	header   rtp.Header
	packet   engine.MediaPacket
	recorder *twcc.Recorder
	toldAt   time.Time // of arrivals
	clock    sourceClock
}

// encoding is one of the RTP streams of a camera.
type encoding struct {
	label     string // constant
	rid       string // constant; "" where there is only one
	reception reception
	ssrc      atomic.Uint32 // 0 while nothing has come
	key       atomic.Bool   // a key frame is wanted

	// Owned by the socket's goroutine.
	track  sourceTrack
	at     time.Time // of the last packet
	repair uint32    // SSRC of its retransmissions; 0 while none has come
}

// newCamera returns the part of a call that takes his video.
func newCamera(c *caller, s *section) *camera {
	v := &camera{caller: c, section: s, offered: s.announced(), repairs: s.repairs(), wake: make(chan struct{}, 1)}
	v.nack = slices.Contains(s.codecs[0].feedback, feedbackNACK)
	if s.ext[uriTransportCC] != 0 {
		v.recorder = twcc.NewRecorder(c.track.ssrc)
	}
	rids := s.encodings
	if len(rids) == 0 {
		rids = []string{""} // there is one, and needs no name
	}
	for i, rid := range rids {
		label := kindVideo
		if i > 0 {
			label += strconv.Itoa(i + 1)
		}
		v.encodings = append(v.encodings, &encoding{
			label: label, rid: rid, track: sourceTrack{label: label, codec: s.codecs[0], ext: s.ext}, reception: reception{video: true},
		})
	}
	return v
}

// owns reports whether a payload type is that of the video, or of its retransmissions.
func (v *camera) owns(pt uint8) bool { return pt == v.section.codecs[0].pt || v.resent(pt) }

// resent reports whether a payload type is that of retransmissions (RFC 4588).
func (v *camera) resent(pt uint8) bool {
	rtx := v.section.codecs[0].rtx
	return rtx != 0 && pt == rtx
}

// wanted reports whether packets of an SSRC are of use, on a socket's goroutine.
func (v *camera) wanted(pt uint8, ssrc uint32) bool {
	free := false
	for _, e := range v.encodings {
		if v.resent(pt) {
			if e.repair == ssrc {
				return true
			}
			free = true
			continue
		}
		if e.track.ssrc == ssrc {
			return true
		}
		free = free || e.track.ssrc == 0 || time.Since(e.at) >= otherAfter
	}
	return free && v.sources < maxSources && (len(v.offered) == 0 || slices.Contains(v.offered, ssrc))
}

// media takes an RTP packet, on a socket's goroutine.
func (v *camera) media(b []byte, now time.Time) {
	ssrc := binary.BigEndian.Uint32(b[8:])
	count := &v.caller.session.service.count
	n, err := v.header.Unmarshal(b)
	if err != nil {
		count.refused.Add(1)
		return
	}
	v.arrived(ssrc, now)
	if v.resent(v.header.PayloadType) {
		v.repaired(b, n, ssrc)
		return
	}
	e := v.encodingOf(ssrc, now)
	if e == nil {
		count.refused.Add(1)
		return
	}
	e.at = now
	ok := e.track.parse(b, &v.header, &v.packet)
	missing := e.reception.note(ssrc, e.track.number.extend(v.header.SequenceNumber), v.header.Timestamp, now)
	if missing && v.nack {
		v.caller.writer.enqueue(v.caller, true)
	}
	if !ok || v.off.Load() {
		return // padding, mostly
	}
	v.cameAt.Store(now.UnixNano())
	v.write(e)
}

// write gives the room what was read.
func (v *camera) write(e *encoding) {
	count := &v.caller.session.service.count
	pub := v.pub.Load()
	if pub == nil {
		v.rouse()
		return
	}
	if (*pub).Write(e.label, &v.packet) != nil {
		count.refused.Add(1)
		return
	}
	count.in.Add(1)
}

// repaired takes a packet that was sent again (RFC 4588 section 4): the number that it had stands before its payload. Those that a browser
// sends to fill the line, with nothing in them or what has come already, are of no use. Its header has n octets.
func (v *camera) repaired(b []byte, n int, ssrc uint32) {
	e := v.repairOf(ssrc)
	if e == nil || e.track.ssrc == 0 || !e.track.number.started {
		return
	}
	if v.header.Padding && len(b) > n {
		if pad := int(b[len(b)-1]); pad <= len(b)-n {
			b = b[:len(b)-pad]
		}
	}
	if len(b) <= n+2 || v.off.Load() {
		return
	}
	number := e.track.number.extend(binary.BigEndian.Uint16(b[n:]))
	if !e.reception.repaired(number) {
		return
	}
	v.packet = engine.MediaPacket{
		Sequence: number, Timestamp: v.header.Timestamp, Marker: v.header.Marker, Payload: b[n+2:], Level: wire.LevelUnknown,
		Orientation: e.track.extension(&v.header, uriOrientation), Dependency: e.track.extension(&v.header, uriDependency),
	}
	v.write(e)
}

// repairOf returns the encoding whose retransmissions have an SSRC, or nil.
func (v *camera) repairOf(ssrc uint32) *encoding {
	rid := ""
	if id := v.section.ext[uriRepairedRID]; id != 0 {
		rid = string(v.header.GetExtension(id))
	}
	for _, e := range v.encodings {
		switch {
		case e.repair == ssrc:
			return e
		case v.sources >= maxSources:
		case rid != "" && e.rid == rid, rid == "" && len(v.encodings) == 1, v.repairs[ssrc] != 0 && v.repairs[ssrc] == e.track.ssrc:
			v.sources++
			e.repair = ssrc
			return e
		}
	}
	return nil
}

// encodingOf returns the encoding that a packet, whose header was read, belongs to; nil where that cannot be told.
func (v *camera) encodingOf(ssrc uint32, now time.Time) *encoding {
	for _, e := range v.encodings {
		if e.track.ssrc == ssrc {
			return e
		}
	}
	rid := ""
	if id := v.section.ext[uriRID]; id != 0 {
		rid = string(v.header.GetExtension(id))
	}
	for _, e := range v.encodings {
		if e.rid != rid && len(v.section.encodings) > 0 || e.track.ssrc != 0 && now.Sub(e.at) < otherAfter {
			continue
		}
		v.sources++
		e.track.ssrc = ssrc
		e.track.number.leap(v.header.SequenceNumber)
		e.ssrc.Store(ssrc)
		return e
	}
	return nil
}

// arrived notes when a packet came, for the guest's bandwidth estimator, and tells him now and then.
func (v *camera) arrived(ssrc uint32, now time.Time) {
	if v.recorder == nil {
		return
	}
	number := v.header.GetExtension(v.section.ext[uriTransportCC])
	if len(number) < 2 {
		return
	}
	v.recorder.Record(ssrc, binary.BigEndian.Uint16(number), now.UnixMicro())
	if now.Sub(v.toldAt) < arrivalsEvery {
		return
	}
	v.toldAt = now
	v.mu.Lock()
	v.arrivals = append(v.arrivals, v.recorder.BuildFeedbackPacket()...)
	v.arrivals = v.arrivals[max(0, len(v.arrivals)-maxArrivals):]
	v.mu.Unlock()
	v.caller.writer.enqueue(v.caller, true)
}

// clocked takes a sender report, on a socket's goroutine.
func (v *camera) clocked(ssrc uint32, ntp uint64, timestamp uint32, now time.Time) {
	for _, e := range v.encodings {
		if e.track.ssrc != ssrc {
			continue
		}
		e.reception.clocked(ssrc, ntp, now)
		wall := v.clock.translate(ntp, now)
		if pub := v.pub.Load(); pub != nil {
			(*pub).Clock(e.label, timestamp, wall)
		}
	}
}

// report returns what came of the video.
func (v *camera) report(now time.Time) (blocks []rtcp.ReceptionReport) {
	for _, e := range v.encodings {
		if r, ok := e.reception.report(now); ok {
			blocks = append(blocks, r)
		}
	}
	return blocks
}

// wishes returns what is to be told to the guest about his video now: what is missing, key frames that are wanted, and when packets came.
func (v *camera) wishes(now time.Time) []rtcp.Packet {
	v.mu.Lock()
	packets := v.arrivals
	v.arrivals = nil
	v.mu.Unlock()
	own := v.caller.track.ssrc
	for _, e := range v.encodings {
		ssrc := e.ssrc.Load()
		if ssrc == 0 {
			continue
		}
		if v.nack {
			if pairs := e.reception.wanted(now); len(pairs) > 0 {
				packets = append(packets, &rtcp.TransportLayerNack{SenderSSRC: own, MediaSSRC: ssrc, Nacks: pairs})
			}
		}
		if e.key.Swap(false) {
			packets = append(packets, &rtcp.PictureLossIndication{SenderSSRC: own, MediaSSRC: ssrc})
		}
	}
	return packets
}

func (v *camera) rouse() {
	select {
	case v.wake <- struct{}{}:
	default:
	}
}

// turn takes the guest's word that his camera is on or off: nobody need wait for silence.
func (v *camera) turn(on bool) {
	v.off.Store(!on)
	v.rouse()
}

// run keeps the slot open while pictures come, until ctx ends.
func (v *camera) run(ctx context.Context) {
	look := time.NewTicker(time.Second)
	defer look.Stop()
	var pub engine.Publication
	var done <-chan struct{}
	var retry time.Time
	end := func() {
		v.pub.Store(nil)
		if pub != nil {
			if err := pub.End(); err != nil {
				v.caller.session.log.Debug("end camera", "error", err)
			}
		}
		pub, done = nil, nil
	}
	defer end()
	for {
		select {
		case <-ctx.Done():
			return
		case <-v.wake:
		case <-look.C:
		case <-done:
			retry = time.Now().Add(cameraRetry)
			v.failed(pub.Err())
			end()
		}
		on := v.caller.inside.Load() && !v.off.Load() && time.Since(time.Unix(0, v.cameAt.Load())) < cameraSilence
		switch {
		case pub != nil && !on:
			retry = time.Now().Add(cameraAgain)
			end()
		case pub == nil && on && !time.Now().Before(retry):
			p, err := v.caller.room.Publish(ctx, v.slot())
			if err != nil {
				retry = time.Now().Add(cameraRetry)
				v.failed(err)
				break
			}
			pub, done = p, p.Done()
			v.pub.Store(&p)
			for _, e := range v.encodings {
				v.wantKeyFrame(e) // what came so far is gone
			}
		}
	}
}

// failed tells the guest why nobody sees him.
func (v *camera) failed(err error) {
	if user, ok := errors.AsType[*engine.UserError](err); ok {
		v.caller.notice(user.Code, user.Message)
	} else if err != nil {
		v.caller.session.log.Debug("camera", "error", err)
	}
}

// slot describes the video.
func (v *camera) slot() engine.SlotConfig {
	c := v.section.codecs[0]
	config := engine.SlotConfig{Slot: cameraSlot, Participant: v.caller.config.Participant, Name: v.caller.config.Name}
	for _, e := range v.encodings {
		config.Streams = append(config.Streams, engine.StreamConfig{
			Label: e.label, Kind: wire.KindVideo, Codec: c.name, ClockRate: c.clockRate, Fmtp: c.fmtp, KeyFrame: func() { v.wantKeyFrame(e) },
		})
	}
	return config
}

// wantKeyFrame has the guest asked for a key frame.
func (v *camera) wantKeyFrame(e *encoding) {
	e.key.Store(true)
	v.caller.writer.enqueue(v.caller, true)
}
