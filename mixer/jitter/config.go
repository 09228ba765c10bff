package jitter

import (
	"errors"
	"fmt"
	"time"
)

// Rate is the number of samples a second of each channel, and of RTP's timestamps for Opus (RFC 7587, section 4.1).
const Rate = 48000

// MaxPayload is the longest payload in octets that is taken: more does not fit into a packet of the internet.
const MaxPayload = 1500

// maxFrame is the longest packet of Opus and the longest frame to pull, 120 ms, in samples of each channel.
const maxFrame = Rate * 120 / 1000

// Config is what a Buffer is made with. The zero value of each field but Channels stands for its default.
type Config struct {
	// Channels is 1 or 2: what the decoder gives.
	Channels int
	// Start is the target before anything is known of the network; 80 ms by default. Less makes the first words of a
	// participant with much jitter stutter, more keeps everyone waiting for them.
	Start time.Duration
	// MinDelay and MaxDelay are limits of the target, 0 and 1 s by default. What is later than MaxDelay is lost; what a
	// conversation bears is less than that.
	MinDelay, MaxDelay time.Duration
	// BaseMinimum is the delay that the application wants at least (jitterBufferTarget of a browser); 0 by default.
	// Unlike MinDelay it gives way to MaxDelay.
	BaseMinimum time.Duration
	// MaxBuffered is how much sound may wait, 1.5 s by default. Beyond it the oldest packets are dropped (Stats.Overflows)
	// until the target is left. It has to be above MaxDelay.
	MaxBuffered time.Duration
	// MaxPackets is how many packets and secondaries may wait, 200 by default; beyond it as with MaxBuffered.
	MaxPackets int
	// Output is the position of the first sample that Pull will give, on the mixer's own timeline.
	Output int64
}

// DefaultConfig returns the configuration for sound of one channel.
func DefaultConfig() Config {
	return Config{
		Channels: 1, Start: 80 * time.Millisecond, MaxDelay: time.Second, MaxBuffered: 1500 * time.Millisecond, MaxPackets: 200,
	}
}

// Validate says what is wrong with a configuration.
func (c Config) Validate() error {
	c = c.filled()
	switch {
	case c.Channels != 1 && c.Channels != 2:
		return fmt.Errorf("jitter: %d channels: 1 and 2 are possible", c.Channels)
	case c.Start < 0 || c.MinDelay < 0 || c.BaseMinimum < 0:
		return errors.New("jitter: a delay below 0")
	case c.MinDelay > c.MaxDelay:
		return fmt.Errorf("jitter: MinDelay %v is above MaxDelay %v", c.MinDelay, c.MaxDelay)
	case c.MaxBuffered <= c.MaxDelay:
		return fmt.Errorf("jitter: MaxBuffered %v is not above MaxDelay %v", c.MaxBuffered, c.MaxDelay)
	case c.MaxPackets < 8 || c.MaxPackets > 1<<14:
		return fmt.Errorf("jitter: MaxPackets %d is not between 8 and %d", c.MaxPackets, 1<<14)
	}
	return nil
}

// filled returns the configuration with defaults in place of zeros.
func (c Config) filled() Config {
	d := DefaultConfig()
	if c.Start == 0 {
		c.Start = d.Start
	}
	if c.MaxDelay == 0 {
		c.MaxDelay = d.MaxDelay
	}
	if c.MaxBuffered == 0 {
		c.MaxBuffered = d.MaxBuffered
	}
	if c.MaxPackets == 0 {
		c.MaxPackets = d.MaxPackets
	}
	return c
}

// samples converts a duration to samples of a channel.
func samples(d time.Duration) int64 { return int64(d) / 1000 * (Rate / 1000) / 1000 }

// duration converts samples of a channel to a duration.
func duration(n int64) time.Duration { return time.Duration(n) * (time.Second / 1000) / (Rate / 1000) }
