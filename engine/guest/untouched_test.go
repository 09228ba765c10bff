package guest

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"github.com/castd/castd/engine"
)

// TestUntouched sends each codec through WHIP, a room and WHEP and compares what comes out: it must be untouched.
func TestUntouched(t *testing.T) {
	for _, name := range []string{"opus", "red", "vp8", "vp9", "h264", "av1"} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(b *bench) {
				codecs := []string{name}
				if name == "red" {
					codecs = append(codecs, "opus")
				}
				v := b.watch(engine.GuestOptions{Remote: remote}, codecs...)
				time.Sleep(2 * time.Second)
				s := b.publish(engine.GuestOptions{Remote: remote}, codecs...)
				kind, typ := kindVideo, webrtc.RTPCodecTypeVideo
				if s.tracks[kindAudio] != nil {
					kind, typ = kindAudio, webrtc.RTPCodecTypeAudio
				}
				random := rand.New(rand.NewPCG(1, 2))
				var sent []*rtp.Packet
				for i := range 200 {
					if i == 50 {
						continue // a hole
					}
					payload := make([]byte, 10+random.IntN(1100))
					for j := range payload {
						payload[j] = byte(random.Uint32())
					}
					payload[0] = 'D'
					if i%40 == 0 || i == 51 {
						payload[0] = 'K'
					}
					p := &rtp.Packet{Header: rtp.Header{
						Version: 2, SequenceNumber: uint16(65450 + i), Timestamp: uint32(4294960000 + int64(i/3)*3003), Marker: i%3 == 2,
					}, Payload: payload}
					set := func(uri string, data ...byte) {
						if id := s.extension(kind, uri); id == 0 {
							t.Fatalf("%s was not negotiated", uri)
						} else if err := p.SetExtension(id, data); err != nil {
							t.Fatal(err)
						}
					}
					if kind == kindAudio {
						set(uriLevel, byte(i)|0x80)
					} else {
						set(uriOrientation, byte(i%4))
						set(uriDependency, 1, 2, byte(i))
					}
					sent = append(sent, p)
					s.write(kind, &rtp.Packet{Header: p.Header.Clone(), Payload: p.Payload})
					time.Sleep(10 * time.Millisecond)
				}
				got := v.take(kind)
				if len(got) != len(sent) {
					t.Fatalf("%d packets came of %d", len(got), len(sent))
				}
				for i, g := range got {
					w := sent[i]
					if !bytes.Equal(g.Payload, w.Payload) || g.Marker != w.Marker {
						t.Fatalf("packet %d: payload or marker differ", i)
					}
					if g.Timestamp-got[0].Timestamp != w.Timestamp-sent[0].Timestamp || g.SequenceNumber-got[0].SequenceNumber != w.SequenceNumber-sent[0].SequenceNumber {
						t.Fatalf("packet %d: timestamp or number moved", i)
					}
					if g.PayloadType != uint8(clientCodecs()[name].PayloadType) {
						t.Fatalf("packet %d: payload type %d", i, g.PayloadType)
					}
					uris := []string{uriOrientation, uriDependency}
					if kind == kindAudio {
						uris = []string{uriLevel}
					}
					for _, uri := range uris {
						want := w.GetExtension(s.extension(kind, uri))
						if have := g.GetExtension(v.extension(typ, uri)); !bytes.Equal(have, want) {
							t.Fatalf("packet %d: %s is %v, want %v", i, uri, have, want)
						}
					}
				}
				if st := b.service.Stats(); st.PacketsIn != uint64(len(sent)) || st.PacketsOut != uint64(len(sent)) || st.Publishing != 1 || st.Watching != 1 {
					t.Fatal(fmt.Sprintf("%+v", st))
				}
			})
		})
	}
}
