package engine_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/enginetest"
)

// A peer that has no time to say goodbye ends at once, whatever it is doing, and what it publishes ends with it.
func TestCloseInNoTime(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			net := enginetest.NewNetwork(seed)
			net.Delay = 10 * time.Millisecond
			s := newStage(t, net, 2)
			s.listen(2, 2)
			var pubs []engine.Publication
			for i := range 4 {
				c := audioSlot()
				c.Slot = fmt.Sprintf("slot%d", i)
				pub, err := s.room.Publish(t.Context(), c)
				if err != nil {
					t.Fatal(err)
				}
				sendAudio(t, pub, 0, 3)
				pubs = append(pubs, pub)
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			began := time.Now()
			if err := s.origin.Engine.Close(ctx); err != nil {
				t.Error(err)
			}
			if d := time.Since(began); d > time.Second {
				t.Errorf("closing took %v", d)
			}
			for i, pub := range pubs {
				select {
				case <-pub.Done():
				default:
					t.Errorf("publication %d has not ended", i)
				}
			}
		})
	}
}
