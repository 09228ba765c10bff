package guest

import (
	"context"
	"crypto/sha256"
	"math/rand/v2"
	"sync"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/wire"
)

// callQueue is how many packets of a conference wait for a participant's connection at most: 320 ms. Of more the oldest are dropped, which
// CallDropped counts: whoever is that much behind wants to hear what is said now.
const callQueue = 16

// caller is the part of a session that takes part in a conference: it hands what the guest says to the room, and sends him what he is to
// hear. What is heard comes on a goroutine that serves all participants, and waits in a queue for the session's.
type caller struct {
	// Constant.
	session *session
	room    engine.Media
	config  engine.SeatConfig
	codec   codec
	wake    chan struct{} // capacity 1: there is something to send
	number  int64         // added to the numbers of what is heard
	clock   uint32        // and to its timestamps
	pc      *webrtc.PeerConnection
	track   *webrtc.TrackLocalStaticRTP
	sender  *webrtc.RTPSender

	mu      sync.Mutex  // guards all following fields
	call    engine.Call // set by open, before any packet can arrive
	remote  uint32      // SSRC of what he sends, 0 while none has come
	queue   []*engine.MediaPacket
	channel *webrtc.DataChannel // open; nil while there is none
	state   *engine.CallState   // that he has not been told of; nil: he has
}

// newCaller returns the part of a session that has a seat for each guest, also where several have the same token.
func newCaller(s *session, m engine.Media, o engine.GuestOptions) *caller {
	c := &caller{
		session: s, room: m, codec: s.offer.accepted(kindAudio).codecs[0], wake: make(chan struct{}, 1),
		number: int64(rand.Uint32() & 0x7FFF), clock: rand.Uint32(), // see newWatcher
	}
	c.config = engine.SeatConfig{
		Participant: callerID(o.Participant, s.id), Name: o.Name, Hear: c.hear, Tell: c.tell,
		SendsStereo: parameter(c.codec.fmtp, "sprop-stereo", "0") == "1", HearsStereo: parameter(c.codec.fmtp, "stereo", "0") == "1",
	}
	return c
}

// callerID names a participant: one who comes by a token that others have as well is somebody else than these.
func callerID(subject, session string) string {
	sum := sha256.Sum256([]byte("castd caller v1\x00" + subject + "\x00" + session))
	return wire.ParticipantID(sum[:])
}

func (c *caller) carrier() (carrier, error) {
	carrier, err := c.session.service.newPionCarrier(c.session, c.heard)
	if err != nil {
		return nil, err
	}
	c.pc = carrier.pc
	capability := webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus, ClockRate: c.codec.clockRate, Channels: c.codec.channels, SDPFmtpLine: c.codec.fmtp}
	if c.track, err = webrtc.NewTrackLocalStaticRTP(capability, "mix", "castd"); err == nil {
		c.sender, err = c.pc.AddTrack(c.track)
	}
	if err != nil {
		_ = carrier.close()
		return nil, err
	}
	c.pc.OnDataChannel(c.opened)
	return carrier, nil
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
	c.session.spawn(c.readReports)
	return nil
}

func (c *caller) close() {
	c.mu.Lock()
	call := c.call
	c.mu.Unlock()
	if call != nil {
		_ = call.Close()
	}
}

// sources returns the SSRC of what he sends, once it is known.
func (c *caller) sources() map[string]uint32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.remote == 0 {
		return nil
	}
	return map[string]uint32{kindAudio: c.remote}
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
	c.rouse()
}

// tell notes the newest state for the data channel.
func (c *caller) tell(s *engine.CallState) {
	c.mu.Lock()
	c.state = s
	c.mu.Unlock()
	c.rouse()
}

func (c *caller) rouse() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// run sends until ctx ends.
func (c *caller) run(ctx context.Context) {
	call := c.seat()
	var batch []*engine.MediaPacket
	for {
		select {
		case <-ctx.Done():
			return
		case <-call.Done():
			c.session.end(call.Err())
			return
		case <-c.wake:
		}
		c.mu.Lock()
		batch = append(batch[:0], c.queue...)
		clear(c.queue)
		c.queue = c.queue[:0]
		c.mu.Unlock()
		for _, p := range batch {
			c.send(p)
		}
		clear(batch)
		c.sendState()
	}
}

// send sends a packet of what is heard.
func (c *caller) send(p *engine.MediaPacket) {
	err := c.track.WriteRTP(&rtp.Packet{
		Header:  rtp.Header{Version: 2, Marker: p.Marker, SequenceNumber: uint16(c.number + p.Sequence), Timestamp: c.clock + p.Timestamp},
		Payload: p.Payload,
	})
	if err != nil {
		c.session.service.count.failed.Add(1)
		return
	}
	c.session.service.count.out.Add(1)
}

// readReports passes on what the guest says of losses. Reading drives pion's answers to NACKs as well.
func (c *caller) readReports() {
	call := c.seat()
	ssrc := uint32(c.sender.GetParameters().Encodings[0].SSRC)
	for {
		packets, _, err := c.sender.ReadRTCP()
		if err != nil {
			return
		}
		for _, p := range packets {
			var reports []rtcp.ReceptionReport
			switch p := p.(type) {
			case *rtcp.ReceiverReport:
				reports = p.Reports
			case *rtcp.SenderReport:
				reports = p.Reports
			}
			for _, r := range reports {
				if r.SSRC == ssrc {
					call.Loss(float64(r.FractionLost) * 100 / 256)
				}
			}
		}
	}
}
