package guest

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"time"

	"github.com/pion/datachannel"
	"github.com/pion/rtcp"

	"github.com/castd/castd/engine"
)

// wanted reports whether packets of an SSRC are of his video, or what he says: one that he announced, or without that the first that comes.
// Where there are several, another counts once the one before is silent.
func (c *caller) wanted(pt uint8, ssrc uint32) bool {
	if c.camera != nil && c.camera.owns(pt) {
		return c.camera.wanted(pt, ssrc)
	}
	if ssrc == c.said.ssrc {
		return true
	}
	if len(c.offered) > 0 && !slices.Contains(c.offered, ssrc) || c.said.ssrc != 0 && (len(c.offered) == 0 || time.Since(c.saidAt) < otherAfter) {
		return false
	}
	return true
}

// otherAfter is how long a stream must have been silent before another one of the same guest is taken.
const otherAfter = time.Second

// media takes an RTP packet of what he says, or of his video.
func (c *caller) media(b []byte, now time.Time) {
	if c.camera != nil && c.camera.owns(b[1]&0x7F) {
		c.camera.media(b, now)
		return
	}
	count := &c.session.service.count
	ssrc := binary.BigEndian.Uint32(b[8:])
	if c.said.ssrc != ssrc {
		c.said.ssrc = ssrc
		c.said.number.leap(binary.BigEndian.Uint16(b[2:]))
	}
	if !c.said.parse(b, &c.header, &c.packet) {
		count.refused.Add(1)
		return
	}
	c.saidAt = now
	call := c.seat()
	if call == nil {
		return
	}
	call.Write(&c.packet)
	count.in.Add(1)
	if c.reception.note(ssrc, c.packet.Sequence, c.packet.Timestamp, now) && c.nack {
		c.writer.enqueue(c, true)
	}
}

// reports takes all of a guest's RTCP: how much of what he is sent is lost, and his clock.
func (c *caller) reports(b []byte, now time.Time) {
	some, worst := false, uint8(0)
	pictures, lostPictures := 0, 0
	receptions(b, func(ssrc uint32, lost uint8, _, _ uint32) {
		switch {
		case ssrc == c.track.ssrc:
			some, worst = true, max(worst, lost)
		case slices.ContainsFunc(c.screens, func(v *screen) bool { return v.video().ssrc == ssrc }):
			pictures++
			lostPictures += int(lost)
		}
	})
	if pictures > 0 {
		c.received(uint8(lostPictures/pictures), now)
	}
	if ssrc, ntp, timestamp, ok := senderClock(b); ok {
		c.reception.clocked(ssrc, ntp, now)
		if c.camera != nil {
			c.camera.clocked(ssrc, ntp, timestamp, now)
		}
	}
	if !some {
		return
	}
	percent := float64(worst) * 100 / 256
	c.mu.Lock()
	c.loss.note(percent)
	call := c.call
	c.mu.Unlock()
	if call != nil {
		call.Loss(percent)
	}
}

// senderClock reads the sender report that a compound RTCP packet begins with (RFC 3550 section 6.4.1).
func senderClock(b []byte) (ssrc uint32, ntp uint64, timestamp uint32, ok bool) {
	if len(b) < 28 || rtcp.PacketType(b[1]) != rtcp.TypeSenderReport {
		return 0, 0, 0, false
	}
	return binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint64(b[8:]), binary.BigEndian.Uint32(b[16:]), true
}

// feedback takes what he asks for.
func (c *caller) feedback(packets []rtcp.Packet) {
	for _, p := range packets {
		for _, v := range c.screens {
			if v.concerns(p) {
				v.reported([]rtcp.Packet{p})
			}
		}
	}
	some := false
	c.mu.Lock()
	for _, p := range packets {
		n, ok := p.(*rtcp.TransportLayerNack)
		if !ok || n.MediaSSRC != c.track.ssrc {
			continue
		}
		for _, pair := range n.Nacks {
			if len(c.missing) >= callHistory {
				c.session.service.count.feedbackDropped.Add(1)
				break
			}
			c.missing = append(c.missing, pair.PacketList()...)
		}
		some = true
	}
	c.mu.Unlock()
	if some {
		c.writer.enqueue(c, true)
	}
}

// The data channel of a call is called "castd", and made by the guest. Messages are JSON in text:
//
//	to the guest:  {"type":"state","you":ID,"sections":[{"mid":"0","kind":"audio","carries":"mix"},{"mid":"2","kind":"video","carries":ID}],
//	                "participants":[{"participant":ID,"name":"Ann","talking":true,"muted":true,"roles":["moderator","listener"],
//	                "audience":true,"called":true}],
//	                "dominant":ID,"hands":[ID],"locked":true,"knock":true,"muted_all":true,"title":"...","waiting":"host",
//	                "settings":{"tones":true,"wait":false,"music":false},"mixer":{"peer":PEER,"standby":PEER,"readable":true},
//	                "recording":[{"peer":PEER,"participant":ID,"name":"Ann","since":"..."}]}
//	               audience is who only listens and has his hand up, or was called; waiting is what he waits for, "host" or "admission"; mixer and recording tell who hears what is said besides
//	               {"type":"chat","messages":[{"id":7,"participant":ID,"name":"Ann","text":"...","time":"..."}]}
//	               {"type":"notice","code":"muted","message":"..."}     something about himself
//	from him:      {"type":"wish","participant":ID,"gain":0.5}          how loud he wants to hear somebody, 0 to 16
//	               {"type":"want","sections":[{"mid":"2","participant":ID,"height":360,"closed":false}]}
//	                                                                    whom he wants to see there for good, how large, or nobody
//	               {"type":"camera","on":false}                         he has turned it off or on
//	               {"type":"hand","raised":true}
//	               {"type":"chat","text":"..."}
//	               {"type":"moderate","verb":"mute","participant":ID,"title":"..."}
//
// What is not known is skipped on both sides.
const (
	channelLabel = "castd"
	// maxWish bounds a message of the guest, in octets.
	maxWish = 8192
	// maxUnsent is how much may wait in a channel before states are left out: the newest is told when the guest takes it.
	maxUnsent = 64 << 10
)

// stateMessage tells a guest what is where, and who is there.
type stateMessage struct {
	Type     string           `json:"type"`
	You      string           `json:"you"`
	Sections []sectionMessage `json:"sections"`
	*engine.CallState
}

// sectionMessage says what a section carries.
type sectionMessage struct {
	MID     string `json:"mid"`
	Kind    string `json:"kind"`
	Carries string `json:"carries"` // "mix", or whose video; "": nobody's
}

// wishMessage is what guests may say.
type wishMessage struct {
	Type        string   `json:"type"`
	Participant string   `json:"participant"`
	Gain        *float32 `json:"gain"`
	Raised      bool     `json:"raised"`
	Text        string   `json:"text"`
	Verb        string   `json:"verb"`
	Title       string   `json:"title"`
	On          *bool    `json:"on"`

	Sections []wantMessage `json:"sections"`
}

// opened serves a data channel that the guest has made, until it ends.
func (c *caller) opened(d *datachannel.DataChannel) {
	if d.Label != channelLabel {
		return // nobody knows what it is for
	}
	c.mu.Lock()
	c.channel = d
	c.mu.Unlock()
	c.rouse()
	buf := make([]byte, maxWish)
	for {
		switch n, text, err := d.ReadDataChannel(buf); {
		case errors.Is(err, io.ErrShortBuffer): // a message that is too long
		case err != nil:
			return
		case text:
			c.wished(buf[:n])
		}
	}
}

// wished takes a message of the guest.
func (c *caller) wished(text []byte) {
	var w wishMessage
	call := c.seat()
	if json.Unmarshal(text, &w) != nil || len(w.Participant) > 64 || call == nil {
		return
	}
	if w.Type == "wish" && w.Gain != nil {
		call.Wish(w.Participant, *w.Gain)
		return
	}
	switch {
	case w.Type == "want":
		c.want(w.Sections)
	case w.Type == "camera" && w.On != nil && c.camera != nil:
		c.camera.turn(*w.On)
	default:
		c.ask(call, &w)
	}
}

// sendState tells the newest state that was not told yet.
func (c *caller) sendState() {
	c.mu.Lock()
	state, channel := c.state, c.channel
	if channel == nil || state == nil || !c.stale || channel.BufferedAmount() > maxUnsent {
		c.mu.Unlock()
		return
	}
	c.stale = false
	sections := append([]sectionMessage{{c.session.offer.accepted(kindAudio).mid, kindAudio, "mix"}}, c.sectionsLocked()...)
	c.mu.Unlock()
	text, err := json.Marshal(stateMessage{Type: "state", You: c.config.Participant, Sections: sections, CallState: state})
	if err == nil {
		_, err = channel.WriteDataChannel(text, true)
	}
	if err != nil {
		c.session.log.Debug("tell state", "error", err)
	}
}
