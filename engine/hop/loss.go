package hop

import "time"

const (
	lossBucket  = 500 * time.Millisecond
	lossBuckets = 4  // closed buckets that count: two seconds
	lossLeast   = 20 // packets below which no loss is stated
)

// lossMeter measures the loss of hop packets by the gaps in their sequence numbers, over the last two seconds. Restored packets
// count as lost: it is the network's loss that decides on redundancy. It is pure: time is an argument.
type lossMeter struct {
	tracks  [2]lossTrack
	opened  time.Time // the current bucket
	closed  [lossBuckets]lossCount
	next    int
	current lossCount
	value   uint32
}

// lossTrack is one sequence number space. expected counts the numbers up to the highest, from the first that was heard.
type lossTrack struct {
	heard   bool
	highest uint16
}

type lossCount struct {
	expected, received int64
}

// packet counts a packet of a track and returns the loss in thousandths.
func (m *lossMeter) packet(now time.Time, track int, sequence uint16) uint32 {
	m.roll(now)
	t := &m.tracks[track]
	switch d := int16(sequence - t.highest); {
	case !t.heard:
		t.heard, t.highest = true, sequence
		m.current.expected++
	case d > 0:
		t.highest = sequence
		m.current.expected += int64(d)
	}
	m.current.received++
	return m.value
}

// roll closes the current bucket when its time is over.
func (m *lossMeter) roll(now time.Time) {
	if m.opened.IsZero() {
		m.opened = now
	}
	if now.Sub(m.opened) < lossBucket {
		return
	}
	m.closed[m.next] = m.current
	m.next = (m.next + 1) % lossBuckets
	m.current, m.opened = lossCount{}, now
	var sum lossCount
	for _, c := range m.closed {
		sum.expected += c.expected
		sum.received += c.received
	}
	m.value = 0
	if lost := sum.expected - sum.received; sum.expected >= lossLeast && lost > 0 {
		m.value = uint32(1000 * lost / sum.expected)
	}
}
