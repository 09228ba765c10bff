package engine_test

import (
	"fmt"
	"testing"
	"time"
)

// A publisher that is live and sends nothing, for it has been muted or cut off, is no reason to leave a parent: what its pulses told
// of last has come, and the hub's beacons say that there is no more to be had.
func TestSilentPublisher(t *testing.T) {
	onStages(t, 71, 3, func(t *testing.T, s *stage) {
		s.listen(10, 2)
		pub, err := s.room.Publish(t.Context(), audioSlot())
		if err != nil {
			t.Fatal(err)
		}
		const each = 250
		for k := range 3 {
			sendAudio(t, pub, k*each, each)
			time.Sleep(time.Minute)
		}
		for i, l := range s.listeners {
			if n := l.Engine.Counters()["parents_withholding_total"]; n > 0 {
				t.Errorf("listener %d has left %d parents as such that withhold media", i, n)
			}
			wantAudio(t, fmt.Sprintf("listener %d", i), l.sink.Packets(), 0, 3*each)
		}
	})
}
