package guest

import (
	"time"

	"github.com/pion/rtcp"
)

// reportInterval is how often a viewer gets a sender report of each stream.
const reportInterval = time.Second

// lipSync maps the wall clocks of publishers to this machine's. A viewer's player aligns audio and video by the NTP times of
// sender reports, so all streams of one slot share an offset, which is taken when the slot's first clock arrives; then a
// change of slot does not make NTP times jump, however wrong its publisher's clock is.
type lipSync struct {
	slot   slotKey
	known  bool
	offset int64 // microseconds to add
}

// local returns, in microseconds since 1970 of this machine, the time of a packet whose publisher's wall clock was wallUs
// when it arrived; of a packet without a clock (0) it is the arrival.
func (l *lipSync) local(slot slotKey, wallUs int64, arrived time.Time) int64 {
	arrival := arrived.UnixMicro()
	if wallUs == 0 {
		return arrival
	}
	at := wallUs + l.offset
	if !l.known || l.slot != slot || at-arrival > maxClockError || arrival-at > maxClockError {
		l.slot, l.known, l.offset = slot, true, arrival-wallUs
		at = arrival
	}
	return at
}

// due reports whether a sender report is to be sent with the packet at this place, and notes that it is.
func (t *viewerTrack) due(p placed, now time.Time) bool {
	if !p.cut && now.Sub(t.reported) < reportInterval {
		return false
	}
	t.reported = now
	return true
}

// report returns a sender report: localUs is the wall clock, in microseconds since 1970, of where the source is live, which the
// packet's place tells in the viewer's timestamps. The report speaks of now (RFC 3550 section 6.4.1).
func (t *viewerTrack) report(localUs int64, p placed, now time.Time) *rtcp.SenderReport {
	elapsed := now.UnixMicro() - localUs
	return &rtcp.SenderReport{
		SSRC: t.ssrc, NTPTime: unixToNTP(now.UnixMicro()), RTPTime: p.liveTime + uint32(int32(elapsed*t.line.rate/1_000_000)),
		PacketCount: t.packets, OctetCount: t.octets,
	}
}
