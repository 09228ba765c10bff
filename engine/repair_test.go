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

// A relay that dies without a word takes nothing with it: its children get from another parent what they missed meanwhile.
func TestRelayDies(t *testing.T) {
	for _, how := range []string{"killed", "blackholed"} {
		t.Run(how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				net := enginetest.NewNetwork(2)
				net.Delay = 10 * time.Millisecond
				s := newStage(t, net, 2)
				s.listen(9, 2)
				pub, err := s.room.Publish(t.Context(), audioSlot())
				if err != nil {
					t.Fatal(err)
				}
				sendAudio(t, pub, 0, 100)
				dead := s.inner()
				net.Cut(s.listeners[dead].Peer, true)
				if how == "killed" {
					net.Kill(s.listeners[dead].Peer)
				}
				sendAudio(t, pub, 100, 150)
				time.Sleep(time.Second)
				for i, l := range s.listeners {
					if i == dead {
						continue
					}
					wantAudio(t, fmt.Sprintf("listener %d", i), l.sink.Packets(), 0, 250)
					worst := time.Duration(0)
					got := l.sink.Packets()
					for j := 1; j < len(got); j++ {
						worst = max(worst, got[j].At.Sub(got[j-1].At))
					}
					if worst > time.Second {
						t.Errorf("listener %d had no media for %v", i, worst)
					}
				}
			})
		})
	}
}

// inner returns a listener that has fed children.
func (s *stage) inner() int {
	for i, l := range s.listeners {
		for _, c := range l.room.Tree().Children {
			if c.Kind == "ordinary" {
				return i
			}
		}
	}
	s.t.Fatal("no listener has children")
	return 0
}

// children returns the listeners that the listener feeds.
func (s *stage) children(of int) []*listener {
	var below []*listener
	for _, l := range s.listeners {
		if l.room.Tree().Parent == s.listeners[of].room.Tree().Peer {
			below = append(below, l)
		}
	}
	return below
}

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
		pub, err := s.room.Publish(t.Context(), videoSlot(nil))
		if err != nil {
			t.Fatal(err)
		}
		stop, filmed := make(chan struct{}), make(chan struct{})
		go func() { defer close(filmed); film(pub, stop) }()
		defer func() { close(stop); <-filmed }()
		sendAudio(t, pub, 0, 500)
		leaver, backup, child := s.twoParents()
		var mu sync.Mutex
		var fed time.Time // by the leaver, last
		net.Tamper = func(from, to peer.ID, pkt []byte) []byte {
			mu.Lock()
			defer mu.Unlock()
			if from == leaver.Self() && to == child.Self() {
				fed = time.Now()
			}
			return pkt
		}
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
		if least := min(until.Sub(went), 350*time.Millisecond) - 40*time.Millisecond; fed.Sub(went) < least { // a picture
			t.Errorf("the relay that left has fed its child for %v, which had another parent after %v", fed.Sub(went), until.Sub(went))
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

// What is lost on hops is asked for again and comes in time.
func TestLossyHops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := enginetest.NewNetwork(4)
		net.Delay = 25 * time.Millisecond
		s := newStage(t, net, 1)
		s.listen(4, 1)
		pub, err := s.room.Publish(t.Context(), audioSlot())
		if err != nil {
			t.Fatal(err)
		}
		net.SetLoss(0.05)
		sendAudio(t, pub, 0, 1000)
		net.SetLoss(0)
		time.Sleep(2 * time.Second)
		for i, l := range s.listeners {
			got := len(l.sink.Packets())
			if got < 999 {
				t.Errorf("listener %d at depth %d has %d of 1000 packets", i, l.room.Tree().Depth, got)
			}
		}
	})
}

func videoSlot(keyFrame func()) engine.SlotConfig {
	c := audioSlot()
	c.Streams = append(c.Streams, engine.StreamConfig{Label: "video", Kind: wire.KindVideo, Codec: "vp8", ClockRate: 90000, KeyFrame: keyFrame})
	return c
}

// vp8Packet returns one packet of a VP8 frame: descriptor (RFC 7741), then the frame's first octet, which tells key frames.
func vp8Packet(key, start bool, i int) []byte {
	p := []byte{0, 1, 0, 0, 0x9d, 0x01, 0x2a}
	if start {
		p[0] = 0x10
	}
	if key {
		p[1] = 0
	}
	return append(p, payload(i)...)
}

// Who joins late gets the current group of pictures at once, from its key frame, and what follows without a hole.
func TestLateJoin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := enginetest.NewNetwork(5)
		net.Delay = 10 * time.Millisecond
		s := newStage(t, net, 2)
		s.listen(2, 2)
		asked := 0
		pub, err := s.room.Publish(t.Context(), videoSlot(func() { asked++ }))
		if err != nil {
			t.Fatal(err)
		}
		stop := make(chan struct{})
		done := make(chan struct{})
		go func() {
			defer close(done)
			seq := int64(0)
			for frame := 0; ; frame++ {
				select {
				case <-stop:
					return
				case <-time.After(40 * time.Millisecond):
				}
				key := frame%50 == 0
				for part := range 4 {
					_ = pub.Write("video", &engine.MediaPacket{
						Sequence: seq, Timestamp: uint32(frame * 3600), Marker: part == 3, Payload: vp8Packet(key, part == 0, int(seq)),
					})
					seq++
				}
			}
		}()
		time.Sleep(11 * time.Second) // in the middle of a group
		joined := time.Now()
		s.listen(1, 0)
		late := s.listeners[len(s.listeners)-1]
		time.Sleep(2 * time.Second)
		close(stop)
		<-done
		time.Sleep(time.Second)
		got := late.sink.Packets()
		if len(got) == 0 {
			t.Fatal("nothing came")
		}
		if first := got[0]; !first.Header.KeyFrame || !first.Header.FrameStart || !first.Backlog {
			t.Errorf("the first packet is %+v, want the start of a key frame, as backlog", first.Header)
		}
		if d := got[0].At.Sub(joined); d > 500*time.Millisecond {
			t.Errorf("the first packet came after %v", d)
		}
		for i := 1; i < len(got); i++ {
			if got[i].Header.Number != got[i-1].Header.Number+1 {
				t.Fatalf("after number %d came %d", got[i-1].Header.Number, got[i].Header.Number)
			}
		}
		if asked > 0 {
			t.Errorf("the source was asked for %d key frames although groups are 2 s long", asked)
		}
	})
}

// A relay that changes bits, in any part of any packet, gets nothing of it played, and is left.
func TestRelayFlipsBits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := enginetest.NewNetwork(6)
		net.Delay = 10 * time.Millisecond
		s := newStage(t, net, 1)
		s.listen(1, 2)
		evil := s.listeners[0].Self()
		s.listen(3, 2)
		n := 0
		net.Tamper = func(from, to peer.ID, pkt []byte) []byte {
			if from != evil {
				return pkt
			}
			n++
			if n%3 == 0 {
				pkt[n%len(pkt)] ^= 1 << (n % 8)
			}
			return pkt
		}
		pub, err := s.room.Publish(t.Context(), audioSlot())
		if err != nil {
			t.Fatal(err)
		}
		sendAudio(t, pub, 0, 400)
		time.Sleep(2 * time.Second)
		for i, l := range s.listeners[1:] {
			next := 0
			for _, p := range l.sink.Packets() {
				var at int
				if _, err := fmt.Sscanf(fmt.Sprintf("%x", p.Payload[4:]), "%x", &at); err != nil || at < next || string(p.Payload) != string(payload(at)) {
					t.Fatalf("listener %d played %x, which was never sent, or not there", i+1, p.Payload)
				}
				next = at + 1
			}
		}
	})
}

// Who opens a player within the first seconds of a stream hears it as late as everyone else does.
func TestPlayerOpenedSoonAfterTheBeginning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := enginetest.NewNetwork(13)
		net.Delay = 10 * time.Millisecond
		s := newStage(t, net, 2)
		s.listen(1, 2) // has a sink from before
		pub, err := s.room.Publish(t.Context(), audioSlot())
		if err != nil {
			t.Fatal(err)
		}
		sendAudio(t, pub, 0, 100)
		quiet := addPeer(t, net, "quiet", 0)
		r, err := quiet.Join(t.Context(), "lobby", engine.JoinOptions{Wait: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		sendAudio(t, pub, 100, 20)
		player := &enginetest.Sink{}
		if _, err := r.Subscribe(player, engine.SinkOptions{Backlog: true, Guest: true}); err != nil {
			t.Fatal(err)
		}
		sendAudio(t, pub, 120, 50)
		time.Sleep(time.Second)
		wantAudio(t, "listener from before", s.listeners[0].sink.Packets(), 0, 170)
		got := player.Packets()
		if len(got) == 0 || len(got) > 60 {
			t.Errorf("the player got %d packets in the second since it was opened", len(got))
		}
		for i, p := range got {
			if string(p.Payload) != string(payload(170-len(got)+i)) {
				t.Fatalf("the player's packet %d is %q", i, p.Payload)
			}
		}
	})
}
