package seal

// windowSize is how far behind the newest number one may be that was not used yet.
const windowSize = 4096

// window remembers which of the newest windowSize numbers were taken. The zero value has seen none.
type window struct {
	any    bool
	newest uint64
	bits   [windowSize / 64]uint64 // bit n%windowSize: n was taken
}

// take marks n and reports whether it was free. What is older than the window counts as taken.
func (w *window) take(n uint64) bool {
	switch {
	case !w.any:
		w.any, w.newest = true, n
	case n > w.newest:
		if n-w.newest >= windowSize {
			w.bits = [windowSize / 64]uint64{}
		} else {
			for i := w.newest + 1; i < n; i++ {
				w.bits[i%windowSize/64] &^= 1 << (i % 64)
			}
		}
		w.newest = n
	case w.newest-n >= windowSize:
		return false
	case w.bits[n%windowSize/64]&(1<<(n%64)) != 0:
		return false
	}
	w.bits[n%windowSize/64] |= 1 << (n % 64)
	return true
}
