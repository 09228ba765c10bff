package codec

import "encoding/binary"

// Types of NAL units (H.264, table 7-1) and of RTP payloads (RFC 6184, table 1).
const (
	nalSlice     = 1
	nalIDR       = 5
	nalSEI       = 6
	nalSPS       = 7
	nalPPS       = 8
	nalDelimiter = 9
	nalFiller    = 12
	nalSTAPA     = 24
	nalFUA       = 28
)

func inspectH264(payload []byte, marker bool) finding {
	f := finding{Frame: Frame{End: marker}, byStamp: true}
	switch kind := payload[0] & 31; {
	case kind >= 1 && kind <= 23:
		f.nal(payload, true)
	case kind == nalSTAPA:
		for rest := payload[1:]; ; {
			unit, tail, ok := nextUnit16(rest)
			if !ok {
				break
			}
			f.nal(unit, true)
			rest = tail
		}
	case kind == nalFUA:
		if len(payload) < 3 {
			return finding{empty: true}
		}
		// The unit's own first octet is spread over the two of the fragment.
		unit := [2]byte{payload[0]&0xe0 | payload[1]&0x1f, payload[2]}
		f.nal(unit[:], payload[1]&0x80 != 0)
	default:
		return finding{empty: true}
	}
	f.Start = f.opens // as far as one packet shows
	return f
}

// nal takes one NAL unit into account; first tells that its beginning is in the packet.
func (f *finding) nal(unit []byte, first bool) {
	if len(unit) == 0 {
		return
	}
	switch kind := unit[0] & 31; {
	case kind >= nalSlice && kind <= nalIDR:
		discardable := unit[0]&0x60 == 0
		f.Discardable = discardable && (f.Discardable || !f.head)
		f.head = true
		f.Key = f.Key || kind == nalIDR
		// first_mb_in_slice is an Exp-Golomb number: a set first bit says zero, the first slice of a picture.
		f.opens = f.opens || first && len(unit) > 1 && unit[1]&0x80 != 0
	case kind == nalSPS:
		f.Key, f.opens, f.head, f.Discardable = true, true, true, false
	case kind == nalPPS:
		f.opens, f.head, f.Discardable = true, true, false
	}
}

// nextUnit16 cuts a NAL unit with a 16-bit length off b, as in STAP-A.
func nextUnit16(b []byte) (unit, rest []byte, ok bool) {
	if len(b) < 2 {
		return nil, nil, false
	}
	n := int(binary.BigEndian.Uint16(b))
	if n == 0 || len(b) < 2+n {
		return nil, nil, false
	}
	return b[2 : 2+n : 2+n], b[2+n:], true
}
