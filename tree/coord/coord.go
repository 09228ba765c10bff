// Package coord gives peers places in a space in which the distance between two of them foretells their round-trip time
// (Vivaldi, Dabek et al., SIGCOMM 2004: four dimensions and a height, with the adjustment term of Ledlie et al., NSDI 2007).
//
// Real round trips violate the triangle inequality often, so a distance ranks candidates and a probe decides.
//
// The package has no clock and no I/O, and draws random numbers only where two peers stand at the same point. A State belongs to
// one goroutine; a Coord is a value. What others send is clamped before it is used (Clamp), so that NaN, infinities and
// far-away places do no harm.
package coord

import (
	"encoding/binary"
	"math"
	"time"
)

const (
	// Dims is the number of dimensions besides the height.
	Dims = 4
	// Size is the length of an encoded coordinate, in octets.
	Size = 4 * (Dims + 3)

	// maxPart bounds each part of a coordinate, in milliseconds.
	maxPart = 10_000
	// maxError is the error estimate of one who knows nothing.
	maxError = 1.5
	// minError keeps a coordinate that has been measured apart from the zero Coord.
	minError = 0.01
	// minHeight is the least height, in milliseconds: the access link.
	minHeight = 0.01
)

// Coord is a place. The zero Coord is that of a peer that has measured nothing.
type Coord struct {
	Vec    [Dims]float32 // milliseconds of round trip
	Height float32       // milliseconds: what every path to the peer has in common
	Adjust float32       // milliseconds to add to a distance, mean error of the last measurements
	Err    float32       // relative error of what it foretells, 0 where it is not known at all
}

// Known tells whether the coordinate foretells anything.
func (c Coord) Known() bool { return c.Err > 0 }

// Distance returns the round-trip time to expect between two peers; false where either has no place.
func Distance(a, b Coord) (time.Duration, bool) {
	if !a.Known() || !b.Known() {
		return 0, false
	}
	d := raw(a, b)
	if adjusted := d + float64(a.Adjust) + float64(b.Adjust); adjusted > 0 {
		d = adjusted
	}
	return time.Duration(d * float64(time.Millisecond)), true
}

// raw is the distance without the adjustment, in milliseconds.
func raw(a, b Coord) float64 {
	var sum float64
	for i := range a.Vec {
		d := float64(a.Vec[i]) - float64(b.Vec[i])
		sum += d * d
	}
	return math.Sqrt(sum) + float64(a.Height) + float64(b.Height)
}

// Clamp returns a coordinate that others sent in the limits, or the zero Coord where it makes no sense.
func (c Coord) Clamp() Coord {
	for _, v := range c.Vec {
		if !within(v, maxPart) {
			return Coord{}
		}
	}
	if !within(c.Height, maxPart) || !within(c.Adjust, maxPart) || !within(c.Err, maxPart) || c.Err <= 0 {
		return Coord{}
	}
	c.Height = max(c.Height, minHeight)
	c.Err = min(max(c.Err, minError), maxError)
	return c
}

// within is false for NaN too.
func within(v float32, limit float32) bool { return v >= -limit && v <= limit }

// Append encodes a coordinate: Vec, Height, Adjust and Err as IEEE 754 single precision, big-endian. The zero Coord is nothing.
func (c Coord) Append(b []byte) []byte {
	if !c.Known() {
		return b
	}
	for _, v := range c.Vec {
		b = binary.BigEndian.AppendUint32(b, math.Float32bits(v))
	}
	for _, v := range [...]float32{c.Height, c.Adjust, c.Err} {
		b = binary.BigEndian.AppendUint32(b, math.Float32bits(v))
	}
	return b
}

// Decode reads what Append wrote, in the limits of Clamp. Anything else is the zero Coord.
func Decode(b []byte) Coord {
	if len(b) != Size {
		return Coord{}
	}
	next := func() float32 {
		v := math.Float32frombits(binary.BigEndian.Uint32(b))
		b = b[4:]
		return v
	}
	var c Coord
	for i := range c.Vec {
		c.Vec[i] = next()
	}
	c.Height, c.Adjust, c.Err = next(), next(), next()
	return c.Clamp()
}
