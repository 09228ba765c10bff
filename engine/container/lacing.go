package container

// Kinds of lacing (RFC 9559, section 10.3).
const (
	laceNone  = 0
	laceXiph  = 1
	laceFixed = 2
	laceEBML  = 3
)

// unlace cuts the data of a block into its frames.
func unlace(b []byte, kind byte) (frames [][]byte, ok bool) {
	if kind == laceNone {
		return [][]byte{b}, true
	}
	if len(b) == 0 {
		return nil, false
	}
	count := int(b[0]) + 1
	b = b[1:]
	if kind == laceFixed {
		if len(b)%count != 0 {
			return nil, false
		}
		size := len(b) / count
		for i := range count {
			frames = append(frames, b[i*size:(i+1)*size:(i+1)*size])
		}
		return frames, true
	}
	sizes := make([]int, 0, count)
	total := 0
	for len(sizes) < count-1 {
		size, n := 0, 0
		if kind == laceXiph {
			size, n = xiphSize(b)
		} else {
			size, n = ebmlSize(b, sizes)
		}
		if n == 0 || size < 0 || size > len(b) {
			return nil, false
		}
		b = b[n:]
		sizes = append(sizes, size)
		total += size
	}
	if total > len(b) {
		return nil, false
	}
	for _, size := range append(sizes, len(b)-total) {
		frames = append(frames, b[:size:size])
		b = b[size:]
	}
	return frames, true
}

// xiphSize reads a size as a run of 255s and a rest; n is 0 where it is cut.
func xiphSize(b []byte) (size, n int) {
	for n < len(b) {
		c := b[n]
		n++
		size += int(c)
		if c < 255 {
			return size, n
		}
	}
	return 0, 0
}

// ebmlSize reads a first size, or a signed difference to the one before.
func ebmlSize(b []byte, sizes []int) (size, n int) {
	v, n, known := vint(b)
	if n == 0 || !known || v > MaxFrame<<4 {
		return 0, 0
	}
	if len(sizes) == 0 {
		return int(v), n
	}
	bias := int64(1)<<(7*n-1) - 1
	return sizes[len(sizes)-1] + int(int64(v)-bias), n
}
