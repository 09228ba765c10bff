package opus

import "fmt"

// EncoderConfig says what an encoder makes. Channels must be set; zero is a setting of everything else.
type EncoderConfig struct {
	// Channels is 1 or 2.
	Channels int
	// Application is VoIP when unset.
	Application Application
	// Bitrate in bits a second, 500 to 512,000. Zero leaves it to libopus (about 32,000 for one channel, 64,000 for two).
	Bitrate int
	// Complexity 0 to 10: more costs CPU and sounds better. A frame of 20 ms of speech takes about 65 us at 0, 141 at 4, 264 at 10.
	Complexity int
	// FEC puts a coarse copy of each frame into the next packet where the bitrate allows, for Loss percent of lost packets
	// (RFC 6716, section 2.1.7). With a Loss of 0 libopus never does.
	FEC bool
	// Loss is the expected share of lost packets in percent, 0 to 100. Without FEC it still makes frames depend less on each other.
	Loss int
	// DTX makes packets of one or two octets in silence, which need not be sent. It saves no CPU.
	DTX bool
}

// Encoder turns PCM into Opus packets. Not safe for concurrent use.
type Encoder struct {
	channels int
	enc      *encoder // nil once closed
}

// NewEncoder makes an encoder, or returns ErrMisuse.
func NewEncoder(cfg EncoderConfig) (*Encoder, error) {
	if err := checkChannels(cfg.Channels); err != nil {
		return nil, err
	}
	if cfg.Application < VoIP || cfg.Application > LowDelay {
		return nil, fmt.Errorf("application %d: %w", cfg.Application, ErrMisuse)
	}
	enc, err := newEncoder(cfg.Channels, cfg.Application)
	if err != nil {
		return nil, err
	}
	e := &Encoder{channels: cfg.Channels, enc: enc}
	for _, set := range []func() error{
		func() error { return e.SetBitrate(cfg.Bitrate) },
		func() error { return e.SetComplexity(cfg.Complexity) },
		func() error { return e.SetFEC(cfg.FEC, cfg.Loss) },
		func() error { return e.SetDTX(cfg.DTX) },
	} {
		if err := set(); err != nil {
			e.Close()
			return nil, err
		}
	}
	return e, nil
}

// Channels is 1 or 2.
func (e *Encoder) Channels() int { return e.channels }

// Encode encodes one frame into out and returns its length in octets. Of a frame that says nothing new, with DTX, one or two octets
// remain. out should hold MaxPacketBytes; a shorter one limits the bitrate of the frame. Samples must be finite.
func (e *Encoder) Encode(pcm []float32, out []byte) (int, error) {
	if e.enc == nil {
		return 0, ErrClosed
	}
	if !frame(len(pcm), e.channels) {
		return 0, fmt.Errorf("frame of %d samples for %d channels: %w", len(pcm), e.channels, ErrMisuse)
	}
	if len(out) == 0 {
		return 0, ErrBuffer
	}
	// The bindings take capacity for length.
	return e.enc.encode(pcm[:len(pcm):len(pcm)], out[:len(out):len(out)])
}

// frame says whether a frame may have n values: 2.5, 5, 10, 20, 40 or 60 ms.
func frame(n, channels int) bool {
	switch n {
	case quantum * channels, 2 * quantum * channels, 4 * quantum * channels, 8 * quantum * channels, 16 * quantum * channels, 24 * quantum * channels:
		return true
	}
	return false
}

// SetBitrate changes EncoderConfig.Bitrate.
func (e *Encoder) SetBitrate(bits int) error {
	if e.enc == nil {
		return ErrClosed
	}
	if bits != 0 && (bits < 500 || bits > 512000) {
		return fmt.Errorf("bitrate of %d: %w", bits, ErrMisuse)
	}
	return e.enc.setBitrate(bits)
}

// SetComplexity changes EncoderConfig.Complexity.
func (e *Encoder) SetComplexity(c int) error {
	if e.enc == nil {
		return ErrClosed
	}
	if c < 0 || c > 10 {
		return fmt.Errorf("complexity %d: %w", c, ErrMisuse)
	}
	return e.enc.setComplexity(c)
}

// SetFEC changes EncoderConfig.FEC and EncoderConfig.Loss.
func (e *Encoder) SetFEC(on bool, loss int) error {
	if e.enc == nil {
		return ErrClosed
	}
	if loss < 0 || loss > 100 {
		return fmt.Errorf("loss of %d percent: %w", loss, ErrMisuse)
	}
	return e.enc.setFEC(on, loss)
}

// SetDTX changes EncoderConfig.DTX.
func (e *Encoder) SetDTX(on bool) error {
	if e.enc == nil {
		return ErrClosed
	}
	return e.enc.setDTX(on)
}

// Reset forgets what was encoded; settings stay.
func (e *Encoder) Reset() error {
	if e.enc == nil {
		return ErrClosed
	}
	return e.enc.reset()
}

// Close gives memory back.
func (e *Encoder) Close() {
	if e.enc != nil {
		e.enc.close()
		e.enc = nil
	}
}
