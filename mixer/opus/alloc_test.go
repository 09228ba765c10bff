//go:build cgo && nolibopusfile

package opus

import "testing"

// With the system's libopus frames cost no allocation; the WebAssembly binding makes some in every call.
func TestNoAllocations(t *testing.T) {
	e, d := mustEncoder(t, EncoderConfig{Channels: 1, Bitrate: 32000, Complexity: 1}), mustDecoder(t, 1)
	pcm, out := voiced(FrameSamples, 120), make([]byte, MaxPacketBytes)
	n := 0
	if got := testing.AllocsPerRun(50, func() { n, _ = e.Encode(pcm, out) }); got != 0 {
		t.Errorf("encode allocates %.1f times", got)
	}
	if got := testing.AllocsPerRun(50, func() { _, _ = d.Decode(out[:n], pcm) }); got != 0 {
		t.Errorf("decode allocates %.1f times", got)
	}
	if got := testing.AllocsPerRun(50, func() { _, _ = d.DecodeFEC(out[:n], pcm); _, _ = d.Conceal(pcm) }); got != 0 {
		t.Errorf("decode FEC and conceal allocate %.1f times", got)
	}
}
