// Package mixer is the core of a conference as a pure value: every 20 ms it takes the audio of those who talk and yields one encoded
// packet for everybody who listens. The codec cost of a room depends on how many may talk at once, not on how many are in it.
//
// # Terms
//
// An input is what one participant sends, a listener is whoever gets a mix: a participant hears all but the input of his own ID, and
// the audience is a listener without an input. A tick is 20 ms, FrameSamples of 48,000 a second; ticks are numbered from when the room
// began, and numbers may be left out. A slot is the place of an input that is heard at the moment; there are Config.Talkers of them.
// A lane is one encoder with what it carries: everything (the shared lane of its Spec), all but one input (the own lane of a talker), or
// what one listener has asked for with gains of his own.
//
// # A tick
//
//	for each packet that came:   m.Heard(id, ...)      its audio level (RFC 6464); nothing is decoded
//	wants := m.Select(tick)                            whom to decode: only the loudest, and who was just loud
//	for each that plays one:     m.Playing(id, ...)    the level of the packet that its jitter buffer has come to
//	for each of them:            m.Feed(id, pcm, ...)  from its jitter buffer
//	out := m.Mix()                                     packets, and who gets which
//
// Select and Mix come in turns. What they return is valid until the next Select.
//
// # What happens to the sound
//
// An input is brought to a common loudness (loudness.go), put at its place between left and right where the room is stereo
// (pan.go), and added up in floating point. A lane takes its own input away before anything is limited, so that nothing of it
// remains whatever the level, and then passes a look-ahead limiter of its own (limiter.go). A lane that begins runs its encoder over
// the last frames first and throws these packets away, so that the decoder at the other end hears no seam (handover.go).
// The mix is 2 ms later than its inputs, because of the limiter.
//
// Besides participants the mixer itself can be heard: tones and announcements are added to what all hear, or one listener alone
// (sound.go); who waits is on hold, and hears music in place of the mix (hold.go).
//
// When only one participant talks and his packets are fit for everybody, they are passed on and nothing is decoded or encoded
// (passthrough.go). When nobody has talked for two seconds the mixer parks, and a tick costs next to nothing.
//
// # Timeline
//
// All lanes share one timeline. The timestamp of a packet is 960 times its tick, whichever lane or talker it comes from. Its
// number counts the ticks on which packets were made, so that it has no holes where the room was silent. A standby that is fed
// the same frames on the same ticks makes the same packets; Follow brings it to where the primary is.
//
// # Concurrency
//
// A Mixer has no goroutine, no lock and no clock, and belongs to one goroutine. Once a room has been as large as it gets, a tick allocates
// nothing.
package mixer
