package codec

// bitReader reads big-endian bit fields. Behind the end it reads zeros and remembers that it did, so that a parser checks
// once, at its end.
type bitReader struct {
	b     []byte
	pos   int // in bits
	short bool
}

// bits reads n <= 32 bits.
func (r *bitReader) bits(n int) uint32 {
	var v uint32
	for range n {
		v <<= 1
		if i := r.pos >> 3; i < len(r.b) {
			v |= uint32(r.b[i]>>(7-r.pos&7)) & 1
		} else {
			r.short = true
		}
		r.pos++
	}
	return v
}

func (r *bitReader) bit() bool { return r.bits(1) != 0 }

// golomb reads an unsigned Exp-Golomb number (H.264, section 9.1).
func (r *bitReader) golomb() uint32 {
	zeros := 0
	for !r.short && !r.bit() {
		zeros++
	}
	if zeros > 31 {
		r.short = true
		return 0
	}
	return 1<<zeros - 1 + r.bits(zeros)
}

// signedGolomb reads a signed Exp-Golomb number (H.264, section 9.1.1).
func (r *bitReader) signedGolomb() int32 {
	k := r.golomb()
	if k&1 != 0 {
		return int32(k/2 + 1)
	}
	return -int32(k / 2)
}
