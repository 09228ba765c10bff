package codec

import "encoding/binary"

// H264Reorders tells from an AVCDecoderConfigurationRecord whether frames may be shown in another order than they are coded
// (B-frames), which receivers of WebRTC do not expect. known is false where the parameter sets do not say.
func H264Reorders(private []byte) (reordered, known bool) {
	c, ok := parseAVCConfig(private)
	if !ok {
		return false, false
	}
	for _, u := range c.sets {
		if u[0]&31 != nalSPS {
			continue
		}
		s, ok := parseSPS(u)
		if !ok {
			return false, false
		}
		if reordered, known = s.reorders(); reordered || !known {
			return reordered, known
		}
	}
	return false, known
}

// HasBSlices reports whether a frame of H264, with lengths octets of length before its units, holds a B slice.
func HasBSlices(frame []byte, lengths int) bool {
	units, _ := splitAVC(frame, lengths)
	for _, u := range units {
		if kind := u[0] & 31; kind != nalSlice && kind != nalIDR {
			continue
		}
		// Slices begin with two Exp-Golomb numbers; emulation prevention cannot come in what matters of them.
		r := bitReader{b: u[1:min(len(u), 16)]}
		r.golomb() // first_mb_in_slice
		if kind := r.golomb(); !r.short && kind%5 == 1 {
			return true
		}
	}
	return false
}

// UnitLengths returns how many octets of length NAL units have in frames of an H264 track with the decoder configuration; 0 where
// that is malformed.
func UnitLengths(private []byte) int {
	c, ok := parseAVCConfig(private)
	if !ok {
		return 0
	}
	return c.lengths
}

// FromAnnexB turns a frame of H264 from start codes (H.264, annex B) into units with four octets of length each; nil where there is
// no unit. Delimiters and fillers are left out.
func FromAnnexB(frame []byte) []byte {
	var out []byte
	for _, u := range splitAnnexB(frame) {
		if kind := u[0] & 31; kind == nalDelimiter || kind == nalFiller {
			continue
		}
		out = binary.BigEndian.AppendUint32(out, uint32(len(u)))
		out = append(out, u...)
	}
	return out
}
