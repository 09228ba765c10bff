package codec

// Types of OBUs (AV1 bitstream specification, section 6.2.2).
const (
	obuSequenceHeader    = 1
	obuTemporalDelimiter = 2
	obuFrameHeader       = 3
	obuMetadata          = 5
	obuFrame             = 6
	obuTileList          = 8
	obuPadding           = 15
)

// The AV1 aggregation header: |Z|Y| W |N|-|-|-|. Z: the first element continues an OBU. Y: the last one is continued in the
// next packet. W: number of elements, of which the last has no length; 0: all have one. N: first packet of a coded video sequence.
func inspectAV1(payload []byte, marker bool, dep []byte, t *templates) finding {
	f := finding{Frame: Frame{End: marker, Key: payload[0]&0x08 != 0}, byStamp: true}
	f.head = f.Key
	elements(payload, func(i int, obu []byte, _ bool) bool {
		if i > 0 || payload[0]&0x80 == 0 {
			f.obu(obu)
		}
		return true
	})
	f.Start = f.opens
	if len(dep) >= 3 {
		f.byStamp = false
		f.describe(dep, t)
	}
	return f
}

// obu takes the beginning of an OBU into account.
func (f *finding) obu(obu []byte) {
	h, ok := parseOBUHeader(obu)
	if !ok {
		return
	}
	if h.extended {
		f.Temporal, f.Spatial = h.temporal, h.spatial
	}
	switch h.kind {
	case obuSequenceHeader:
		f.Key, f.opens, f.head = true, true, true
	case obuMetadata:
		f.opens = true
	case obuFrameHeader, obuFrame:
		f.opens, f.head = true, true
		if len(obu) > h.size && obu[h.size]&0xe0 == 0 { // show_existing_frame 0, frame_type KEY_FRAME
			f.Key = true
		}
	}
}

// elements calls each for the OBU elements of a payload, until that returns false; last tells the last one. ok is false
// where the payload is malformed.
func elements(payload []byte, each func(i int, element []byte, last bool) bool) (ok bool) {
	if len(payload) < 2 {
		return false
	}
	count := int(payload[0] >> 4 & 3)
	rest := payload[1:]
	for i := 0; len(rest) > 0; i++ {
		size := len(rest)
		if count == 0 || i < count-1 {
			v, n, ok := leb128(rest)
			if !ok || v > uint64(len(rest)-n) {
				return false
			}
			rest = rest[n:]
			size = int(v)
		}
		element := rest[:size:size]
		rest = rest[size:]
		if !each(i, element, len(rest) == 0) {
			return true
		}
		if count > 0 && i == count-1 {
			return len(rest) == 0
		}
	}
	return count == 0
}

type obuHeader struct {
	kind              uint8
	extended          bool
	temporal, spatial uint8
	hasSize           bool
	size              int // octets of the header before the payload, with the size field where there is one
	payload           int // octets of the payload, as far as the size field says; -1 without one
}

func parseOBUHeader(b []byte) (h obuHeader, ok bool) {
	if len(b) == 0 || b[0]&0x80 != 0 {
		return h, false
	}
	h.kind, h.extended, h.hasSize = b[0]>>3&15, b[0]&4 != 0, b[0]&2 != 0
	h.size, h.payload = 1, -1
	if h.extended {
		if len(b) < 2 {
			return h, false
		}
		h.temporal, h.spatial = b[1]>>5, b[1]>>3&3
		h.size = 2
	}
	if h.hasSize {
		v, n, ok := leb128(b[h.size:])
		if !ok || v > MaxFrame {
			return h, false
		}
		h.size += n
		h.payload = int(v)
	}
	return h, true
}

// leb128 reads a number of at most 32 bits (AV1 bitstream specification, section 4.10.5) and returns its length.
func leb128(b []byte) (v uint64, n int, ok bool) {
	for n < len(b) && n < 8 {
		v |= uint64(b[n]&0x7f) << (7 * n)
		n++
		if b[n-1]&0x80 == 0 {
			return v, n, v < 1<<32
		}
	}
	return 0, 0, false
}

func appendLEB128(b []byte, v int) []byte {
	for v >= 0x80 {
		b = append(b, byte(v)|0x80)
		v >>= 7
	}
	return append(b, byte(v))
}

func leb128Size(v int) int {
	n := 1
	for v >= 0x80 {
		v >>= 7
		n++
	}
	return n
}
