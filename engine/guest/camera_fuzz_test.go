package guest

import (
	"log/slog"
	"testing"
	"time"

	"github.com/pion/interceptor/pkg/twcc"
	"github.com/pion/rtcp"
	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/wire"
)

// FuzzCameraPacket: whatever comes where a camera is expected, nothing grows, and what is told of it can be written.
func FuzzCameraPacket(f *testing.F) {
	f.Add([]byte{0x90, 96, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0xBE, 0xDE, 0, 2, 0x10, 'h', 0x21, 0, 7, 0, 0, 0, 'p', 'a', 'y'})
	f.Add([]byte{0xB0, 96, 0, 9, 0, 0, 0, 2, 0, 0, 0, 4, 0xBE, 0xDE, 0, 1, 0x10, 'l', 0, 0, 0, 0, 0, 4})
	f.Add([]byte{0x90, 97, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0xBE, 0xDE, 0, 1, 0x50, 'h', 0, 0, 0, 1, 'p', 'a', 'y'})
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < rtpHeaderSize {
			return
		}
		s := &session{service: &Service{}, log: slog.New(slog.DiscardHandler)}
		c := &caller{session: s, writer: newWriter(s.service), track: &viewerTrack{ssrc: 1}}
		v := newCamera(c, &section{
			source: &sdp.MediaDescription{},
			codecs: []codec{{name: codecVP8, pt: 96, rtx: 97, clockRate: 90000, feedback: []webrtc.RTCPFeedback{feedbackNACK}}}, encodings: []string{"h", "m", "l"},
			ext: map[string]uint8{uriRID: 1, uriRepairedRID: 5, uriTransportCC: 2, uriOrientation: 3, uriDependency: 4},
		})
		if v.recorder == nil {
			v.recorder = twcc.NewRecorder(1)
		}
		now := time.Unix(1000, 0)
		for i := range 40 {
			b[8], b[3] = byte(i%7), b[3]+byte(i)
			now = now.Add(arrivalsEvery / 3)
			if ssrc := uint32(b[8])<<24 | uint32(b[9])<<16 | uint32(b[10])<<8 | uint32(b[11]); v.wanted(b[1]&0x7F, ssrc) {
				v.media(b, now)
			}
		}
		if v.sources > maxSources || len(v.arrivals) > maxArrivals {
			t.Fatalf("%d sources, %d messages", v.sources, len(v.arrivals))
		}
		if wishes := v.wishes(now); len(wishes) > 0 {
			if _, err := rtcp.Marshal(wishes); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// FuzzGauge: whatever a key frame says of itself, a size is one or is not known.
func FuzzGauge(f *testing.F) {
	f.Add("vp8", []byte{0x10, 0x10, 0, 0, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0x68, 0x01, 0, 0, 0})
	f.Add("h264", []byte{0x67, 0x42, 0xc0, 0x1e, 0xd9, 0, 0xa0, 0x47, 0xfe, 0x88})
	f.Fuzz(func(t *testing.T, name string, payload []byte) {
		st := &engine.StreamState{ID: 7, Kind: wire.KindVideo, Codec: name, Live: true}
		g := &gauges{}
		g.Streams([]*engine.StreamState{st})
		for i := range 3 {
			g.WritePacket(&engine.Packet{Stream: st, Payload: payload, Header: wire.Header{KeyFrame: true, FrameStart: i == 0, Marker: i == 2, Timestamp: 1}})
		}
		if l := g.layers([]*engine.StreamState{st}, time.Now())[0]; l.height < 0 || l.height > maxHeight || !l.flows {
			t.Fatalf("%+v", l)
		}
	})
}
