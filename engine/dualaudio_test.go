package engine_test

import (
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
)

// filmed publishes sound, which is the caller's to send, and pictures of 1 Mbit/s, which come until the test is over.
func (s *stage) filmed() engine.Publication {
	s.t.Helper()
	pub, err := s.room.Publish(s.t.Context(), videoSlot(nil))
	if err != nil {
		s.t.Fatal(err)
	}
	stop, done := make(chan struct{}), make(chan struct{})
	go func() { defer close(done); film(pub, stop) }()
	s.t.Cleanup(func() { close(stop); <-done })
	return pub
}

// film sends pictures of 1 Mbit/s until stop is closed.
func film(pub engine.Publication, stop <-chan struct{}) {
	seq := int64(0)
	for frame := 0; ; frame++ {
		select {
		case <-stop:
			return
		case <-time.After(40 * time.Millisecond):
		}
		for part := range 5 {
			_ = pub.Write("video", &engine.MediaPacket{
				Sequence: seq, Timestamp: uint32(frame * 3600), Marker: part == 4,
				Payload: append(vp8Packet(frame%50 == 0, part == 0, int(seq)), make([]byte, 1000)...),
			})
			seq++
		}
	}
}

// given returns what a listener has been given of a kind.
func (l *listener) given(kind wire.Kind) (out []enginetest.Got) {
	for _, p := range l.sink.Packets() {
		if p.Header.Kind == kind {
			out = append(out, p)
		}
	}
	return out
}

// doubled counts the packets that came more than once.
func (l *listener) doubled() (n uint64) {
	for _, c := range l.room.StreamCounters() {
		n += c.Duplicates
	}
	return n
}

// worst returns the longest time between two packets, from one time to another.
func worst(got []enginetest.Got, from, to time.Time) (most time.Duration) {
	for k := 1; k < len(got); k++ {
		if at := got[k].At; at.After(from) && at.Before(to) {
			most = max(most, at.Sub(got[k-1].At))
		}
	}
	return most
}

// longer returns by how much a listener's second parent is farther away from the origin than its first, on hops of one length.
func (s *stage) longer(l *listener) time.Duration {
	at := l.room.Tree()
	for _, o := range s.listeners {
		if o.room.Tree().Peer == at.Backup {
			return time.Duration(max(o.room.Tree().Depth+1-at.Depth, 0)) * s.net.Delay
		}
	}
	return 0
}

// Where a picture takes most of a slot, both parents send sound: who hears both misses nothing when the one dies, and hears nothing
// later than the way through the other takes.
func TestDualAudio(t *testing.T) {
	for seed := range uint64(3) {
		synctest.Test(t, func(t *testing.T) {
			net := enginetest.NewNetwork(60 + seed)
			net.Delay = 10 * time.Millisecond
			s := newStage(t, net, 2)
			s.listen(9, 3)
			pub := s.filmed()
			sendAudio(t, pub, 0, 1000)
			dead := s.inner()
			before, longer, backup := map[*listener]uint64{}, map[*listener]time.Duration{}, map[*listener]string{}
			for _, l := range s.children(dead) {
				before[l], longer[l], backup[l] = l.doubled(), s.longer(l), l.room.Tree().Backup
			}
			from := time.Now()
			sendAudio(t, pub, 1000, 100)
			killed := time.Now()
			net.Cut(s.listeners[dead].Peer, true)
			net.Kill(s.listeners[dead].Peer)
			sendAudio(t, pub, 1100, 200)
			time.Sleep(time.Second)
			dual := 0
			for i, l := range s.listeners {
				n, child := before[l]
				if !child || l.doubled()-n < 90 {
					continue
				}
				dual++
				got := l.given(wire.KindAudio)
				wantSuffix(t, fmt.Sprintf("listener %d", i), got, 900, 400)
				was, is := worst(got, from, killed), worst(got, killed, killed.Add(3*time.Second))
				t.Logf("seed %d, listener %d: at most %v between two packets before, %v after, on a way that is %v longer", seed, i, was, is, longer[l])
				most := was + longer[l] + 20*time.Millisecond // one packet
				if l.room.Tree().Parent != backup[l] {
					// More children than the backup has room for: where it lets go of one, a manifest may come by the third parent only.
					most += 80 * time.Millisecond
				}
				if is > most {
					t.Errorf("seed %d, listener %d: %v without sound after its parent died, at most %v before", seed, i, is, was)
				}
			}
			if dual == 0 {
				t.Errorf("seed %d: none of %d children hears two parents", seed, len(before))
			}
		})
	}
}

// A second parent that is to send more, or less, than before goes on with sound meanwhile: at the moment when another peer's need
// makes it send less, the first parent may be the one that is dead.
func TestDualAudioGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := enginetest.NewNetwork(64)
		net.Delay = 10 * time.Millisecond
		s := newStage(t, net, 2)
		s.listen(5, 3)
		var mu sync.Mutex
		var from, to peer.ID
		record := recordOf(s.origin, s.room.ID())
		sent := make(map[wire.StreamID][]uint64)
		net.Tamper = func(a, b peer.ID, pkt []byte) []byte {
			mu.Lock()
			defer mu.Unlock()
			if h, _, err := wire.ParseHeader(pkt); err == nil && a == from && b == to && h.Kind != wire.KindVideo {
				id := h.Stream
				if h.Kind == wire.KindExcerpt { // with everything come records, with sound their excerpts
					id = record
				}
				sent[id] = append(sent[id], h.Number)
			}
			return pkt
		}
		pub := s.filmed()
		sendAudio(t, pub, 0, 500)
		before := map[*listener]uint64{}
		for _, l := range s.listeners {
			before[l] = l.doubled()
		}
		sendAudio(t, pub, 500, 50)
		second, child := s.secondParent(func(l *listener) bool { return l.doubled()-before[l] > 45 })
		mu.Lock()
		from, to = second.Self(), child.Self()
		mu.Unlock()
		wavers := make(chan struct{})
		go func() {
			defer close(wavers)
			for range 4000 {
				second.room.Waver(child.Self(), 2)
				time.Sleep(time.Millisecond)
			}
		}()
		sendAudio(t, pub, 550, 200)
		<-wavers
		mu.Lock()
		defer mu.Unlock()
		if len(sent) != 2 {
			t.Fatalf("%d streams were sent besides video, want sound and its record", len(sent))
		}
		for id, numbers := range sent {
			slices.Sort(numbers)
			numbers = slices.Compact(numbers)
			if most := numbers[len(numbers)-1] - numbers[0] + 1; uint64(len(numbers)) != most || most < 50 {
				t.Errorf("stream %x: %d of %d packets", id, len(numbers), most)
			}
		}
	})
}

// secondParent returns a listener that feeds another as its second parent, and that other, which fits.
func (s *stage) secondParent(fits func(child *listener) bool) (parent, child *listener) {
	s.t.Helper()
	for _, child := range s.listeners {
		for _, parent := range s.listeners {
			if child.room.Tree().Backup != parent.room.Tree().Peer || parent.room.Tree().Backup == child.room.Tree().Peer {
				continue // or they are each other's: what comes from a peer is not sent back to it
			}
			if fits(child) {
				return parent, child
			}
		}
	}
	s.t.Fatal("nobody has a listener for its second parent")
	return nil, nil
}

// In a room of sound alone a second one costs a whole slot: where there are only as many as listeners nobody is given one.
func TestNoDualAudioForWantOfSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := enginetest.NewNetwork(63)
		net.Delay = 10 * time.Millisecond
		s := newStage(t, net, 2)
		s.listen(5, 1)
		pub, err := s.room.Publish(t.Context(), audioSlot())
		if err != nil {
			t.Fatal(err)
		}
		sendAudio(t, pub, 0, 1000)
		var before uint64
		for _, l := range s.listeners {
			before += l.doubled()
		}
		sendAudio(t, pub, 1000, 500)
		var after uint64
		free := 2 + 5*1 - 5
		for _, l := range s.listeners {
			after += l.doubled()
		}
		if most := uint64(free * 500); after-before > most+most/10 {
			t.Errorf("%d packets came twice on %d free slots", after-before, free)
		}
	})
}
