package engine_test

import (
	"encoding/binary"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/enginetest"
	"github.com/castd/castd/engine/seal"
)

// sealWatch remembers every pair of key and nonce that packets were sealed with.
type sealWatch struct {
	mu      sync.Mutex
	seen    map[[2 * seal.NonceSize]byte]bool
	repeats int
}

func (w *sealWatch) on(e *engine.Engine) {
	engine.WatchSeals(e, func(key, nonce [seal.NonceSize]byte) {
		w.mu.Lock()
		defer w.mu.Unlock()
		var k [2 * seal.NonceSize]byte
		copy(k[copy(k[:], key[:]):], nonce[:])
		if w.seen[k] {
			w.repeats++
		}
		w.seen[k] = true
	})
}

// srtpWatch follows the sequence numbers of every SRTP stream on the network. SRTP's nonce is made of SSRC, rollover counter and
// sequence number (RFC 7714 section 8.1). Packets come nearly in order: what is sent again overtakes a batch that is being written.
// So a sequence number means the number next to the highest so far, and under the keys of one handshake each comes once.
type srtpWatch struct {
	mu      sync.Mutex
	streams map[srtpStream]*srtpNumbers
	packets int
	wraps   int
	repeats int
	jumps   int
}

type srtpStream struct {
	from, to peer.ID
	ssrc     uint32
}

type srtpNumbers struct {
	highest int64 // -1 at first
	seen    map[int64]bool
}

// farthest is how far apart packets may be in order: a batch of a child's packets, and what is sent again beside it.
const farthest = 256

func watchSRTP(n *enginetest.VNet) *srtpWatch {
	w := &srtpWatch{streams: make(map[srtpStream]*srtpNumbers)}
	n.OnDatagram(func(from, to peer.ID, b []byte) {
		w.mu.Lock()
		defer w.mu.Unlock()
		switch {
		case len(b) > 13 && b[0] == 22 && b[13] == 1: // ClientHello: new keys
			for s := range w.streams {
				if s.from == from && s.to == to || s.from == to && s.to == from {
					delete(w.streams, s)
				}
			}
		case len(b) >= 12 && b[0]>>6 == 2 && (b[1] < 192 || b[1] > 223):
			s := srtpStream{from, to, binary.BigEndian.Uint32(b[8:])}
			if w.streams[s] == nil {
				w.streams[s] = &srtpNumbers{highest: -1, seen: make(map[int64]bool)}
			}
			w.packets++
			w.number(w.streams[s], binary.BigEndian.Uint16(b[2:]))
		}
	})
	return w
}

func (w *srtpWatch) number(s *srtpNumbers, sequence uint16) {
	n := s.highest + int64(int16(sequence-uint16(s.highest)))
	if n < 0 || n > s.highest+farthest || n < s.highest-farthest {
		w.jumps++
	}
	if s.seen[n] {
		w.repeats++
	}
	s.seen[n] = true
	if n > s.highest {
		w.wraps += int(n>>16 - max(0, s.highest)>>16)
		s.highest = n
	}
}

// flood publishes n packets of pictures, so many every 5 ms, as the numbers from first on. What comes between two manifests must fit a
// relay's ring.
func flood(t *testing.T, pub engine.Publication, first, n, batch int) {
	t.Helper()
	for i := first; i < first+n; i++ {
		if err := pub.Write("video", &engine.MediaPacket{
			Sequence: int64(i), Timestamp: uint32(i / batch * 450), Marker: i%batch == batch-1, Payload: vp8Packet(i%6000 == 0, i%batch == 0, i),
		}); err != nil {
			t.Fatalf("packet %d: %v", i, err)
		}
		if i%batch == batch-1 {
			time.Sleep(5 * time.Millisecond)
		}
	}
}

// A room falls silent after more packets than SRTP's sequence numbers can count, goes on long after, and has its publisher killed
// and started again: nothing is lost on the way, and no nonce is used twice, neither by hops nor by seals.
//
// The silence is half an hour; CASTD_IDLE=168h makes it a week. libp2p, beacons and pulses go on meanwhile, so that an hour takes
// seven seconds and a week twenty minutes. What wraps does so by packets and not by time; a hop alone is paused for a week in
// engine/hop's TestPausedForAWeek.
//
//	go test -run TestVNetNoNonceRepeats -v ./engine
func TestVNetNoNonceRepeats(t *testing.T) {
	idle := 30 * time.Minute
	if d, err := time.ParseDuration(os.Getenv("CASTD_IDLE")); err == nil {
		idle = d
	}
	const packets = 75_000
	onVNet(t, 41, 5*time.Millisecond, 1, func(t *testing.T, s *vstage) {
		seals := &sealWatch{seen: make(map[[2 * seal.NonceSize]byte]bool)}
		srtp := watchSRTP(s.net)
		seals.on(s.origin.Engine)
		s.listen(1, 0)
		l := s.listeners[0]
		pub, err := s.room.Publish(t.Context(), videoSlot(nil))
		if err != nil {
			t.Fatal(err)
		}
		flood(t, pub, 0, packets, 50)
		time.Sleep(idle)
		flood(t, pub, packets, packets, 50)
		time.Sleep(time.Second)
		got := l.sink.Packets()
		wantNumbers(t, got, 2*packets)
		highest := got[len(got)-1].Header.Number

		disk := s.origin.Keeper.Clone()
		if err := s.net.Kill(s.origin); err != nil {
			t.Error(err)
		}
		time.Sleep(2 * time.Second)
		again, err := s.net.Add("ann/laptop", 1, disk)
		if err != nil {
			t.Fatal(err)
		}
		seals.on(again.Engine)
		room, err := again.Join(t.Context(), "lobby", engine.JoinOptions{Create: true})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		for l.room.Tree().Parent == "" || len(room.Tree().Children) == 0 {
			if time.Since(began) > time.Minute {
				t.Fatalf("the listener has not found the origin again: %+v, %+v", l.room.Tree(), room.Tree())
			}
			time.Sleep(100 * time.Millisecond)
		}
		t.Logf("the listener was back %v after the origin", time.Since(began).Round(100*time.Millisecond))
		if pub, err = room.Publish(t.Context(), videoSlot(nil)); err != nil {
			t.Fatal(err)
		}
		flood(t, pub, 0, 3000, 5)
		time.Sleep(time.Second)
		after := l.sink.Packets()[len(got):]
		if len(after) == 0 {
			t.Fatal("nothing came after the crash")
		}
		wantNumbers(t, after, 3000)
		if after[0].Header.Number <= highest {
			t.Errorf("after the crash numbers begin at %d, before it they had reached %d", after[0].Header.Number, highest)
		}
		if after[0].Header.Incarnation == got[0].Header.Incarnation {
			t.Error("the incarnation is the same after the crash")
		}
		t.Logf("%d seals, %d repeated; %d SRTP packets, %d wraps, %d numbers repeated, %d jumps; number %d before the crash, %d after it",
			len(seals.seen), seals.repeats, srtp.packets, srtp.wraps, srtp.repeats, srtp.jumps, highest, after[0].Header.Number)
		if len(seals.seen) < 2*packets || seals.repeats > 0 {
			t.Error("nonces of seals repeat")
		}
		if srtp.wraps < 2 || srtp.repeats > 0 || srtp.jumps > 0 {
			t.Error("sequence numbers of SRTP do not go on by one")
		}
	})
}

// wantNumbers checks that packets have consecutive numbers, and how many they are.
func wantNumbers(t *testing.T, got []enginetest.Got, n int) {
	t.Helper()
	if len(got) != n {
		t.Errorf("%d packets were played, want %d", len(got), n)
		if len(got) > 0 {
			t.Logf("numbers %d to %d, %v to %v", got[0].Header.Number, got[len(got)-1].Header.Number, got[0].At, got[len(got)-1].At)
		}
	}
	for i := 1; i < len(got); i++ {
		if got[i].Header.Number != got[i-1].Header.Number+1 {
			t.Fatalf("after number %d came %d", got[i-1].Header.Number, got[i].Header.Number)
		}
	}
}
