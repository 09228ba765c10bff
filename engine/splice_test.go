package engine

import (
	"slices"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// spliceRun offers a splice the packets of two flows, of which the second is a standby's, and keeps what is passed on.
type spliceRun struct {
	t       *testing.T
	s       splice[int]
	now     time.Time
	numbers []int64
	stamps  []uint32
	marks   []int
	longest time.Duration
	last    time.Time
}

func newSpliceRun(t *testing.T) *spliceRun {
	return &spliceRun{t: t, s: splice[int]{copy: func(to, from *int) { *to = *from }}, now: time.Unix(1000, 0)}
}

// packet offers one of a tick.
func (r *spliceRun) packet(from, lead peer.ID, number int64, tick, mark int) {
	for _, p := range r.s.offer(from, lead, number, uint32(tick*960), &mark, r.now) {
		r.numbers, r.stamps, r.marks = append(r.numbers, p.number), append(r.stamps, p.timestamp), append(r.marks, *p.packet)
		if !r.last.IsZero() {
			r.longest = max(r.longest, r.now.Sub(r.last))
		}
		r.last = r.now
	}
}

// whole fails where ticks are missing, doubled or out of order, or numbers do not go up by one.
func (r *spliceRun) whole() {
	r.t.Helper()
	for i := 1; i < len(r.stamps); i++ {
		if r.stamps[i] != r.stamps[i-1]+960 || r.numbers[i] != r.numbers[i-1]+1 {
			r.t.Fatalf("%d at %d after %d at %d", r.numbers[i], r.stamps[i], r.numbers[i-1], r.stamps[i-1])
		}
	}
}

func TestSpliceFailover(t *testing.T) {
	r := newSpliceRun(t)
	const from, until = 200, 300 // ticks in which the primary is away
	for tick := 1; tick < 500; tick++ {
		r.now = r.now.Add(20 * time.Millisecond)
		if tick < from || tick >= until {
			r.packet("primary", "primary", int64(1000+tick), tick, 1)
		}
		r.packet("standby", "primary", int64(7000+tick), tick-2, 2)
	}
	r.whole()
	if r.longest > 120*time.Millisecond {
		t.Errorf("nothing for %v", r.longest)
	}
	if r.marks[100] != 1 || r.marks[250] != 2 || r.marks[len(r.marks)-1] != 1 {
		t.Errorf("passed on of %d, %d, %d", r.marks[100], r.marks[250], r.marks[len(r.marks)-1])
	}
	changes := 0
	for i := 1; i < len(r.marks); i++ {
		if r.marks[i] != r.marks[i-1] {
			changes++
		}
	}
	if changes != 2 {
		t.Errorf("%d changes, want 2", changes)
	}
}

// A flow that is not on the timeline, as that of a hub without a standby's past, goes on where the last one ended.
func TestSpliceOtherTimeline(t *testing.T) {
	r := newSpliceRun(t)
	for tick := 1; tick < 100; tick++ {
		r.now = r.now.Add(20 * time.Millisecond)
		r.packet("a", "a", int64(tick), tick, 1)
		r.packet("b", "a", int64(tick), tick+1<<20, 2)
	}
	if slices.Contains(r.marks, 2) {
		t.Fatal("passed on what is on another timeline")
	}
	for tick := 100; tick < 200; tick++ {
		r.now = r.now.Add(20 * time.Millisecond)
		r.packet("b", "b", int64(tick), tick+1<<20, 2)
	}
	if n := len(r.marks); n < 150 || r.marks[n-1] != 2 {
		t.Fatalf("passed on %d", n)
	}
	at := slices.Index(r.marks, 2)
	if gap := int32(r.stamps[at]-r.stamps[at-1]) / 48; r.numbers[at] <= r.numbers[at-1] || gap < 400 || gap > 700 {
		t.Errorf("%d at %d after %d at %d", r.numbers[at], r.stamps[at], r.numbers[at-1], r.stamps[at-1])
	}
	r.stamps, r.numbers = r.stamps[at:], r.numbers[at:]
	r.whole()
}

// Nobody talks for a while: both flows pause, and go on as before.
func TestSpliceSilence(t *testing.T) {
	r := newSpliceRun(t)
	number := int64(0)
	for tick := 1; tick < 1000; tick++ {
		r.now = r.now.Add(20 * time.Millisecond)
		if tick/100%2 == 0 {
			number++
			r.packet("primary", "primary", number, tick, 1)
			r.packet("standby", "primary", number+5, tick-1, 2)
		}
	}
	for i := 1; i < len(r.stamps); i++ {
		if r.numbers[i] != r.numbers[i-1]+1 || int32(r.stamps[i]-r.stamps[i-1]) <= 0 {
			t.Fatalf("%d at %d after %d at %d", r.numbers[i], r.stamps[i], r.numbers[i-1], r.stamps[i-1])
		}
	}
	if slices.Contains(r.marks, 2) {
		t.Error("the standby was heard while the primary was there")
	}
}

// The flow that is passed on begins another timeline, as when the peer that mixes was started again, and the standby follows it there: what
// is passed on goes on where it was, and so it does from the one to the other.
func TestSpliceTimelineBeginsAnew(t *testing.T) {
	r := newSpliceRun(t)
	for tick := 1; tick < 600; tick++ {
		r.now = r.now.Add(20 * time.Millisecond)
		at := tick
		if tick >= 200 {
			at = tick - 200 + 1<<18
		}
		if tick < 100 || tick >= 300 {
			r.packet("primary", "primary", int64(at), at, 1)
		}
		r.packet("standby", "primary", int64(tick), at-1, 2)
	}
	for i := 1; i < len(r.stamps); i++ {
		if step := int32(r.stamps[i] - r.stamps[i-1]); r.numbers[i] <= r.numbers[i-1] || step <= 0 || step > 5*960 {
			t.Fatalf("%d at %d after %d at %d", r.numbers[i], r.stamps[i], r.numbers[i-1], r.stamps[i-1])
		}
	}
	if n := len(r.marks); n < 590 || r.marks[150] != 2 || r.marks[n-1] != 1 {
		t.Errorf("%d were passed on", n)
	}
}

// Half a day of a flow, in which its timestamps pass through their whole range twice.
func TestSpliceWraps(t *testing.T) {
	r := newSpliceRun(t)
	for tick := 1; tick < 10_000_000; tick += 40 { // a packet each 0.8 s is as good
		r.now = r.now.Add(800 * time.Millisecond)
		r.packet("primary", "primary", int64(tick/40), tick, 1)
	}
	if len(r.stamps) != 250_000 {
		t.Errorf("%d packets were passed on", len(r.stamps))
	}
}

// Whatever comes of whomever: what is passed on of others than the one before is not doubled, and nothing grows.
func FuzzSplice(f *testing.F) {
	f.Add([]byte{1, 2, 3, 0, 0, 0, 200, 1, 9, 9, 9, 9})
	f.Fuzz(func(t *testing.T, data []byte) {
		r := newSpliceRun(t)
		for ; len(data) >= 6; data = data[6:] {
			r.now = r.now.Add(time.Duration(data[0]) * 5 * time.Millisecond)
			from := peer.ID(data[1:2])
			mark := 0
			at := uint32(data[2])<<24 | uint32(data[3])<<12 | uint32(data[4])*960
			for _, p := range r.s.offer(from, "a", int64(data[5]), at, &mark, r.now) {
				if p.packet == nil {
					t.Fatal("no packet")
				}
			}
			if len(r.s.flows) > maxFlows || len(r.s.out) > waitingMost+1 {
				t.Fatalf("%d flows, %d packets", len(r.s.flows), len(r.s.out))
			}
		}
	})
}

// A map that is none is nil, and no other is larger than it may be.
func FuzzPlayoutMap(f *testing.F) {
	f.Add([]byte{8, 1, 16, 2, 26, 4, 10, 2, 'a', 'b'})
	f.Fuzz(func(t *testing.T, data []byte) {
		if m := playoutMap(data); m != nil && len(m.Inputs) > MaxPlayoutInputs {
			t.Errorf("%d inputs", len(m.Inputs))
		}
	})
}

// TestSpliceRelated: two flows have timelines of their own, of which it is known how far they are apart, be it by hours or by two ticks. Each
// sound is passed on once, in both directions, by whatever amount.
func TestSpliceRelated(t *testing.T) {
	for _, ahead := range []int{0, 2, -3, 1 << 20} {
		r := newSpliceRun(t)
		lead := peer.ID("direct")
		for tick := 1; tick < 900; tick++ {
			r.now = r.now.Add(20 * time.Millisecond)
			switch tick {
			case 300:
				lead = "mixer"
			case 600:
				lead = "direct"
			}
			if tick >= 200 && tick < 800 {
				for _, from := range []peer.ID{"mixer", "standby"} {
					r.s.relate(from, "direct", uint32(ahead*960))
					r.packet(from, lead, int64(7000+tick), tick+ahead, tick)
				}
			}
			r.packet("direct", lead, int64(10+tick), tick-2, tick-2)
		}
		r.whole()
		for i := 1; i < len(r.marks); i++ {
			if r.marks[i] != r.marks[i-1]+1 {
				t.Fatalf("%d ticks apart: sound of tick %d after %d", ahead, r.marks[i], r.marks[i-1])
			}
		}
	}
}
