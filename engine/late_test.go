package engine

import (
	"testing"
	"time"

	"github.com/castd/castd/engine/relay"
	"github.com/castd/castd/engine/wire"
)

// Those who get everything are sent an excerpt once the record packets stay away, and then the one that was held back as well.
func TestLateExcerpts(t *testing.T) {
	put := func(s *stream, number uint64) {
		h := wire.Header{Kind: s.kind, Stream: s.id, Number: number}
		s.store.Put(&h, h.Append(nil), true)
	}
	of := func(id wire.StreamID, kind wire.Kind) *stream {
		return &stream{id: id, kind: kind, store: relay.NewStore(relay.Config{Stream: id, Kind: kind})}
	}
	sl := &slot{record: of(1, wire.KindRecord)}
	x := of(2, wire.KindExcerpt)
	sl.excerpt.Store(x)
	for _, step := range []struct {
		record, excerpt uint64 // which come; 0: none
		late            bool
		before          uint64 // 0: none
	}{
		{excerpt: 10}, // nothing is known yet
		{record: 10, excerpt: 11},
		{record: 11, excerpt: 12},
		{record: 0, excerpt: 13, late: true, before: 12},
		{record: 0, excerpt: 14, late: true},
		{record: 14, excerpt: 15},
		{record: 0, excerpt: 17, late: true}, // the one before was lost
		{record: 17, excerpt: 18},
	} {
		if step.record != 0 {
			put(sl.record, step.record)
		}
		put(x, step.excerpt)
		before, late := sl.late(step.excerpt)
		if late != step.late || (before.Store != nil) != (step.before != 0) || before.Number != step.before {
			t.Errorf("excerpt %d: late %v with %d before, want %v with %d", step.excerpt, late, before.Number, step.late, step.before)
		}
	}
}

// Playout of a stream that has just begun waits for its first packet where a later one came before it, whether or not that is known to be
// missing yet.
func TestPlayoutWaitsForTheFirst(t *testing.T) {
	s := &stream{
		room: &Room{}, id: 1, kind: wire.KindAudio, store: relay.NewStore(relay.Config{Stream: 1, Kind: wire.KindAudio}), repair: relay.NewRepair(relay.RepairConfig{}),
	}
	s.state.Store(&StreamState{First: 64, StartedMs: time.Now().UnixMilli(), ClockRate: 48000})
	s.repair.SetStart(64)
	h := wire.Header{Kind: wire.KindAudio, Stream: 1, Number: 65}
	s.store.Put(&h, h.Append(nil), false)
	for _, known := range []bool{false, true} {
		if known {
			s.repair.Arrived(65, time.Now())
		}
		c := &cursor{s: s}
		if !c.start() || c.next != 64 {
			t.Errorf("playout begins with %d, want 64; that it is missing is known: %v", c.next, known)
		}
	}
	s.repair.Skip(64, 64)
	if c := (&cursor{s: s}); !c.start() || c.next != 65 {
		t.Errorf("playout begins with %d, want 65: the one before never comes", c.next)
	}
}
