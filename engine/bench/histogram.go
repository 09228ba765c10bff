package bench

import (
	"math/bits"
	"time"
)

// histogram counts durations with a relative error of at most 1/32. The zero value is empty. It is not safe for concurrent use.
type histogram struct {
	count   uint64
	most    time.Duration
	buckets [28 * 32]uint32
}

// bucket returns where a number of microseconds belongs.
func bucket(us uint64) int {
	if us < 32 {
		return int(us)
	}
	e := bits.Len64(us) - 6 // so that us>>e has six bits
	return min((e+1)*32+int(us>>e)-32, 28*32-1)
}

// lowest returns the least number of microseconds of a bucket.
func lowest(i int) uint64 {
	if i < 64 {
		return uint64(i)
	}
	e := i/32 - 1
	return uint64(i%32+32) << e
}

func (h *histogram) add(d time.Duration) {
	d = max(d, 0)
	h.count++
	h.most = max(h.most, d)
	h.buckets[bucket(uint64(d/time.Microsecond))]++
}

func (h *histogram) merge(o *histogram) {
	h.count += o.count
	h.most = max(h.most, o.most)
	for i, n := range o.buckets {
		h.buckets[i] += n
	}
}

// quantile returns the duration that a share q of all does not exceed; 0 of none.
func (h *histogram) quantile(q float64) time.Duration {
	want := uint64(q * float64(h.count))
	var sum uint64
	for i, n := range h.buckets {
		if sum += uint64(n); sum > want {
			return min(h.most, time.Duration((lowest(i)+lowest(i+1))/2)*time.Microsecond)
		}
	}
	return h.most
}
