package mixer

import "fmt"

// FrameSamples is a tick of 20 ms at 48 kHz, in samples per channel.
const FrameSamples = 960

const (
	ticksPerSecond = 50
	sampleRate     = FrameSamples * ticksPerSecond
)

// maxPacket holds an Opus packet of one frame (RFC 6716, section 3.2.1).
const maxPacket = 1276

// ID names a participant: his input and what he listens to. 0 is nobody.
type ID uint32

// Config says how a room is mixed. The zero value of every field stands for its default.
type Config struct {
	// Talkers is how many inputs are heard at once, at least 1. Default 3. More costs a decode and an encode each (times the
	// number of Specs in use) while they talk; fewer cuts people off who talk together.
	Talkers int
	// Complexity is the highest complexity that encoders are given, 1 to 10. Default 4. It goes down by itself when ticks take long.
	Complexity int
	// Loudness is the level that inputs are brought to, in dB of full scale (RMS while talking), at most -10. Default -23.
	Loudness float64
	// MaxGain bounds what loudness normalisation may add or take away, in dB. Default 12; negative for none at all.
	MaxGain float64
	// Music is what listeners on hold hear. Default: the package's own, see Pad.
	Music Music
	// Plain: while only one input is heard by anybody but himself, as between two participants, his packets are passed on whenever they
	// are fit for it, as loud as they are. What nobody else would hear is not wanted.
	Plain bool
	// Encoders makes encoders. It must not be nil.
	Encoders func(Spec) (Encoder, error)
}

// Spec is what an encoder is made for. Listeners of the same Spec share encoders.
type Spec struct {
	Channels int // 1 or 2
	Bitrate  int // bits a second
	// Loss is what to expect of the path to the listeners, in percent. From 1 on, in-band FEC is worth its bits.
	Loss int
}

// Encoder is an Opus encoder for frames of 20 ms at 48 kHz. mixer/opus has one.
type Encoder interface {
	// Encode encodes FrameSamples per channel, interleaved, into out, and returns the length of the packet.
	Encode(pcm []float32, out []byte) (int, error)
	SetComplexity(c int) error
	// Reset forgets what was encoded before.
	Reset() error
	Close()
}

// withDefaults fills in what is zero, or says what is wrong.
func (c Config) withDefaults() (Config, error) {
	if c.Talkers == 0 {
		c.Talkers = 3
	}
	if c.Complexity == 0 {
		c.Complexity = 4
	}
	if c.Loudness == 0 {
		c.Loudness = -23
	}
	if c.MaxGain == 0 {
		c.MaxGain = 12
	}
	if c.Music == nil {
		c.Music = Pad
	}
	c.MaxGain = max(c.MaxGain, 0)
	switch {
	case c.Encoders == nil:
		return c, fmt.Errorf("mixer: no encoders")
	case c.Talkers < 1:
		return c, fmt.Errorf("mixer: %d talkers", c.Talkers)
	case c.Complexity < 1 || c.Complexity > 10:
		return c, fmt.Errorf("mixer: complexity %d", c.Complexity)
	case !(c.Loudness <= -10 && c.Loudness >= -60):
		return c, fmt.Errorf("mixer: loudness of %g dB", c.Loudness)
	case !(c.MaxGain <= 40):
		return c, fmt.Errorf("mixer: gain of %g dB", c.MaxGain)
	}
	return c, nil
}
