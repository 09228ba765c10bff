package codec

// The VP8 payload descriptor (RFC 7741, section 4.2):
//
//	 0 1 2 3 4 5 6 7
//	|X|R|N|S|R| PID |
//	|I|L|T|K| RSV   |  X
//	|M| PictureID   |  I; 15 bits where M
//	|   TL0PICIDX   |  L
//	|TID|Y| KEYIDX  |  T or K
type vp8Descriptor struct {
	discardable bool // N
	start       bool // S with PID 0
	hasTID      bool
	temporal    uint8
	sync        bool // Y
	size        int  // octets before the VP8 payload
}

func parseVP8(b []byte) (d vp8Descriptor, ok bool) {
	if len(b) == 0 {
		return d, false
	}
	d.discardable = b[0]&0x20 != 0
	d.start = b[0]&0x17 == 0x10
	d.size = 1
	if b[0]&0x80 == 0 {
		return d, len(b) > d.size
	}
	if len(b) < 2 {
		return d, false
	}
	ext := b[1]
	d.size = 2
	if ext&0x80 != 0 {
		if len(b) <= d.size {
			return d, false
		}
		if b[d.size]&0x80 != 0 {
			d.size++
		}
		d.size++
	}
	if ext&0x40 != 0 {
		d.size++
	}
	if ext&0x30 != 0 {
		if len(b) <= d.size {
			return d, false
		}
		if ext&0x20 != 0 {
			d.hasTID = true
			d.temporal, d.sync = b[d.size]>>6, b[d.size]&0x20 != 0
		}
		d.size++
	}
	return d, len(b) > d.size
}

// vp8Key reports whether a frame or the first part of one belongs to a key frame (RFC 6386, section 9.1).
func vp8Key(frame []byte) bool { return len(frame) > 0 && frame[0]&1 == 0 }

func inspectVP8(payload []byte, marker bool) finding {
	d, ok := parseVP8(payload)
	if !ok {
		return finding{empty: true}
	}
	f := finding{Frame: Frame{Start: d.start, End: marker, Discardable: d.discardable, Temporal: d.temporal, LayerSync: d.sync}}
	if d.start {
		f.head = true
		f.Key = vp8Key(payload[d.size:])
	}
	return f
}

// vp8Dimensions reads the size of a key frame's picture, in pixels (RFC 6386, section 9.1).
func vp8Dimensions(frame []byte) (width, height int, ok bool) {
	if len(frame) < 10 || !vp8Key(frame) || frame[3] != 0x9d || frame[4] != 0x01 || frame[5] != 0x2a {
		return 0, 0, false
	}
	return int(frame[6]) | int(frame[7]&0x3f)<<8, int(frame[8]) | int(frame[9]&0x3f)<<8, true
}
