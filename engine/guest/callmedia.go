package guest

import (
	"encoding/json"
	"errors"
	"io"

	"github.com/pion/webrtc/v4"

	"github.com/castd/castd/engine"
)

// heard is called by pion when the first packet of what the guest says has come. Of several streams the first is taken.
func (c *caller) heard(remote *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) {
	section := c.session.offer.accepted(remote.Kind().String())
	c.mu.Lock()
	taken := section != nil && c.remote == 0
	if taken {
		c.remote = uint32(remote.SSRC())
	}
	c.mu.Unlock()
	if !taken {
		return
	}
	t := &sourceTrack{label: kindAudio, ssrc: uint32(remote.SSRC()), codec: c.codec, ext: section.ext}
	c.session.spawn(func() { c.listen(remote, t) })
	c.session.spawn(func() { drain(receiver) })
}

// listen hands what he says to the room until the connection ends.
func (c *caller) listen(remote *webrtc.TrackRemote, t *sourceTrack) {
	call := c.seat()
	c.session.readTrack(remote, t, func(m *engine.MediaPacket) error {
		call.Write(m)
		return nil
	})
}

// drain reads a receiver's RTCP, which drives pion's receiver reports.
func drain(receiver *webrtc.RTPReceiver) {
	buf := make([]byte, receiveMTU)
	for {
		if _, _, err := receiver.Read(buf); err != nil && !errors.Is(err, io.ErrShortBuffer) {
			return
		}
	}
}

// The data channel of a call is called "castd", and made by the guest. Messages are JSON in text:
//
//	to the guest:  {"type":"state","you":ID,"sections":[{"mid":"0","kind":"audio","carries":"mix"}],
//	                "participants":[{"participant":ID,"name":"Ann","talking":true}],"dominant":ID}
//	from him:      {"type":"wish","participant":ID,"gain":0.5}     how loud he wants to hear somebody, 0 to 16
//
// What is not known is skipped on both sides.
const (
	channelLabel = "castd"
	// maxWish bounds a message of the guest, in octets.
	maxWish = 4096
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
	Carries string `json:"carries"` // "mix"
}

// wishMessage is what guests may say.
type wishMessage struct {
	Type        string   `json:"type"`
	Participant string   `json:"participant"`
	Gain        *float32 `json:"gain"`
}

// opened is called by pion when the guest has made a data channel.
func (c *caller) opened(d *webrtc.DataChannel) {
	if d.Label() != channelLabel {
		return
	}
	d.OnMessage(func(m webrtc.DataChannelMessage) { c.wished(m.Data) })
	d.OnOpen(func() {
		c.mu.Lock()
		c.channel = d
		c.mu.Unlock()
		c.rouse()
	})
}

// wished takes a message of the guest.
func (c *caller) wished(text []byte) {
	var w wishMessage
	if len(text) > maxWish || json.Unmarshal(text, &w) != nil || w.Type != "wish" || w.Gain == nil || len(w.Participant) > 64 {
		return
	}
	if call := c.seat(); call != nil {
		call.Wish(w.Participant, *w.Gain)
	}
}

// sendState tells the newest state that was not told yet.
func (c *caller) sendState() {
	c.mu.Lock()
	state, channel := c.state, c.channel
	if channel == nil || state == nil || channel.BufferedAmount() > maxUnsent {
		c.mu.Unlock()
		return
	}
	c.state = nil
	c.mu.Unlock()
	mid := c.session.offer.accepted(kindAudio).mid
	text, err := json.Marshal(stateMessage{
		Type: "state", You: c.config.Participant, Sections: []sectionMessage{{mid, kindAudio, "mix"}}, CallState: state,
	})
	if err == nil {
		err = channel.SendText(string(text))
	}
	if err != nil {
		c.session.log.Debug("tell state", "error", err)
	}
}
