package guest

// Redundant audio (RFC 2198). A payload is a list of block headers, then the blocks; the last header is one octet
// (F = 0, payload type) and belongs to the primary block, which is what remains at the end:
//
//	 0                   1                    2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3  4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|1|   block PT  |  timestamp offset         |   block length    |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|0|   block PT  |  blocks ...

// primaryBlock returns the primary block of a RED payload, which aliases it; ok is false for a malformed one.
func primaryBlock(payload []byte) (block []byte, ok bool) {
	skip, at := 0, 0
	for at < len(payload) && payload[at]&0x80 != 0 {
		if at+4 > len(payload) {
			return nil, false
		}
		skip += int(payload[at+2]&3)<<8 | int(payload[at+3])
		at += 4
	}
	at++ // the primary block's header
	if at+skip >= len(payload) {
		return nil, false
	}
	return payload[at+skip:], true
}

// appendRED appends to dst a RED payload that holds nothing but the frame.
func appendRED(dst []byte, pt uint8, frame []byte) []byte {
	return append(append(dst, pt&0x7F), frame...)
}
