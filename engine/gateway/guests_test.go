package gateway

import (
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castd/castd/engine"
)

// TestGuests: who is there, since when, and from where; and nobody any more who has left.
func TestGuests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		list := func() (guests []engine.GuestInfo) {
			t.Helper()
			w := b.do(call{method: "GET", path: "/api/v1/guests", token: admin})
			if err := json.Unmarshal(w.Body.Bytes(), &guests); err != nil || w.Code != 200 || guests == nil {
				t.Fatalf("status %d, %v: %s", w.Code, err, w.Body)
			}
			return guests
		}
		if got := list(); len(got) != 0 {
			t.Errorf("guests %+v", got)
		}
		begin := time.Now()
		b.offer("/whip/lobby?slot=screen&name=Ann", speaker)
		time.Sleep(time.Minute)
		last := b.offer("/whep/LOBBY", viewer)
		got := list()
		want := []engine.GuestInfo{
			{Protocol: "whip", Room: string(lobby), Slot: "screen", Name: "Ann", Participant: "guest3", Remote: b.remote, Since: engine.EventTime(begin)},
			{Protocol: "whep", Room: string(lobby), Participant: "guest1", Remote: b.remote, Since: engine.EventTime(begin.Add(time.Minute))},
		}
		if len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
			t.Errorf("guests %+v, want %+v", got, want)
		}
		b.do(call{method: "DELETE", path: last.Header().Get("Location"), token: viewer})
		if got := list(); len(got) != 1 {
			t.Errorf("guests %+v", got)
		}
	})
}
