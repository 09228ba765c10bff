package engine

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/castd/castd/engine/relay"
	"github.com/castd/castd/engine/wire"
)

// tap is a Transport whose hops note the numbers that they are given, and when.
type tap struct {
	Transport
	mu      sync.Mutex
	flushes int
}

func (t *tap) NewOutbox() Outbox { return tapOutbox{t} }

type tapOutbox struct{ t *tap }

func (o tapOutbox) WritePackets(h Hop, pkts [][]byte) error {
	_, err := h.WritePackets(pkts)
	return err
}

func (o tapOutbox) WriteControl(h Hop, c *wire.HopControl) error { return h.WriteControl(c) }

func (o tapOutbox) Flush() {
	o.t.mu.Lock()
	defer o.t.mu.Unlock()
	o.t.flushes++
}

type tapHop struct {
	Hop
	id   peer.ID
	busy func() // called with each write; may wait

	mu  sync.Mutex
	got []uint64
}

func (h *tapHop) Peer() peer.ID { return h.id }

func (h *tapHop) WritePackets(pkts [][]byte) (int, error) {
	if h.busy != nil {
		h.busy()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, p := range pkts {
		hdr, _, err := wire.ParseHeader(p)
		if err != nil {
			panic(err)
		}
		h.got = append(h.got, hdr.Number)
	}
	return len(pkts), nil
}

func (h *tapHop) numbers() []uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.got)
}

// fed is a feeder with children, and a stream of packets for them.
type fed struct {
	*feeder
	fan   atomic.Pointer[fanout]
	store *relay.Store
	hops  []*tapHop
	kind  wire.Kind
}

func newFed(t *testing.T, kind wire.Kind, children int) *fed {
	t.Helper()
	f := &fed{kind: kind, store: relay.NewStore(relay.Config{Stream: 7, Kind: kind})}
	f.feeder = newFeeder(&tap{}, &f.fan)
	list := &fanout{}
	for i := range children {
		h := &tapHop{id: peer.ID(fmt.Sprint("child ", i))}
		f.hops = append(f.hops, h)
		list.children = append(list.children, newChild(f.feeder, h, all, nil))
	}
	f.fan.Store(list)
	t.Cleanup(func() {
		for _, c := range list.children {
			c.close()
		}
	})
	return f
}

// packet puts a packet into the store and gives it to the feeder.
func (f *fed) packet(t *testing.T, number uint64, last bool, from peer.ID) {
	t.Helper()
	h := &wire.Header{Kind: f.kind, Stream: 7, Number: number, FrameStart: true, FrameEnd: last, KeyFrame: f.kind == wire.KindVideo}
	pkt := append(h.Append(nil), "something sealed, for all that the feeder knows"...)
	f.push(pending{Item: f.store.Item(h, len(pkt), f.store.Put(h, pkt, false)), from: from})
}

func upTo(n uint64) []uint64 {
	var out []uint64
	for i := range n {
		out = append(out, i+1)
	}
	return out
}

// Whatever is pushed reaches every child once and in order, but for the one that it came from.
func TestFeederSpreads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFed(t, wire.KindAudio, 3)
		for n := range uint64(5) {
			f.packet(t, n+1, true, f.hops[1].id)
			time.Sleep(20 * time.Millisecond)
		}
		for i, want := range [][]uint64{upTo(5), nil, upTo(5)} {
			if got := f.hops[i].numbers(); !slices.Equal(got, want) {
				t.Errorf("child %d got %v, want %v", i, got, want)
			}
		}
	})
}

// A picture goes out when its last packet is there, or a moment later if that does not come.
func TestFeederWaitsForThePicture(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFed(t, wire.KindVideo, 2)
		f.packet(t, 1, false, "")
		f.packet(t, 2, false, "")
		synctest.Wait()
		if got := f.hops[0].numbers(); len(got) != 0 {
			t.Fatalf("%v went out before the picture was whole", got)
		}
		f.packet(t, 3, true, "")
		synctest.Wait()
		if got := f.hops[0].numbers(); !slices.Equal(got, upTo(3)) {
			t.Fatalf("got %v", got)
		}
		f.packet(t, 4, false, "")
		time.Sleep(2 * holdFor)
		if got := f.hops[1].numbers(); !slices.Equal(got, upTo(4)) {
			t.Fatalf("got %v after the time that a picture may take", got)
		}
	})
}

// A child with a backlog, or that something is kept back from, has what is new by its queue; the others do not wait for it.
func TestFeederPassesBacklogs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFed(t, wire.KindVideo, 2)
		children := f.fan.Load().children
		children[1].queue.Shed(2) // no pictures
		for n := range uint64(4) {
			f.packet(t, n+1, true, "")
			synctest.Wait()
		}
		if got := f.hops[0].numbers(); !slices.Equal(got, upTo(4)) {
			t.Errorf("who is kept nothing back from got %v", got)
		}
		if got := f.hops[1].numbers(); len(got) != 0 {
			t.Errorf("pictures %v were sent to who is to have none", got)
		}
		if d := children[1].queue.Dropped(); d.Shed != 4 {
			t.Errorf("%+v was counted, want 4 that were kept back", d)
		}
		children[1].queue.Shed(0)
		f.packet(t, 5, true, "") // begins a group
		relay.Burst(children[1].queue, f.store, 2)
		f.packet(t, 6, true, "")
		time.Sleep(10 * burstPause)
		got := f.hops[1].numbers()
		slices.Sort(got)
		if got = slices.Compact(got); !slices.Equal(got, []uint64{2, 3, 4, 5, 6}) {
			t.Errorf("with its backlog from 2 on the child got %v", got)
		}
	})
}

// While the feeder is held up more waits than it keeps: the children's queues take it, and nothing is lost that fits them.
func TestFeederFallsBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFed(t, wire.KindAudio, 2)
		release := make(chan struct{})
		f.hops[0].busy = func() { <-release }
		const n = 3 * pendingItems
		for i := range uint64(n) {
			f.packet(t, i+1, true, "")
		}
		synctest.Wait()
		if f.mu.Lock(); len(f.pending) > pendingItems {
			t.Errorf("%d items wait, more than %d", len(f.pending), pendingItems)
		}
		f.mu.Unlock()
		close(release)
		time.Sleep(time.Second)
		for i, h := range f.hops {
			got := h.numbers()
			if slices.Sort(got); !slices.Equal(got, upTo(n)) {
				t.Errorf("child %d got %d packets of %d", i, len(got), n)
			}
		}
	})
}
