// Package jitter is the adaptive jitter buffer of one participant of a conference: RTP packets of Opus go in as they
// arrive, and frames of 10 or 20 ms at 48 kHz come out at the mixer's tick, whatever the network did to the packets.
//
// # Terms
//
// A timestamp is a position on the sender's clock, of 48,000 a second (RFC 7587, section 4.1). The base is the way of the
// fastest packet of the last two seconds: its arrival less its timestamp. The relative delay of a packet is what it took more than
// that, and the playout delay how long after the base a packet is decoded: packets with more relative delay than that are
// late. The target is the playout delay that the past of the network asks for.
//
// A secondary is a copy of an earlier frame inside of another packet: a redundant block (RFC 2198), or the coarse copy that the
// Opus encoder puts into the next packet (in-band FEC, RFC 6716, section 2.1.7). Concealment is sound that the decoder makes
// up for a packet that is not there. Comfort noise is what it makes up while the sender is silent on purpose (DTX).
//
// # The path of a packet
//
// Push numbers a packet (place.go), looks at its first octets (toc.go, red.go), lets the delay manager see how long it took
// (delay.go), splits it into the packet itself and its secondaries, and puts these into a bounded queue in the order of their
// timestamps (queue.go).
//
// Pull takes decoded sound from the tape (tape.go) and decodes the next packet, or conceals one, when that runs short
// (pull.go, conceal.go). Where the playout delay is off the target, it shortens or lengthens what it decoded by one period of
// the voice (control.go, pitch.go, stretch.go). Where sound does not follow from what was before, it is faded over (merge.go).
//
// Skip does what Pull does without decoding, for participants that nobody hears, and Forward for those whose packets are sent on as
// they are (skip.go). Follow makes the buffer play what
// another one plays (follow.go).
//
// # Properties
//
// The package has no clock, goroutines, locks or I/O: the same packets and times give the same samples. A Buffer belongs to
// one goroutine; different ones share nothing but what their decoders share. After the first packets neither Push nor Pull
// allocates. Nothing that a sender does takes more than Config.MaxPackets packets of MaxPayload octets.
//
// What it is not: it does not ask for packets again, and it does not know the sender's wall clock.
package jitter
