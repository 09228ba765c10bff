package jitter

// Bounds of what still is the same stream (RFC 3550, appendix A.1, for the numbers).
const (
	maxDropout  = 3000
	maxMisorder = 100
	maxClockOff = Rate / 2 // by which a pause may be longer on the sender's clock than here
	trialTime   = Rate     // within which a foreign packet needs a successor
	maxGap      = 8        // numbers between the two
)

// place puts packets onto the buffer's timeline: samples since the buffer's first moment, with about the time of arrival as their
// timestamps.
//
// A packet whose number or timestamp cannot belong to the others is foreign: garbage, or the first one after a jump. It is
// kept, and once a second one follows from it the stream goes on there (RFC 3550 asks for two in a row as well): what has been
// received before is played, and the new clock is laid behind it. So a jump costs nothing, and one bad packet does neither.
type place struct {
	begun   bool
	ssrc    uint32
	seq     int64 // highest, extended; its low 16 bits are those of the packet
	ts      int64 // timestamp of it, extended
	offset  int64 // of the buffer's timeline to ts
	arrival int64
	length  int64

	firstSeq int64 // for the number of packets expected
	received int64
	skipped  int64 // numbers that jumps left out
	stream   int   // grows with each SSRC

	seen [maxMisorder]int64 // numbers that were there, each in the place of its remainder
}

// unseen says whether a number comes for the first time.
func (p *place) unseen(seq int64) bool {
	slot := &p.seen[((seq%maxMisorder)+maxMisorder)%maxMisorder]
	if *slot == seq {
		return false
	}
	*slot = seq
	return true
}

// position is what place found.
type position struct {
	at        int64
	rtp       int64 // to be added to at for the sender's timestamp
	seq       int64
	reordered bool
}

// begin lays the first packet onto its time of arrival.
func (p *place) begin(h *header) {
	p.begun, p.ssrc = true, h.ssrc
	p.seq, p.ts = 1<<16+int64(h.sequence), int64(h.timestamp) // the slots of seen begin as 0
	p.offset = h.arrival - p.ts
	p.firstSeq = p.seq
	p.arrival, p.length = h.arrival, h.toc.duration
}

// expected returns how many packets were sent, as far as numbers tell.
func (p *place) expected() int64 { return p.seq - p.firstSeq + 1 - p.skipped }

// fits says whether a packet belongs to the stream.
func (p *place) fits(h *header) bool {
	if h.ssrc != p.ssrc {
		return false
	}
	ds, dt := p.apart(h)
	switch {
	case ds == 0:
		return dt == 0
	case ds < 0:
		return ds > -maxMisorder && dt < 0
	}
	// What the sender's clock went on has passed here as well, however many packets were lost meanwhile.
	return ds <= maxDropout && dt > 0 && dt-max(0, h.arrival-p.arrival) <= maxClockOff
}

// apart returns how far a packet is from the last one, in numbers and samples.
func (p *place) apart(h *header) (ds, dt int64) {
	return int64(int16(h.sequence - uint16(p.seq))), int64(int32(h.timestamp - uint32(p.ts)))
}

// put returns the position of a packet that fits.
func (p *place) put(h *header) position {
	ds, dt := p.apart(h)
	at := position{at: p.ts + dt + p.offset, rtp: -p.offset, seq: p.seq + ds, reordered: ds < 0}
	if ds > 0 {
		p.seq, p.ts = p.seq+ds, p.ts+dt
		p.arrival, p.length = h.arrival, h.toc.duration
	}
	return at
}

// jump goes on at a packet that does not fit. fastest is the base of the delays; the place of the packet is behind all others.
func (p *place) jump(h *header, fastest int64) {
	end := p.ts + p.offset + p.length
	at := end
	forward := int64(h.sequence - uint16(p.seq))
	next := h.ssrc == p.ssrc && forward == 1 && h.arrival-p.arrival < p.length+maxClockOff
	if !next {
		at = max(end, h.arrival-fastest)
		p.skipped += forward - 1
	}
	if h.ssrc != p.ssrc {
		p.stream++
	}
	p.ssrc, p.seq, p.ts = h.ssrc, p.seq+forward, int64(h.timestamp)
	p.offset = at - p.ts
	p.arrival, p.length = h.arrival, h.toc.duration
}

// follows says whether packet h can be a successor of a foreign one.
func (h *header) follows(f *header) bool {
	ds := int16(h.sequence - f.sequence)
	dt := int32(h.timestamp - f.timestamp)
	took := h.arrival - f.arrival
	return h.ssrc == f.ssrc && ds > 0 && ds <= maxGap && dt > 0 && took < trialTime && int64(dt)-max(0, took) <= maxClockOff
}
