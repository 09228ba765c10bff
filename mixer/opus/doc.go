// Package opus is the only door to libopus: one Encoder and one Decoder (RFC 6716) of 48 kHz float PCM, mono or stereo.
//
// # Which libopus
//
// Builds with cgo and the tag nolibopusfile use the libopus of the system, through github.com/hraban/opus (the tag keeps its file
// reader out, which wants libopusfile as well). All other builds use libopus as WebAssembly, through github.com/jj11hh/opus, which
// needs neither a C compiler nor libraries, sounds the same, and takes about twice the time. Backend says which one this program has.
//
// # Terms
//
// PCM is float32 in [-1, 1], 48,000 samples a second and channel, channels interleaved. Numbers of samples are per channel.
// A frame for the encoder lasts 2.5, 5, 10, 20, 40 or 60 ms; a packet for the decoder up to 120 ms (MaxPacketSamples).
//
// # Concurrency
//
// An Encoder or Decoder belongs to one goroutine at a time; different ones are independent. With WebAssembly all of them share
// one instance of libopus, so that their calls wait for each other inside this package.
//
// # Life cycle
//
// Close gives memory back and may be called twice; all else returns ErrClosed after it. With WebAssembly an encoder or decoder that is
// dropped without Close is not given back.
package opus
