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
	for seed := range uint64(2) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				net := enginetest.NewNetwork(50 + seed)
				net.Delay = 15 * time.Millisecond
				s := newStage(t, net, 3)
				s.listen(9, 3)
				heir, hr := s.second("ann/desktop")
				_, pub := s.speaker("bob")
				sendAudio(t, pub, 0, 500)
				parents := make([]string, len(s.listeners))
				for i, l := range s.listeners {
					parents[i] = l.room.Tree().Parent
				}
				died := time.Now()
				net.Kill(s.origin)
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
					wantSuffix(t, "listener", got, 750, 250)
					if len(got) < 990 {
						t.Errorf("listener %d: %d of 1000 packets", i, len(got))
					}
					if p := l.room.Tree().Parent; p == parents[i] {
						stayed++
					} else if parents[i] != s.origin.Self().String() && p == heir.Self().String() {
						t.Logf("listener %d has gone to the heir although its parent lives", i)
					}
				}
				t.Logf("%d of %d listeners kept their parents", stayed, len(s.listeners))
			})
		})
	}
}

// The hub leaves: nobody notices.
func TestHubLeaves(t *testing.T) {
	for seed := range uint64(2) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				net := enginetest.NewNetwork(60 + seed)
				net.Delay = 15 * time.Millisecond
				s := newStage(t, net, 3)
				s.listen(9, 3)
				_, hr := s.second("ann/desktop")
				_, pub := s.speaker("bob")
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
					before, gap := longestGap(got, left.Add(-5*time.Second), left), longestGap(got, left, left.Add(time.Hour))
					t.Logf("listener %d: %d packets, nothing for %v, before for %v, depth %d", i, len(got), gap, before, l.room.Tree().Depth)
					if gap > 200*time.Millisecond { // manifests make playing wait for up to 100 ms at any time
						t.Errorf("listener %d: nothing for %v", i, gap)
					}
					wantAudio(t, fmt.Sprintf("listener %d", i), got, 0, 1000)
				}
			})
		})
	}
}
