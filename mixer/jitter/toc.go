package jitter

import "errors"

// errMalformed is what a payload that does not follow its format is refused with.
var errMalformed = errors.New("jitter: malformed payload")

// maxOpusFrame is the longest frame of Opus in octets (RFC 6716, section 3.2.1).
const maxOpusFrame = 1275

// toc is what the first octets of an Opus packet tell without decoding it.
type toc struct {
	duration int64 // of all frames, in samples
	frame    int64 // of one frame, in samples
	dtx      bool  // the sender is silent: what follows may be left out (RFC 7587, section 3.1.3)
	fec      bool  // holds a coarse copy of the frame before it (RFC 6716, section 4.2.3)
}

// parseTOC looks at an Opus packet and checks its framing (RFC 6716, sections 3.1 and 3.2).
func parseTOC(p []byte) (toc, error) {
	if len(p) == 0 {
		return toc{}, errMalformed
	}
	t := toc{frame: frameLength(p[0] >> 3), dtx: len(p) <= 2}
	count, first, length, ok := frames(p)
	if !ok {
		return toc{}, errMalformed
	}
	t.duration = int64(count) * t.frame
	if t.duration > maxFrame {
		return toc{}, errMalformed
	}
	if length > 0 {
		t.fec = lowBitRateCopy(p[0], p[first], t.frame)
	}
	return t, nil
}

// frameLength returns how many samples a frame of a configuration (the upper five bits of the first octet) plays.
func frameLength(config byte) int64 {
	const ms = Rate / 1000
	switch {
	case config < 12: // SILK
		return [...]int64{10 * ms, 20 * ms, 40 * ms, 60 * ms}[config&3]
	case config < 16: // hybrid
		return [...]int64{10 * ms, 20 * ms}[config&1]
	default: // CELT
		return 5 * ms / 2 << (config & 3)
	}
}

// frames returns how many frames a packet has, where the first of them begins, and its length.
func frames(p []byte) (count, first, length int, ok bool) {
	rest := len(p) - 1
	switch p[0] & 3 {
	case 0:
		return 1, 1, rest, rest <= maxOpusFrame
	case 1:
		return 2, 1, rest / 2, rest%2 == 0 && rest/2 <= maxOpusFrame
	case 2:
		length, n := frameSize(p[1:])
		second := rest - n - length
		return 2, 1 + n, length, n > 0 && second >= 0 && second <= maxOpusFrame
	}
	return manyFrames(p)
}

// manyFrames is frames for packets that say how many they have (code 3, RFC 6716, section 3.2.5).
func manyFrames(p []byte) (count, first, length int, ok bool) {
	if len(p) < 2 {
		return 0, 0, 0, false
	}
	count = int(p[1] & 0x3f)
	if count == 0 || int64(count)*frameLength(p[0]>>3) > maxFrame {
		return 0, 0, 0, false
	}
	vbr, padded := p[1]&0x80 != 0, p[1]&0x40 != 0
	at, end := 2, len(p)
	for more := padded; more; at++ {
		if at >= end {
			return 0, 0, 0, false
		}
		if n := int(p[at]); n == 255 {
			end -= 254
		} else {
			end, more = end-n, false
		}
	}
	if end < at {
		return 0, 0, 0, false
	}
	if !vbr {
		length = (end - at) / count
		return count, at, length, (end-at)%count == 0 && length <= maxOpusFrame
	}
	sum := 0
	for i := range count - 1 {
		size, n := frameSize(p[at:end])
		if n == 0 {
			return 0, 0, 0, false
		}
		at, sum = at+n, sum+size
		if i == 0 {
			length = size
		}
	}
	last := end - at - sum
	if count == 1 {
		length = last
	}
	return count, at, length, last >= 0 && last <= maxOpusFrame
}

// frameSize reads a length (RFC 6716, section 3.2.1) and returns it with the octets that it takes; 0 if it is cut off.
func frameSize(p []byte) (size, octets int) {
	if len(p) == 0 {
		return 0, 0
	}
	if p[0] < 252 {
		return int(p[0]), 1
	}
	if len(p) < 2 {
		return 0, 0
	}
	return int(p[0]) + 4*int(p[1]), 2
}

// lowBitRateCopy says whether a frame that begins with the given octet holds a copy of the frame before it. SILK's first symbols
// have even odds, so that the range coder writes them as plain bits: for each channel a flag of voice activity for each 20 ms, and
// whether there is a copy (RFC 6716, section 4.2.3).
func lowBitRateCopy(first, octet byte, frame int64) bool {
	if first>>3 >= 16 { // CELT has none
		return false
	}
	n := max(1, int(frame/(Rate/50)))
	if octet>>(7-n)&1 != 0 {
		return true
	}
	stereo := first&4 != 0
	return stereo && octet>>(6-2*n)&1 != 0
}
