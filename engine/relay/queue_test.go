package relay

import (
	"sync"
	"testing"

	"github.com/castd/castd/engine/wire"
)

func audio(n uint64) Item  { return Item{Stream: 1, Number: n, Kind: wire.KindAudio, FrameStart: true} }
func record(n uint64) Item { return Item{Stream: 2, Number: n, Kind: wire.KindRecord} }
func video(n uint64) Item  { return Item{Stream: 3, Number: n, Kind: wire.KindVideo, FrameStart: true} }

func key(n uint64) Item {
	it := video(n)
	it.KeyFrame = true
	return it
}

func popAll(q *Queue) (all []Item) {
	for buf := make([]Item, 7); ; {
		n := q.Pop(buf)
		if n == 0 {
			return all
		}
		all = append(all, buf[:n]...)
	}
}

func numbers(items []Item, k wire.Kind) (all []uint64) {
	for _, it := range items {
		if it.Kind == k {
			all = append(all, it.Number)
		}
	}
	return all
}

func equal(a []uint64, b ...uint64) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func TestQueueOrder(t *testing.T) {
	q := NewQueue(16)
	for _, it := range []Item{key(1), audio(1), video(2), record(1), audio(2)} {
		if !q.Push(it) {
			t.Fatalf("Push(%+v) failed", it)
		}
	}
	select {
	case <-q.Wake():
	default:
		t.Fatal("Wake is not ready")
	}
	if q.Len() != 5 {
		t.Fatalf("Len() = %d", q.Len())
	}
	all := popAll(q)
	want := []Item{record(1), audio(1), audio(2), key(1), video(2)}
	for i := range want {
		if all[i] != want[i] {
			t.Fatalf("item %d is %+v, want %+v", i, all[i], want[i])
		}
	}
}

func TestQueueDropsDiscardableFirst(t *testing.T) {
	q := NewQueue(8)
	q.Push(key(1))
	for n := uint64(2); n <= 4; n++ {
		q.Push(video(n))
	}
	disposable := video(5)
	disposable.Discardable = true
	if q.Push(disposable) {
		t.Error("a discardable frame was taken at half of the bound")
	}
	layer := video(6)
	layer.Temporal = 2
	if q.Push(layer) {
		t.Error("the highest temporal layer was taken at half of the bound")
	}
	layer.Temporal = 1
	if !q.Push(layer) {
		t.Error("a lower temporal layer was refused")
	}
	if d := q.Dropped(); d != (Drops{Discardable: 2}) {
		t.Errorf("dropped %+v", d)
	}
}

func TestQueueSkipsToKeyFrame(t *testing.T) {
	q := NewQueue(8)
	for n := uint64(1); n <= 8; n++ {
		q.Push(video(n))
	}
	if q.Push(video(9)) {
		t.Error("a frame was taken beyond the bound")
	}
	if q.Len() != 0 {
		t.Errorf("%d frames wait behind a hole", q.Len())
	}
	for n := uint64(10); n < 15; n++ {
		if q.Push(video(n)) {
			t.Errorf("frame %d was taken without a key frame", n)
		}
	}
	if q.Push(key(5)) {
		t.Error("an old key frame, sent again, ended the cut")
	}
	if !q.Push(audio(1)) || !q.Push(key(15)) || !q.Push(video(16)) {
		t.Error("audio or the new group was refused")
	}
	if q.Push(video(12)) {
		t.Error("a frame from before the cut was taken")
	}
	if all := popAll(q); !equal(numbers(all, wire.KindVideo), 15, 16) {
		t.Errorf("video is %v", numbers(all, wire.KindVideo))
	}
	if d := q.Dropped(); d.Video != 8+1+5+1+1 || d.Audio != 0 {
		t.Errorf("dropped %+v", d)
	}
}

func TestQueueKeepsWaitingGroup(t *testing.T) {
	q := NewQueue(8)
	for n := uint64(1); n <= 5; n++ {
		q.Push(video(n))
	}
	q.Push(key(6))
	q.Push(video(7))
	q.Push(video(8))
	if !q.Push(video(9)) {
		t.Error("a frame of the newest group was refused")
	}
	if all := popAll(q); !equal(numbers(all, wire.KindVideo), 6, 7, 8, 9) {
		t.Errorf("video is %v", numbers(all, wire.KindVideo))
	}
}

func TestQueueAudioLast(t *testing.T) {
	q := NewQueue(8)
	q.Push(key(1))
	for n := range uint64(7) {
		q.Push(audio(n))
	}
	for n := uint64(7); n < 12; n++ {
		if !q.Push(audio(n)) || !q.Push(record(n)) {
			t.Fatalf("audio or record %d was refused", n)
		}
	}
	all := popAll(q)
	if len(all) != 8 || len(numbers(all, wire.KindVideo)) != 0 || !equal(numbers(all, wire.KindRecord), 7, 8, 9, 10, 11) ||
		!equal(numbers(all, wire.KindAudio), 9, 10, 11) {
		t.Errorf("left is %+v", all)
	}
	for n := range uint64(20) {
		q.Push(record(n))
	}
	if q.Push(audio(20)) {
		t.Error("audio pushed out the record")
	}
	if all := popAll(q); !equal(numbers(all, wire.KindRecord), 12, 13, 14, 15, 16, 17, 18, 19) {
		t.Errorf("record is %v", numbers(all, wire.KindRecord))
	}
}

func TestQueueBoundsStreams(t *testing.T) {
	q := NewQueue(4)
	for id := range wire.StreamID(2000) {
		it := key(1)
		it.Stream = id
		q.Push(it)
	}
	if len(q.streams) > maxQueueStreams {
		t.Errorf("state of %d streams", len(q.streams))
	}
	q.Forget(1999)
}

func TestQueueForget(t *testing.T) {
	q := NewQueue(0)
	q.Push(key(1))
	q.Push(audio(1))
	q.Forget(3)
	if all := popAll(q); len(all) != 1 || all[0].Kind != wire.KindAudio {
		t.Errorf("left is %+v", all)
	}
}

func TestBurst(t *testing.T) {
	vs := NewStore(Config{Kind: wire.KindVideo})
	rs := NewStore(Config{Kind: wire.KindRecord})
	for n := uint64(100); n < 150; n++ {
		h, p := keyPacket(n, "x")
		if n != 105 { // a hole
			put(t, vs, h, p, New)
		}
	}
	h, p := testPacket(wire.KindRecord, 9, "manifest")
	put(t, rs, h, p, New)

	q := NewQueue(4)
	if Burst(q, vs, 90) != 50 || Burst(q, rs, 0) != 1 || Burst(q, vs, 200) != 0 || Burst(q, NewStore(Config{}), 0) != 0 {
		t.Error("a burst spans something else than what is kept")
	}
	<-q.Wake()
	q.Push(audio(1))
	buf := make([]Item, 64)
	n := q.Pop(buf)
	if n != 1+BurstPerPop || buf[0].Kind != wire.KindAudio || buf[1].Kind != wire.KindRecord || !buf[1].Backlog || buf[2].Number != 100 {
		t.Fatalf("Pop = %d: %+v", n, buf[:3])
	}
	q.Push(audio(2))
	if q.Pop(buf); buf[0].Number != 2 {
		t.Error("a live packet waits behind the backlog")
	}
	rest := popAll(q)
	if q.Backlog() || rest[len(rest)-1].Number != 149 {
		t.Errorf("the backlog ends at %+v", rest[len(rest)-1])
	}

	Burst(q, vs, 100)
	q.Forget(1)
	if q.Backlog() {
		t.Error("a forgotten stream still has a backlog")
	}
	for range 3 * maxBursts {
		s := NewStore(Config{})
		s.Put(&h, p, false)
		Burst(q, s, 0)
	}
	if len(q.bursts) > maxBursts {
		t.Errorf("%d bursts", len(q.bursts))
	}
}

// Many push, one pops; run with -race.
func TestConcurrency(t *testing.T) {
	s := NewStore(Config{Kind: wire.KindVideo, Ring: 64})
	q := NewQueue(32)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for n := range uint64(2000) {
				h, p := keyPacket(n, string(rune('a'+g%2)))
				if v := s.Put(&h, p, false); v.Fresh() {
					q.Push(s.Item(&h, len(p), v))
				}
				if n%10 == 0 {
					s.Confirm(n, wire.HashPacket(p))
				}
			}
		})
	}
	done := make(chan struct{})
	go func() {
		wg.Wait()
		close(done)
	}()
	items, buf := make([]Item, 8), make([]byte, wire.MaxPacket)
	for running := true; running; {
		select {
		case <-done:
			running = false
		case <-q.Wake():
		}
		for n := q.Pop(items); n > 0; n = q.Pop(items) {
			for _, it := range items[:n] {
				it.Store.Read(it, buf)
			}
		}
	}
}

func TestQueueNoAllocations(t *testing.T) {
	s := NewStore(Config{Kind: wire.KindVideo})
	served, full := NewQueue(64), NewQueue(64)
	buf := make([]Item, 16)
	n := uint64(0)
	step := func() {
		it := video(n)
		it.Store, it.KeyFrame = s, n%50 == 0
		for _, q := range []*Queue{served, full} {
			q.Push(it)
			q.Push(audio(n))
		}
		served.Pop(buf)
		n++
	}
	for range 1000 {
		step()
	}
	if allocs := testing.AllocsPerRun(1000, step); allocs != 0 {
		t.Errorf("%v allocations per packet", allocs)
	}
}
