package opus

import (
	"errors"
	"fmt"
)

// SampleRate is the rate of all PCM, in samples a second and channel.
const SampleRate = 48000

// FrameSamples is a frame of 20 ms, MaxPacketSamples the longest packet, 120 ms (RFC 6716, section 3.2.5), per channel.
const (
	FrameSamples     = SampleRate / 50
	MaxPacketSamples = SampleRate * 120 / 1000
)

// MaxPacketBytes holds every packet of one frame: 1,275 octets and the table of contents (RFC 6716, section 3.2.1).
const MaxPacketBytes = 1276

// quantum is 2.5 ms, of which all durations of Opus are multiples, in samples per channel.
const quantum = SampleRate / 400

// Application is what the encoder is tuned for.
type Application int

const (
	// VoIP is for speech: the only one that uses in-band FEC well, as that needs the SILK layer.
	VoIP Application = iota
	// Audio is for music and mixed material.
	Audio
	// LowDelay leaves the SILK layer out: 5 ms less delay, the least CPU, and no in-band FEC.
	LowDelay
)

var (
	// ErrClosed: the encoder or decoder has been closed.
	ErrClosed = errors.New("opus: already closed")
	// ErrPacket: a payload is not an Opus packet. The decoder goes on with the next as if that one had been lost.
	ErrPacket = errors.New("opus: payload is not an Opus packet")
	// ErrBuffer: a packet does not fit into the buffer that was given for it.
	ErrBuffer = errors.New("opus: buffer is too small")
	// ErrMisuse: an argument that Opus knows nothing of, such as a frame of 7 ms or three channels.
	ErrMisuse = errors.New("opus: used wrongly")
)

// Codes of libopus, the same in both builds (opus_defines.h).
const (
	codeBadArgument    = -1
	codeBufferTooSmall = -2
	codeInvalidPacket  = -4
)

// failure is the error for a code of libopus.
func failure(what string, code int) error {
	switch code {
	case codeBadArgument:
		return fmt.Errorf("%s: %w", what, ErrMisuse)
	case codeBufferTooSmall:
		return fmt.Errorf("%s: %w", what, ErrBuffer)
	case codeInvalidPacket:
		return fmt.Errorf("%s: %w", what, ErrPacket)
	}
	return fmt.Errorf("opus: %s: libopus says %d", what, code)
}

func checkChannels(channels int) error {
	if channels != 1 && channels != 2 {
		return fmt.Errorf("%d channels: %w", channels, ErrMisuse)
	}
	return nil
}

// Backend names the libopus that this build uses, such as "libopus 1.3.1" or "libopus (wasm) 1.5.2".
func Backend() string { return backend() }
