package guest

import "time"

// sourceClock translates the NTP times of a publisher's sender reports to this machine's wall clock. The publisher's clock may
// be wrong by any amount (browsers count from their start), so only its differences count: the offset is taken once, at the
// first report of any track, and is common to all tracks, which keeps them in step with each other.
type sourceClock struct {
	known  bool
	offset int64 // microseconds to add
}

// maxClockError is how far a translated time may be from its report's arrival before the offset is taken anew: the
// publisher's clock was set, or the machine slept.
const maxClockError = 5_000_000 // microseconds

// translate returns the wall clock, in microseconds since 1970, of the NTP time of a report that arrived at now.
func (c *sourceClock) translate(ntp uint64, now time.Time) int64 {
	source, arrival := ntpToUnix(ntp), now.UnixMicro()
	wall := source + c.offset
	if !c.known || wall-arrival > maxClockError || arrival-wall > maxClockError {
		c.known, c.offset = true, arrival-source
		wall = arrival
	}
	return wall
}

// ntpEpoch is 1970 in seconds since 1900.
const ntpEpoch = 2_208_988_800

// ntpToUnix returns microseconds since 1970 of an NTP timestamp (RFC 3550 section 4).
func ntpToUnix(ntp uint64) int64 {
	return (int64(ntp>>32)-ntpEpoch)*1_000_000 + int64((ntp&0xFFFFFFFF)*1_000_000>>32)
}

// unixToNTP is the reverse of ntpToUnix, to the microsecond.
func unixToNTP(us int64) uint64 {
	seconds, rest := us/1_000_000, us%1_000_000
	if rest < 0 {
		seconds, rest = seconds-1, rest+1_000_000
	}
	return uint64(seconds+ntpEpoch)<<32 | (uint64(rest)<<32+999_999)/1_000_000
}
