package jitter

import "math"

// Sound is shortened, lengthened and continued by whole periods of the voice: 2.5 to 15 ms, from a child's 400 Hz to a deep
// 67 Hz. The period is looked for at 4 kHz, where it takes little, and made exact at 48 kHz.
const (
	minLag = Rate * 5 / 2000
	maxLag = Rate * 15 / 1000
	coarse = 12 // samples for one at 4 kHz; divides all lengths here
	before = Rate / 100
	after  = Rate / 200
)

// finder has the space that looking for a period needs.
type finder struct {
	mono [before + after + maxLag]float32
	low  [(before + after + maxLag) / coarse]float32
}

// lag returns at which distance, of minLag to most samples, the sound is most like that from behind samples before position i of
// the tape to ahead samples after it: later sound where forward is set, else earlier. alike is their correlation, 1 where both have
// the same shape; lag is 0 where most is too little. The tape has to hold what is compared.
func (f *finder) lag(t *tape, i, behind, ahead, most int, forward bool) (lag int, alike float64) {
	most = min(most, maxLag) / coarse * coarse
	if most < minLag {
		return 0, 0
	}
	length := behind + ahead
	begin, window := i-behind, 0 // of mono on the tape, of what is compared in mono
	direction := 1
	if !forward {
		begin, window, direction = begin-most, most, -1
	}
	mono, low := f.mono[:length+most], f.low[:(length+most)/coarse]
	for j := range mono {
		mono[j] = t.mono(begin + j)
	}
	for j := range low {
		var sum float32
		for _, x := range mono[j*coarse : (j+1)*coarse] {
			sum += x
		}
		low[j] = sum
	}
	best, how := minLag/coarse, math.Inf(-1)
	for l := minLag / coarse; l <= most/coarse; l++ {
		if s := similarity(low, window/coarse, window/coarse+direction*l, length/coarse); s > how {
			best, how = l, s
		}
	}
	alike = math.Inf(-1)
	for l := max(minLag, (best-1)*coarse); l <= min(most, (best+1)*coarse); l++ {
		if s := similarity(mono, window, window+direction*l, length); s > alike {
			lag, alike = l, s
		}
	}
	return lag, alike
}

// similarity returns the correlation of the n samples at a with those at b, 0 where one is silent.
func similarity(x []float32, a, b, n int) float64 {
	p, q := x[a:a+n], x[b:b+n]
	var pq, pp, qq float32
	for i, u := range p {
		v := q[i]
		pq, pp, qq = pq+u*v, pp+u*u, qq+v*v
	}
	if pp == 0 || qq == 0 {
		return 0
	}
	return float64(pq) / math.Sqrt(float64(pp)*float64(qq))
}

// energy returns the mean square of n samples of the tape from position i.
func energy(t *tape, i, n int) float64 {
	var sum float32
	for j := i; j < i+n; j++ {
		x := t.mono(j)
		sum += x * x
	}
	return float64(sum) / float64(n)
}
