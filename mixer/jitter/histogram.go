package jitter

// buckets and bucket are the shape of the histograms of delay: 100 of 20 ms each.
const (
	buckets = 100
	bucket  = 20 * Rate / 1000
)

// histogram is how often a delay fell into each bucket, the past forgotten bit by bit. Of each new value the weight is
// 1-forget, and at the start 2/(n+1) for the n-th, so that the first seconds count.
//
// Weights are kept multiplied with scale, so that a new value changes one bucket and not all of them.
type histogram struct {
	forget float64
	scale  float64
	weight [buckets]float64
	n      int
}

// add takes a delay in samples.
func (h *histogram) add(delay int64) {
	i := min(max(delay, 0)/bucket, buckets-1)
	w := 1 - h.forget
	if start := 2 / float64(h.n+1); start > w {
		w = start
		h.n++ // stops where the start is over
	}
	if w >= 1 {
		h.weight, h.scale = [buckets]float64{}, 1
		h.weight[i] = 1
		return
	}
	h.scale *= 1 - w
	h.weight[i] += w / h.scale
	if h.scale < 1e-9 {
		for i := range h.weight {
			h.weight[i] *= h.scale
		}
		h.scale = 1
	}
}

// share returns how much of the past fell into a bucket, from 0 to 1.
func (h *histogram) share(i int) float64 { return h.weight[i] * h.scale }

// quantile returns the first bucket that the given share of the past did not exceed.
func (h *histogram) quantile(q float64) int {
	above := 1.0
	for i := range buckets {
		above -= h.share(i)
		if above <= 1-q+1e-9 {
			return i
		}
	}
	return buckets - 1
}
