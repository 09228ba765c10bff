package engine_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castd/castd/engine/enginetest"
)

// A child hears first that its hop is up, and may confirm its place before the parent hears it: it is fed all the same.
func TestChildConfirmsBeforeHopUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := enginetest.NewNetwork(7)
		net.Delay = 10 * time.Millisecond
		net.LateUp = 100 * time.Millisecond
		s := newStage(t, net, 1)
		s.listen(1, 1)
		pub, err := s.room.Publish(t.Context(), audioSlot())
		if err != nil {
			t.Fatal(err)
		}
		sendAudio(t, pub, 0, 50)
		time.Sleep(time.Second)
		for i, l := range s.listeners {
			wantAudio(t, fmt.Sprintf("listener %d", i), l.sink.Packets(), 0, 50)
		}
	})
}
