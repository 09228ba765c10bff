package relay

// What a window says of a number, besides the index of an entry.
const (
	slotEmpty   int32 = 0
	slotSkipped int32 = -1
)

// maxSpan is how far apart the lowest and the highest number of a window may be. It is more than twice the leap that a
// packet may make, so that one forged number far ahead moves nothing out of the window. A slot takes four octets.
const maxSpan = 1 << 16

// window maps consecutive numbers to slots: empty, skipped, or an entry (its index plus one).
type window struct {
	slots  []int32 // a power of two; number n is at n modulo the length
	any    bool    // there are numbers in it: lo to hi
	lo, hi uint64
}

func (w *window) at(n uint64) int32 {
	if !w.any || n < w.lo || n > w.hi {
		return slotEmpty
	}
	return w.slots[n&uint64(len(w.slots)-1)]
}

// set says what is known of n, which is between lo and hi.
func (w *window) set(n uint64, slot int32) { w.slots[n&uint64(len(w.slots)-1)] = slot }

// fits reports whether n can be included without giving up what is in the window.
func (w *window) fits(n uint64) bool {
	return !w.any || (n >= w.lo || w.hi-n < maxSpan) && (n <= w.hi || n-w.lo < maxSpan)
}

// include makes n a number of the window. It fits.
func (w *window) include(n uint64) {
	lo, hi := n, n
	if w.any {
		lo, hi = min(n, w.lo), max(n, w.hi)
	}
	if span := hi - lo + 1; span > uint64(len(w.slots)) {
		size := max(64, len(w.slots))
		for uint64(size) < span {
			size *= 2
		}
		slots := make([]int32, size)
		if w.any {
			for i := w.lo; i <= w.hi; i++ {
				slots[i&uint64(size-1)] = w.at(i)
			}
		}
		w.slots = slots
	}
	w.any, w.lo, w.hi = true, lo, hi
}

// trim leaves empty numbers out of both ends. Whoever empties a slot calls it, so that lo and hi are never empty.
func (w *window) trim() {
	for w.any && w.at(w.lo) == slotEmpty {
		if w.lo == w.hi {
			w.any = false
			return
		}
		w.lo++
	}
	for w.any && w.at(w.hi) == slotEmpty {
		w.hi--
	}
}
