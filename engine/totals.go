package engine

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/castd/castd/engine/relay"
	"github.com/castd/castd/engine/wire"
)

// Hops, streams and queues come and go. What they counted is added up when they go, so that the sums of all there ever were,
// which this file returns, never go back.

// totals has what queues and events counted. Methods are safe for concurrent use.
type totals struct {
	mu     sync.Mutex // guards all following fields
	queues map[*child]struct{}
	drops  relay.Drops // of queues that are no more
	events map[EventCount]uint64
	gaps   GapTotals
}

// open notes a child's queue, closed adds up what it dropped.
func (t *totals) open(c *child) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.queues == nil {
		t.queues = make(map[*child]struct{})
	}
	t.queues[c] = struct{}{}
}

func (t *totals) closed(c *child) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ok := t.queues[c]; ok {
		delete(t.queues, c)
		t.drops = addDrops(t.drops, c.queue.Dropped())
	}
}

func addDrops(a, b relay.Drops) relay.Drops {
	return relay.Drops{Discardable: a.Discardable + b.Discardable, Video: a.Video + b.Video, Audio: a.Audio + b.Audio, Record: a.Record + b.Record, Shed: a.Shed + b.Shed}
}

// Drops returns how many packets the queues of children did not deliver, by kind: "discardable" is video that no other picture
// needs, "record" are manifests and the like, "shed" is video that an overload keeps back.
func (e *Engine) Drops() map[string]uint64 {
	t := &e.totals
	t.mu.Lock()
	defer t.mu.Unlock()
	sum := t.drops
	for c := range t.queues {
		sum = addDrops(sum, c.queue.Dropped())
	}
	return map[string]uint64{"discardable": sum.Discardable, "video": sum.Video, "audio": sum.Audio, "record": sum.Record, "shed": sum.Shed}
}

// EventCount names events that are counted together.
type EventCount struct {
	Event string
	// Detail is a parent's reason, an error's code, or "".
	Detail string
}

// gapBounds returns the upper bounds of GapTotals.Buckets, in seconds.
func gapBounds() []float64 { return []float64{0.1, 0.25, 0.5, 1, 2.5, 5, 10} }

// GapTotals count the gaps of flowing streams, as the events of that name tell them.
type GapTotals struct {
	Count   uint64
	Seconds float64
	Lost    uint64
	// Buckets count the gaps that were not longer than a bound, in seconds.
	Buckets map[float64]uint64
}

// maxEventCounts bounds the kinds of events that are told apart; there are far fewer.
const maxEventCounts = 256

func (t *totals) event(ev *Event) {
	k := EventCount{Event: ev.Event, Detail: cmp.Or(ev.Reason, ev.Code)}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.events == nil {
		t.events = make(map[EventCount]uint64)
	}
	if _, ok := t.events[k]; !ok && len(t.events) >= maxEventCounts {
		k = EventCount{Event: "other"}
	}
	t.events[k]++
	if ev.Event != "gap" || ev.Ms == nil {
		return
	}
	seconds := (time.Duration(*ev.Ms) * time.Millisecond).Seconds()
	t.gaps.Count++
	t.gaps.Seconds += seconds
	if ev.Lost != nil {
		t.gaps.Lost += *ev.Lost
	}
	if t.gaps.Buckets == nil {
		t.gaps.Buckets = make(map[float64]uint64)
	}
	for _, b := range gapBounds() {
		if seconds <= b {
			t.gaps.Buckets[b]++
		}
	}
}

// EventTotals returns how often each kind of event has happened, whether or not somebody listened.
func (e *Engine) EventTotals() map[EventCount]uint64 {
	e.totals.mu.Lock()
	defer e.totals.mu.Unlock()
	return maps.Clone(e.totals.events)
}

// GapTotals returns the gaps so far. All buckets are there.
func (e *Engine) GapTotals() GapTotals {
	e.totals.mu.Lock()
	defer e.totals.mu.Unlock()
	g := e.totals.gaps
	g.Buckets = make(map[float64]uint64)
	for _, b := range gapBounds() {
		g.Buckets[b] = e.totals.gaps.Buckets[b]
	}
	return g
}

// HopTotals are the counters of all hops since the start. Units are those of HopStats.
type HopTotals struct {
	Open                         int // now
	PacketsSent, PacketsReceived uint64
	BytesSent, BytesReceived     uint64
	Recovered, Invalid           uint64
}

func (t *HopTotals) add(s HopStats) {
	t.PacketsSent += s.PacketsSent
	t.PacketsReceived += s.PacketsReceived
	t.BytesSent += s.BytesSent
	t.BytesReceived += s.BytesReceived
	t.Recovered += s.Recovered
	t.Invalid += s.Invalid
}

// HopTotals returns the counters of all hops, closed ones included.
func (e *Engine) HopTotals() HopTotals {
	e.mu.Lock()
	defer e.mu.Unlock()
	t := e.closedHops
	for _, h := range *e.hops.Load() {
		t.add(h.Stats())
		t.Open++
	}
	return t
}

// MediaTotals are the counters of all streams of one kind of a room at this peer, ended ones included.
type MediaTotals struct {
	Kind                                       string // "audio", "video"
	Packets, Bytes, Lost, Repaired, Duplicates uint64
}

func (t *MediaTotals) add(s *stream) {
	t.Packets += s.packets.Load()
	t.Bytes += s.bytes.Load()
	t.Lost += s.lost.Load()
	t.Repaired += s.repaired.Load()
	t.Duplicates += s.duplicates.Load()
}

// MediaTotals returns the counters of the room, one for each kind that there ever was, sorted by kind.
func (r *Room) MediaTotals() []MediaTotals {
	r.e.mu.Lock()
	defer r.e.mu.Unlock()
	sums := make(map[wire.Kind]MediaTotals)
	maps.Copy(sums, r.endedMedia)
	for _, s := range *r.e.streams.Load() {
		if s.room == r && s.kind.Media() {
			t := sums[s.kind]
			t.add(s)
			sums[s.kind] = t
		}
	}
	out := make([]MediaTotals, 0, len(sums))
	for kind, t := range sums {
		t.Kind = kind.String()
		out = append(out, t)
	}
	slices.SortFunc(out, func(a, b MediaTotals) int { return cmp.Compare(a.Kind, b.Kind) })
	return out
}

// retireLocked adds up what a stream counted that is no more. The engine's mutex is held.
func (r *Room) retireLocked(s *stream) {
	if !s.kind.Media() {
		return
	}
	if r.endedMedia == nil {
		r.endedMedia = make(map[wire.Kind]MediaTotals)
	}
	t := r.endedMedia[s.kind]
	t.add(s)
	r.endedMedia[s.kind] = t
}
