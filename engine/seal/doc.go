// Package seal protects a room's media end to end: it seals payloads so that only holders of the room's key read them, and
// signs lists of their hashes so that nobody but the publisher can have made them.
//
// Terms. A room key is a secret of 16 octets and its generation. A stream key is derived from it for one publishing device,
// stream and incarnation, and seals with SFrame (RFC 9605): the origin number is the counter, the incarnation the key id, the
// origin header the associated data. A manifest is a signed list of hashes of sealed packets, one for each packet of sound and
// one for the packets of a picture (wire.HashPacket, wire.HashPicture); it travels in the slot's record stream, which is signed and not
// sealed. An excerpt is what of a manifest vouches for sound.
//
// Invariants. No number is sealed twice with one stream key: a Sealer refuses numbers that it has seen, that are too old to
// tell, or that lie outside of what its caller has reserved on disk. Whoever holds the room key could forge a sealed packet
// of anyone else in the room (RFC 9605, section 9.1); what tells the publisher is the manifest alone. In a public room the key
// follows from the room's id, so there sealing hides nothing.
//
// The package is pure: no clock, no goroutines, no global state. A value of its types belongs to one goroutine at a time;
// functions are safe for concurrent use.
package seal
