package opus

import (
	"fmt"
	"testing"
)

// A frame of 20 ms of one channel at 32 kbit/s, on the reference machine: 65, 141 and 264 us at complexity 0, 4 and 10, decoding 30.
func BenchmarkEncode(b *testing.B) {
	pcm := voiced(2*SampleRate, 120)
	for _, complexity := range []int{0, 4, 10} {
		for _, fec := range []bool{false, true} {
			b.Run(fmt.Sprintf("complexity=%d/fec=%v", complexity, fec), func(b *testing.B) {
				cfg := EncoderConfig{Channels: 1, Bitrate: 32000, Complexity: complexity, FEC: fec}
				if fec {
					cfg.Loss = 10
				}
				e := mustEncoder(b, cfg)
				out := make([]byte, MaxPacketBytes)
				b.ReportAllocs()
				at := 0
				for b.Loop() {
					if _, err := e.Encode(pcm[at:at+FrameSamples], out); err != nil {
						b.Fatal(err)
					}
					if at += FrameSamples; at == len(pcm) {
						at = 0
					}
				}
			})
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	e, d := mustEncoder(b, EncoderConfig{Channels: 1, Bitrate: 32000, Complexity: 4}), mustDecoder(b, 1)
	sent := packets(b, e, voiced(2*SampleRate, 120))
	pcm := make([]float32, FrameSamples)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if _, err := d.Decode(sent[i%len(sent)], pcm); err != nil {
			b.Fatal(err)
		}
		i++
	}
}

func BenchmarkConceal(b *testing.B) {
	d := mustDecoder(b, 1)
	decoded(b, d, packets(b, mustEncoder(b, EncoderConfig{Channels: 1, Bitrate: 32000}), voiced(SampleRate/5, 120)))
	pcm := make([]float32, FrameSamples)
	for b.Loop() {
		if _, err := d.Conceal(pcm); err != nil {
			b.Fatal(err)
		}
	}
}
