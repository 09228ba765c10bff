package codec

import (
	"encoding/binary"
	"fmt"
)

// Depacketizer puts frames together from the payloads of one stream, which must come in order. Frames come out as they
// went into a Packetizer: VP8 and VP9 bit for bit; H264 as NAL units with four octets of length each, and AV1 in the
// low-overhead format, both as Matroska wants them. RED gives its primary block.
type Depacketizer struct {
	// KeepGoing delivers frames although earlier ones, which they may need, were lost; damaged ones are dropped all the same.
	// Without it (the zero value) all frames from a hole to the next key frame are dropped, save for holes inside frames that
	// are known to be discardable.
	KeepGoing bool

	codec       string
	inspector   *Inspector
	waiting     bool // for a key frame
	open        bool // a frame has begun
	damaged     bool // and a part of it is missing
	discardable bool
	key         bool
	timestamp   uint32
	buf         []byte // the frame
	unit        int    // H264, AV1: where the unit that is being put together begins in buf; -1 if none is
	dropped     uint64
}

// NewDepacketizer returns a Depacketizer. Video begins with the first whole key frame.
func NewDepacketizer(codec string) (*Depacketizer, error) {
	if !known(codec) {
		return nil, fmt.Errorf("codec: cannot depacketize %q", codec)
	}
	return &Depacketizer{codec: codec, inspector: NewInspector(codec), waiting: true, unit: -1}, nil
}

// Dropped returns how many frames were begun and not delivered.
func (d *Depacketizer) Dropped() uint64 { return d.dropped }

// Push takes the next payload with its RTP timestamp and marker; hole says that at least one packet is missing right before
// it. With the last packet of a frame, which is the one with the marker, it returns the frame, valid until the next call.
// It keeps nothing of payload.
func (d *Depacketizer) Push(payload []byte, timestamp uint32, marker, hole bool) (frame []byte, key, ok bool) {
	switch d.codec {
	case Opus:
		return payload, true, len(payload) > 0
	case RED:
		primary, ok := redPrimary(payload)
		return primary, true, ok && len(primary) > 0
	}
	f := inspect(d.codec, payload, marker, nil, nil)
	if f.empty { // padding
		if hole {
			d.hole(d.timestamp)
		}
		return nil, false, false
	}
	if hole {
		d.hole(timestamp)
	}
	if d.open && timestamp != d.timestamp { // the last packet of the open frame never came
		d.missing()
		d.end()
	}
	if !d.open {
		d.begin(timestamp)
		if !d.begins(payload, &f, hole) {
			d.missing()
		}
	}
	in := d.inspector.Inspect(timestamp, payload, marker, nil)
	d.key = d.key || in.Key && in.Spatial == 0
	d.discardable = d.discardable && in.Discardable
	if !d.damaged && !d.append(payload) || len(d.buf) > MaxFrame {
		d.missing()
	}
	if !marker {
		return nil, false, false
	}
	return d.end()
}

// hole notes that packets are missing before one of the timestamp.
func (d *Depacketizer) hole(timestamp uint32) {
	if d.open && timestamp == d.timestamp {
		d.missing()
		return
	}
	d.lost() // whole frames may be missing, and nobody knows which
}

// lost notes that a frame is missing that others may need.
func (d *Depacketizer) lost() { d.waiting = d.waiting || !d.KeepGoing }

// missing notes that a part of the open frame is missing.
func (d *Depacketizer) missing() {
	d.damaged = true
	d.buf = d.buf[:0]
}

func (d *Depacketizer) begin(timestamp uint32) {
	d.open, d.damaged, d.discardable, d.key, d.timestamp, d.unit, d.buf = true, false, true, false, timestamp, -1, d.buf[:0]
}

// end closes the open frame.
func (d *Depacketizer) end() (frame []byte, key, ok bool) {
	d.open = false
	if d.unit >= 0 || len(d.buf) == 0 {
		d.damaged = true
	}
	switch {
	case d.damaged && !d.discardable:
		d.lost()
	case !d.damaged && d.key:
		d.waiting = false
	}
	if d.damaged || d.waiting {
		d.dropped++
		return nil, false, false
	}
	return d.buf, d.key, true
}

// begins reports whether the payload can be the first of a frame. H264 and AV1 do not say so; after a hole it must show.
func (d *Depacketizer) begins(payload []byte, f *finding, hole bool) bool {
	switch d.codec {
	case VP8, VP9:
		return f.Start
	case H264:
		kind := payload[0] & 31
		return f.opens || kind == nalSEI || kind == nalDelimiter || !hole && (kind != nalFUA || payload[1]&0x80 != 0)
	case AV1:
		return payload[0]&0x80 == 0 && (f.opens || !hole)
	}
	return false
}

// append adds the payload's part to the frame; it returns false where the payload does not follow what came before.
func (d *Depacketizer) append(payload []byte) bool {
	switch d.codec {
	case VP8:
		v, ok := parseVP8(payload)
		if ok {
			d.buf = append(d.buf, payload[v.size:]...)
		}
		return ok
	case VP9:
		v, ok := parseVP9(payload)
		if ok {
			d.buf = append(d.buf, payload[v.size:]...)
		}
		return ok
	case H264:
		return d.appendH264(payload)
	case AV1:
		return d.appendAV1(payload)
	}
	return false
}

func (d *Depacketizer) appendH264(payload []byte) bool {
	if payload[0]&31 == nalFUA {
		return d.appendFragment(payload)
	}
	if d.unit >= 0 {
		return false
	}
	if payload[0]&31 != nalSTAPA {
		d.buf = binary.BigEndian.AppendUint32(d.buf, uint32(len(payload)))
		d.buf = append(d.buf, payload...)
		return true
	}
	for rest := payload[1:]; len(rest) > 0; {
		u, tail, ok := nextUnit16(rest)
		if !ok {
			return false
		}
		d.buf = binary.BigEndian.AppendUint32(d.buf, uint32(len(u)))
		d.buf = append(d.buf, u...)
		rest = tail
	}
	return true
}

func (d *Depacketizer) appendFragment(payload []byte) bool {
	if len(payload) < 2 {
		return false
	}
	first, last := payload[1]&0x80 != 0, payload[1]&0x40 != 0
	if first == (d.unit >= 0) {
		return false
	}
	if first {
		d.unit = len(d.buf)
		d.buf = append(d.buf, 0, 0, 0, 0, payload[0]&0xe0|payload[1]&0x1f)
	}
	d.buf = append(d.buf, payload[2:]...)
	if last {
		binary.BigEndian.PutUint32(d.buf[d.unit:], uint32(len(d.buf)-d.unit-4))
		d.unit = -1
	}
	return true
}

func (d *Depacketizer) appendAV1(payload []byte) bool {
	if (payload[0]&0x80 != 0) != (d.unit >= 0) {
		return false
	}
	good := true
	ok := elements(payload, func(_ int, e []byte, last bool) bool {
		if d.unit < 0 {
			d.unit = len(d.buf)
		}
		d.buf = append(d.buf, e...)
		if !last || payload[0]&0x40 == 0 {
			good = d.closeOBU()
		}
		return good
	})
	return ok && good
}

// closeOBU gives the OBU that begins at unit its size field.
func (d *Depacketizer) closeOBU() bool {
	obu := d.buf[d.unit:]
	h, ok := parseOBUHeader(obu)
	if !ok {
		return false
	}
	body := len(obu) - h.size
	if h.hasSize && h.payload != body {
		return false
	}
	if h.kind == obuTemporalDelimiter {
		d.buf = d.buf[:d.unit]
	} else if !h.hasSize {
		n := leb128Size(body)
		for range n {
			d.buf = append(d.buf, 0)
		}
		obu = d.buf[d.unit:]
		copy(obu[h.size+n:], obu[h.size:h.size+body])
		obu[0] |= 2
		appendLEB128(obu[:h.size], body)
	}
	d.unit = -1
	return true
}

// redPrimary returns the newest block of a RED payload (RFC 2198, section 3).
func redPrimary(payload []byte) ([]byte, bool) {
	skip, rest := 0, payload
	for len(rest) > 0 && rest[0]&0x80 != 0 {
		if len(rest) < 4 {
			return nil, false
		}
		skip += int(binary.BigEndian.Uint16(rest[2:]) & 0x3ff)
		rest = rest[4:]
	}
	if len(rest) < 1+skip {
		return nil, false
	}
	return rest[1+skip:], true
}
