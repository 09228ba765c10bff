package codec

// packetizeAV1 packs the OBUs of a temporal unit into as few payloads as it takes (RTP payload format for AV1, section 4.4).
// Temporal delimiters, tile lists and padding do not travel, and OBUs lose their size fields: the elements have lengths.
func (p *Packetizer) packetizeAV1(frame []byte) error {
	units, ok := splitOBUs(frame)
	if !ok {
		return errUnits
	}
	key, sequence := av1Key(units)
	if key && !sequence {
		units = append(append([]unit{}, p.prelude...), units...)
		sequence = len(p.prelude) > 0
	}
	w := av1Writer{p: p, first: key && sequence}
	for _, u := range units {
		w.put(u)
	}
	w.flush(false)
	return nil
}

// av1Writer gathers the elements of one payload.
type av1Writer struct {
	p         *Packetizer
	first     bool // the next payload begins a coded video sequence
	continues bool // the first element continues an OBU
	elements  [][]byte
	size      int // with the aggregation header, and a length before each element
}

func (w *av1Writer) put(obu []byte) {
	for len(obu) > 0 {
		if w.size == 0 {
			w.size = 1
		}
		room := w.p.limit - w.size
		if n := leb128Size(len(obu)); len(obu)+n <= room {
			w.elements = append(w.elements, obu)
			w.size += len(obu) + n
			return
		}
		// Cut only where a good part fits; lengths of a limit's size take two octets.
		if part := room - 2; part >= 32 || len(w.elements) == 0 {
			part = min(part, len(obu)-1)
			w.elements = append(w.elements, obu[:part])
			obu = obu[part:]
			w.flush(true)
			continue
		}
		w.flush(false)
	}
}

// flush sends what was gathered; open says that its last element goes on in the next payload.
func (w *av1Writer) flush(open bool) {
	if len(w.elements) == 0 {
		return
	}
	p := w.p
	header := byte(0)
	if w.continues {
		header |= 0x80
	}
	if open {
		header |= 0x40
	}
	counted := len(w.elements) <= 3
	if counted {
		header |= byte(len(w.elements)) << 4
	}
	if w.first {
		header |= 0x08
	}
	from := len(p.buf)
	p.buf = append(p.buf, header)
	for i, e := range w.elements {
		if !counted || i < len(w.elements)-1 {
			p.buf = appendLEB128(p.buf, len(e))
		}
		p.buf = append(p.buf, e...)
	}
	p.out = append(p.out, Payload{Data: p.buf[from:len(p.buf):len(p.buf)]})
	w.elements, w.size, w.first, w.continues = w.elements[:0], 0, false, open
}

// splitOBUs splits a temporal unit in the low-overhead format (as in Matroska and IVF) and takes the size fields off. OBUs
// that do not travel are left out.
func splitOBUs(b []byte) (units []unit, ok bool) {
	for len(b) > 0 {
		h, ok := parseOBUHeader(b)
		if !ok {
			return nil, false
		}
		end := len(b)
		if h.hasSize {
			end = h.size + h.payload
		}
		if end > len(b) {
			return nil, false
		}
		switch h.kind {
		case obuTemporalDelimiter, obuTileList, obuPadding:
		default:
			u := unit{b[0] &^ 2}
			if h.extended {
				u = append(u, b[1])
			}
			units = append(units, append(u, b[h.size:end]...))
		}
		b = b[end:]
	}
	return units, true
}

// av1Key tells whether OBUs belong to a key frame, and whether they have a sequence header.
func av1Key(units []unit) (key, sequence bool) {
	for _, u := range units {
		h, ok := parseOBUHeader(u)
		if !ok {
			continue
		}
		switch h.kind {
		case obuSequenceHeader:
			sequence = true
		case obuFrameHeader, obuFrame:
			key = key || len(u) > h.size && u[h.size]&0xe0 == 0
		}
	}
	return key, sequence
}
