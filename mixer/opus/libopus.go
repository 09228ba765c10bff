//go:build cgo && nolibopusfile

package opus

import (
	"errors"
	"fmt"

	hraban "github.com/hraban/opus"
)

func backend() string { return hraban.Version() }

// failed translates an error of the binding.
func failed(what string, err error) error {
	if err == nil {
		return nil
	}
	var code hraban.Error
	if errors.As(err, &code) {
		return failure(what, int(code))
	}
	return fmt.Errorf("opus: %s: %w", what, err)
}

// encoder is libopus's encoder. Its memory is Go's: libopus keeps only pointers to its own constant tables in it.
type encoder struct{ e hraban.Encoder }

func newEncoder(channels int, application Application) (*encoder, error) {
	kind := hraban.AppVoIP
	switch application {
	case Audio:
		kind = hraban.AppAudio
	case LowDelay:
		kind = hraban.AppRestrictedLowdelay
	}
	e := &encoder{}
	if err := e.e.Init(SampleRate, channels, kind); err != nil {
		return nil, failed("new encoder", err)
	}
	return e, nil
}

func (e *encoder) encode(pcm []float32, out []byte) (int, error) {
	n, err := e.e.EncodeFloat32(pcm, out)
	return n, failed("encode", err)
}

func (e *encoder) setBitrate(bits int) error {
	if bits == 0 {
		return failed("set bitrate", e.e.SetBitrateToAuto())
	}
	return failed("set bitrate", e.e.SetBitrate(bits))
}

func (e *encoder) setComplexity(c int) error {
	return failed("set complexity", e.e.SetComplexity(c))
}

func (e *encoder) setFEC(on bool, loss int) error {
	return failed("set FEC", errors.Join(e.e.SetInBandFEC(on), e.e.SetPacketLossPerc(loss)))
}

func (e *encoder) setDTX(on bool) error { return failed("set DTX", e.e.SetDTX(on)) }

func (e *encoder) reset() error { return failed("reset", e.e.Reset()) }

func (e *encoder) close() {}

// decoder is libopus's decoder.
type decoder struct {
	d        hraban.Decoder
	channels int
}

func newDecoder(channels int) (*decoder, error) {
	d := &decoder{channels: channels}
	if err := d.d.Init(SampleRate, channels); err != nil {
		return nil, failed("new decoder", err)
	}
	return d, nil
}

func (d *decoder) decode(payload []byte, pcm []float32) (int, error) {
	n, err := d.d.DecodeFloat32(payload, pcm)
	return n, failed("decode", err)
}

func (d *decoder) decodeFEC(payload []byte, pcm []float32) error {
	return failed("decode FEC", d.d.DecodeFECFloat32(payload, pcm))
}

func (d *decoder) conceal(pcm []float32) error {
	return failed("conceal", d.d.DecodePLCFloat32(pcm))
}

// reset makes the decoder anew, as the binding has no other way to.
func (d *decoder) reset() {
	fresh := hraban.Decoder{}
	if err := fresh.Init(SampleRate, d.channels); err != nil {
		panic("opus: internal error: a decoder like the one there is cannot be made: " + err.Error())
	}
	d.d = fresh
}

func (d *decoder) close() {}
