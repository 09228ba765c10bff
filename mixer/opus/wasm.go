//go:build !cgo || !nolibopusfile

package opus

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"

	wasm "github.com/jj11hh/opus"
)

// instance guards what the binding has only one of: the WebAssembly instance that all its encoders and decoders live in, with one
// stack and one heap. The binding itself does not lock, and frees from finalizers, which would run beside other calls; so
// finalizers are taken off, and what is closed waits here for the next that wants one like it.
//
//nolint:gochecknoglobals // guards the binding's own package-level instance
var instance struct {
	sync.Mutex
	encoders map[encoderKind][]*wasm.Encoder
	decoders map[int][]*wasm.Decoder // by channels
}

// encoderKind is what cannot be changed in an encoder.
type encoderKind struct {
	channels    int
	application Application
}

func backend() string {
	instance.Lock()
	defer instance.Unlock()
	return strings.Replace(wasm.Version(), "libopus", "libopus (wasm)", 1)
}

// failed translates an error of the binding. Its own text would call libopus, so it is not asked for any.
func failed(what string, err error) error {
	if err == nil {
		return nil
	}
	var code wasm.Error
	if errors.As(err, &code) {
		return failure(what, int(code))
	}
	return fmt.Errorf("opus: %s: %w", what, err)
}

type encoder struct {
	kind encoderKind
	e    *wasm.Encoder
}

func newEncoder(channels int, application Application) (*encoder, error) {
	instance.Lock()
	defer instance.Unlock()
	kind := encoderKind{channels, application}
	if free := instance.encoders[kind]; len(free) > 0 {
		e := free[len(free)-1]
		instance.encoders[kind] = free[:len(free)-1]
		return &encoder{kind: kind, e: e}, nil
	}
	name := wasm.AppVoIP
	switch application {
	case Audio:
		name = wasm.AppAudio
	case LowDelay:
		name = wasm.AppRestrictedLowdelay
	}
	e, err := wasm.NewEncoder(SampleRate, channels, name)
	if err != nil {
		return nil, failed("new encoder", err)
	}
	runtime.SetFinalizer(e, nil)
	return &encoder{kind: kind, e: e}, nil
}

func (e *encoder) encode(pcm []float32, out []byte) (int, error) {
	instance.Lock()
	defer instance.Unlock()
	n, err := e.e.EncodeFloat32(pcm, out)
	return n, failed("encode", err)
}

func (e *encoder) setBitrate(bits int) error {
	instance.Lock()
	defer instance.Unlock()
	if bits == 0 {
		return failed("set bitrate", e.e.SetBitrateToAuto())
	}
	return failed("set bitrate", e.e.SetBitrate(bits))
}

func (e *encoder) setComplexity(c int) error {
	instance.Lock()
	defer instance.Unlock()
	return failed("set complexity", e.e.SetComplexity(c))
}

func (e *encoder) setFEC(on bool, loss int) error {
	instance.Lock()
	defer instance.Unlock()
	return failed("set FEC", errors.Join(e.e.SetInBandFEC(on), e.e.SetPacketLossPerc(loss)))
}

func (e *encoder) setDTX(on bool) error {
	instance.Lock()
	defer instance.Unlock()
	return failed("set DTX", e.e.SetDTX(on))
}

func (e *encoder) reset() error {
	instance.Lock()
	defer instance.Unlock()
	return failed("reset", e.e.Reset())
}

func (e *encoder) close() {
	instance.Lock()
	defer instance.Unlock()
	if e.e.Reset() != nil {
		return // nothing to reuse
	}
	if instance.encoders == nil {
		instance.encoders = make(map[encoderKind][]*wasm.Encoder)
	}
	instance.encoders[e.kind] = append(instance.encoders[e.kind], e.e)
}

type decoder struct {
	channels int
	d        *wasm.Decoder
}

func newDecoder(channels int) (*decoder, error) {
	instance.Lock()
	defer instance.Unlock()
	if free := instance.decoders[channels]; len(free) > 0 {
		d := free[len(free)-1]
		instance.decoders[channels] = free[:len(free)-1]
		return &decoder{channels: channels, d: d}, nil
	}
	d, err := wasm.NewDecoder(SampleRate, channels)
	if err != nil {
		return nil, failed("new decoder", err)
	}
	runtime.SetFinalizer(d, nil)
	return &decoder{channels: channels, d: d}, nil
}

func (d *decoder) decode(payload []byte, pcm []float32) (int, error) {
	instance.Lock()
	defer instance.Unlock()
	n, err := d.d.DecodeFloat32(payload, pcm)
	return n, failed("decode", err)
}

func (d *decoder) decodeFEC(payload []byte, pcm []float32) error {
	instance.Lock()
	defer instance.Unlock()
	_, err := d.d.DecodeFECFloat32(payload, pcm)
	return failed("decode FEC", err)
}

func (d *decoder) conceal(pcm []float32) error {
	instance.Lock()
	defer instance.Unlock()
	_, err := d.d.DecodePLCFloat32(pcm)
	return failed("conceal", err)
}

func (d *decoder) reset() {
	instance.Lock()
	defer instance.Unlock()
	d.silence()
}

// silence brings the decoder to where it is at the start, as the binding has no way to reset it: two frames of silence, one of each
// layer. After CELT's the SILK layer starts anew with its next frame, and after SILK's the CELT layer does (opus_decode_frame); the
// second is narrowband, so that SILK starts anew once more when it goes on with more (silk_decoder_set_fs). What remains is
// that the first 5 ms of CELT fade in.
func (d *decoder) silence() {
	celt := []byte{0xf8, 0xff, 0xfe}                         // fullband, 20 ms, the flag of silence
	silk := []byte{0x08, 0x0b, 0xe4, 0xb9, 0x9c, 0x34, 0x04} // narrowband, 20 ms, what an encoder makes of zeros at first
	pcm := make([]float32, FrameSamples*d.channels)
	for _, silent := range [][]byte{celt, silk} {
		if _, err := d.d.DecodeFloat32(silent, pcm); err != nil {
			panic("opus: internal error: a silent frame cannot be decoded")
		}
	}
}

func (d *decoder) close() {
	instance.Lock()
	defer instance.Unlock()
	d.silence()
	if instance.decoders == nil {
		instance.decoders = make(map[int][]*wasm.Decoder)
	}
	instance.decoders[d.channels] = append(instance.decoders[d.channels], d.d)
}
