package codec

import (
	"encoding/binary"
	"slices"
)

// KeyFrame reports whether a whole frame, as containers store it, is a key frame. H264 is taken as units with four octets of
// length. Audio always is.
func KeyFrame(codec string, frame []byte) bool {
	switch codec {
	case Opus, RED:
		return true
	case VP8:
		return vp8Key(frame)
	case VP9:
		h, ok := parseVP9Header(frame)
		return ok && h.key
	case H264:
		units, _ := splitAVC(frame, 4)
		return slices.ContainsFunc(units, func(u unit) bool { return u[0]&31 == nalIDR || u[0]&31 == nalSPS })
	case AV1:
		units, _ := splitOBUs(frame)
		key, _ := av1Key(units)
		return key
	}
	return false
}

// Dimensions returns the size of the picture of a key frame that a Depacketizer returned, in pixels.
func Dimensions(codec string, key []byte) (width, height int, ok bool) {
	switch codec {
	case VP8:
		return vp8Dimensions(key)
	case VP9:
		h, ok := parseVP9Header(key)
		return h.width, h.height, ok && h.key
	case H264:
		if sets := parameterSets(key); len(sets) > 0 {
			s, ok := parseSPS(sets[0])
			return s.width, s.height, ok
		}
	case AV1:
		s, _, ok := findSequence(key)
		return s.width, s.height, ok
	}
	return 0, 0, false
}

// DecoderConfig returns what Matroska wants as CodecPrivate of a track that begins with the key frame, as a Depacketizer
// returned it: an AVCDecoderConfigurationRecord, an AV1CodecConfigurationRecord, nil for codecs that need none or if the key
// frame lacks it.
func DecoderConfig(codec string, key []byte) []byte {
	switch codec {
	case H264:
		return avcConfig(parameterSets(key))
	case AV1:
		s, obu, ok := findSequence(key)
		if !ok {
			return nil
		}
		return append([]byte{0x81, s.profile<<5 | s.level, s.flags, 0}, obu...)
	}
	return nil
}

// parameterSets returns the SPS units of a frame, then its PPS units.
func parameterSets(frame []byte) (sets []unit) {
	units, _ := splitAVC(frame, 4)
	for _, kind := range []byte{nalSPS, nalPPS} {
		for _, u := range units {
			if u[0]&31 == kind {
				sets = append(sets, u)
			}
		}
	}
	if len(sets) > 0 && sets[0][0]&31 != nalSPS {
		return nil
	}
	return sets
}

// avcDecoder is an AVCDecoderConfigurationRecord (ISO/IEC 14496-15, section 5.3.3.1).
type avcDecoder struct {
	lengths int
	sets    []unit // SPS, then PPS
}

func parseAVCConfig(b []byte) (c avcDecoder, ok bool) {
	if len(b) < 7 || b[0] != 1 {
		return c, false
	}
	c.lengths = int(b[4]&3) + 1
	rest := b[5:]
	for _, mask := range []byte{31, 255} {
		if len(rest) == 0 {
			return c, false
		}
		n := int(rest[0] & mask)
		rest = rest[1:]
		for range n {
			u, tail, ok := nextUnit16(rest)
			if !ok {
				return c, false
			}
			c.sets = append(c.sets, unit(u))
			rest = tail
		}
	}
	return c, true
}

func avcConfig(sets []unit) []byte {
	if len(sets) < 2 || len(sets[0]) < 4 {
		return nil
	}
	pps := slices.IndexFunc(sets, func(u unit) bool { return u[0]&31 == nalPPS })
	if pps < 1 || pps > 31 || len(sets)-pps > 255 {
		return nil
	}
	b := []byte{1, sets[0][1], sets[0][2], sets[0][3], 0xff, 0xe0 | byte(pps)}
	for i, u := range sets {
		if len(u) > 0xffff {
			return nil
		}
		if i == pps {
			b = append(b, byte(len(sets)-pps))
		}
		b = binary.BigEndian.AppendUint16(b, uint16(len(u)))
		b = append(b, u...)
	}
	if s, ok := parseSPS(sets[0]); ok && s.high {
		b = append(b, 0xfc|s.chroma, 0xf8|s.lumaDepth, 0xf8|s.chromaDepth, 0)
	}
	return b
}
