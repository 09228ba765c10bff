package codec

// The VP9 payload descriptor (RFC 9628, section 4.2):
//
//	 0 1 2 3 4 5 6 7
//	|I|P|L|F|B|E|V|Z|
//	|M| PICTURE ID  |  I; 15 bits where M
//	| TID |U| SID |D|  L
//	|   TL0PICIDX   |  L and not F
//	| P_DIFF      |N|  F and P, up to three times
//	| SS            |  V
type vp9Descriptor struct {
	predicted  bool // P
	start, end bool // B, E
	spatial    uint8
	temporal   uint8
	switchUp   bool // U
	size       int
}

func parseVP9(b []byte) (d vp9Descriptor, ok bool) {
	if len(b) == 0 {
		return d, false
	}
	flags := b[0]
	d.predicted, d.start, d.end = flags&0x40 != 0, flags&0x08 != 0, flags&0x04 != 0
	flexible := flags&0x10 != 0
	n := 1
	if flags&0x80 != 0 {
		if len(b) <= n {
			return d, false
		}
		if b[n]&0x80 != 0 {
			n++
		}
		n++
	}
	if flags&0x20 != 0 {
		if len(b) <= n {
			return d, false
		}
		d.temporal, d.switchUp, d.spatial = b[n]>>5, b[n]&0x10 != 0, b[n]>>1&7
		n++
		if !flexible {
			n++
		}
	}
	if flexible && d.predicted {
		for i := 0; ; i++ {
			if i == 3 || len(b) <= n {
				return d, false
			}
			n++
			if b[n-1]&1 == 0 {
				break
			}
		}
	}
	if flags&0x02 != 0 {
		if n, ok = skipStructure(b, n); !ok {
			return d, false
		}
	}
	d.size = n
	return d, len(b) > n
}

// skipStructure returns the place behind the scalability structure that begins at n.
func skipStructure(b []byte, n int) (int, bool) {
	if len(b) <= n {
		return 0, false
	}
	layers, sizes, groups := int(b[n]>>5)+1, b[n]&0x10 != 0, b[n]&0x08 != 0
	n++
	if sizes {
		n += 4 * layers
	}
	if !groups {
		return n, true
	}
	if len(b) <= n {
		return 0, false
	}
	pictures := int(b[n])
	n++
	for range pictures {
		if len(b) <= n {
			return 0, false
		}
		n += 1 + int(b[n]>>2&3)
	}
	return n, true
}

func inspectVP9(payload []byte) finding {
	d, ok := parseVP9(payload)
	if !ok {
		return finding{empty: true}
	}
	f := finding{Frame: Frame{
		Start: d.start, End: d.end, Key: !d.predicted, LayerSync: d.switchUp && d.temporal > 0,
		Spatial: min(d.spatial, 3), Temporal: d.temporal,
	}}
	if d.start {
		f.head = true
		if h, ok := parseVP9Header(payload[d.size:]); ok {
			f.Discardable = !h.key && h.refresh == 0 && !h.existing
			if d.spatial == 0 {
				f.Key = f.Key && h.key
			}
		}
	}
	return f
}

// vp9Header is the part of the uncompressed header that castd looks at (VP9 bitstream specification, section 6.2).
type vp9Header struct {
	existing      bool // shows a frame that was decoded earlier
	key           bool
	refresh       uint8 // reference slots that this frame is stored into
	width, height int   // of key frames
}

func parseVP9Header(b []byte) (h vp9Header, ok bool) {
	r := bitReader{b: b}
	if r.bits(2) != 2 { // frame_marker
		return h, false
	}
	profile := r.bits(1) | r.bits(1)<<1
	if profile == 3 {
		r.bits(1)
	}
	if h.existing = r.bit(); h.existing {
		return h, !r.short
	}
	h.key = !r.bit()
	shown, resilient := r.bit(), r.bit()
	if h.key {
		h.refresh = 0xff
		if r.bits(24) != 0x498342 {
			return h, false
		}
		skipVP9Colour(&r, profile)
		h.width, h.height = int(r.bits(16))+1, int(r.bits(16))+1
		return h, !r.short
	}
	intraOnly := !shown && r.bit()
	if !resilient {
		r.bits(2) // reset_frame_context
	}
	if intraOnly {
		if r.bits(24) != 0x498342 {
			return h, false
		}
		if profile > 0 {
			skipVP9Colour(&r, profile)
		}
	}
	h.refresh = uint8(r.bits(8))
	return h, !r.short
}

func skipVP9Colour(r *bitReader, profile uint32) {
	if profile >= 2 {
		r.bits(1) // twelve or ten bits
	}
	const rgb = 7
	if r.bits(3) != rgb {
		r.bits(1) // colour range
		if profile&1 != 0 {
			r.bits(3) // subsampling, reserved
		}
	} else if profile&1 != 0 {
		r.bits(1) // reserved
	}
}
