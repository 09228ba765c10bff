package picture

import (
	"math"
	"strconv"
)

// axis maps values onto coordinates: low to from, high to to.
type axis struct {
	low, high float64
	from, to  float64
	log       bool
}

// at returns where a value stands; what lies outside stands at the end.
func (a axis) at(v float64) float64 {
	low, high := a.low, a.high
	if a.log {
		v, low, high = math.Log10(max(v, a.low)), math.Log10(a.low), math.Log10(a.high)
	}
	if high <= low {
		return a.from
	}
	return a.from + min(max((v-low)/(high-low), 0), 1)*(a.to-a.from)
}

// ticks returns about n round values between the ends: 1, 2 or 5 times a power of ten apart, or on a logarithmic axis these values
// themselves.
func (a axis) ticks(n int) []float64 {
	var out []float64
	if a.log {
		for e := math.Floor(math.Log10(a.low)); e <= math.Ceil(math.Log10(a.high)); e++ {
			for _, m := range []float64{1, 2, 5} {
				if v := m * math.Pow(10, e); v >= a.low*0.999 && v <= a.high*1.001 {
					out = append(out, v)
				}
			}
		}
		return out
	}
	step := roundStep((a.high - a.low) / float64(max(n, 1)))
	if step == 0 {
		return []float64{a.low}
	}
	for i := math.Ceil(a.low/step - 1e-9); i*step <= a.high+step*1e-9; i++ {
		out = append(out, i*step+0) // never -0
	}
	return out
}

// roundStep returns the least of 1, 2, 5 times a power of ten that is at least v; 0 for what is no distance.
func roundStep(v float64) float64 {
	if !(v > 0) || math.IsInf(v, 0) {
		return 0
	}
	p := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{1, 2, 5} {
		if m*p >= v*(1-1e-9) {
			return m * p
		}
	}
	return 10 * p
}

// label writes a tick's value.
func label(v float64) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return "?"
	}
	return strconv.FormatFloat(math.Round(v*1e6)/1e6+0, 'f', -1, 64)
}
