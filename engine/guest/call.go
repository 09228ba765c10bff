package guest

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/datachannel"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/wire"
)

const (
	// callQueue is how many packets of a conference wait for a participant's connection at most: 320 ms. Of more the oldest are dropped, which
	// CallDropped counts: whoever is that much behind wants to hear what is said now.
	callQueue = 16
	// callHistory is how many packets can be sent again to a participant, a power of two: 1.28 s.
	callHistory = 64
)

// caller is the part of a session that takes part in a conference: it hands what the guest says to the room, and sends him what he is to
// hear. What is heard comes on a goroutine that serves all participants, and waits in a queue for the writer. What he says comes on a
// socket's goroutine.
type caller struct {
	// Constant.
	session *session
	room    engine.Media
	config  engine.SeatConfig
	writer  *writer
	link    *link    // set by carrier
	opus    uint8    // payload type of what he is sent
	red     uint8    // and of that with earlier packets beside it (RFC 2198); 0: he takes none
	nack    bool     // he sends again what he is asked for
	offered []uint32 // SSRCs of what he says, where he told
	camera  *camera  // nil where he has none
	screens []*screen
	number  int64  // added to the numbers of what is heard
	clock   uint32 // and to its timestamps
	start   time.Time
	wake    chan struct{} // capacity 1: there is a state to tell

	waiting   atomic.Bool // in the writer's list
	inside    atomic.Bool // he has been let in, as far as he was told
	reception reception   // of what he says
	moderates atomic.Bool // what he wants as a moderator is under way

	mu      sync.Mutex  // guards the following fields
	call    engine.Call // set by open, before any packet can arrive
	queue   []*engine.MediaPacket
	missing []uint16 // numbers that he asks for
	loss    lossGauge
	channel *datachannel.DataChannel // open; nil while there is none
	state   *engine.CallState        // newest
	stale   bool                     // he has not been told of it, or of who is where
	untold  []any                    // news that he has not been told
	casting casting

	// Owned by the socket's goroutine.
	said   sourceTrack
	saidAt time.Time
	header rtp.Header
	packet engine.MediaPacket

	turn sync.Mutex // held by the writer while it serves him; guards the following fields
	over bool

	// Owned by the writer.
	track    *viewerTrack
	heard    [callHistory]packet // that the track's history points to
	batch    []*engine.MediaPacket
	asked    []uint16
	earlier  [redDistance]*engine.MediaPacket // the last ones that were sent, the last first
	newest   int64                            // the highest number that was sent
	reported time.Time
}

var _ recipient = (*caller)(nil)

// newCaller returns the part of a session that has a seat for each guest, also where several have the same token.
func newCaller(s *session, m engine.Media, o engine.GuestOptions) *caller {
	section := s.offer.accepted(kindAudio)
	c := &caller{
		session: s, room: m, writer: s.service.enlist(), wake: make(chan struct{}, 1), start: time.Now(),
		number: int64(rand.Uint32() & 0x7FFF), clock: rand.Uint32(), // see newWatcher
		said: sourceTrack{label: kindAudio, codec: section.codecs[0], ext: section.ext}, offered: section.announced(),
	}
	c.track = newViewerTrack(wire.KindAudio, section, s.offer.mixed, 0, 0, rand.Uint32()|1)
	c.track.sent = make([]sentPacket, callHistory)
	var fmtp string
	for _, codec := range section.codecs {
		if codec.name == codecRED {
			c.red = codec.pt
		} else {
			c.opus, fmtp = codec.pt, codec.fmtp
		}
		c.nack = c.nack || slices.Contains(codec.feedback, feedbackNACK)
	}
	c.config = engine.SeatConfig{
		Participant: engine.GuestID(o.Participant, cmp.Or(o.Seat, s.id)), Name: o.Name, Hear: c.hear, Tell: c.tell, News: c.news, Self: o.Self, RED: c.said.codec.name == codecRED,
		SendsStereo: parameter(fmtp, "sprop-stereo", "0") == "1", HearsStereo: parameter(fmtp, "stereo", "0") == "1",
	}
	if section := s.offer.camera(); section != nil {
		c.camera = newCamera(c, section)
	}
	c.screens = c.newScreens(m)
	return c
}

func (c *caller) carrier() (carrier, error) {
	events := linkEvents{reports: c.feedback, heard: c.reports, wanted: c.wanted, media: c.media}
	if c.session.offer.accepted(kindData) != nil {
		events.channel = c.opened
	}
	l, err := c.session.service.newLink(c.session, events)
	if err != nil {
		return nil, err
	}
	c.link = l
	for _, v := range c.screens {
		v.link = l
	}
	return l, nil
}

// open takes the seat.
func (c *caller) open(ctx context.Context) error {
	room, ok := c.room.(engine.Caller)
	if !ok {
		return engine.NewUserError(engine.CodeWrongMode, "There are no calls in this room.")
	}
	call, err := room.Call(ctx, c.config)
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.call = call
	c.mu.Unlock()
	c.session.spawn(func() { c.link.run(c.session.ctx) })
	return nil
}

// close gives the seat back, and makes sure that the writer sends nothing more.
func (c *caller) close() {
	c.turn.Lock()
	c.over = true
	c.turn.Unlock()
	for _, v := range c.screens {
		v.stop()
	}
	c.session.service.dismiss(c.writer)
	if len(c.screens) > 0 {
		c.session.service.leave(c.screens[0].hall)
	}
	if call := c.seat(); call != nil {
		_ = call.Close()
	}
}

// sources returns the SSRCs of what he is sent.
func (c *caller) sources() map[string]uint32 {
	ssrcs := map[string]uint32{c.session.offer.accepted(kindAudio).mid: c.track.ssrc}
	for _, v := range c.screens {
		ssrcs[v.mid] = v.video().ssrc
	}
	return ssrcs
}

// seat returns the call, which there is once open has returned.
func (c *caller) seat() engine.Call {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.call
}

// hear queues what he is to hear.
func (c *caller) hear(p *engine.MediaPacket) {
	c.mu.Lock()
	if len(c.queue) >= callQueue {
		c.queue = append(c.queue[:0], c.queue[1:]...)
		c.session.service.count.callDropped.Add(1)
	}
	c.queue = append(c.queue, p)
	c.mu.Unlock()
	c.writer.enqueue(c, true)
}

// tell notes the newest state for the data channel.
func (c *caller) tell(s *engine.CallState) {
	c.mu.Lock()
	c.state, c.stale = s, true
	c.mu.Unlock()
	c.inside.Store(s.Waiting == "")
	if c.camera != nil {
		c.camera.rouse()
	}
	c.rouse()
}

func (c *caller) rouse() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// run tells the state, and says who is where, until ctx ends; the writer does the rest.
func (c *caller) run(ctx context.Context) {
	call := c.seat()
	if c.camera != nil {
		c.session.spawn(func() { c.camera.run(ctx) })
	}
	stop, due, err := c.watch()
	if err != nil {
		c.session.end(err)
		return
	}
	defer stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-call.Done():
			if user, ok := errors.AsType[*engine.UserError](call.Err()); ok {
				c.notice(user.Code, user.Message)
				c.sendNews()
			}
			c.session.end(call.Err())
			return
		case <-c.wake:
			c.arrange(time.Now())
			c.sendState()
			c.sendNews()
		case now := <-due:
			for _, v := range c.screens {
				v.seek(false, now)
			}
			c.arrange(now)
			c.sendState()
		}
	}
}

// waits implements recipient.
func (c *caller) waits() *atomic.Bool { return &c.waiting }

// serve implements recipient.
func (c *caller) serve(w *writer, now time.Time) {
	c.turn.Lock()
	defer c.turn.Unlock()
	if c.over {
		return
	}
	out, ok := w.outlet(c.link)
	if !ok {
		return
	}
	c.mu.Lock()
	c.batch, c.queue = c.queue, c.batch[:0]
	c.asked, c.missing = c.missing, c.asked[:0]
	redundant := c.red != 0 && c.loss.high
	c.mu.Unlock()
	if len(c.asked) > 0 {
		n := c.track.resend(c.asked, now.Sub(c.start), &out)
		c.session.service.count.retransmitted.Add(uint64(n))
	}
	for i, p := range c.batch {
		c.send(p, redundant, now, &out)
		c.batch[i] = nil
	}
	if now.Sub(c.reported) >= reportInterval {
		c.reported = now
		c.report(now, &out)
	}
	if c.camera != nil {
		if wishes := c.camera.wishes(now); len(wishes) > 0 {
			c.sendRTCP(&out, wishes...)
		}
	}
	if c.nack {
		if pairs := c.reception.wanted(now); len(pairs) > 0 {
			c.sendRTCP(&out, &rtcp.TransportLayerNack{SenderSSRC: c.track.ssrc, MediaSSRC: c.reception.source(), Nacks: pairs})
		}
	}
	w.count(&out)
}

// send sends a packet of what is heard. It is kept for being sent again.
func (c *caller) send(p *engine.MediaPacket, redundant bool, now time.Time, out *outlet) {
	t := c.track
	seq := uint16(c.number + p.Sequence)
	s := &t.sent[seq%callHistory]
	if p.Sequence <= c.newest && (c.newest-p.Sequence >= callHistory || s.packet != nil && s.seq == seq) {
		return // the same number must never encrypt another content
	}
	kept := &c.heard[seq%callHistory]
	*kept = packet{header: wire.Header{Kind: wire.KindAudio, Marker: p.Marker, Level: p.Level, Voice: p.Voice}, payload: p.Payload}
	*s = sentPacket{packet: kept, at: now.Sub(c.start), time: c.clock + p.Timestamp, seq: seq, choice: choice{pt: c.opus}}
	if redundant {
		kept.payload, s.choice.pt = c.withEarlier(p), c.red
	}
	t.packets++
	t.octets += uint32(len(kept.payload))
	t.write(s, kept.payload, out)
	copy(c.earlier[1:], c.earlier[:])
	c.earlier[0], c.newest = p, max(c.newest, p.Sequence)
}

// report tells what was sent to him, and how much came of what he said (RFC 3550 section 6.4).
func (c *caller) report(now time.Time, out *outlet) {
	var blocks []rtcp.ReceptionReport
	if r, ok := c.reception.report(now); ok {
		blocks = append(blocks, r)
	}
	if c.camera != nil {
		blocks = append(blocks, c.camera.report(now)...)
	}
	name := &rtcp.SourceDescription{Chunks: []rtcp.SourceDescriptionChunk{{
		Source: c.track.ssrc, Items: []rtcp.SourceDescriptionItem{{Type: rtcp.SDESCNAME, Text: "castd"}},
	}}}
	if c.track.packets == 0 {
		c.sendRTCP(out, &rtcp.ReceiverReport{SSRC: c.track.ssrc, Reports: blocks}, name)
		return
	}
	newest := &c.track.sent[uint16(c.number+c.newest)%callHistory]
	elapsed := int64(now.Sub(c.start)-newest.at) * c.track.line.rate / int64(time.Second)
	c.sendRTCP(out, &rtcp.SenderReport{
		SSRC: c.track.ssrc, NTPTime: unixToNTP(now.UnixMicro()), RTPTime: newest.time + uint32(elapsed), PacketCount: c.track.packets,
		OctetCount: c.track.octets, Reports: blocks,
	}, name)
}

func (c *caller) sendRTCP(out *outlet, packets ...rtcp.Packet) {
	plain, err := rtcp.Marshal(packets)
	if err == nil {
		plain, err = out.srtp.EncryptRTCP(nil, plain, nil)
	}
	if err != nil {
		c.session.log.Debug("send report", "error", err)
		return
	}
	space := out.batch.Space(len(plain))
	out.batch.Add(out.path.Remote, len(append(space, plain...)))
}
