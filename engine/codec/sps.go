package codec

import "bytes"

// sequence is what castd reads of an H264 sequence parameter set (H.264, section 7.3.2.1.1).
type sequence struct {
	high                           bool // a profile with chroma format and depths
	chroma, lumaDepth, chromaDepth byte // depths less 8
	width, height                  int
	baseline                       bool   // a profile without B slices
	order                          uint32 // pic_order_cnt_type; 2 says that output is in coding order
	bounded                        bool   // reorder was told
	reorder                        uint32 // max_num_reorder_frames
}

// reorders reports whether pictures may be shown in another order than they are coded; known is false where the set says nothing.
func (s *sequence) reorders() (reordered, known bool) {
	switch {
	case s.baseline || s.order == 2:
		return false, true
	case s.bounded:
		return s.reorder > 0, true
	}
	return false, false
}

func parseSPS(u unit) (s sequence, ok bool) {
	if len(u) < 4 || len(u) > 1024 {
		return s, false
	}
	r := bitReader{b: bytes.ReplaceAll(u[1:], []byte{0, 0, 3}, []byte{0, 0})}
	profile := r.bits(8)
	s.baseline = profile == 66
	r.bits(16)
	r.golomb()
	s.chroma = 1
	separate := false
	switch profile {
	case 100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135:
		chroma := r.golomb()
		if chroma > 3 {
			return s, false
		}
		s.chroma = byte(chroma)
		if chroma == 3 {
			separate = r.bit()
		}
		luma, second := r.golomb(), r.golomb()
		if luma > 6 || second > 6 {
			return s, false
		}
		s.lumaDepth, s.chromaDepth = byte(luma), byte(second)
		r.bits(1)
		if r.bit() {
			skipScaling(&r, chroma)
		}
		s.high = profile == 100 || profile == 110 || profile == 122 || profile == 244
	}
	r.golomb() // log2_max_frame_num_minus4
	switch s.order = r.golomb(); s.order {
	case 0:
		r.golomb()
	case 1:
		r.bits(1)
		r.signedGolomb()
		r.signedGolomb()
		for range min(r.golomb(), 255) {
			r.signedGolomb()
		}
	}
	r.golomb() // max_num_ref_frames
	r.bits(1)
	columns, rows := r.golomb(), r.golomb()
	if columns > 4096 || rows > 4096 {
		return s, false
	}
	fields := 1
	if !r.bit() {
		fields = 2
		r.bits(1)
	}
	r.bits(1)
	s.width, s.height = 16*(int(columns)+1), 16*(int(rows)+1)*fields
	if r.bit() {
		stepX, stepY := 1, fields
		if !separate && (s.chroma == 1 || s.chroma == 2) {
			stepX = 2
		}
		if !separate && s.chroma == 1 {
			stepY = 2 * fields
		}
		left, right, top, bottom := r.golomb(), r.golomb(), r.golomb(), r.golomb()
		if max(left, right, top, bottom) > 1<<16 {
			return s, false
		}
		s.width -= stepX * int(left+right)
		s.height -= stepY * int(top+bottom)
	}
	ok = !r.short && s.width > 0 && s.height > 0
	if ok && r.bit() {
		s.reorder, s.bounded = usability(&r)
	}
	return s, ok
}

// usability reads max_num_reorder_frames of the video usability information (H.264, section E.1.1).
func usability(r *bitReader) (reorder uint32, told bool) {
	const extendedSAR = 255
	if r.bit() && r.bits(8) == extendedSAR {
		r.bits(32)
	}
	if r.bit() { // overscan
		r.bits(1)
	}
	if r.bit() { // video signal type
		r.bits(4)
		if r.bit() {
			r.bits(24)
		}
	}
	if r.bit() { // chroma location
		r.golomb()
		r.golomb()
	}
	if r.bit() { // timing
		r.bits(32)
		r.bits(32)
		r.bits(1)
	}
	nal := r.bit()
	if nal {
		skipHRD(r)
	}
	vcl := r.bit()
	if vcl {
		skipHRD(r)
	}
	if nal || vcl {
		r.bits(1) // low delay
	}
	r.bits(1) // pic_struct_present_flag
	if !r.bit() {
		return 0, false
	}
	r.bits(1)
	for range 4 {
		r.golomb()
	}
	reorder = r.golomb()
	return reorder, !r.short
}

// skipHRD passes over the parameters of a hypothetical reference decoder (H.264, section E.1.2).
func skipHRD(r *bitReader) {
	count := r.golomb()
	r.bits(8)
	for range min(count, 31) + 1 {
		r.golomb()
		r.golomb()
		r.bits(1)
	}
	r.bits(20)
}

func skipScaling(r *bitReader, chroma uint32) {
	lists := 8
	if chroma == 3 {
		lists = 12
	}
	for i := range lists {
		if !r.bit() {
			continue
		}
		size := 16
		if i >= 6 {
			size = 64
		}
		last, next := int32(8), int32(8)
		for range size {
			if next != 0 {
				next = (last + r.signedGolomb()) & 255
			}
			if next != 0 {
				last = next
			}
		}
	}
}

// av1Sequence is what castd reads of an AV1 sequence header (AV1 bitstream specification, section 5.5).
type av1Sequence struct {
	profile, level byte
	flags          byte // third octet of an AV1CodecConfigurationRecord
	width, height  int
}

// findSequence returns the sequence header of a temporal unit, and its OBU with a size field.
func findSequence(frame []byte) (s av1Sequence, obu []byte, ok bool) {
	units, _ := splitOBUs(frame)
	for _, u := range units {
		h, valid := parseOBUHeader(u)
		if !valid || h.kind != obuSequenceHeader {
			continue
		}
		body := u[h.size:]
		if s, ok = parseAV1Sequence(body); !ok {
			return s, nil, false
		}
		obu = append(obu, u[:h.size]...)
		obu[0] |= 2
		return s, append(appendLEB128(obu, len(body)), body...), true
	}
	return s, nil, false
}

func parseAV1Sequence(b []byte) (s av1Sequence, ok bool) {
	r := bitReader{b: b}
	s.profile = byte(r.bits(3))
	r.bits(1)
	reduced := r.bit()
	tier := uint32(0)
	if reduced {
		s.level = byte(r.bits(5))
	} else {
		decoderModel, delayBits := false, 0
		if r.bit() { // timing_info_present_flag
			r.bits(32)
			r.bits(32)
			if r.bit() {
				r.golomb()
			}
			if decoderModel = r.bit(); decoderModel {
				delayBits = int(r.bits(5)) + 1
				r.bits(32)
				r.bits(10)
			}
		}
		initialDelay := r.bit()
		for i := range r.bits(5) + 1 {
			r.bits(12)
			level, t := r.bits(5), uint32(0)
			if level > 7 {
				t = r.bits(1)
			}
			if i == 0 {
				s.level, tier = byte(level), t
			}
			if decoderModel && r.bit() {
				r.bits(delayBits)
				r.bits(delayBits)
				r.bits(1)
			}
			if initialDelay && r.bit() {
				r.bits(4)
			}
		}
	}
	widthBits, heightBits := int(r.bits(4))+1, int(r.bits(4))+1
	s.width, s.height = int(r.bits(widthBits))+1, int(r.bits(heightBits))+1
	if !reduced && r.bit() {
		r.bits(7) // frame id lengths
	}
	r.bits(3) // superblocks, filter intra, intra edge filter
	if !reduced {
		skipAV1Tools(&r)
	}
	r.bits(3) // superres, cdef, restoration
	s.flags = byte(tier)<<7 | av1Colour(&r, s.profile)
	return s, !r.short
}

func skipAV1Tools(r *bitReader) {
	r.bits(4) // interintra, masked, warped, dual filter
	order := r.bit()
	if order {
		r.bits(2) // jnt_comp, ref_frame_mvs
	}
	force := uint32(2)
	if !r.bit() { // seq_choose_screen_content_tools
		force = r.bits(1)
	}
	if force > 0 && !r.bit() { // seq_choose_integer_mv
		r.bits(1)
	}
	if order {
		r.bits(3) // order_hint_bits
	}
}

// av1Colour reads color_config up to the subsampling, as the configuration record packs it.
func av1Colour(r *bitReader, profile byte) byte {
	high, twelve, mono := r.bits(1), uint32(0), uint32(0)
	if profile == 2 && high == 1 {
		twelve = r.bits(1)
	}
	if profile != 1 {
		mono = r.bits(1)
	}
	primaries, transfer, matrix := uint32(2), uint32(2), uint32(2)
	if r.bit() {
		primaries, transfer, matrix = r.bits(8), r.bits(8), r.bits(8)
	}
	x, y, position := uint32(1), uint32(1), uint32(0)
	switch {
	case mono == 1:
	case primaries == 1 && transfer == 13 && matrix == 0: // sRGB
		x, y = 0, 0
	default:
		r.bits(1) // colour range
		switch {
		case profile == 1:
			x, y = 0, 0
		case profile == 2 && twelve == 1:
			if x = r.bits(1); x == 1 {
				y = r.bits(1)
			} else {
				y = 0
			}
		case profile == 2:
			y = 0
		}
		if x == 1 && y == 1 {
			position = r.bits(2)
		}
	}
	return byte(high<<6 | twelve<<5 | mono<<4 | x<<3 | y<<2 | position)
}
