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

// longestGap returns the longest time without a packet at a listener, between two moments.
func longestGap(got []enginetest.Got, from, to time.Time) (longest time.Duration) {
	for i := 1; i < len(got); i++ {
		if d := got[i].At.Sub(got[i-1].At); got[i].At.After(from) && got[i].At.Before(to) && d > longest {
			longest = d
		}
	}
	return longest
}

// latest returns how much later than the first packet was sent, and its number says, the latest of those came that were sent between
// two moments.
func latest(got []enginetest.Got, sent, from, to time.Time) (late time.Duration) {
	for i, p := range got {
		if at := sent.Add(time.Duration(i) * 20 * time.Millisecond); !at.Before(from) && at.Before(to) {
			late = max(late, p.At.Sub(at))
		}
	}
	return late
}

// onStages runs f in n bubbles, each with an origin of three slots and a network of another seed, 15 ms wide.
func onStages(t *testing.T, seed, n uint64, f func(t *testing.T, s *stage)) {
	t.Helper()
	for k := range n {
		t.Run(fmt.Sprint(k), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				net := enginetest.NewNetwork(seed + k)
				net.Delay = 15 * time.Millisecond
				f(t, newStage(t, net, 3))
			})
		})
	}
}

// speaker adds a peer that publishes from outside the owner's devices.
func (s *stage) speaker(name string) (*enginetest.Peer, engine.Publication) {
	s.t.Helper()
	link, err := s.room.InviteLink(nil, engine.InviteSpec{Speak: true})
	if err != nil {
		s.t.Fatal(err)
	}
	p := addPeer(s.t, s.net, name, 2)
	r, err := p.Join(s.t.Context(), link, engine.JoinOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	pub, err := r.Publish(s.t.Context(), audioSlot())
	if err != nil {
		s.t.Fatal(err)
	}
	return p, pub
}

// second adds another device of the owner.
func (s *stage) second(name string) (*enginetest.Peer, *engine.Room) {
	s.t.Helper()
	p := addPeer(s.t, s.net, name, 4)
	r, err := p.Join(s.t.Context(), "lobby", engine.JoinOptions{Create: true})
	if err != nil {
		s.t.Fatal(err)
	}
	return p, r
}

// The hub dies while a third peer publishes and another of the owner's devices is there: it takes over, and what is published
// comes to everybody, late but whole.
func TestHubDies(t *testing.T) {
	onStages(t, 50, 4, func(t *testing.T, s *stage) {
		s.listen(9, 3)
		heir, hr := s.second("ann/desktop")
		_, pub := s.speaker("bob")
		sendAudio(t, pub, 0, 500)
		parents := make([]string, len(s.listeners))
		for i, l := range s.listeners {
			parents[i] = l.room.Tree().Parent
		}
		died := time.Now()
		s.net.Kill(s.origin)
		sendAudio(t, pub, 500, 500)
		time.Sleep(2 * time.Second)
		if path := hr.Tree().Path; len(path) != 1 {
			t.Errorf("the heir's path is %v", path)
		}
		stayed := 0
		for i, l := range s.listeners {
			got := l.sink.Packets()
			gap := longestGap(got, died, died.Add(time.Hour))
			t.Logf("listener %d: %d packets, nothing for %v, depth %d", i, len(got), gap, l.room.Tree().Depth)
			if gap > 4*time.Second {
				t.Errorf("listener %d: nothing for %v", i, gap)
			}
			wantAudio(t, fmt.Sprintf("listener %d", i), got, 0, 1000)
			if p := l.room.Tree().Parent; p == parents[i] {
				stayed++
			} else if parents[i] != s.origin.Self().String() && p == heir.Self().String() {
				t.Logf("listener %d has gone to the heir although its parent lives", i)
			}
		}
		t.Logf("%d of %d listeners kept their parents", stayed, len(s.listeners))
	})
}

// The hub leaves: nobody notices. What is published may come over two hops more than before, which a player's buffer is for.
func TestHubLeaves(t *testing.T) {
	onStages(t, 60, 2, func(t *testing.T, s *stage) {
		s.listen(9, 3)
		_, hr := s.second("ann/desktop")
		_, pub := s.speaker("bob")
		sent := time.Now()
		sendAudio(t, pub, 0, 500)
		left := time.Now()
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
			defer cancel()
			if err := s.origin.Engine.Close(ctx); err != nil {
				t.Error(err)
			}
			if d := time.Since(left); d > 2500*time.Millisecond {
				t.Errorf("the hub took %v to leave", d)
			}
		}()
		sendAudio(t, pub, 500, 500)
		time.Sleep(2 * time.Second)
		if path := hr.Tree().Path; len(path) != 1 {
			t.Errorf("the heir's path is %v", path)
		}
		for i, l := range s.listeners {
			got := l.sink.Packets()
			wantAudio(t, fmt.Sprintf("listener %d", i), got, 0, 1000)
			before, after := latest(got, sent, left.Add(-5*time.Second), left.Add(-time.Second)), latest(got, sent, left, left.Add(time.Hour))
			t.Logf("listener %d: packets late by %v, before by %v, depth %d", i, after, before, l.room.Tree().Depth)
			if after > before+2*s.net.Delay+20*time.Millisecond { // the manifests that sound waits for need not come as often
				t.Errorf("listener %d: a packet late by %v, before by %v", i, after, before)
			}
		}
	})
}

// The network falls into two parts for half a minute, each with one of the owner's devices. Both parts go on; when the network is
// whole again there is one tree and one hub within 15 s, and everybody hears who publishes.
func TestPartition(t *testing.T) {
	onStages(t, 70, 2, func(t *testing.T, s *stage) {
		desktop, dr := s.second("ann/desktop")
		s.listen(8, 3)
		bob, pub := s.speaker("bob")
		sendAudio(t, pub, 0, 1000) // 20 s, in which peers hear of each other
		left, right := []*enginetest.Peer{s.origin, bob}, []*enginetest.Peer{desktop}
		for i, l := range s.listeners {
			if i%2 == 0 {
				left = append(left, l.Peer)
			} else {
				right = append(right, l.Peer)
			}
		}
		s.net.Split(left, right)
		sendAudio(t, pub, 1000, 250) // 5 s
		own, err := dr.Publish(t.Context(), engine.SlotConfig{Slot: "island", Streams: audioSlot().Streams})
		if err != nil {
			t.Fatal(err)
		}
		before := len(s.listeners[1].sink.Packets())
		sendAudio(t, own, 0, 100)
		sendAudio(t, pub, 1250, 1150) // 23 s
		if n := len(s.listeners[1].sink.Packets()) - before; n < 95 {
			t.Errorf("the part without the publisher got %d of 100 packets of its own", n)
		}
		s.net.Heal()
		healed := time.Now()
		one := time.Duration(0)
		for i := 2400; i < 3900; i += 5 { // 30 s
			sendAudio(t, pub, i, 5)
			roots := make(map[string]bool)
			for _, r := range append([]*engine.Room{s.room, dr}, s.rooms()...) {
				if path := r.Tree().Path; len(path) > 0 {
					roots[path[0]] = true
				} else {
					roots[""] = true
				}
			}
			if len(roots) == 1 && one == 0 {
				one = time.Since(healed)
			} else if len(roots) > 1 {
				one = 0
			}
		}
		t.Logf("one tree %v after the network was whole", one)
		if one == 0 || one > 15*time.Second {
			t.Errorf("one tree only %v after the network was whole", one)
		}
		time.Sleep(2 * time.Second)
		for i, l := range s.listeners {
			wantSuffix(t, fmt.Sprintf("listener %d", i), l.sink.Packets(), 3400, 500)
		}
	})
}

func (s *stage) rooms() (rooms []*engine.Room) {
	for _, l := range s.listeners {
		rooms = append(rooms, l.room)
	}
	return rooms
}
