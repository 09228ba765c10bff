//go:build linux

package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"github.com/castd/castd/mixer/tonetest"
)

// participant takes part in a conference by /call: he sends a tone of his own and listens.
type participant struct {
	*guest
	frequency float64
	ear       *tonetest.Ear
	data      *webrtc.DataChannel
	heard     trace
	quiet     atomic.Bool // he sends nothing

	mu    sync.Mutex // guards all following fields
	state callState  // newest
	codes []string   // of notices
	texts []string   // that others wrote
	jumps int        // in the numbers of what he heard
	any   bool
	last  uint16
}

// partOfCall is what the data channel tells of a participant.
type partOfCall struct {
	Participant, Name string
	Talking, Muted    bool
	Waiting           bool
	Roles             []string
}

// callState is what the data channel tells.
type callState struct {
	Type            string
	You             string
	Sections        []struct{ MID, Kind, Carries string }
	Participants    []partOfCall
	Dominant, Title string
	Hands           []string
	Locked, Knock   bool
	Waiting         string
	MutedAll        bool   `json:"muted_all"`
	Code            string // of a notice
	Recording       []struct{ Peer string }
	Mixer           struct{ Readable bool }
	Messages        []struct{ Text string }
}

// joinCall lets somebody take part until the test ends.
func joinCall(t *testing.T, base, token, room, name string, frequency float64) *participant {
	t.Helper()
	ear, err := tonetest.NewEar()
	if err != nil {
		t.Fatal(err)
	}
	p := &participant{guest: newGuest(t, base, token), frequency: frequency, ear: ear}
	track, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2}, "voice", name)
	if err != nil {
		t.Fatal(err)
	}
	sender, err := p.pc.AddTrack(track)
	if err != nil {
		t.Fatal(err)
	}
	p.pc.OnTrack(p.track)
	if p.data, err = p.pc.CreateDataChannel("castd", nil); err != nil {
		t.Fatal(err)
	}
	p.data.OnMessage(func(m webrtc.DataChannelMessage) {
		var s callState
		if json.Unmarshal(m.Data, &s) != nil {
			return
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		switch s.Type {
		case "state":
			p.state = s
		case "notice":
			p.codes = append(p.codes, s.Code)
		case "chat":
			for _, m := range s.Messages {
				p.texts = append(p.texts, m.Text)
			}
		}
	})
	p.negotiate(context.Background(), t, "/call/"+room+"?name="+name)
	p.waitConnected(t)
	voice, err := tonetest.NewVoice(frequency, 0.1)
	if err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var done sync.WaitGroup
	id := extensionID(sender.GetParameters().RTPParameters, uriAudioLevel)
	if id == 0 {
		t.Error("the audio level was not agreed on")
	}
	done.Go(func() {
		defer voice.Close()
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for n := 1; ; n++ {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
			payload, level, err := voice.Packet()
			if err != nil {
				return
			}
			if p.quiet.Load() {
				continue
			}
			packet := &rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: uint16(n), Timestamp: uint32(n) * 960}, Payload: payload}
			if err := packet.SetExtension(id, []byte{0x80 | level}); err != nil {
				return
			}
			_ = track.WriteRTP(packet) // a connection that has ended takes none
		}
	})
	t.Cleanup(func() {
		close(stop)
		done.Wait()
	})
	return p
}

func (p *participant) track(remote *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) {
	go func() { // drives pion's reports
		for {
			if _, _, err := receiver.ReadRTCP(); err != nil {
				return
			}
		}
	}()
	for {
		packet, _, err := remote.ReadRTP()
		if err != nil {
			return
		}
		p.heard.note(packet)
		p.mu.Lock()
		if p.any && packet.SequenceNumber != p.last+1 {
			p.jumps++
		}
		p.any, p.last = true, packet.SequenceNumber
		p.mu.Unlock()
		p.ear.Hear(packet.Payload)
	}
}

func (p *participant) told() callState {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state
}

// wish sets how loud he wants to hear another one.
func (p *participant) wish(t *testing.T, id string, gain float64) {
	t.Helper()
	p.send(t, map[string]any{"type": "wish", "participant": id, "gain": gain})
}

// until waits until what he was told is as it should be.
func (p *participant) until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		p.mu.Lock()
		is := ok()
		p.mu.Unlock()
		if is {
			return
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	t.Fatalf("%s: after %v he was told %+v, %v, %v", what, patience, p.state, p.codes, p.texts)
}

// muted reports what he was told of himself.
func (p *participant) muted() bool {
	for _, o := range p.state.Participants {
		if o.Participant == p.state.You {
			return o.Muted
		}
	}
	return false
}

// send sends a message on the data channel.
func (p *participant) send(t *testing.T, message map[string]any) {
	t.Helper()
	text, err := json.Marshal(message)
	if err == nil {
		err = p.data.SendText(string(text))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// ears are what somebody should hear: the tones of others as loud as the room makes them, and not his own, if he sends one.
type ears struct {
	name   string
	ear    *tonetest.Ear
	own    float64
	others []float64
}

// wrong says what he hears that he should not, or not as he should.
func (e ears) wrong() (wrong []string) {
	for _, f := range e.others {
		if level := e.ear.Level(f); level < -24 || level > -16 {
			wrong = append(wrong, fmt.Sprintf("%s hears %.0f Hz at %.1f dB, want -20", e.name, f, level))
		}
	}
	if e.own == 0 {
		return wrong
	}
	if level := e.ear.Residue(e.own); level > -70 { // 50 dB below the others
		wrong = append(wrong, fmt.Sprintf("%s hears his own %.0f Hz at %.1f dB", e.name, e.own, level))
	}
	return wrong
}

// hear waits until everybody hears what he should.
func hear(t *testing.T, all ...ears) {
	t.Helper()
	var wrong []string
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(250 * time.Millisecond) {
		wrong = nil
		for _, e := range all {
			wrong = append(wrong, e.wrong()...)
		}
		if len(wrong) == 0 {
			return
		}
	}
	t.Errorf("after %v:\n%s", patience, strings.Join(wrong, "\n"))
}
