package guest

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/castd/castd/engine/wire"
)

const ms = time.Millisecond

func TestTimelineLateJoin(t *testing.T) {
	line := newTimeline(90000, 100, 5000)
	s := source{stream: 1, incarnation: 1}
	const frames, step = 250, 3600 // 10 s at 25 fps, over the wrap
	first := uint32(4294900000)
	live := first + (frames-1)*step
	var last placed
	var start uint32
	for i := range uint32(frames) {
		for part := range uint32(3) {
			p := line.place(0, s, uint64(i*3+part), first+i*step, true, live)
			switch {
			case i == 0 && part == 0:
				start = p.time
				if !p.cut || p.seq != 101 {
					t.Fatalf("first: %+v", p)
				}
			case p.cut || p.seq != last.seq+1:
				t.Fatalf("frame %d: %+v after %+v", i, p, last)
			case part == 0 && int32(p.time-last.time) <= 0:
				t.Fatalf("frame %d does not come later", i)
			case part > 0 && p.time != last.time:
				t.Fatalf("frame %d was torn", i)
			}
			last = p
		}
	}
	if span := last.time - start; span > 9000 || span < 8000 {
		t.Fatalf("backlog spans %d", span)
	}
	// Live packets follow at their true distance.
	for i := range uint32(50) {
		p := line.place(time.Duration(i)*40*ms, s, uint64(frames*3+i), live+(i+1)*step, false, 0)
		if p.cut || p.time != last.time+(i+1)*step {
			t.Fatalf("live frame %d: %+v, backlog ended at %d", i, p, last.time)
		}
	}
}

func TestTimelineRefresh(t *testing.T) {
	line := newTimeline(90000, 0, 0)
	s := source{stream: 1}
	var p placed
	for i := range uint32(100) {
		p = line.place(time.Duration(i)*40*ms, s, uint64(i), i*3600, false, 0)
	}
	before := p
	// The last 51 frames again.
	for i := range uint32(51) {
		number := 49 + i
		p = line.place(4*time.Second, s, uint64(number), number*3600, true, 99*3600)
		if p.cut != (i == 0) || p.seq != before.seq+1+uint16(i) || int32(p.time-before.time) <= 0 {
			t.Fatalf("frame %d: %+v after %+v", i, p, before)
		}
	}
	if shift := p.time - before.time; shift > 90000/50 {
		t.Fatalf("a refresh moved the stream by %d", shift)
	}
	after := line.place(4*time.Second+40*ms, s, 100, 100*3600, false, 0)
	if after.cut || after.time != p.time+3600 || after.seq != p.seq+1 {
		t.Fatalf("%+v after %+v", after, p)
	}
	if !line.fresh(s, 101, false) || line.fresh(s, 100, false) || line.fresh(s, 3, false) || !line.fresh(source{stream: 2}, 3, false) {
		t.Fatal("fresh")
	}
}

func TestTimelineChangeOfSource(t *testing.T) {
	line := newTimeline(48000, 65530, 4294967000)
	a := line.place(0, source{stream: 1}, 1000, 77, false, 0)
	hole := line.place(40*ms, source{stream: 1}, 1002, 77+1920, false, 0)
	if hole.seq != a.seq+2 || hole.time != a.time+1920 {
		t.Fatalf("hole: %+v after %+v", hole, a)
	}
	other := line.place(time.Second+40*ms, source{stream: 2}, 5, 3_000_000_000, false, 0)
	if !other.cut || other.seq != hole.seq+1 || other.time != hole.time+48000 {
		t.Fatalf("other stream: %+v after %+v", other, hole)
	}
	again := line.place(time.Second+60*ms, source{stream: 2, incarnation: 1}, 6, 12, false, 0)
	if !again.cut || again.seq != other.seq+1 || again.time != other.time+960 {
		t.Fatalf("other incarnation: %+v after %+v", again, other)
	}
	jump := line.place(2*time.Second, source{stream: 2, incarnation: 1}, 6+maxJump+1, 12+9600, false, 0)
	if !jump.cut || jump.seq != again.seq+1 || jump.time != again.time+9600 {
		t.Fatalf("jump: %+v after %+v", jump, again)
	}
}

// TestTimelineNeverGoesBack plays random sources: numbers and timestamps of the viewer's stream must only grow.
func TestTimelineNeverGoesBack(t *testing.T) {
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 1))
		line := newTimeline(90000, uint16(random.Uint32()), random.Uint32())
		var now time.Duration
		s := source{stream: 1}
		number, timestamp := random.Uint64N(1<<40), random.Uint32()
		var last placed
		var seen bool
		check := func(p placed) {
			t.Helper()
			if seen && (int16(p.seq-last.seq) <= 0 || int32(p.time-last.time) < 0) {
				t.Fatalf("seed %d: %+v after %+v", seed, p, last)
			}
			if seen && p.cut && (p.seq != last.seq+1 || p.time == last.time) {
				t.Fatalf("seed %d: cut %+v after %+v", seed, p, last)
			}
			last, seen = p, true
		}
		for range 300 {
			switch random.IntN(12) {
			case 0:
				s.stream = wire.StreamID(random.Uint32N(3))
				number, timestamp = random.Uint64N(1<<40), random.Uint32()
			case 1:
				s.incarnation++
				timestamp = random.Uint32()
			case 2, 3:
				frames := random.Uint32N(200) + 1
				step := random.Uint32N(6000) + 1
				number += uint64(frames)
				timestamp += frames * step
				for i := range frames {
					check(line.place(now, s, number-uint64(frames)+uint64(i)+1, timestamp-(frames-1-i)*step, true, timestamp))
				}
				continue
			}
			number += 1 + random.Uint64N(3)*random.Uint64N(400)
			elapsed := time.Duration(random.IntN(100)) * ms
			now += elapsed
			timestamp += uint32(elapsed * 90000 / time.Second)
			if line.fresh(s, number, false) {
				check(line.place(now, s, number, timestamp, false, 0))
			}
		}
	}
}

func TestTimelineAllocatesNothing(t *testing.T) {
	line := newTimeline(90000, 0, 0)
	var n uint64
	if a := testing.AllocsPerRun(100, func() {
		n++
		line.place(time.Duration(n)*ms, source{stream: 1}, n, uint32(n), n%7 == 0, uint32(n)+5)
	}); a != 0 {
		t.Fatalf("%v allocations", a)
	}
}
