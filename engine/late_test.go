package engine

import (
	"testing"

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
