package conference_test

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/castd/castd/engine"
)

// stamps notes the timestamps of what those hear who only listen.
type stamps struct {
	mu  sync.Mutex
	all []uint32
}

func (s *stamps) Streams([]*engine.StreamState) {}

func (s *stamps) WritePacket(p *engine.Packet) {
	if p.Stream.Slot != "mix" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, p.Header.Timestamp)
}

func (s *stamps) list() []uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.all)
}

// TestCrossingIsExact: who goes from those who only listen into the call and back, at a timestamp of his choice, at the hub or at another
// peer, has each 20 ms of the mix once: both ways are on the same timeline.
func TestCrossingIsExact(t *testing.T) {
	onTalk(t, 53, func(t *testing.T, k *gathering) {
		for name, r := range map[string]*engine.Room{"hub": k.room, "another peer": k.r2} {
			heard := &stamps{}
			sub, err := r.Subscribe(heard, engine.SinkOptions{})
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(3 * time.Second)
			said := &stamps{}
			call, err := r.Call(t.Context(), engine.SeatConfig{Participant: maxID, Hear: func(p *engine.MediaPacket) {
				said.mu.Lock()
				defer said.mu.Unlock()
				said.all = append(said.all, p.Timestamp)
			}})
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(3 * time.Second)
			listened, called := heard.list(), said.list()
			if len(called) < 100 || !slices.Contains(listened, called[50]) || !slices.Contains(listened, called[100]) {
				t.Fatalf("%s: the call's timestamps are others: it has %d from %d on, who listens %d from %d on", name, len(called), called[0], len(listened), listened[0])
			}
			in, out := called[50], called[100]
			var all []uint32
			for _, at := range listened {
				if int32(at-in) <= 0 {
					all = append(all, at)
				}
			}
			for _, at := range called {
				if int32(at-in) > 0 && int32(at-out) <= 0 {
					all = append(all, at)
				}
			}
			for _, at := range listened {
				if int32(at-out) > 0 {
					all = append(all, at)
				}
			}
			for i := 1; i < len(all); i++ {
				if all[i]-all[i-1] != 960 {
					t.Fatalf("%s: %d follows %d", name, all[i], all[i-1])
				}
			}
			_ = call.Close()
			sub.Close()
			time.Sleep(time.Second)
		}
	})
}
