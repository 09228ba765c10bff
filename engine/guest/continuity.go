package guest

import (
	"encoding/binary"

	"github.com/castd/castd/engine/wire"
)

// continuity has the numbers of pictures go on in a viewer's stream whatever it plays, as timeline does for packets. Decoders find by them
// which pictures a picture needs, and drop a key frame whose number is below that of the last one. Each encoding of a camera has numbers of
// its own, or shares them with the others, where those of the larger one are the lower. They are:
//
//   - frame_number of the dependency descriptor (RTP payload format for AV1, appendix A), 16 bits,
//   - PictureID, 7 or 15 bits, TL0PICIDX, 8 bits, and KEYIDX, 5 bits, of the VP8 payload descriptor (RFC 7741 section 4.2).
//
// What refers to other pictures is told by differences, or by the same numbers, and so stays right. It is a pure value; the zero value is
// ready.
type continuity struct {
	frame, picture, base, key counter
}

// counter is a number that goes on.
type counter struct {
	started bool
	cut     bool   // the next one is of another source
	shift   uint16 // what is added
	last    uint16 // highest that was given
}

// renumbering is what is added to the numbers of one packet.
type renumbering struct {
	vp8                       bool
	frame, picture, base, key uint16
}

// next returns what is added to a number, of which the bits of mask count.
func (c *counter) next(n, mask uint16) uint16 {
	if c.cut && c.started {
		c.shift = c.last + 1 - n
	}
	out := (n + c.shift) & mask
	if ahead := (out - c.last) & mask; c.cut || !c.started || ahead <= mask>>1 {
		c.last = out
	}
	c.started, c.cut = true, false
	return c.shift
}

// next returns how the numbers of the next packet are changed. cut is set for the first packet of a source.
func (c *continuity) next(cut, vp8 bool, payload, dependency []byte) (r renumbering) {
	if cut {
		c.frame.cut, c.picture.cut, c.base.cut, c.key.cut = true, true, true, true
	}
	if len(dependency) >= 3 {
		r.frame = c.frame.next(binary.BigEndian.Uint16(dependency[1:]), 0xFFFF)
	}
	if !vp8 {
		return r
	}
	r.vp8 = true
	d := numbersOfVP8(payload)
	if d.picture > 0 {
		r.picture = c.picture.next(d.pictureID(payload))
	}
	if d.base > 0 {
		r.base = c.base.next(uint16(payload[d.base]), 0xFF)
	}
	if d.key > 0 {
		r.key = c.key.next(uint16(payload[d.key]&0x1F), 0x1F)
	}
	return r
}

// dependency changes a dependency descriptor.
func (r *renumbering) dependency(b []byte) {
	if len(b) >= 3 {
		binary.BigEndian.PutUint16(b[1:], binary.BigEndian.Uint16(b[1:])+r.frame)
	}
}

// payload changes a payload.
func (r *renumbering) payload(b []byte) {
	if !r.vp8 {
		return
	}
	d := numbersOfVP8(b)
	if d.picture > 0 {
		n, mask := d.pictureID(b)
		n = (n + r.picture) & mask
		if d.long {
			binary.BigEndian.PutUint16(b[d.picture:], 0x8000|n)
		} else {
			b[d.picture] = byte(n)
		}
	}
	if d.base > 0 {
		b[d.base] += byte(r.base)
	}
	if d.key > 0 {
		b[d.key] = b[d.key]&0xE0 | (b[d.key]+byte(r.key))&0x1F
	}
}

// vp8Numbers says where in a VP8 payload the numbers are; 0 stands for one that is not there.
type vp8Numbers struct {
	picture, base, key int
	long               bool // PictureID has 15 bits
}

// pictureID returns the PictureID, which must be there, and the bits that it has.
func (d vp8Numbers) pictureID(b []byte) (n, mask uint16) {
	if d.long {
		return binary.BigEndian.Uint16(b[d.picture:]) & 0x7FFF, 0x7FFF
	}
	return uint16(b[d.picture]), 0x7F
}

// numbersOfVP8 reads a VP8 payload descriptor. A malformed one has no numbers.
func numbersOfVP8(b []byte) (d vp8Numbers) {
	if len(b) < 2 || b[0]&0x80 == 0 {
		return vp8Numbers{}
	}
	has, at := b[1], 2
	if has&0x80 != 0 {
		d.picture = at
		d.long = at < len(b) && b[at]&0x80 != 0
		at++
		if d.long {
			at++
		}
	}
	if has&0x40 != 0 {
		d.base = at
		at++
	}
	if has&0x30 != 0 {
		if has&0x10 != 0 {
			d.key = at
		}
		at++
	}
	if at > len(b) {
		return vp8Numbers{}
	}
	return d
}

// dependencyOf returns the dependency descriptor of a packet, nil where there is none.
func dependencyOf(h *wire.Header) []byte {
	if len(h.Ext) == 0 {
		return nil
	}
	return h.Extension(wire.ExtDependencyDescriptor)
}
