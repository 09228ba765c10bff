package engine_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/castd/castd/engine/enginetest"
)

// inner returns a listener that feeds at least one other.
func (s *vstage) inner() int {
	best, most := -1, 0
	for i, l := range s.listeners {
		n := 0
		for _, c := range l.room.Tree().Children {
			if c.Kind == "ordinary" {
				n++
			}
		}
		if n > most {
			best, most = i, n
		}
	}
	if best < 0 {
		s.t.Fatal("no listener has children")
	}
	return best
}

// wantWhole checks that what a sink got of the programme, from the first to the last packet that was sent, comes in order, each
// packet once, and that no more than so many are missing.
func wantWhole(t *testing.T, who string, s *vstage, p *programme, seen *arrivals, got []enginetest.Got, missing int) {
	t.Helper()
	for _, label := range []string{"audio", "video"} {
		state := stateOf(t, s.room, label)
		next := state.First
		for _, g := range got {
			if g.Stream != state.ID {
				continue
			}
			if g.Header.Number < next {
				t.Errorf("%s: after %s packet %d came %d", who, label, next-1-state.First, g.Header.Number-state.First)
			}
			for n := next; n < g.Header.Number; n++ {
				if missing--; missing < 0 {
					t.Errorf("%s: %s packet %d was not played", who, label, n-state.First)
					s.trace(seen, p, label, n)
				} else {
					t.Logf("%s: %s packet %d was not played", who, label, n-state.First)
				}
			}
			next = g.Header.Number + 1
		}
		if n := int(next - state.First); n != p.count(label) {
			t.Errorf("%s: %s ends after %d of %d packets", who, label, n, p.count(label))
		}
	}
}

// trace logs when a packet came to whom, and was played there, after it was sent.
func (s *vstage) trace(seen *arrivals, p *programme, label string, number uint64) {
	state := stateOf(s.t, s.room, label)
	sent := p.sent[label][number-state.First]
	for i, l := range s.listeners {
		at, ok := seen.at[arrival{l.Self(), state.ID, number}]
		if !ok {
			s.t.Logf("  %s never came to listener %d (%v)", label, i, l.Self())
			continue
		}
		s.t.Logf("  %s came to listener %d (%v, child of %s) after %v", label, i, l.Self(), l.room.Tree().Parent, at.Sub(sent))
		for _, g := range l.sink.Packets() {
			if g.Stream == state.ID && (g.Header.Number == number || g.Header.Number == number+1) {
				s.t.Logf("    packet %d was played after %v", g.Header.Number-state.First, g.At.Sub(sent))
			}
		}
	}
}

// A relay in the tree's middle dies, or the network swallows all that it sends. Its children have media again within a second,
// and in the end they have everything: the sinks notice nothing but a pause.
//
//	go test -run TestVNetRelayDies -v ./engine
func TestVNetRelayDies(t *testing.T) {
	for _, how := range []string{"killed", "blackholed", "blackholed where packets get lost"} {
		t.Run(how, func(t *testing.T) {
			onVNet(t, 21, 25*time.Millisecond, 2, func(t *testing.T, s *vstage) {
				seen := watchArrivals(s.net)
				s.listen(9, 2)
				pub, err := s.room.Publish(t.Context(), videoSlot(nil))
				if err != nil {
					t.Fatal(err)
				}
				p := startProgramme(t, pub)
				time.Sleep(5 * time.Second)
				dead := s.inner()
				var orphans []int
				for i, l := range s.listeners {
					if l.room.Tree().Parent == s.listeners[dead].Self().String() {
						orphans = append(orphans, i)
					}
				}
				if strings.HasSuffix(how, "lost") {
					s.net.SetLoss(0.03)
					s.net.SetControlLoss(0.03)
					time.Sleep(3 * time.Second)
				}
				died := time.Now()
				s.net.Cut(s.listeners[dead].VPeer, true)
				if how == "killed" {
					if err := s.net.Kill(s.listeners[dead].VPeer); err != nil {
						t.Error(err)
					}
				}
				time.Sleep(5 * time.Second)
				p.end()
				time.Sleep(time.Second)
				worst := seen.longest(died.Add(-time.Second))
				for i, l := range s.listeners {
					if i == dead {
						continue
					}
					// What a relay asks its new parent for again comes to those below it at the end of their patience, and a
					// manifest that is lost just then takes what it vouches for with it (a tenth of a second). Usually one packet
					// in 400 of these seconds is too late where packets get lost.
					missing := 0
					if strings.HasSuffix(how, "lost") {
						missing = (p.count("audio") + p.count("video")) / 50
					}
					wantWhole(t, fmt.Sprintf("listener %d", i), s, p, seen, l.sink.Packets(), missing)
					if worst[l.Self()] > time.Second {
						t.Errorf("listener %d had no media for %v", i, worst[l.Self()])
					}
					if n := l.sink.Changes(); n > 1 {
						t.Errorf("listener %d: the sink was told of other streams %d times", i, n)
					}
				}
				for _, i := range orphans {
					l := s.listeners[i]
					t.Logf("listener %d, orphan: no packet for %v, nothing to play for %v; now at depth %d", i, worst[l.Self()], pause(l.sink.Packets(), died), l.room.Tree().Depth)
				}
				if len(orphans) == 0 {
					t.Error("nobody lost his parent")
				}
			})
		})
	}
}

// pause returns the longest time between two packets at a sink that ended after since.
func pause(got []enginetest.Got, since time.Time) (worst time.Duration) {
	for i := 1; i < len(got); i++ {
		if got[i].At.After(since) {
			worst = max(worst, got[i].At.Sub(got[i-1].At))
		}
	}
	return worst
}
