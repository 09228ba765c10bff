package guest

import (
	"time"

	"github.com/castd/castd/engine/wire"
)

// A viewer's RTP stream plays one source after another: streams of slots, incarnations of a stream, a cached group of pictures
// and what is live after it. To the viewer it is one source whose numbers and timestamps always go on. timeline keeps, for
// the source that is playing (a cut ago), how its numbers and timestamps become the viewer's:
//
//	number:    out = base + (number - first), so that holes stay holes
//	live:      out = anchorOut + (timestamp - anchorIn)
//	backlog:   out = anchorOut - (anchorIn - timestamp) · window / span
//
// A backlog is the newest span of a stream, delivered at once. Its pictures are to be decoded now and not shown for as long
// as they once took, so its timestamps are compressed into a window that ends where the live ones begin: at most maxWindow
// where the viewer's clock leaves room, minWindow where it does not because the stream has been playing.
const (
	maxWindow = 100 * time.Millisecond
	minWindow = 10 * time.Millisecond
	// maxJump is the largest gap in a source's numbers that is shown as a gap. After a larger one nobody waits for what is
	// missing; it only would be asked for.
	maxJump = 512
)

// source names what a timeline plays: a change of it is a cut.
type source struct {
	stream      wire.StreamID
	incarnation uint16
}

// timeline is a pure value; the zero value but for rate, and first output values, is ready.
type timeline struct {
	rate int64 // Hz

	started bool
	source  source
	number  uint64 // highest of the source
	in      uint32 // its timestamp
	backlog bool   // playing one

	first uint64 // number that became base
	base  uint16

	anchorIn, anchorOut uint32
	span, window        int64 // of the backlog, in timestamp units

	seq  uint16 // last output
	out  uint32
	sent time.Duration // when
}

// placed is a packet's place in a viewer's stream.
type placed struct {
	seq  uint16
	time uint32
	cut  bool // the first packet after a cut: video needs a key frame here
	// liveTime is where the newest packet of the source is, or will be, in the viewer's stream.
	liveTime uint32
}

func newTimeline(rate uint32, seq uint16, start uint32) timeline {
	return timeline{rate: int64(rate), seq: seq, out: start}
}

// fresh reports whether a packet can be placed: an earlier number of the same source only where it restarts a backlog.
func (t *timeline) fresh(s source, number uint64, restart bool) bool {
	return !t.started || s != t.source || restart || number > t.number
}

// place assigns the next place to a packet that is sent at now, a time on any steady clock. live is the timestamp of the
// newest packet of the source, which matters in a backlog. Only fresh packets may be placed.
func (t *timeline) place(now time.Duration, s source, number uint64, timestamp uint32, backlog bool, live uint32) placed {
	p := placed{}
	restart := backlog && (!t.backlog || number <= t.number)
	if !t.started || s != t.source || restart || number-t.number > maxJump {
		p.cut = true
		t.cut(now, s, number, timestamp, backlog, live)
	}
	newer := p.cut || int32(timestamp-t.in) > 0
	out := t.convert(timestamp, backlog)
	if newer && !p.cut && int32(out-t.out) <= 0 {
		out = t.out + 1
	}
	p.seq = t.base + uint16(number-t.first)
	p.time = out
	t.number, t.backlog = number, backlog
	if newer {
		t.in = timestamp
	}
	t.seq = p.seq
	if p.cut || int32(out-t.out) > 0 {
		t.out = out
	}
	t.sent, t.started = now, true
	if !backlog {
		live = timestamp
	}
	p.liveTime = t.anchorOut + (live - t.anchorIn)
	return p
}

func (t *timeline) convert(timestamp uint32, backlog bool) uint32 {
	age := int64(int32(t.anchorIn - timestamp))
	if backlog && age > 0 && t.span > 0 {
		age = age * t.window / t.span
	}
	return t.anchorOut - uint32(int32(age))
}

// cut begins another source, or the same anew.
func (t *timeline) cut(now time.Duration, s source, number uint64, timestamp uint32, backlog bool, live uint32) {
	earliest, natural := t.out, t.out
	continuing := t.started && s == t.source
	if t.started {
		earliest++
		natural = t.out + uint32(max(1, t.units(now-t.sent)))
		if continuing && int32(timestamp-t.in) > 0 && !backlog {
			natural = t.convert(timestamp, false) // a large gap of one source: its clock goes on
		}
		if continuing && backlog {
			natural = t.convert(live, false)
		}
		if int32(natural-earliest) < 0 {
			natural = earliest
		}
	}
	t.base, t.first, t.source = t.seq+1, number, s
	if !backlog {
		t.anchorIn, t.anchorOut, t.span, t.window = timestamp, natural, 0, 0
		return
	}
	t.span = max(0, int64(int32(live-timestamp)))
	room := int64(int32(natural - earliest))
	if !t.started {
		room = t.units(maxWindow)
	}
	t.window = min(t.span, max(t.units(minWindow), min(room, t.units(maxWindow))))
	t.anchorIn, t.anchorOut = live, natural
	if int64(int32(t.anchorOut-earliest)) < t.window {
		t.anchorOut = earliest + uint32(t.window)
	}
}

// units converts a duration to timestamp units.
func (t *timeline) units(d time.Duration) int64 {
	return int64(d) * t.rate / int64(time.Second)
}
