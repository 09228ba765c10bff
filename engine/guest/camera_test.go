package guest

import (
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"

	"github.com/castd/castd/engine"
)

// TestCameraRepair: what was lost and is sent again in a stream of its own gets its place; what fills the line is left out, and leaves no
// holes in the numbers of the pictures.
func TestCameraRepair(t *testing.T) {
	room := newFakeRoom()
	s := &session{service: &Service{}, log: slog.New(slog.DiscardHandler)}
	c := &caller{session: s, room: room, writer: newWriter(s.service), track: &viewerTrack{ssrc: 1}, config: engine.SeatConfig{Participant: "ann"}}
	v := newCamera(c, &section{
		source: &sdp.MediaDescription{Attributes: []sdp.Attribute{{Key: "ssrc-group", Value: "FID 100 200"}, {Key: "ssrc-group", Value: "FID x"}}},
		codecs: []codec{{name: codecVP8, pt: 96, rtx: 97, clockRate: 90000, feedback: []webrtc.RTCPFeedback{feedbackNACK}}}, ext: map[string]uint8{},
	})
	pub, err := room.Publish(t.Context(), v.slot())
	if err != nil {
		t.Fatal(err)
	}
	v.pub.Store(&pub)
	now := time.Unix(1000, 0)
	send := func(pt uint8, ssrc uint32, seq uint16, payload string) {
		t.Helper()
		now = now.Add(20 * time.Millisecond)
		p := rtp.Packet{Header: rtp.Header{Version: 2, PayloadType: pt, SSRC: ssrc, SequenceNumber: seq, Timestamp: 7, Padding: payload == ""}, Payload: []byte(payload)}
		if payload == "" {
			p.PaddingSize = 100
		}
		b, err := p.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if v.wanted(pt, ssrc) {
			v.media(b, now)
		}
	}
	send(97, 200, 1, "\xff\xfeno picture came yet")
	send(96, 100, 65534, "K1")
	send(96, 100, 1, "D4") // 65535 and 0 are lost
	if wishes := v.wishes(now.Add(askFirst)); len(wishes) != 1 {
		t.Fatal(wishes)
	}
	send(97, 200, 2, "\xff\xffD2")
	send(97, 200, 3, "")
	send(97, 200, 4, "\x00")
	send(97, 200, 5, "\xff\xfeK1 again")
	send(97, 200, 6, "\x00\x00D3")
	send(97, 200, 7, "\x00\x00D3")
	send(98, 300, 7, "D-")
	var got []string
	for _, gop := range room.gop {
		for _, p := range gop {
			got = append(got, string(p.Payload))
		}
	}
	if !slices.Equal(got, []string{"K1", "D4", "D2", "D3"}) {
		t.Errorf("%q came", got)
	}
	if b, _ := v.encodings[0].reception.report(now); b.TotalLost != 0 || v.wishes(now.Add(time.Second)) != nil {
		t.Errorf("%+v", b)
	}
}

// TestCameraPadding: a browser is told when packets came, which has it fill the line, only where it has a stream to do that in.
func TestCameraPadding(t *testing.T) {
	o, err := parseOffer(crlf(browserOffer), calling)
	if err != nil || o.camera().ext[uriTransportCC] == 0 || o.camera().codecs[0].rtx != 97 {
		t.Fatalf("%v, %+v", err, o.camera())
	}
	if o, err = parseOffer(crlf(strings.ReplaceAll(browserOffer, "rtx/90000", "rty/90000")), calling); err != nil || o.camera().ext[uriTransportCC] != 0 ||
		slices.ContainsFunc(o.camera().codecs[0].feedback, func(f webrtc.RTCPFeedback) bool { return f.Type == "transport-cc" }) {
		t.Fatalf("%v, %+v", err, o.camera())
	}
}
