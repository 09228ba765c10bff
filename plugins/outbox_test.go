package plugins

import (
	"testing"
	"time"

	"github.com/castd/castd/plugins/sdk/protocol"
)

// outboxTest feeds an outbox with a packet of each track every 20 ms.
type outboxTest struct {
	outbox
	t      *testing.T
	pool   buffers
	now    time.Time
	tracks []*track
	next   uint64
}

func newOutboxTest(t *testing.T, tracks int) *outboxTest {
	o := &outboxTest{t: t, now: time.Unix(1000, 0)}
	for i := range tracks {
		o.tracks = append(o.tracks, &track{id: uint32(i + 1)})
	}
	return o
}

func (o *outboxTest) tick(n, payload int) {
	for range n {
		for _, t := range o.tracks {
			o.add(o.now, t, &protocol.Media{Track: t.id, Number: o.next, Payload: make([]byte, payload)}, &o.pool)
		}
		o.next++
		o.now = o.now.Add(20 * time.Millisecond)
	}
}

// drain takes all that is due.
func (o *outboxTest) drain() []*protocol.ToPluginMessage {
	o.t.Helper()
	var out []*protocol.ToPluginMessage
	for {
		b, _, err := o.take(o.now, &o.pool)
		if err != nil {
			o.t.Fatal(err)
		}
		if b == nil {
			return out
		}
		m := new(protocol.ToPluginMessage)
		if err := m.Parse(append([]byte(nil), b...)); err != nil {
			o.t.Fatal(err)
		}
		o.pool.Put(&b)
		out = append(out, m)
	}
}

func TestOutboxBatchesByTime(t *testing.T) {
	o := newOutboxTest(t, 100)
	o.tick(1, 80)
	o.now = o.now.Add(-15 * time.Millisecond)
	if b, wait, _ := o.take(o.now, &o.pool); b != nil || wait != 15*time.Millisecond {
		t.Fatalf("after 5 ms: %d octets, wait %v", len(b), wait)
	}
	o.now = o.now.Add(15 * time.Millisecond)
	got := o.drain()
	if len(got) != 1 || len(got[0].Media) != 100 || got[0].Number != 1 || got[0].TimeUs != o.now.UnixMicro() {
		t.Fatalf("%d messages", len(got))
	}
	if len(o.drain()) != 0 {
		t.Error("there is something left")
	}
}

func TestOutboxBatchesBySize(t *testing.T) {
	o := newOutboxTest(t, 100)
	o.tick(1, 1200)
	got := o.drain()
	packets := 0
	for _, m := range got {
		packets += len(m.Media)
	}
	if len(got) != 2 || packets != 100 {
		t.Errorf("%d messages with %d packets", len(got), packets)
	}
}

func TestOutboxTellsWhatIsLost(t *testing.T) {
	o := newOutboxTest(t, 2)
	o.tick(100, 80) // two seconds, of which the last half is kept
	got := o.drain()
	if len(got) == 0 || len(got) > 27 {
		t.Fatalf("%d messages were kept", len(got))
	}
	if n := len(got[0].Gaps); n != 2 {
		t.Fatalf("%d gaps", n)
	}
	g := got[0].Gaps[0]
	if g.First != 0 || g.Last+1 != got[0].Media[0].Number {
		t.Errorf("gap %d to %d before %d", g.First, g.Last, got[0].Media[0].Number)
	}
	if o.dropped != 2*(g.Last+1) {
		t.Errorf("%d dropped", o.dropped)
	}
	numbers := map[uint32]uint64{1: g.Last + 1, 2: g.Last + 1}
	for i, m := range got {
		if i > 0 && len(m.Gaps) > 0 {
			t.Error("another gap")
		}
		for _, p := range m.Media {
			if p.Number != numbers[p.Track] {
				t.Fatalf("track %d goes on with %d, want %d", p.Track, p.Number, numbers[p.Track])
			}
			numbers[p.Track]++
		}
	}
	if numbers[1] != 100 || numbers[2] != 100 {
		t.Errorf("ends at %v", numbers)
	}
}

func TestOutboxIsBounded(t *testing.T) {
	o := newOutboxTest(t, 400)
	for range 50 {
		o.tick(1, 1400)
		o.now = o.now.Add(-19 * time.Millisecond) // a burst
	}
	if o.waiting > maxWaiting+batchSize {
		t.Errorf("%d octets wait", o.waiting)
	}
	if o.dropped == 0 {
		t.Error("nothing was dropped")
	}
	for i := range 1000 {
		o.event(&protocol.Event{Event: "x", Time: time.Duration(i).String()})
	}
	if len(o.events) != maxEvents || o.droppedEvents != 1000-maxEvents || o.events[0].Time != time.Duration(1000-maxEvents).String() {
		t.Errorf("%d events wait from %s on, %d dropped", len(o.events), o.events[0].Time, o.droppedEvents)
	}
}

func TestOutboxSendsEventsAtOnce(t *testing.T) {
	o := newOutboxTest(t, 1)
	o.streams = &protocol.StreamList{Streams: []*protocol.Stream{{Track: 1}}}
	got := o.drain()
	if len(got) != 1 || len(got[0].Streams.GetStreams()) != 1 {
		t.Fatalf("%d messages", len(got))
	}
	o.event(&protocol.Event{Event: "left"})
	o.add(o.now, o.tracks[0], &protocol.Media{Track: 1, Number: 4}, &o.pool)
	if got = o.drain(); len(got) != 1 || len(got[0].Events) != 1 || len(got[0].Media) != 1 || got[0].Number != 2 {
		t.Fatalf("%d messages", len(got))
	}
}

func TestOutboxAllocatesNothingPerPacket(t *testing.T) {
	o := newOutboxTest(t, 50)
	m := protocol.Media{Payload: make([]byte, 100)}
	round := func() {
		for _, tr := range o.tracks {
			m.Track, m.Number = tr.id, o.next
			o.add(o.now, tr, &m, &o.pool)
		}
		o.next++
		o.now = o.now.Add(20 * time.Millisecond)
		if b, _, _ := o.take(o.now, &o.pool); b != nil {
			o.pool.Put(&b)
		}
	}
	for range 10 {
		round()
	}
	if n := testing.AllocsPerRun(100, round); n > 15 {
		t.Errorf("%v allocations for 50 packets", n)
	}
}
