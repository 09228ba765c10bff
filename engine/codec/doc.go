// Package codec knows the RTP payload formats of the codecs that castd carries: Opus (RFC 7587), RED (RFC 2198), VP8
// (RFC 7741), VP9 (RFC 9628), H264 (RFC 6184) and AV1 (AOM's RTP payload specification). It never decodes media.
//
// An Inspector tells a relay what it must know of a packet: where frames begin and end, which are key frames, which can be
// dropped. A Packetizer cuts frames from files into payloads, a Depacketizer puts payloads together again, bit for bit.
// Dimensions and DecoderConfig read from a key frame what a file's header needs.
//
// Terms. A frame is what the RTP timestamp belongs to: one Opus packet, one coded picture with all its layers (an access
// unit, a temporal unit). A layer frame is the part of it that belongs to one spatial layer. A payload is what follows the
// RTP header of one packet. A hole is a place where at least one packet is missing.
//
// Invariants. No input whatsoever makes a function of this package panic, or take memory that is not bounded by MaxFrame.
// There are no clocks, goroutines, locks or package state; values of this package are for one goroutine at a time.
package codec
