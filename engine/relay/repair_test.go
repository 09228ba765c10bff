package relay

import (
	"slices"
	"testing"
	"time"
)

// clock is the time of a test, in milliseconds since its start.
func clock(ms int) time.Time { return time.Unix(1000, 0).Add(time.Duration(ms) * time.Millisecond) }

func due(t *testing.T, r *Repair, ms int, want ...uint64) {
	t.Helper()
	if got := r.Due(clock(ms), nil); !slices.Equal(got, want) {
		t.Fatalf("Due at %d ms = %v, want %v", ms, got, want)
	}
}

func TestRepairAsksAndGivesUp(t *testing.T) {
	r := NewRepair(RepairConfig{RTT: 40 * time.Millisecond})
	r.Arrived(10, clock(0))
	if _, ok := r.Next(); ok {
		t.Fatal("something is due at the start")
	}
	r.Arrived(13, clock(20))
	if next, ok := r.Next(); !ok || !next.Equal(clock(24)) {
		t.Fatalf("Next = %v, %v", next, ok)
	}
	due(t, r, 23)
	due(t, r, 24, 11, 12)
	if n, ok := r.First(); n != 11 || !ok {
		t.Fatalf("First = %d, %v", n, ok)
	}
	if !r.Arrived(12, clock(30)) || r.Arrived(12, clock(31)) {
		t.Fatal("12 was wanted once")
	}
	due(t, r, 43)
	due(t, r, 44, 11)
	due(t, r, 64, 11)
	due(t, r, 84, 11)
	r.Arrived(14, clock(143)) // others come: it is this one that is lost
	due(t, r, 143)
	if r.Abandoned() != 0 || !r.Missing(11) {
		t.Fatal("given up before the last answer could come")
	}
	due(t, r, 144)
	if r.Lost() != 1 || r.Missing(11) || r.Len() != 0 {
		t.Fatal("not given up")
	}
	if _, ok := r.First(); ok {
		t.Fatal("First finds a number that was given up")
	}
	if !r.Arrived(11, clock(200)) || r.Lost() != 0 || r.Abandoned() != 1 {
		t.Fatal("what came after all still counts as lost")
	}
	if s := r.Stats(); s != (RepairStats{Asked: 5, Repaired: 1, Abandoned: 1, Late: 1}) {
		t.Fatalf("stats %+v", s)
	}
}

func TestRepairWaitsForASilentParent(t *testing.T) {
	r := NewRepair(RepairConfig{RTT: 40 * time.Millisecond})
	ask := func(from int) { // all tries
		t.Helper()
		for ms := from; ms < from+80; ms += 20 {
			due(t, r, ms, 2)
		}
	}
	r.Arrived(1, clock(0))
	r.Arrived(3, clock(0))
	ask(4)
	for ms := 124; ms < 404; ms += 20 {
		due(t, r, ms)
		if r.Abandoned() != 0 || !r.Missing(2) {
			t.Fatalf("given up after %d ms, when nothing at all came", ms)
		}
	}
	r.Arrived(4, clock(404)) // there he is again
	ask(404)
	r.Arrived(5, clock(500))
	due(t, r, 524)
	if r.Abandoned() != 1 {
		t.Fatal("not given up while others come")
	}
	// Silence that lasts is the end of the stream.
	r.Arrived(7, clock(600))
	for ms := 600; ms < 1620; ms += 20 {
		r.Due(clock(ms), nil)
	}
	if _, ok := r.Next(); ok || r.Abandoned() != 2 {
		t.Fatalf("%d missing after a second of silence", r.Len())
	}
}

func TestRepairLaterPacketsEndPatience(t *testing.T) {
	r := NewRepair(RepairConfig{})
	r.Arrived(1, clock(0))
	r.Arrived(3, clock(1))
	r.Arrived(4, clock(1))
	due(t, r, 1)
	r.Arrived(5, clock(1))
	if next, _ := r.Next(); next.After(clock(1)) {
		t.Fatal("Next waits although three packets came later")
	}
	due(t, r, 1, 2)
}

func TestRepairReorderedIsNotAskedFor(t *testing.T) {
	r := NewRepair(RepairConfig{})
	r.Arrived(1, clock(0))
	r.Arrived(3, clock(0))
	r.Arrived(2, clock(2))
	due(t, r, 10)
	if s := r.Stats(); s != (RepairStats{}) {
		t.Fatalf("stats %+v", s)
	}
}

func TestRepairTailAndMarks(t *testing.T) {
	r := NewRepair(RepairConfig{})
	r.Highest(100, clock(0)) // nothing has started
	r.Arrived(1, clock(0))
	r.Highest(3, clock(0))
	due(t, r, 4, 2, 3)
	r.Highest(1<<40, clock(5))
	if r.Len() > maxLeap+2 {
		t.Fatalf("%d numbers missing by an absurd mark", r.Len())
	}
	r.Highest(1<<40, clock(6))
	if r.next > maxLeap+2 {
		t.Fatal("marks ratchet")
	}
}

func TestRepairSkip(t *testing.T) {
	r := NewRepair(RepairConfig{})
	r.Arrived(1, clock(0))
	r.Skip(20, 22) // told before
	r.Arrived(6, clock(0))
	r.Skip(3, 4) // told after
	due(t, r, 4, 2, 5)
	r.Skip(5, 5)
	r.Wanted(3, clock(5))
	r.Arrived(24, clock(100))
	if r.Missing(21) || r.Missing(3) || r.Missing(5) || !r.Missing(19) || !r.Missing(23) {
		t.Fatal("skips are not kept apart")
	}
	r.Skip(25, 30)
	r.Arrived(31, clock(101))
	if r.Missing(25) || r.Missing(30) {
		t.Fatal("a skip at the end is missing")
	}
}

func TestRepairWanted(t *testing.T) {
	r := NewRepair(RepairConfig{})
	r.Wanted(5, clock(0))
	due(t, r, 100)
	r.Arrived(5, clock(100))
	r.Arrived(6, clock(100))
	r.Wanted(5, clock(150)) // it was forged
	due(t, r, 150, 5)
	r.Wanted(8, clock(151)) // named by a manifest, never seen
	due(t, r, 155, 7, 8)
	r.Wanted(2, clock(160)) // before the start
	if r.Missing(2) {
		t.Fatal("a number from before the start is missing")
	}
}

func TestRepairBacklog(t *testing.T) {
	r := NewRepair(RepairConfig{})
	r.Arrived(1000, clock(0))
	r.Arrived(900, clock(1)) // the backlog begins
	r.Arrived(901, clock(1))
	r.Arrived(903, clock(2))
	due(t, r, 6, 902)
	if !r.Arrived(902, clock(50)) {
		t.Fatal("a hole of the backlog was not wanted")
	}
	for n := uint64(904); n < 998; n++ {
		r.Arrived(n, clock(60))
	}
	due(t, r, 159)
	due(t, r, 160, 998, 999)
	r.Arrived(998, clock(170))
	r.Arrived(999, clock(170))
	if r.Len() != 0 || r.start != 900 {
		t.Fatalf("missing %d, start %d", r.Len(), r.start)
	}
}

func TestRepairStartHoldRetry(t *testing.T) {
	r := NewRepair(RepairConfig{})
	r.SetStart(10)
	r.Arrived(12, clock(0))
	r.Hold(clock(100))
	due(t, r, 99)
	if next, _ := r.Next(); !next.Equal(clock(100)) {
		t.Fatalf("Next = %v", next)
	}
	due(t, r, 100, 10, 11)
	due(t, r, 101)
	r.Retry(clock(102))
	due(t, r, 102, 10, 11)
	r.SetStart(5) // no way back
	r.SetStart(1000)
	if r.Len() != 0 || r.Arrived(1000, clock(103)) {
		t.Fatal("SetStart does not leave the past")
	}
}

func TestRepairHoldEndsWhereTheParentHasPassed(t *testing.T) {
	r := NewRepair(RepairConfig{})
	r.Arrived(10, clock(0))
	r.Hold(clock(100))
	r.Resumes(19)
	r.Arrived(20, clock(0)) // live; the new parent sends 11 to 19 as well
	r.Arrived(21, clock(0))
	r.Arrived(22, clock(0))
	r.Arrived(11, clock(1))
	r.Arrived(14, clock(2))
	due(t, r, 5)
	if next, ok := r.Next(); !ok || !next.Equal(clock(6)) {
		t.Fatalf("Next = %v, %v", next, ok)
	}
	due(t, r, 6, 12, 13)
	if next, _ := r.Next(); !next.Equal(clock(31)) {
		t.Fatalf("Next = %v", next)
	}
	r.Arrived(12, clock(30))
	due(t, r, 31, 13)
	due(t, r, 99, 13)
	due(t, r, 100, 15, 16, 17, 18, 19)

	r = NewRepair(RepairConfig{})
	r.Arrived(10, clock(0))
	r.Hold(clock(100))
	r.Resumes(19)
	r.Arrived(13, clock(1)) // all of them from the new parent
	r.Arrived(19, clock(1))
	due(t, r, 5, 11, 12, 14, 15, 16, 17, 18)
	r.Arrived(22, clock(50)) // live
	due(t, r, 99, 11, 12, 14, 15, 16, 17, 18)
	due(t, r, 100, 20, 21)

	r = NewRepair(RepairConfig{})
	r.Hold(clock(100))
	r.Resumes(19)
	r.Arrived(20, clock(0)) // a newcomer
	r.Arrived(10, clock(0))
	r.Arrived(12, clock(0))
	due(t, r, 4, 11)
}

func TestRepairBound(t *testing.T) {
	r := NewRepair(RepairConfig{Bound: 100})
	r.Arrived(0, clock(0))
	r.Arrived(1<<40, clock(0))
	if r.Len() != 100 || r.Abandoned() != 1<<40-1-100 {
		t.Fatalf("missing %d, given up %d", r.Len(), r.Abandoned())
	}
	for n := uint64(1); n < 200; n++ {
		r.Arrived(1<<40+2*n, clock(0))
	}
	if r.Len() != 100 || r.Missing(1<<40-1) || !r.Missing(1<<40+1+2*198) {
		t.Fatal("the oldest did not give way")
	}
}

func TestRepairSettings(t *testing.T) {
	r := NewRepair(RepairConfig{})
	r.SetRTT(200 * time.Millisecond)
	r.SetReorder(12 * time.Millisecond)
	r.SetRTT(0)
	r.SetReorder(-1)
	r.Arrived(1, clock(0))
	r.Arrived(3, clock(0))
	due(t, r, 11)
	due(t, r, 12, 2)
	due(t, r, 111)
	due(t, r, 112, 2)
}

func TestSpans(t *testing.T) {
	var s spans
	for _, o := range []span{{10, 12}, {20, 20}, {13, 14}, {30, 40}, {15, 31}, {1, 2}, {4, 4}, {3, 3}} {
		s.add(o.first, o.last)
	}
	if !slices.Equal(s, spans{{1, 4}, {10, 40}}) {
		t.Fatalf("spans %v", s)
	}
	for n := uint64(0); n < 50; n++ {
		if _, ok := s.covers(n); ok != (n >= 1 && n <= 4 || n >= 10 && n <= 40) {
			t.Fatalf("covers(%d) = %v", n, ok)
		}
	}
	for n := range uint64(2 * maxSpans) {
		s.add(100+2*n, 100+2*n)
	}
	if len(s) > maxSpans {
		t.Fatalf("%d ranges", len(s))
	}
}
