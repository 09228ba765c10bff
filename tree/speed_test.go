package tree

import (
	"fmt"
	"testing"
	"time"
)

// crowded returns an origin that feeds n children.
func crowded(t testing.TB, n int) (r *Router, now time.Time) {
	c := DefaultConfig("self")
	c.Slots, c.Seed = n, 1
	r, now = New(c), simStart
	r.Step(now, Start{Origin: true})
	for i := range n {
		id := ID(fmt.Sprintf("child%03d", i))
		now = now.Add(time.Millisecond)
		r.Step(now, Recv{From: id, Msg: &MsgJoin{Nonce: uint64(i), Kind: Ordinary}})
		r.Step(now, Recv{From: id, Msg: &MsgConfirm{Nonce: uint64(i)}})
	}
	if got := len(r.Status().Children); got != n {
		t.Fatalf("%d children, want %d", got, n)
	}
	return r, now
}

// TestQuietStep checks that a step from which nothing follows costs nothing but its time.
func TestQuietStep(t *testing.T) {
	r, now := crowded(t, 100)
	r.Step(now.Add(time.Millisecond), Tick{})
	in := Input(Alive{Peer: "child050", At: now})
	if n := testing.AllocsPerRun(100, func() { r.Step(now.Add(time.Millisecond), in); r.Status() }); n > 0 {
		t.Errorf("a quiet step allocates %v times", n)
	}
}

func BenchmarkQuietStep(b *testing.B) {
	for _, n := range []int{10, 100, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			r, now := crowded(b, n)
			in := Input(Alive{Peer: "child005", At: now})
			b.ReportAllocs()
			for b.Loop() {
				r.Step(now, in)
				r.Status()
			}
		})
	}
}
