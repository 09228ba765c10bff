package engine_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/enginetest"
	"github.com/castd/castd/engine/wire"
)

// wantSuffix checks that all of n packets from first on were the last that came.
func wantSuffix(t *testing.T, who string, got []enginetest.Got, first, n int) {
	t.Helper()
	if len(got) < n {
		t.Errorf("%s: %d packets, want at least %d", who, len(got), n)
		return
	}
	wantAudio(t, who, got[len(got)-n:], first, n)
}

// Who joins when the announce has just been signed anew gets the old one and the new one among the first record packets.
func TestLateJoinAcrossAnnounces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := enginetest.NewNetwork(31)
		net.Delay = 10 * time.Millisecond
		s := newStage(t, net, 8)
		s.listen(1, 2)
		pub, err := s.room.Publish(t.Context(), audioSlot())
		if err != nil {
			t.Fatal(err)
		}
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			sendAudio(t, pub, 0, 1700)
		}()
		time.Sleep(29500 * time.Millisecond)
		for range 6 {
			s.listen(1, 0)
			time.Sleep(300 * time.Millisecond)
		}
		<-sent
		time.Sleep(time.Second)
		for _, l := range s.listeners {
			wantSuffix(t, "listener", l.sink.Packets(), 1650, 50)
		}
	})
}

// A child whose hop was replaced by a new one is fed on.
func TestHopIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := enginetest.NewNetwork(32)
		net.Delay = 10 * time.Millisecond
		s := newStage(t, net, 2)
		s.listen(1, 2)
		pub, err := s.room.Publish(t.Context(), audioSlot())
		if err != nil {
			t.Fatal(err)
		}
		for i := range 10 {
			sendAudio(t, pub, i*50, 50)
			if err := s.listeners[0].NewHop(t.Context(), s.origin); err != nil {
				t.Fatal(err)
			}
		}
		sendAudio(t, pub, 500, 100)
		time.Sleep(time.Second)
		wantAudio(t, "listener", s.listeners[0].sink.Packets(), 0, 600)
	})
}

// So is the hub by a publisher, whose publication goes on.
func TestUplinkIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := enginetest.NewNetwork(33)
		net.Delay = 10 * time.Millisecond
		s := newStage(t, net, 2)
		s.listen(1, 2)
		link, err := s.room.InviteLink(nil, engine.InviteSpec{Speak: true})
		if err != nil {
			t.Fatal(err)
		}
		bob := addPeer(t, net, "bob", 0)
		r, err := bob.Join(t.Context(), link, engine.JoinOptions{Silent: true})
		if err != nil {
			t.Fatal(err)
		}
		pub, err := r.Publish(t.Context(), audioSlot())
		if err != nil {
			t.Fatal(err)
		}
		for i := range 10 {
			sendAudio(t, pub, i*50, 50)
			if err := bob.NewHop(t.Context(), s.origin); err != nil {
				t.Fatal(err)
			}
		}
		sendAudio(t, pub, 500, 100)
		time.Sleep(time.Second)
		wantAudio(t, "listener", s.listeners[0].sink.Packets(), 0, 600)
	})
}

// A source that comes back before its old connection was given up goes on with the slot; the end of the old connection then
// means nothing to it.
func TestSlotIsTakenOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := enginetest.NewNetwork(34)
		net.Delay = time.Millisecond
		s := newStage(t, net, 2)
		s.listen(1, 2)
		old, err := s.room.Publish(t.Context(), audioSlot())
		if err != nil {
			t.Fatal(err)
		}
		sendAudio(t, old, 0, 50)
		pub, err := s.room.Publish(t.Context(), audioSlot())
		if err != nil {
			t.Fatal(err)
		}
		if err := old.Write("audio", &engine.MediaPacket{Sequence: 50, Payload: payload(50)}); !errors.Is(err, engine.ErrClosed) {
			t.Errorf("the old connection still writes: %v", err)
		}
		select {
		case <-old.Done():
		default:
			t.Error("the old connection is not told")
		}
		sendAudio(t, pub, 1050, 50)
		if err := old.Close(); err != nil {
			t.Error(err)
		}
		sendAudio(t, pub, 1100, 50)
		if err := old.End(); err != nil {
			t.Error(err)
		}
		sendAudio(t, pub, 1150, 50)
		time.Sleep(time.Second)
		got := s.listeners[0].sink.Packets()
		if len(got) != 200 {
			t.Errorf("%d packets, want 200", len(got))
		}
	})
}

// While the disk is full media goes on, and nobody hammers the disk. When there is room again, numbers go on as if nothing
// had happened.
func TestFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := enginetest.NewNetwork(37)
		s := newStage(t, net, 2)
		pub, err := s.room.Publish(t.Context(), audioSlot())
		if err != nil {
			t.Fatal(err)
		}
		s.origin.Keeper.Full(true)
		write := func(i int) error {
			return pub.Write("audio", &engine.MediaPacket{Sequence: int64(i), Timestamp: uint32(i * 960), Payload: payload(i)})
		}
		i := 0
		for ; i < 1<<16-64; i++ {
			if err := write(i); err != nil {
				t.Fatalf("packet %d: %v", i, err)
			}
			if i%50 == 0 {
				time.Sleep(5 * time.Millisecond)
			}
		}
		if err := write(i); err == nil {
			t.Error("a packet without a reserved number was sent")
		}
		if n := s.origin.Keeper.Full(false); n == 0 || n > 10 {
			t.Errorf("%d numbers were asked for in vain, want one every 5 s", n)
		}
		time.Sleep(6 * time.Second)
		_ = write(i) // this one still finds none, and has them reserved
		time.Sleep(100 * time.Millisecond)
		for range 1000 {
			if err := write(i); err != nil {
				t.Fatalf("packet %d, with room on the disk: %v", i, err)
			}
			i++
		}
		if err := pub.End(); err != nil {
			t.Error(err)
		}
		if err := pub.Err(); err != nil {
			t.Errorf("it ended with %v", err)
		}
	})
}

// What an Accept tells that nobody asked for does not count.
func TestUnaskedAccept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := enginetest.NewNetwork(35)
		net.Delay = 10 * time.Millisecond
		s := newStage(t, net, 2)
		s.listen(1, 2)
		link, err := s.room.InviteLink(nil, engine.InviteSpec{Speak: true})
		if err != nil {
			t.Fatal(err)
		}
		bob := addPeer(t, net, "bob", 0)
		r, err := bob.Join(t.Context(), link, engine.JoinOptions{Silent: true})
		if err != nil {
			t.Fatal(err)
		}
		late := addPeer(t, net, "late", 0)
		lr, err := late.Join(t.Context(), "lobby", engine.JoinOptions{Listen: true, Wait: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		pub, err := r.Publish(t.Context(), audioSlot())
		if err != nil {
			t.Fatal(err)
		}
		sendAudio(t, pub, 0, 10)
		mallory := addPeer(t, net, "mallory", 0)
		env, err := mallory.Signer.Seal(s.room.ID(), wire.Type_TREE, 0, time.Now().Add(time.Minute), &wire.TreeMessage{
			Message: &wire.TreeMessage_Accept{Accept: &wire.Accept{Marks: []*wire.StreamMark{{Stream: uint64(s.room.Streams()[0].ID), Number: 1 << 40}}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := mallory.Message(t.Context(), late, env); err != nil {
			t.Fatal(err)
		}
		sendAudio(t, pub, 10, 300)
		sink := &enginetest.Sink{}
		if _, err := lr.Subscribe(sink, engine.SinkOptions{}); err != nil {
			t.Fatal(err)
		}
		sendAudio(t, pub, 310, 200)
		time.Sleep(time.Second)
		wantSuffix(t, "late", sink.Packets(), 410, 100)
	})
}

// A peer that came to publish and then listens takes a place in the tree.
func TestPublisherListens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := enginetest.NewNetwork(36)
		net.Delay = 10 * time.Millisecond
		s := newStage(t, net, 2)
		bob := addPeer(t, net, "bob", 2)
		if _, err := bob.Join(t.Context(), "lobby", engine.JoinOptions{Silent: true, Wait: time.Second}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		r, err := bob.Join(t.Context(), "lobby", engine.JoinOptions{Listen: true})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		if r.Tree().Parent != s.origin.Self().String() {
			t.Errorf("the listener has the parent %q", r.Tree().Parent)
		}
	})
}

// What ended is forgotten, whatever the order in which a slot's streams ended, and however long somebody watches.
func TestEndedStreamsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := enginetest.NewNetwork(38)
		net.Delay = time.Millisecond
		s := newStage(t, net, 2)
		s.listen(1, 2)
		for i := range 3 {
			c := videoSlot(nil)
			c.Slot = []string{"one", "two", "three"}[i]
			pub, err := s.room.Publish(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			sendAudio(t, pub, 0, 50)
			c.Streams = c.Streams[:1] // goes on without video
			if pub, err = s.room.Publish(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			sendAudio(t, pub, 50, 500)
			if err := pub.End(); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(45 * time.Second)
		for who, r := range map[string]*engine.Room{"origin": s.room, "listener": s.listeners[0].room} {
			if streams, slots, cursors := r.Held(); streams+slots+cursors > 0 {
				t.Errorf("the %s holds %d streams, %d slots and %d places of playout", who, streams, slots, cursors)
			}
		}
		if n := len(s.listeners[0].sink.Packets()); n != 3*550 {
			t.Errorf("%d packets were played, want %d", n, 3*550)
		}
	})
}

// Playout that looks at a stream just while another takes its place plays nothing twice.
func TestReplacedStreamIsPlayedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := enginetest.NewNetwork(38)
		s := newStage(t, net, 2)
		s.listen(1, 2)
		pub, err := s.room.Publish(t.Context(), audioSlot())
		if err != nil {
			t.Fatal(err)
		}
		sendAudio(t, pub, 0, 50)
		time.Sleep(time.Second)
		s.listeners[0].room.Replace()
		time.Sleep(time.Second)
		wantAudio(t, "the listener", s.listeners[0].sink.Packets(), 0, 50)
	})
}

// A child cannot spend its parent's uplink by asking for the same packets again and again.
func TestRepairsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := enginetest.NewNetwork(39)
		s := newStage(t, net, 2)
		s.listen(1, 2)
		pub, err := s.room.Publish(t.Context(), audioSlot())
		if err != nil {
			t.Fatal(err)
		}
		sendAudio(t, pub, 0, 50)
		got := s.listeners[0].sink.Packets()
		ask := &wire.Nack{Stream: uint64(got[0].Stream)}
		for range 400 {
			ask.Numbers = append(ask.Numbers, got[10].Header.Number)
		}
		hop, err := s.listeners[0].Hop(t.Context(), s.origin)
		if err != nil {
			t.Fatal(err)
		}
		for range 1000 { // in a second
			if err := hop.WriteControl(&wire.HopControl{Nacks: []*wire.Nack{ask}}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Millisecond)
		}
		if n := s.origin.Counters()["packets_resent_total"]; n < 400 || n > 6000 {
			t.Errorf("%d packets were sent again in a second", n)
		}
		sendAudio(t, pub, 50, 50)
		time.Sleep(time.Second)
		wantAudio(t, "listener", s.listeners[0].sink.Packets(), 0, 100)
	})
}

// However many messages others send at once, a room does not miss what becomes of its own hops.
func TestFloodedMailbox(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := enginetest.NewNetwork(40)
		net.Delay = time.Millisecond
		s := newStage(t, net, 2)
		s.listen(1, 2)
		pub, err := s.room.Publish(t.Context(), audioSlot())
		if err != nil {
			t.Fatal(err)
		}
		sendAudio(t, pub, 0, 50)
		mallory := addPeer(t, net, "mallory", 0)
		env, err := mallory.Signer.Seal(s.room.ID(), wire.Type_TREE, 0, time.Now().Add(time.Minute), &wire.TreeMessage{
			Message: &wire.TreeMessage_Probe{Probe: &wire.Probe{Nonce: 1}},
		})
		if err != nil {
			t.Fatal(err)
		}
		busy := make(chan struct{})
		s.room.Stall(busy)
		for range 1100 {
			s.origin.HandleMessage(mallory.Self(), env)
		}
		if s.origin.Counters()["mailbox_full_total"] == 0 {
			t.Error("the mailbox is not full")
		}
		if err := s.listeners[0].NewHop(t.Context(), s.origin); err != nil {
			t.Fatal(err)
		}
		close(busy)
		sendAudio(t, pub, 50, 100)
		time.Sleep(time.Second)
		got := s.listeners[0].sink.Packets()
		wantAudio(t, "listener", got, 0, 150)
		for i := 1; i < len(got); i++ {
			if d := got[i].At.Sub(got[i-1].At); d > 300*time.Millisecond {
				t.Errorf("nothing was played for %v", d)
			}
		}
	})
}

// A source whose numbers leap with every packet uses up neither memory nor numbers.
func TestLeapingSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := enginetest.NewNetwork(41)
		s := newStage(t, net, 2)
		pub, err := s.room.Publish(t.Context(), audioSlot())
		if err != nil {
			t.Fatal(err)
		}
		for i := range 1000 {
			if err := pub.Write("audio", &engine.MediaPacket{Sequence: int64(i) * 2000, Payload: payload(i)}); err != nil {
				t.Fatalf("packet %d: %v", i, err)
			}
			time.Sleep(time.Millisecond)
		}
		next, err := s.origin.Keeper.Reserve("number "+s.room.Streams()[0].ID.String(), 0)
		if err != nil || next > 4<<16 {
			t.Errorf("1000 packets took %d numbers (%v)", next, err)
		}
	})
}
