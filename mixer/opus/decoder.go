package opus

import "fmt"

// Decoder turns Opus packets into PCM of its own number of channels, whatever that of the packets. Not safe for concurrent use.
type Decoder struct {
	channels int
	dec      *decoder // nil once closed
}

// NewDecoder makes a decoder of 1 or 2 channels, or returns ErrMisuse.
func NewDecoder(channels int) (*Decoder, error) {
	if err := checkChannels(channels); err != nil {
		return nil, err
	}
	dec, err := newDecoder(channels)
	if err != nil {
		return nil, err
	}
	return &Decoder{channels: channels, dec: dec}, nil
}

// Channels is 1 or 2.
func (d *Decoder) Channels() int { return d.channels }

// Decode decodes a packet into pcm and returns how many samples per channel it had. ErrPacket: not Opus. ErrBuffer: longer than pcm.
func (d *Decoder) Decode(payload []byte, pcm []float32) (int, error) {
	if err := d.check(pcm); err != nil {
		return 0, err
	}
	if len(payload) == 0 {
		return 0, fmt.Errorf("decode nothing: %w", ErrPacket)
	}
	return d.dec.decode(payload, pcm[:len(pcm):len(pcm)])
}

// DecodeFEC fills pcm with the time before payload, from the copy that payload carries of its predecessor, and conceals what it does not
// carry. pcm must last as long as what is missing, in steps of 2.5 ms; Decode of the same payload comes next.
func (d *Decoder) DecodeFEC(payload []byte, pcm []float32) (int, error) {
	if err := d.checkGap(pcm); err != nil {
		return 0, err
	}
	if len(payload) == 0 {
		return 0, fmt.Errorf("decode nothing: %w", ErrPacket)
	}
	if err := d.dec.decodeFEC(payload, pcm[:len(pcm):len(pcm)]); err != nil {
		return 0, err
	}
	return len(pcm) / d.channels, nil
}

// Conceal fills pcm with a guess of what was lost after the last packet. pcm must last as long as what is missing, in steps of 2.5 ms
// and at most 120 ms; libopus fades it out by itself.
func (d *Decoder) Conceal(pcm []float32) (int, error) {
	if err := d.checkGap(pcm); err != nil {
		return 0, err
	}
	if err := d.dec.conceal(pcm[:len(pcm):len(pcm)]); err != nil {
		return 0, err
	}
	return len(pcm) / d.channels, nil
}

// check refuses a buffer that does not hold whole samples.
func (d *Decoder) check(pcm []float32) error {
	if d.dec == nil {
		return ErrClosed
	}
	if len(pcm) == 0 {
		return ErrBuffer
	}
	if len(pcm)%d.channels != 0 {
		return fmt.Errorf("buffer of %d for %d channels: %w", len(pcm), d.channels, ErrMisuse)
	}
	return nil
}

// checkGap refuses a time that is not a multiple of 2.5 ms or above 120 ms.
func (d *Decoder) checkGap(pcm []float32) error {
	if err := d.check(pcm); err != nil {
		return err
	}
	if n := len(pcm) / d.channels; n%quantum != 0 || n > MaxPacketSamples {
		return fmt.Errorf("gap of %d samples: %w", n, ErrMisuse)
	}
	return nil
}

// Reset forgets what was decoded, as before the first packet of another source. After Close it does nothing.
func (d *Decoder) Reset() {
	if d.dec != nil {
		d.dec.reset()
	}
}

// Close gives memory back.
func (d *Decoder) Close() {
	if d.dec != nil {
		d.dec.close()
		d.dec = nil
	}
}
