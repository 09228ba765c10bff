package codec

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/pion/rtp/codecs"
)

// Another implementation understands what is sent.
func TestPionReadsPayloads(t *testing.T) {
	for _, codec := range []string{VP8, VP9, H264, AV1} {
		s := source{codec, rand.New(rand.NewPCG(5, 6))}
		p, _ := NewPacketizer(codec, 150, avcC(codec))
		for i := range 50 {
			frame := s.frame(i%5 == 0, 20+s.rng.IntN(2000))
			payloads, err := p.Packetize(frame, false)
			if err != nil {
				t.Fatal(err)
			}
			var depacketizer interface {
				Unmarshal(packet []byte) ([]byte, error)
			}
			switch codec {
			case VP8:
				depacketizer = &codecs.VP8Packet{}
			case VP9:
				depacketizer = &codecs.VP9Packet{}
			case H264:
				depacketizer = &codecs.H264Packet{IsAVC: true}
			case AV1:
				depacketizer = &codecs.AV1Depacketizer{}
			}
			var got []byte
			for _, payload := range payloads {
				part, err := depacketizer.Unmarshal(payload.Data)
				if err != nil {
					t.Fatalf("%s: %v", codec, err)
				}
				got = append(got, part...)
			}
			if !bytes.Equal(got, frame) {
				t.Fatalf("%s: frame %d came out differently", codec, i)
			}
		}
	}
}

// And what another implementation sends is understood.
func TestReadsPionsPayloads(t *testing.T) {
	for codec, payloader := range map[string]interface {
		Payload(mtu uint16, payload []byte) [][]byte
	}{
		VP8: &codecs.VP8Payloader{EnablePictureID: true}, VP9: &codecs.VP9Payloader{FlexibleMode: true},
		H264: &codecs.H264Payloader{}, AV1: &codecs.AV1Payloader{},
	} {
		s := source{codec, rand.New(rand.NewPCG(9, 10))}
		d, _ := NewDepacketizer(codec)
		in := NewInspector(codec)
		for i := range 50 {
			frame := s.frame(i%5 == 0, 20+s.rng.IntN(2000))
			sent := frame
			if codec == H264 { // Annex B goes in
				units, _ := splitAVC(frame, 4)
				sent = nil
				for _, u := range units {
					sent = append(append(sent, 0, 0, 0, 1), u...)
				}
			}
			parts := payloader.Payload(150, sent)
			for j, part := range parts {
				last := j == len(parts)-1
				f := in.Inspect(uint32(i), part, last, nil)
				if f.Key != (i%5 == 0) || f.End != last || f.Start != (j == 0) && !(codec == H264 && i%5 > 0) {
					t.Fatalf("%s: frame %d, part %d of %d: %+v", codec, i, j, len(parts), f)
				}
				got, _, ok := d.Push(part, uint32(i), last, false)
				if ok != last || ok && !bytes.Equal(got, frame) {
					t.Fatalf("%s: frame %d came out differently", codec, i)
				}
			}
		}
	}
}
