package relay

import (
	"testing"

	"github.com/castd/castd/engine/wire"
)

// A queue that sheds drops pictures by level, never sound, and goes on with a whole group when it may.
func TestShed(t *testing.T) {
	q := NewQueue(100)
	dst := make([]Item, 100)
	n := uint64(0)
	push := func(key, discardable bool) bool {
		n++
		return q.Push(Item{Stream: 1, Number: n, Kind: wire.KindVideo, KeyFrame: key, FrameStart: true, FrameEnd: true, Discardable: discardable})
	}
	audio := func() bool {
		n++
		return q.Push(Item{Stream: 2, Number: n, Kind: wire.KindAudio})
	}
	if !push(true, false) || !push(false, true) || !audio() {
		t.Fatal("a queue that sheds nothing refuses")
	}
	q.Shed(shedDiscardable)
	if push(false, true) || !push(false, false) || !audio() {
		t.Error("level 1 refuses something else than what no other picture needs")
	}
	q.Shed(shedVideo)
	if push(true, false) || !audio() {
		t.Error("level 2 takes a picture, or refuses sound")
	}
	got := q.Pop(dst)
	for _, it := range dst[:got] {
		if it.Kind == wire.KindVideo {
			t.Error("pictures stay in the queue at level 2")
		}
	}
	q.Shed(0)
	if push(false, false) || !push(true, false) || !push(false, true) {
		t.Error("does not go on with the next group")
	}
	if d := q.Dropped(); d.Audio != 0 || d.Shed == 0 {
		t.Errorf("dropped %+v", d)
	}
}

// A queue is plain while nothing waits and nothing is kept back: nothing else may go past it.
func TestPlain(t *testing.T) {
	q := NewQueue(4)
	dst := make([]Item, 100)
	n := uint64(0)
	video := func(key bool) {
		n++
		q.Push(Item{Stream: 1, Number: n, Kind: wire.KindVideo, KeyFrame: key, FrameStart: true, FrameEnd: true})
	}
	want := func(plain bool, when string) {
		t.Helper()
		if q.Plain() != plain {
			t.Errorf("%s: plain is %v", when, q.Plain())
		}
	}
	want(true, "new")
	video(true)
	want(false, "with something in it")
	q.Pop(dst)
	want(true, "popped")
	q.Shed(shedDiscardable)
	want(false, "while it sheds")
	q.Shed(0)
	want(true, "after that")
	video(true)
	for range 8 {
		video(false) // beyond the bound: the rest of the group is not taken
	}
	q.Pop(dst)
	want(false, "until the next group")
	video(true)
	q.Pop(dst)
	want(true, "with the next group")
	s := NewStore(Config{Stream: 2, Kind: wire.KindAudio})
	h := &wire.Header{Kind: wire.KindAudio, Stream: 2, Number: 1, FrameStart: true, FrameEnd: true}
	s.Put(h, append(h.Append(nil), 1, 2, 3), false)
	Burst(q, s, 1)
	want(false, "with a backlog")
	for q.Pop(dst) > 0 {
	}
	want(true, "without one")
	video(false)
	q.Forget(1)
	want(true, "when the stream is forgotten")
}
