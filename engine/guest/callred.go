package guest

import "github.com/castd/castd/engine"

// Who loses much of what he is sent gets the packets before beside each one, where he takes that (RFC 2198): it repairs losses in a row, which
// the copies inside of Opus do not. It costs his line three times the bits, and the mixer nothing.
const (
	// redDistance is how many packets back the copies go.
	redDistance = 2
	// highLoss is from what loss on, in percent, that is worth its bits; lowLoss how little there must be in calmReports reports before it ends.
	highLoss    = 8.0
	lowLoss     = 4.0
	calmReports = 10
)

// lossGauge tells whether the loss on a path is high.
type lossGauge struct {
	high bool
	calm int // reports of little loss in a row
}

// note takes a report, in percent.
func (g *lossGauge) note(percent float64) {
	switch {
	case percent >= highLoss:
		g.high, g.calm = true, 0
	case percent >= lowLoss:
		g.calm = 0
	default:
		if g.calm++; g.calm >= calmReports {
			g.high = false
		}
	}
}

// withEarlier returns the payload with those before it.
func (c *caller) withEarlier(p *engine.MediaPacket) []byte {
	const most = 1<<10 - 1 // octets of a block; offsets have 14 bits
	size := 1 + len(p.Payload)
	for _, e := range c.earlier {
		if e != nil {
			size += 4 + len(e.Payload)
		}
	}
	b := make([]byte, 0, size)
	var blocks [redDistance]*engine.MediaPacket
	n := 0
	for i := len(c.earlier) - 1; i >= 0; i-- { // the oldest first
		e := c.earlier[i]
		if e == nil || len(e.Payload) == 0 || len(e.Payload) > most || p.Sequence-e.Sequence != int64(i)+1 {
			continue
		}
		back := p.Timestamp - e.Timestamp
		if back == 0 || back >= 1<<14 {
			continue
		}
		b = append(b, 0x80|c.opus, byte(back>>6), byte(back<<2)|byte(len(e.Payload)>>8), byte(len(e.Payload)))
		blocks[n] = e
		n++
	}
	b = append(b, c.opus)
	for _, e := range blocks[:n] {
		b = append(b, e.Payload...)
	}
	return append(b, p.Payload...)
}
