package guest

import (
	"sync"
	"time"

	"github.com/pion/rtcp"
)

const (
	// maxAsked is how many missing packets of a participant are known at a time; of more the oldest are given up.
	maxAsked = 32
	// askFirst is how long a packet may be out of order before it is asked for, askAgain how long an answer may take, and askWithin how old a
	// packet may be to be of use: what comes later than that was played over.
	askFirst  = 10 * time.Millisecond
	askAgain  = 40 * time.Millisecond
	askWithin = 300 * time.Millisecond
	// Video, of which a picture has many packets, and which the room waits for: the bounds for it, and how many are asked for at a time.
	maxAskedVideo  = 512
	askVideoWithin = 700 * time.Millisecond
	askAtOnce      = 128
)

// reception is what is known of one RTP stream that comes: what there is to report of it (RFC 3550 section 6.4.1 and appendix A), and what is
// missing. It is safe for concurrent use.
type reception struct {
	video bool // constant; else it is sound

	mu       sync.Mutex // guards all following fields
	begun    bool
	ssrc     uint32
	first    int64 // extended numbers
	highest  int64
	received int64
	expected int64 // at the last report
	got      int64 // at the last report
	transit  int64 // of the last packet, in timestamp units
	jitter   float64
	lastSR   uint32 // middle of its NTP time
	gotSR    time.Time
	missing  []missed // by number
}

// missed is a packet that did not come so far.
type missed struct {
	number       int64
	since, asked time.Time // asked is zero where it was not
}

// note takes a packet with an extended number, and reports whether something is missing.
func (r *reception) note(ssrc uint32, number int64, timestamp uint32, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	rate, most := int64(48), maxAsked // kHz
	if r.video {
		rate, most = 90, maxAskedVideo
	}
	transit := now.UnixMicro()*rate/1000 - int64(timestamp)
	if !r.begun || r.ssrc != ssrc {
		r.begun, r.ssrc, r.first, r.highest, r.received = true, ssrc, number, number, 1
		r.expected, r.got, r.transit, r.jitter, r.lastSR, r.missing = 0, 0, transit, 0, 0, r.missing[:0]
		return false
	}
	r.received++
	if d := transit - r.transit; max(d, -d) < rate*1000 { // else the clock has jumped, or gone round
		r.jitter += (float64(max(d, -d)) - r.jitter) / 16
	}
	r.transit = transit
	switch {
	case number > r.highest:
		for n := max(r.highest+1, number-int64(most)); n < number; n++ {
			if len(r.missing) == most {
				r.missing = append(r.missing[:0], r.missing[1:]...)
			}
			r.missing = append(r.missing, missed{number: n, since: now})
		}
		r.highest = number
	default:
		for i := range r.missing {
			if r.missing[i].number == number {
				r.missing = append(r.missing[:i], r.missing[i+1:]...)
				break
			}
		}
	}
	return len(r.missing) > 0
}

// repaired takes the number of a packet that was sent again, and reports whether it was missing.
func (r *reception) repaired(number int64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.missing {
		if r.missing[i].number == number {
			r.missing = append(r.missing[:i], r.missing[i+1:]...)
			r.received++
			return true
		}
	}
	return false
}

// wanted returns what is to be asked for now.
func (r *reception) wanted(now time.Time) (pairs []rtcp.NackPair) {
	r.mu.Lock()
	defer r.mu.Unlock()
	within := askWithin
	if r.video {
		within = askVideoWithin
	}
	kept := r.missing[:0]
	var numbers []uint16
	for _, m := range r.missing {
		if now.Sub(m.since) > within {
			continue
		}
		if now.Sub(m.since) >= askFirst && (m.asked.IsZero() || now.Sub(m.asked) >= askAgain) && len(numbers) < askAtOnce {
			m.asked = now
			numbers = append(numbers, uint16(m.number))
		}
		kept = append(kept, m)
	}
	r.missing = kept
	if len(numbers) == 0 {
		return nil
	}
	return rtcp.NackPairsFromSequenceNumbers(numbers)
}

// source returns the SSRC.
func (r *reception) source() uint32 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ssrc
}

// clocked takes a sender report.
func (r *reception) clocked(ssrc uint32, ntp uint64, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.begun && r.ssrc == ssrc {
		r.lastSR, r.gotSR = uint32(ntp>>16), now
	}
}

// report returns what came since the last report; ok is false while nothing has come.
func (r *reception) report(now time.Time) (b rtcp.ReceptionReport, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.begun {
		return b, false
	}
	expected := r.highest - r.first + 1
	lost := max(0, min(expected-r.received, 1<<23-1))
	due, came := expected-r.expected, r.received-r.got
	r.expected, r.got = expected, r.received
	b = rtcp.ReceptionReport{
		SSRC: r.ssrc, TotalLost: uint32(lost), LastSequenceNumber: uint32(r.highest - 1<<16), Jitter: uint32(r.jitter), LastSenderReport: r.lastSR,
	}
	if due > came && due > 0 {
		b.FractionLost = uint8(min(255, (due-came)*256/due))
	}
	if r.lastSR != 0 {
		b.Delay = uint32(now.Sub(r.gotSR) * 65536 / time.Second)
	}
	return b, true
}
