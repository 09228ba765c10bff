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
