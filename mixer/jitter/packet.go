package jitter

import "time"

// Packet is an RTP packet of Opus, opened.
type Packet struct {
	Arrival   time.Time
	SSRC      uint32
	Sequence  uint16
	Timestamp uint32
	RED       bool   // the payload is RFC 2198's, with Opus in all blocks
	Payload   []byte // Push keeps no reference to it
	Level     Level
}

// Level is how loud the sender says that a packet is (RFC 6464).
type Level struct {
	Known bool
	Minus uint8 // decibels below full scale: 0 to 127, where 127 is silence
	Voice bool
}

// header is what place needs of a packet.
type header struct {
	arrival   int64
	ssrc      uint32
	sequence  uint16
	timestamp uint32
	toc       toc
	level     Level
}

// trial is a foreign packet that waits for a successor. What it holds of earlier frames is not kept: they have no place.
type trial struct {
	header
	held    bool
	payload []byte
}
