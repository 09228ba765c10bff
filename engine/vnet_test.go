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

// vstage is a room with an origin and listeners over libp2p and WebRTC, in one bubble.
type vstage struct {
	t         *testing.T
	net       *enginetest.VNet
	origin    *enginetest.VPeer
	room      *engine.Room
	listeners []*vlistener
}

type vlistener struct {
	*enginetest.VPeer
	room *engine.Room
	sink *enginetest.Sink
}

// onVNet runs f in a bubble with a room whose origin has the given slots, and closes everything: synctest fails the test if a
// goroutine is left.
func onVNet(t *testing.T, seed uint64, delay time.Duration, slots int, f func(t *testing.T, s *vstage)) {
	t.Helper()
	onVNetIn(t, seed, delay, slots, engine.JoinOptions{Create: true}, f)
}

// onVNetIn is onVNet for a room that is opened with these options.
func onVNetIn(t *testing.T, seed uint64, delay time.Duration, slots int, o engine.JoinOptions, f func(t *testing.T, s *vstage)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		net, err := enginetest.NewVNet(seed, delay)
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			if err := net.Close(ctx); err != nil {
				t.Errorf("close: %v", err)
			}
			t.Logf("%v simulated", time.Since(began).Round(time.Millisecond))
		}()
		s := &vstage{t: t, net: net}
		if s.origin, err = net.Add("ann/laptop", slots, nil); err != nil {
			t.Fatal(err)
		}
		if s.room, err = s.origin.Join(t.Context(), "lobby", o); err != nil {
			t.Fatal(err)
		}
		f(t, s)
	})
}

// listenBy is listen for one more listener, who joins by a link.
func (s *vstage) listenBy(name, link string, slots int) *vlistener {
	s.t.Helper()
	p, err := s.net.Add(name, slots, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	r, err := p.Join(s.t.Context(), link, engine.JoinOptions{Listen: true, Wait: 10 * time.Second})
	if err != nil {
		s.t.Fatal(err)
	}
	l := &vlistener{VPeer: p, room: r, sink: &enginetest.Sink{}}
	if _, err := r.Subscribe(l.sink, engine.SinkOptions{Backlog: true}); err != nil {
		s.t.Fatal(err)
	}
	until(s.t, 20*time.Second, "a place for "+name, func() bool { return r.Tree().Parent != "" })
	return l
}

// listen adds listeners, each with a sink, and waits until they have places.
func (s *vstage) listen(n, slots int) {
	s.t.Helper()
	for range n {
		p, err := s.net.Add(fmt.Sprintf("listener%d", len(s.listeners)), slots, nil)
		if err != nil {
			s.t.Fatal(err)
		}
		r, err := p.Join(s.t.Context(), "lobby", engine.JoinOptions{Listen: true, Wait: 10 * time.Second})
		if err != nil {
			s.t.Fatal(err)
		}
		l := &vlistener{VPeer: p, room: r, sink: &enginetest.Sink{}}
		if _, err := r.Subscribe(l.sink, engine.SinkOptions{Backlog: true}); err != nil {
			s.t.Fatal(err)
		}
		s.listeners = append(s.listeners, l)
	}
	for range 400 {
		time.Sleep(50 * time.Millisecond)
		placed := 0
		for _, l := range s.listeners {
			if l.room.Tree().Parent != "" {
				placed++
			}
		}
		if placed == len(s.listeners) {
			return
		}
	}
	s.t.Fatal("not all listeners found a place within 20 s")
}

// A broadcast works over the real control plane and real hops, and nothing is left of it when all engines are closed: the
// bubble fails the test if one goroutine remains.
//
//	go test -run TestVNetBroadcast -v ./engine
func TestVNetBroadcast(t *testing.T) {
	onVNet(t, 1, 10*time.Millisecond, 2, func(t *testing.T, s *vstage) {
		s.listen(4, 2)
		pub, err := s.room.Publish(t.Context(), audioSlot())
		if err != nil {
			t.Fatal(err)
		}
		sendAudio(t, pub, 0, 200)
		time.Sleep(time.Second)
		for i, l := range s.listeners {
			wantAudio(t, fmt.Sprintf("listener %d at depth %d", i, l.room.Tree().Depth), l.sink.Packets(), 0, 200)
		}
		t.Logf("%+v", s.net.Counters())
	})
}
