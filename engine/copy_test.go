package engine_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/castd/castd/engine/enginetest"
)

// In a room with slots to spare a relay gets everything from both its parents. When one of them dies, those below the relay notice
// nothing, and it has nothing to ask for.
func TestNobodyBelowNotices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := enginetest.NewNetwork(4)
		net.Delay = 10 * time.Millisecond
		s := newStage(t, net, 2)
		s.listen(12, 3)
		pub, err := s.room.Publish(t.Context(), videoSlot(nil))
		if err != nil {
			t.Fatal(err)
		}
		p := startProgramme(t, pub)
		time.Sleep(90 * time.Second) // backups with free slots are found one after another
		dead, below := s.middle()
		died := time.Now()
		net.Cut(s.listeners[dead].Peer, true)
		net.Kill(s.listeners[dead].Peer)
		time.Sleep(3 * time.Second)
		p.end()
		time.Sleep(time.Second)
		if len(below) == 0 {
			t.Fatal("nobody is two levels below a listener")
		}
		for _, l := range below {
			if d := pause(l.sink.Packets(), died.Add(-time.Second)); d > 80*time.Millisecond {
				t.Errorf("%v had nothing to play for %v", l.Self(), d)
			}
		}
	})
}

// middle returns a listener that feeds others which feed others, and these last ones.
func (s *stage) middle() (of int, below []*listener) {
	for i := range s.listeners {
		for _, c := range s.children(i) {
			for k, l := range s.listeners {
				if l == c {
					below = append(below, s.children(k)...)
				}
			}
		}
		if len(below) > 0 {
			return i, below
		}
	}
	return 0, nil
}
