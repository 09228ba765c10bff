package engine_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castd/castd/engine/enginetest"
	"github.com/castd/castd/engine/wire"
)

// In a room with slots to spare a relay gets everything from both its parents. When one of them dies, those below the relay notice
// nothing: nothing comes later than the way through the other takes.
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
		dead, relays := s.middle()
		if len(relays) == 0 {
			t.Fatal("nobody is two levels below a listener")
		}
		n, before := p.count("video"), make([]uint64, len(relays))
		for i, r := range relays {
			before[i] = doubles(t, s.listeners[r])
		}
		time.Sleep(5 * time.Second)
		died := p.count("video")
		for i, r := range relays {
			if had := doubles(t, s.listeners[r]) - before[i]; had < uint64(died-n)*9/10 {
				t.Errorf("a relay had %d of %d packets of the pictures from both its parents", had, died-n)
			}
		}
		below := make(map[*listener]time.Duration) // by how much their parent's other way is longer
		for _, r := range relays {
			for _, l := range s.children(r) {
				below[l] = s.longer(s.listeners[r])
			}
		}
		net.Cut(s.listeners[dead].Peer, true)
		net.Kill(s.listeners[dead].Peer)
		time.Sleep(3 * time.Second)
		p.end()
		time.Sleep(time.Second)
		for l, longer := range below {
			was, is := l.pictures(t, p, n, died), l.pictures(t, p, died, p.count("video"))
			if most := was.quantile(1) + longer; len(is.took) < is.sent || is.quantile(1) > most {
				t.Errorf("below the relay came %d of %d packets of the pictures after %v at most: should have taken %v", len(is.took), is.sent, is.quantile(1), most)
			}
		}
	})
}

// pictures tells how long the pictures of a programme took to a listener, from one packet to before another.
func (l *listener) pictures(t *testing.T, p *programme, from, to int) *delays {
	first, at := stateOf(t, l.room, "video").First, make(map[int]time.Time)
	for _, g := range l.sink.Packets() {
		if g.Header.Kind == wire.KindVideo {
			at[int(g.Header.Number-first)] = g.At
		}
	}
	return p.measure("video", from, to, func(i int) (time.Time, bool) { when, ok := at[i]; return when, ok })
}

// doubles counts the packets of pictures that a listener was sent twice.
func doubles(t *testing.T, l *listener) uint64 {
	id := stateOf(t, l.room, "video").ID.String()
	for _, c := range l.room.StreamCounters() {
		if c.Stream == id {
			return c.Duplicates
		}
	}
	return 0
}

// middle returns a listener that feeds relays, and those of them that feed others.
func (s *stage) middle() (of int, relays []int) {
	for i := range s.listeners {
		children := s.children(i)
		for k, l := range s.listeners {
			if slices.Contains(children, l) && len(s.children(k)) > 0 {
				relays = append(relays, k)
			}
		}
		if len(relays) > 0 {
			return i, relays
		}
	}
	return 0, nil
}
