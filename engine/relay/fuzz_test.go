package relay

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/castd/castd/engine/wire"
)

// ops reads a sequence of operations from a fuzzer's bytes.
type ops struct{ b []byte }

func (o *ops) more() bool { return len(o.b) > 0 }

func (o *ops) next() byte {
	if len(o.b) == 0 {
		return 0
	}
	x := o.b[0]
	o.b = o.b[1:]
	return x
}

// number returns one near base, or now and then one far away.
func (o *ops) number(base uint64) uint64 {
	x := uint64(o.next())
	switch {
	case x < 230:
		return base + x
	case x < 250:
		return base + x*uint64(o.next())*13
	default:
		return x * uint64(o.next()) << (o.next() % 40) & wire.MaxNumber
	}
}

func FuzzStore(f *testing.F) {
	f.Add([]byte("0123456789abcdefghijklmnopqrstuvwxyz"), uint8(1))
	f.Add(bytes.Repeat([]byte{0, 1, 2, 3, 200, 4, 0, 5, 7}, 40), uint8(0))
	f.Add([]byte{0, 255, 255, 30, 0, 0, 3, 5, 5, 0, 4, 10, 20, 0, 10, 0}, uint8(2))
	f.Fuzz(fuzzStore)
}

// TestStoreRandomly runs the fuzz target with seeded bytes.
func TestStoreRandomly(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	for i := range 150 {
		data := make([]byte, 600)
		for i := range data {
			data[i] = byte(rnd.Uint32())
		}
		fuzzStore(t, data, uint8(i))
	}
}

func fuzzStore(t *testing.T, data []byte, kind uint8) {
	if len(data) > 600 {
		return
	}
	k := wire.Kind(kind % 3)
	s := NewStore(Config{Kind: k, Ring: 16, MaxBytes: 16 << 10})
	given := map[uint64][][]byte{}
	settled := map[uint64][]byte{}
	base := uint64(1000)
	buf := make([]byte, wire.MaxPacket)
	touched := []uint64{}
	for o := (&ops{data}); o.more(); {
		op, n := o.next(), o.number(base)
		touched = append(touched, n)
		h, pkt := testPacket(k, n, string(rune('a'+op>>5&3)))
		h.KeyFrame = op>>3&3 == 0
		pkt = append(pkt, make([]byte, int(n%7)*180)...)
		switch op % 8 {
		case 0, 1, 2:
			if v := s.Put(&h, pkt, false); v.Fresh() {
				given[n] = append(given[n], pkt)
			}
		case 3:
			s.Confirm(n, wire.HashPacket(pkt))
		case 4:
			var hashes []wire.Hash
			for m := n; m <= n+uint64(op>>6); m++ {
				_, pkt := testPacket(k, m, string(rune('a'+op>>5&3)))
				hashes = append(hashes, wire.HashPacket(append(pkt, make([]byte, int(m%7)*180)...)))
			}
			s.ConfirmPicture(n, len(hashes), wire.HashPicture(hashes))
		case 5:
			s.Skip(n, n+uint64(op>>4))
		case 6:
			base += uint64(op)
		case 7:
			if op == 255 {
				s.Reset()
				clear(given)
				clear(settled)
			} else if op > 240 && s.Put(&h, pkt, true).Fresh() {
				given[n] = append(given[n], pkt)
			}
		}
		checkStore(t, s)
		for _, n := range touched[max(0, len(touched)-20):] {
			size, state := s.Get(n, buf)
			if size > 0 && !slices.ContainsFunc(given[n], func(p []byte) bool { return bytes.Equal(p, buf[:size]) }) {
				t.Fatalf("Get(%d) returns bytes that were never put", n)
			}
			if before, ok := settled[n]; ok && state != StateGone && (state != StateConfirmed || !bytes.Equal(before, buf[:size])) {
				t.Fatalf("%d was confirmed and now is %v with other bytes", n, state)
			}
			if state == StateConfirmed {
				settled[n] = bytes.Clone(buf[:size])
			}
		}
	}
}

// checkStore compares what the store counts with what is there.
func checkStore(t *testing.T, s *Store) {
	t.Helper()
	var packets, hashes, ahead, aheadBlocks, used, entries int
	var low, high uint64
	for n := s.win.lo; s.win.any && n <= s.win.hi; n++ {
		slot := s.win.at(n)
		if slot <= 0 {
			continue
		}
		e := &s.entries[slot-1]
		entries++
		if e.number != n {
			t.Fatalf("the entry of %d is of %d", n, e.number)
		}
		if e.state == entryHash {
			hashes++
			continue
		}
		if e.count == 0 {
			t.Fatalf("the entry of %d is empty", n)
		}
		if packets == 0 {
			low = n
		}
		packets, high = packets+1, n
		if s.isAheadLocked(n) {
			ahead++
		}
		for i := range e.count {
			need := s.mem.need(int(e.variants[i].size))
			used += need
			if s.isAheadLocked(n) {
				aheadBlocks += need
			}
		}
	}
	if packets != s.packets || hashes != s.hashes || ahead != s.ahead || aheadBlocks != s.aheadBlocks || used != s.mem.used ||
		entries+len(s.free) != len(s.entries) {
		t.Fatalf("counted %d packets, %d hashes, %d (%d blocks) ahead, %d blocks, %d entries; the store says %d, %d, %d (%d), %d, %d",
			packets, hashes, ahead, aheadBlocks, used, entries, s.packets, s.hashes, s.ahead, s.aheadBlocks, s.mem.used,
			len(s.entries)-len(s.free))
	}
	for i, p := range s.pictures {
		if i > 0 && p.first <= s.pictures[i-1].first || len(s.pictures) > maxPictures {
			t.Fatalf("%d pictures; %d comes after %d", len(s.pictures), p.first, s.pictures[max(i, 1)-1].first)
		}
	}
	if got, ok := s.Lowest(); ok != (packets > 0) || got != low {
		t.Fatalf("Lowest() = %d, %v; there are %d from %d", got, ok, packets, low)
	}
	if got, ok := s.Highest(); ok && (packets == 0 || got > high || s.State(got) != StateUnconfirmed && s.State(got) != StateConfirmed) {
		t.Fatalf("Highest() = %d is not there", got)
	}
	if s.mem.used > s.mem.limit || s.Bytes() > s.cfg.MaxBytes+blocksPerSlab*s.mem.size {
		t.Fatalf("%d of %d blocks, %d octets", s.mem.used, s.mem.limit, s.Bytes())
	}
	if s.cfg.Kind != wire.KindVideo && s.packets > 2*s.cfg.Ring {
		t.Fatalf("%d packets", s.packets)
	}
	if first, last, ok := s.Group(); ok && (first > last || s.State(first) == StateAbsent || s.State(first) == StateGone) {
		t.Fatalf("Group() = %d to %d", first, last)
	}
}

func FuzzQueue(f *testing.F) {
	f.Add([]byte("the quick brown fox jumps over the lazy dog"), uint8(8))
	f.Add(bytes.Repeat([]byte{2, 10, 18, 0, 1, 66}, 50), uint8(3))
	f.Fuzz(func(t *testing.T, data []byte, bound uint8) {
		q := NewQueue(int(bound%40) + 1)
		buf := make([]Item, 5)
		var pushed, popped [3]int
		number := uint64(1)
		for o := (&ops{data}); o.more(); {
			op := o.next()
			if op%8 == 7 {
				n := q.Pop(buf[:op>>3%6])
				for _, it := range buf[:n] {
					popped[lane(it.Kind)]++
				}
				continue
			}
			it := Item{Stream: wire.StreamID(op >> 3 & 3), Number: number, Kind: wire.Kind(op % 3)}
			if op%16 == 8 {
				it.Number -= min(it.Number, uint64(op))
			}
			it.FrameStart, it.KeyFrame, it.Temporal = op&32 != 0, op&64 != 0, op>>4&3
			it.Discardable = op&128 != 0
			number++
			hadVideo, before := q.lanes[laneVideo].len() > 0, q.Dropped()
			pushed[lane(it.Kind)]++
			q.Push(it)
			d := q.Dropped()
			if hadVideo && (d.Audio > before.Audio || d.Record > before.Record) {
				t.Fatal("audio or record was dropped before video")
			}
			if q.Len() > q.bound {
				t.Fatalf("%d items of %d", q.Len(), q.bound)
			}
			queued := 0
			for _, st := range q.streams {
				queued += st.queued
			}
			if queued != q.lanes[laneVideo].len() {
				t.Fatalf("%d frames by stream, %d in the lane", queued, q.lanes[laneVideo].len())
			}
		}
		d := q.Dropped()
		dropped := [3]uint64{laneRecord: d.Record, laneAudio: d.Audio, laneVideo: d.Video + d.Discardable}
		for l := range q.lanes {
			if pushed[l] != popped[l]+q.lanes[l].len()+int(dropped[l]) {
				t.Fatalf("lane %d: pushed %d, popped %d, left %d, dropped %d", l, pushed[l], popped[l], q.lanes[l].len(), dropped[l])
			}
		}
	})
}

func FuzzRepair(f *testing.F) {
	f.Add([]byte("Sphinx of black quartz, judge my vow"))
	f.Add([]byte("007X0 01$0"))
	f.Add([]byte("0\xd30\xd00X00\xec0000Y$0"))
	f.Add([]byte{0, 10, 0, 20, 4, 30, 4, 4, 1, 50, 2, 12, 3, 10, 4, 255})
	f.Fuzz(func(t *testing.T, data []byte) {
		r := NewRepair(RepairConfig{Bound: 300})
		done := map[uint64]bool{} // arrived or skipped
		skipped := map[uint64]bool{}
		now, base := clock(0), uint64(1000)
		var buf []uint64
		for o := (&ops{data}); o.more(); {
			op, n := o.next(), o.number(base)
			switch op % 8 {
			case 0, 1:
				if was := r.Missing(n); r.Arrived(n, now) != was && was {
					t.Fatalf("%d was missing, and Arrived does not say so", n)
				}
				if n >= r.start || r.backlog && n >= r.backlogFirst { // older ones may be asked for again, as backlog
					done[n] = true
				}
			case 2:
				r.Highest(n, now)
			case 3:
				for i := range uint64(op >> 3) {
					skipped[n+i] = true
				}
				if op>>3 > 0 {
					r.Skip(n, n+uint64(op>>3)-1)
				}
			case 4:
				now = now.Add(time.Duration(op) * time.Millisecond / 2)
			case 5:
				r.Wanted(n, now)
				delete(done, n)
			case 6:
				base += uint64(op >> 2)
			case 7:
				switch op >> 3 % 4 {
				case 0:
					r.Hold(now.Add(time.Duration(op) * time.Millisecond))
					r.Resumes(n)
				case 1:
					r.Retry(now)
				case 2:
					r.SetStart(n)
					for k := range done { // as may these now
						if k < n {
							delete(done, k)
						}
					}
				}
			}
			buf = r.Due(now, buf[:0])
			if !slices.IsSorted(buf) {
				t.Fatalf("Due = %v", buf)
			}
			for _, n := range buf {
				if done[n] || skipped[n] && len(r.skips) < maxSpans {
					t.Fatalf("%d is asked for; arrived %v, skipped %v", n, done[n], skipped[n])
				}
			}
			if r.Len() > 300 || len(r.missing) > 900 {
				t.Fatalf("%d missing in %d", r.Len(), len(r.missing))
			}
			if next, ok := r.Next(); ok != (r.Len() > 0 || r.backlog) || ok && !next.After(now) {
				t.Fatalf("Next = %v, %v after Due at %v", next, ok, now)
			}
			if r.Stats().Late > r.Abandoned() {
				t.Fatal("more came late than were given up")
			}
		}
	})
}
