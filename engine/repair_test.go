package engine_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/enginetest"
	"github.com/castd/castd/engine/wire"
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
