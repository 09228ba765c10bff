package engine_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/castd/castd/engine/enginetest"
)

// A listener that gives way to one who can feed others moves below it, and nothing comes later than that longer way takes.
func TestMoveMissesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := enginetest.NewNetwork(5)
		net.Delay = 10 * time.Millisecond
		const longer = 90 * time.Millisecond // of the new hop
		s := newStage(t, net, 1)
		net.Farther = func(from, to peer.ID) time.Duration {
			if from == s.origin.Self() || to == s.origin.Self() {
				return 0
			}
			return longer
		}
		s.listen(1, 0)
		pub, err := s.room.Publish(t.Context(), videoSlot(nil))
		if err != nil {
			t.Fatal(err)
		}
		p := startProgramme(t, pub)
		time.Sleep(10 * time.Second)
		before := p.count("video")
		s.listen(1, 3)
		moving := s.listeners[0]
		if moving.room.Tree().Depth != 1 {
			t.Fatal("the first listener has moved already")
		}
		time.Sleep(10 * time.Second)
		if d := moving.room.Tree().Depth; d != 2 {
			t.Fatalf("the first listener is at depth %d, want 2", d)
		}
		end := p.count("video")
		time.Sleep(200 * time.Millisecond) // the last picture's manifest is taken along by no other, and comes later
		p.end()
		time.Sleep(time.Second)
		was, is := moving.pictures(t, p, 300, before), moving.pictures(t, p, before, end)
		if most := was.quantile(1) + net.Delay + longer + 5*time.Millisecond; len(is.took) < is.sent || is.quantile(1) > most {
			t.Errorf("%d of %d packets came in a move, after %v at most: should have taken %v", len(is.took), is.sent, is.quantile(1), most)
		}
	})
}
