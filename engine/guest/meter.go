package guest

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"

	"github.com/castd/castd/engine"
)

// meter is how well a viewer is reached, as his own reports say it.
type meter struct {
	rtt  atomic.Int64  // nanoseconds, smoothed; 0: unknown
	lost atomic.Uint32 // thousandths of his worst track, in his last report

	mu     sync.Mutex // guards all following fields
	at     time.Time  // of the last look at the rate
	octets uint32     // then
	bps    uint64
}

// meterEvery is the least time that a rate is computed over.
const meterEvery = 500 * time.Millisecond

// Meter implements engine.GuestMeter. Nothing is known of who publishes.
func (s *session) Meter() engine.GuestMeasure {
	w, ok := s.part.(*watcher)
	if !ok {
		return engine.GuestMeasure{}
	}
	w.turn.Lock()
	octets := uint32(0)
	for _, t := range w.tracks {
		if t != nil {
			octets += t.octets
		}
	}
	w.turn.Unlock()
	m := &w.meter
	return engine.GuestMeasure{RTT: time.Duration(m.rtt.Load()), LossPermille: m.lost.Load(), UpBps: m.rate(octets, time.Now())}
}

var _ engine.GuestMeter = (*session)(nil)

// rate returns the bits per second since the last call that was at least meterEvery ago. octets may wrap.
func (m *meter) rate(octets uint32, now time.Time) uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	if d := now.Sub(m.at); d >= meterEvery {
		if !m.at.IsZero() {
			m.bps = uint64(float64(octets-m.octets) * 8 / d.Seconds())
		}
		m.at, m.octets = now, octets
	}
	return m.bps
}

// heard takes a decrypted compound RTCP packet.
func (m *meter) heard(b []byte, now time.Time) {
	some, worst := false, uint32(0)
	receptions(b, func(_ uint32, lost uint8, lastReport, delay uint32) {
		some = true
		worst = max(worst, uint32(lost)*1000/256)
		if rtt, ok := roundTrip(now, lastReport, delay); ok {
			old := m.rtt.Load()
			if old != 0 {
				rtt = time.Duration(old + (int64(rtt)-old)/8)
			}
			m.rtt.Store(int64(rtt))
		}
	})
	if some {
		m.lost.Store(worst)
	}
}

// receptions calls each for every reception report block of a compound RTCP packet (RFC 3550 sections 6.4.1 and 6.4.2). What is
// malformed ends it.
func receptions(b []byte, each func(ssrc uint32, lost uint8, lastReport, delay uint32)) {
	const block = 24
	for len(b) >= 4 {
		size := 4 * (int(binary.BigEndian.Uint16(b[2:])) + 1)
		if size > len(b) {
			return
		}
		p := b[4:size]
		switch rtcp.PacketType(b[1]) {
		case rtcp.TypeReceiverReport:
			p = p[min(4, len(p)):]
		case rtcp.TypeSenderReport:
			p = p[min(24, len(p)):]
		default:
			p = nil
		}
		for range b[0] & 0x1F {
			if len(p) < block {
				break
			}
			each(binary.BigEndian.Uint32(p), p[4], binary.BigEndian.Uint32(p[16:]), binary.BigEndian.Uint32(p[20:]))
			p = p[block:]
		}
		b = b[size:]
	}
}

// roundTrip computes the time there and back from a report block: lastReport is the middle of the NTP time of the sender report that
// it answers, delay how long the receiver kept it, in 1/65,536 s.
func roundTrip(now time.Time, lastReport, delay uint32) (time.Duration, bool) {
	if lastReport == 0 {
		return 0, false // he has had none
	}
	units := int32(uint32(unixToNTP(now.UnixMicro())>>16) - lastReport - delay)
	if units < 0 || units > 60<<16 {
		return 0, false // clocks that step, or nonsense
	}
	return time.Duration(units) * time.Second >> 16, true
}
