package jitter

// maxBlocks is how many redundant blocks of a packet are looked at: senders use up to three.
const maxBlocks = 8

// block is one redundant block of a RED packet (RFC 2198, section 3).
type block struct {
	back    int64 // how much earlier its timestamp is, in samples
	payload []byte
}

// redundant holds what parseRED found, in the packet's order: oldest first. It points into the packet.
type redundant struct {
	blocks  [maxBlocks]block
	n       int
	primary []byte
}

// Primary returns the newest frame of a RED payload, which points into it, or nil of what is none.
func Primary(p []byte) []byte {
	r, err := parseRED(p)
	if err != nil {
		return nil
	}
	return r.primary
}

// parseRED splits a RED payload. Blocks of another payload type than the primary's, and empty ones, are left out.
func parseRED(p []byte) (redundant, error) {
	var r redundant
	headers := 0
	for headers < len(p) && p[headers]&0x80 != 0 {
		headers += 4
	}
	if headers >= len(p) {
		return redundant{}, errMalformed
	}
	primaryType := p[headers]
	body := p[headers+1:]
	for h := 0; h < headers; h += 4 {
		back := int64(p[h+1])<<6 | int64(p[h+2])>>2
		length := int(p[h+2]&3)<<8 | int(p[h+3])
		if length > len(body) {
			return redundant{}, errMalformed
		}
		if p[h]&0x7f == primaryType && length > 0 && back > 0 {
			if r.n == maxBlocks { // the oldest are worth least
				copy(r.blocks[:], r.blocks[1:])
				r.n--
			}
			r.blocks[r.n] = block{back, body[:length]}
			r.n++
		}
		body = body[length:]
	}
	if len(body) == 0 {
		return redundant{}, errMalformed
	}
	r.primary = body
	return r, nil
}
