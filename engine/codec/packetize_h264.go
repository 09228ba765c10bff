package codec

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
)

// unit is a NAL unit without start code or length, or an OBU without its size.
type unit []byte

var errUnits = errors.New("codec: frame is not a sequence of NAL units or OBUs")

// packetizeH264 writes single NAL units and FU-A (RFC 6184, packetization mode 1), and parameter sets together as STAP-A.
// Access unit delimiters and fillers carry nothing and are left out.
func (p *Packetizer) packetizeH264(frame []byte) error {
	units, ok := p.nalUnits(frame)
	if !ok {
		return errUnits
	}
	var idr, sps bool
	for _, u := range units {
		idr = idr || u[0]&31 == nalIDR
		sps = sps || u[0]&31 == nalSPS
	}
	if idr && !sps {
		p.aggregate(p.prelude)
	}
	for i := 0; i < len(units); i++ {
		u := units[i]
		switch u[0] & 31 {
		case nalDelimiter, nalFiller:
			continue
		case nalSPS, nalPPS:
			end := i + 1
			for end < len(units) && (units[end][0]&31 == nalSPS || units[end][0]&31 == nalPPS) {
				end++
			}
			p.aggregate(units[i:end])
			i = end - 1
			continue
		}
		p.addNAL(u)
	}
	return nil
}

// aggregate sends units as one STAP-A where they fit, else one by one.
func (p *Packetizer) aggregate(units []unit) {
	size, header := 1, byte(nalSTAPA)
	for _, u := range units {
		size += 2 + len(u)
		header = header&0x9f | max(header&0x60, u[0]&0x60) | u[0]&0x80
	}
	if len(units) < 2 || size > p.limit {
		for _, u := range units {
			p.addNAL(u)
		}
		return
	}
	from := len(p.buf)
	p.buf = append(p.buf, header)
	for _, u := range units {
		p.buf = binary.BigEndian.AppendUint16(p.buf, uint16(len(u)))
		p.buf = append(p.buf, u...)
	}
	p.out = append(p.out, Payload{Data: p.buf[from:len(p.buf):len(p.buf)]})
}

func (p *Packetizer) addNAL(u unit) {
	if len(u) <= p.limit {
		p.add(u)
		return
	}
	header := [2]byte{u[0]&0xe0 | nalFUA, u[0]&31 | 0x80}
	left := len(u) - 1
	for part := range chunks(u[1:], p.limit-len(header)) {
		if left -= len(part); left == 0 {
			header[1] |= 0x40
		}
		p.add(header[:], part)
		header[1] &^= 0x80
	}
}

// nalUnits splits a frame in the form that the track has.
func (p *Packetizer) nalUnits(frame []byte) ([]unit, bool) {
	if p.lengths == 0 {
		units := splitAnnexB(frame)
		return units, len(units) > 0
	}
	return splitAVC(frame, p.lengths)
}

// splitAVC splits a sequence of NAL units that each have a length before them. Empty ones are left out.
func splitAVC(b []byte, lengths int) (units []unit, ok bool) {
	for len(b) > 0 {
		if len(b) < lengths {
			return nil, false
		}
		n := 0
		for _, c := range b[:lengths] {
			n = n<<8 | int(c)
		}
		b = b[lengths:]
		if n > len(b) {
			return nil, false
		}
		if n > 0 {
			units = append(units, unit(b[:n:n]))
		}
		b = b[n:]
	}
	return units, len(units) > 0
}

// splitAnnexB splits at start codes of three or more octets (H.264, annex B). What stands before the first is no unit.
func splitAnnexB(b []byte) (units []unit) {
	code := []byte{0, 0, 1}
	_, rest, found := bytes.Cut(b, code)
	for found {
		var u []byte
		u, rest, found = bytes.Cut(rest, code)
		if u = bytes.TrimRight(u, "\x00"); len(u) > 0 { // a unit never ends in zeros; these belong to the next start code
			units = append(units, unit(slices.Clip(u)))
		}
	}
	return units
}
