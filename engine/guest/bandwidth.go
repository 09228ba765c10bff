package guest

import "time"

// Bounds of what is believed of the line to a participant, in bits per second.
const (
	firstBandwidth = 3_000_000
	leastBandwidth = 150_000
	mostBandwidth  = 50_000_000
	// bandwidthStep is the least time between two changes.
	bandwidthStep = 900 * time.Millisecond
)

// bandwidth is how much video can be sent to a participant, by what he reports to have lost: where a tenth is missing it is less than what
// was sent, and where hardly anything is it grows, but not far beyond what was tried. The zero value knows nothing. It is a pure value.
type bandwidth struct {
	bps uint64
	at  time.Time // of the last change
}

// limit returns the bits per second.
func (b *bandwidth) limit() uint64 {
	if b.bps == 0 {
		return firstBandwidth
	}
	return b.bps
}

// note takes the part that was lost, in 1/256, of what was sent at so many bits per second.
func (b *bandwidth) note(lost uint8, sent uint64, now time.Time) {
	if now.Sub(b.at) < bandwidthStep {
		return
	}
	was := b.limit()
	switch {
	case lost > 256/10:
		// By half of what is lost, as loss-based controllers do; from what was really sent.
		b.bps = min(was, max(sent, leastBandwidth)) * (512 - uint64(lost)) / 512
	case lost < 256/50:
		b.bps = max(was, min(was+was/12, 2*sent+firstBandwidth/4))
	default:
		return
	}
	b.bps = min(max(b.bps, leastBandwidth), mostBandwidth)
	b.at = now
}
