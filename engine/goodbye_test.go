package engine_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/enginetest"
	"github.com/castd/castd/engine/wire"
	"github.com/castd/castd/tree"
)

// A relay that says goodbye is not missed at all.
func TestRelayLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := enginetest.NewNetwork(3)
		net.Delay = 10 * time.Millisecond
		s := newStage(t, net, 2)
		s.listen(7, 2)
		pub, err := s.room.Publish(t.Context(), audioSlot())
		if err != nil {
			t.Fatal(err)
		}
		sendAudio(t, pub, 0, 100)
		leaver := s.inner()
		below := s.children(leaver)
		ctx, cancel := context.WithCancel(t.Context())
		var events []<-chan engine.Event
		for _, l := range below {
			events = append(events, l.Events(ctx, 0))
		}
		done := make(chan error)
		go func() { done <- s.listeners[leaver].Engine.Close(t.Context()) }()
		sendAudio(t, pub, 100, 150)
		if err := <-done; err != nil {
			t.Error(err)
		}
		time.Sleep(time.Second)
		cancel()
		for i, heard := range events {
			var reasons []string
			for e := range heard {
				if e.Event == "parent" {
					reasons = append(reasons, e.Reason)
				}
			}
			// The end of a hop is faster than a message: it must not come first.
			if len(reasons) == 0 || reasons[0] != tree.ReasonGoodbye {
				t.Errorf("child %d moved for %q", i, reasons)
			}
		}
		for i, l := range s.listeners {
			if i == leaver {
				continue
			}
			wantAudio(t, fmt.Sprintf("listener %d", i), l.sink.Packets(), 0, 250)
		}
	})
}

// A relay says goodbye, and the second parent of its child dies just when it has taken the child: the relay feeds on until there is a
// third, which takes a while.
func TestRelayLeavesAndBackupDies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := enginetest.NewNetwork(5)
		net.Delay = 10 * time.Millisecond
		s := newStage(t, net, 2)
		s.listen(9, 2)
		var mu sync.Mutex
		fed := make(map[[2]peer.ID]time.Time) // from and to, last
		net.Tamper = func(from, to peer.ID, pkt []byte) []byte {
			mu.Lock()
			defer mu.Unlock()
			fed[[2]peer.ID{from, to}] = time.Now()
			return pkt
		}
		pub := s.filmed()
		sendAudio(t, pub, 0, 500)
		leaver, backup, child := s.twoParents()
		others := func(apart bool) {
			net.Part(child.Peer, s.origin, apart)
			for _, l := range s.listeners {
				if l != leaver && l != backup && l != child {
					net.Part(child.Peer, l.Peer, apart)
				}
			}
		}
		others(true)
		went := time.Now()
		left, third := make(chan error), make(chan time.Time)
		go func() { left <- leaver.Engine.Close(t.Context()) }()
		go func() {
			parent := func() string { return child.room.Tree().Parent }
			for parent() != backup.Self().String() {
				time.Sleep(time.Millisecond)
			}
			net.Cut(backup.Peer, true)
			net.Kill(backup.Peer)
			time.Sleep(200 * time.Millisecond)
			others(false)
			for p := parent(); p == "" || p == backup.Self().String(); p = parent() {
				time.Sleep(time.Millisecond)
			}
			third <- time.Now()
		}()
		sendAudio(t, pub, 500, 150)
		if err := <-left; err != nil {
			t.Error(err)
		}
		until := <-third
		time.Sleep(time.Second)
		wantSuffix(t, "child", child.given(wire.KindAudio), 400, 250)
		mu.Lock()
		defer mu.Unlock()
		last := fed[[2]peer.ID{leaver.Self(), child.Self()}].Sub(went)
		if least := min(until.Sub(went), 350*time.Millisecond) - 40*time.Millisecond; last < least { // a picture
			t.Errorf("the relay that left has fed its child for %v, which had another parent after %v", last, until.Sub(went))
		}
	})
}

// twoParents returns a listener, and its parents, of which the second does not feed by way of the first.
func (s *stage) twoParents() (primary, backup, child *listener) {
	s.t.Helper()
	by := make(map[string]*listener)
	for _, l := range s.listeners {
		by[l.Self().String()] = l
	}
	for _, l := range s.listeners {
		at := l.room.Tree()
		p, b := by[at.Parent], by[at.Backup]
		if p != nil && b != nil && len(at.Children) == 0 && !slices.Contains(b.room.Tree().Path, at.Parent) && b.room.Tree().Backup != at.Peer {
			return p, b, l
		}
	}
	s.t.Fatal("no listener has two listeners for parents")
	return nil, nil, nil
}

// A relay says goodbye whose child has no second parent, and half a second to go until it has another: the relay's own parent feeds
// it for so long, so that the child waits for nothing.
func TestNobodyWaitsForGoodbyes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := enginetest.NewNetwork(9)
		net.Delay = 100 * time.Millisecond
		s := newStage(t, net, 2)
		s.listen(3, 1)
		pub, err := s.room.Publish(t.Context(), audioSlot())
		if err != nil {
			t.Fatal(err)
		}
		sendAudio(t, pub, 0, 100)
		leaver := s.inner()
		child := s.children(leaver)[0]
		var other *listener
		for i, l := range s.listeners {
			if i != leaver && l != child {
				other = l
			}
		}
		net.Part(child.Peer, s.origin, true)
		net.Part(child.Peer, other.Peer, true)
		sendAudio(t, pub, 100, 500)
		if tree := child.room.Tree(); tree.Parent != s.listeners[leaver].Self().String() || tree.Backup != "" {
			t.Fatalf("the child is at %+v", tree)
		}
		net.Part(child.Peer, other.Peer, false)
		went, depth := time.Now(), child.room.Tree().Depth
		done := make(chan error)
		go func() { done <- s.listeners[leaver].Engine.Close(t.Context()) }()
		sendAudio(t, pub, 600, 200)
		if err := <-done; err != nil {
			t.Error(err)
		}
		time.Sleep(time.Second)
		var before, after time.Duration
		got := child.sink.Packets()
		for k := 101; k < len(got); k++ {
			gap := got[k].At.Sub(got[k-1].At)
			if got[k].At.Before(went) {
				before = max(before, gap)
			} else {
				after = max(after, gap)
			}
		}
		longer := time.Duration(max(child.room.Tree().Depth-depth, 0)) * net.Delay                   // what the new way takes longer
		if t.Logf("%v before, %v after", before, after); after > before+longer+50*time.Millisecond { // the two ways differ by what their manifests wait
			t.Errorf("the child waited %v for a packet after the goodbye, at most %v before, on a way that is %v longer", after, before, longer)
		}
		if p := child.room.Tree().Parent; p != other.Self().String() {
			t.Errorf("the child is with %s", p)
		}
		wantSuffix(t, "child", got, 650, 150)
	})
}
