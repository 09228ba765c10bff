package mixer

import "math"

// pan is the gain of the left and the right channel at a place from -1, all left, to 1, all right. The power of both together is the same
// everywhere, and in the middle both are 1, so that a listener in mono hears an input as loud as one in stereo does.
func pan(place float32) (left, right float32) {
	angle := float64(max(-1, min(1, place))+1) * math.Pi / 4
	return float32(math.Sqrt2 * math.Cos(angle)), float32(math.Sqrt2 * math.Sin(angle))
}

// placed writes a frame of base, mono or stereo, with gains that run from the first pair to the second within the frame, to out, in stereo.
func placed(out, base []float32, channels int, from, to [2]float32) {
	stepL, stepR := (to[0]-from[0])/FrameSamples, (to[1]-from[1])/FrameSamples
	l, r := from[0], from[1]
	if channels == 1 {
		for i, x := range base[:FrameSamples] {
			l, r = l+stepL, r+stepR
			out[2*i], out[2*i+1] = l*x, r*x
		}
		return
	}
	for i := range FrameSamples {
		l, r = l+stepL, r+stepR
		out[2*i], out[2*i+1] = l*base[2*i], r*base[2*i+1]
	}
}
