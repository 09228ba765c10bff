package guest

import (
	"testing"
	"time"
)

// TestReception: what is missing is asked for once it cannot be out of order any more, again when no answer comes, and no more when it is too
// late; and what is lost is reported.
func TestReception(t *testing.T) {
	var r reception
	start := time.Unix(1000, 0)
	at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	const first = 1<<16 + 65530
	say := func(n, ms int) bool { return r.note(7, int64(first+n), uint32(n*960), at(ms)) }
	for n := range 5 {
		if say(n, n*20) {
			t.Fatalf("packet %d: something is missing", n)
		}
	}
	if !say(7, 140) { // 5 and 6 are missing, which are 65535 and 0 on the wire
		t.Error("nothing is missing")
	}
	if p := r.wanted(at(141)); len(p) != 0 {
		t.Errorf("asked at once for %v", p)
	}
	if say(6, 145); len(r.missing) != 1 {
		t.Errorf("missing %v", r.missing)
	}
	if p := r.wanted(at(152)); len(p) != 1 || p[0].PacketID != 65535 {
		t.Errorf("asked for %v", p)
	}
	if p := r.wanted(at(170)); len(p) != 0 {
		t.Errorf("asked again for %v before an answer could come", p)
	}
	if p := r.wanted(at(200)); len(p) != 1 {
		t.Errorf("did not ask again: %v", p)
	}
	if p := r.wanted(at(500)); len(p) != 0 || len(r.missing) != 0 {
		t.Errorf("asked for %v, missing %v, when it was too late", p, r.missing)
	}
	r.clocked(7, 0x0001_0002_0003_0004, at(500))
	r.clocked(8, 0, at(500))
	b, ok := r.report(at(600))
	if !ok || b.SSRC != 7 || b.TotalLost != 1 || b.FractionLost != 32 || b.LastSequenceNumber != 1<<16+1 || b.LastSenderReport != 0x0002_0003 || b.Delay != 6553 || b.Jitter > 48*20 {
		t.Errorf("report %+v, %v", b, ok)
	}
	if b, _ := r.report(at(700)); b.FractionLost != 0 || b.TotalLost != 1 {
		t.Errorf("another report %+v", b)
	}
	// However far numbers jump, what is known stays small, and another source begins anew.
	for i := range 100 {
		r.note(7, int64(first+1000*(i+1)), 0, at(1000+i))
	}
	if len(r.missing) > maxAsked {
		t.Errorf("%d missing packets are known", len(r.missing))
	}
	r.note(9, 1<<17, 0, at(2000))
	if b, _ := r.report(at(2001)); b.SSRC != 9 || b.TotalLost != 0 || b.LastSenderReport != 0 {
		t.Errorf("another source %+v", b)
	}
	var none reception
	if _, ok := none.report(at(0)); ok || none.wanted(at(0)) != nil {
		t.Error("a report of nothing")
	}
}

// TestLeap: the numbers of another source follow, whatever they are.
func TestLeap(t *testing.T) {
	var e extender
	e.leap(7)
	if n := e.extend(65000); n != 1<<16+65000 {
		t.Errorf("the first number is %d", n)
	}
	before := e.extend(65001)
	for _, seq := range []uint16{3, 65000, 65001, 65002, 0} {
		e.leap(seq)
		if n := e.extend(seq); n <= before || uint16(n) != seq {
			t.Errorf("%d follows %d as %d", seq, before, n)
		} else {
			before = n
		}
	}
}
