package guest

// extender extends a source's 16-bit RTP sequence numbers to 64 bits (RFC 3550 appendix A.1): of the numbers that fit, the
// one nearest to the highest so far. The first numbers are well above zero, so that late packets do not get negative ones.
type extender struct {
	started bool
	highest int64
}

func (e *extender) extend(seq uint16) int64 {
	if !e.started {
		e.started, e.highest = true, 1<<16+int64(seq)
		return e.highest
	}
	n := e.highest + int64(int16(seq-uint16(e.highest)))
	e.highest = max(e.highest, n)
	return n
}

// leap has numbers of another source follow, of which the first is seq: they go on above all there were.
func (e *extender) leap(seq uint16) {
	if e.started {
		e.highest = e.highest&^0xFFFF + 1<<16 + int64(seq)
	}
}
