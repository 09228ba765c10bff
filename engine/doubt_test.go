package engine_test

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/castd/castd/engine/enginetest"
	"github.com/castd/castd/engine/seal"
	"github.com/castd/castd/engine/wire"
)

// forgery has peers forge one packet of each picture that they send, with the key that every member has.
type forgery struct {
	mu        sync.Mutex
	evil, to  map[peer.ID]bool // to: whom they do it to; empty: everybody
	withhold  bool             // they pass no doubt on
	forged    int
	doubts    int
	singly    int // hashes of a packet of pictures, in the origin's manifests
	pictures  int // of a picture
	lies      map[uint64][]byte
	perfidy   time.Time // since when they do
	publisher peer.ID
}

const lies = "lies that are as long as what they stand for"

// forging returns the forgery of a network that has no peers yet.
func forging(t *testing.T, net *enginetest.Network, origin func() *stage) *forgery {
	f := &forgery{evil: map[peer.ID]bool{}, to: map[peer.ID]bool{}, lies: map[uint64][]byte{}}
	net.Control = func(from, _ peer.ID, c *wire.HopControl) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.doubts += len(c.Doubts)
		if f.withhold && f.evil[from] {
			c.Doubts = nil
		}
	}
	net.Tamper = func(from, to peer.ID, pkt []byte) []byte {
		f.mu.Lock()
		defer f.mu.Unlock()
		h, _, err := wire.ParseHeader(pkt)
		if err != nil {
			return pkt
		}
		if h.Kind == wire.KindRecord && from == f.publisher {
			f.count(pkt)
		}
		if h.Kind != wire.KindVideo || h.Number%5 != 2 || !f.evil[from] || len(f.to) > 0 && !f.to[to] {
			return pkt
		}
		s := origin()
		f.forged++
		if f.lies[h.Number] == nil {
			sealer, err := seal.NewSealer(seal.PublicRoomKey(s.room.ID()), s.origin.Signer.Public(), h.Stream, h.Incarnation)
			if err != nil {
				t.Error(err)
				return pkt
			}
			if f.lies[h.Number], err = sealer.Seal(nil, &h, []byte(lies)); err != nil {
				t.Error(err)
			}
		}
		return slices.Clone(f.lies[h.Number])
	}
	return f
}

// count notes what a record packet says of pictures.
func (f *forgery) count(pkt []byte) {
	m, err := seal.ReadManifest(pkt)
	if err != nil {
		return
	}
	for _, r := range m.Runs {
		for c := range seal.Hashes(r) {
			if c.Packets > 1 {
				f.pictures++
			} else {
				f.singly++
			}
		}
	}
}

func (f *forgery) begin(evil, to []*listener, withhold bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, l := range evil {
		f.evil[l.Self()] = true
	}
	for _, l := range to {
		f.to[l.Self()] = true
	}
	f.withhold, f.perfidy = withhold, time.Now()
}

// check checks that a listener has played no lie, has been without pictures for no longer than bound, and has had all of them lately.
func (f *forgery) check(t *testing.T, l *listener, bound time.Duration) {
	t.Helper()
	got := l.given(wire.KindVideo)
	for _, p := range got {
		if string(p.Payload) == lies {
			t.Fatal("a lie was played")
		}
	}
	if d := worst(got, f.perfidy, time.Now()); d > bound {
		t.Errorf("no pictures for %v", d)
	}
	last := got[len(got)-100:]
	if time.Since(last[99].At) > 500*time.Millisecond || last[99].Header.Number-last[0].Header.Number != 99 {
		t.Errorf("of the last pictures came %d to %d, %v ago", last[0].Header.Number, last[99].Header.Number, time.Since(last[99].At))
	}
}

// A parent that spoils pictures is left, whether it passes doubt on or not, and whether the second parent is of one mind with it.
func TestPicturesAreForged(t *testing.T) {
	for name, c := range map[string]struct{ both, withhold bool }{
		"by the parent":                     {},
		"by the parent, which is silent":    {withhold: true},
		"by both parents":                   {both: true},
		"by both parents, which are silent": {both: true, withhold: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				net := enginetest.NewNetwork(64)
				net.Delay = 10 * time.Millisecond
				var s *stage
				f := forging(t, net, func() *stage { return s })
				s = newStage(t, net, 2)
				f.publisher = s.origin.Self()
				s.listen(9, 3)
				pub := s.filmed()
				sendAudio(t, pub, 0, 1000)
				primary, backup, victim := s.twoParents()
				evil := []*listener{primary}
				if c.both {
					evil = append(evil, backup)
				}
				f.begin(evil, nil, c.withhold)
				below := func(path ...string) bool {
					return slices.ContainsFunc(evil, func(l *listener) bool { return slices.Contains(path, l.Self().String()) })
				}
				// It may come below the second forger later, or below somebody who has not found him out yet. Either way it sees nothing.
				var spent, spoiled time.Duration
				for k, calm := 0, 0; k < 100 || calm < 40; k++ {
					if k == 600 {
						t.Fatal("it does not get away from who spoils pictures")
					}
					at := victim.room.Tree()
					if below(at.Parent) {
						spent += 100 * time.Millisecond
					}
					if calm++; below(at.Path...) {
						calm = 0
						spoiled += 100 * time.Millisecond
					}
					sendAudio(t, pub, 1000+5*k, 5)
				}
				if most := time.Duration(len(evil)) * (2 * time.Second); spent > most { // as for any packet that is forged; see blame
					t.Errorf("who spoils pictures was the parent for %v", spent)
				}
				if f.forged == 0 {
					t.Error("nothing was forged: this tests nothing")
				}
				t.Logf("below forgers for %v: %d packets forged, %d doubts; from the origin %d hashes of pictures, %d of packets", spent, f.forged, f.doubts, f.pictures, f.singly)
				// Who is above it finds a forger out in the same time, at most.
				if most := time.Duration(len(evil)+1) * (2 * time.Second); spoiled > most {
					t.Errorf("it was below who spoils pictures for %v", spoiled)
				}
				f.check(t, victim, spoiled+500*time.Millisecond) // until the next key frame
			})
		})
	}
}

// A second parent that sends everything, and spoils pictures before the first one's packets come, is told from that one: who has both
// stays, and sees everything.
func TestPicturesAreForgedBySecondParent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := enginetest.NewNetwork(4)
		net.Delay = 10 * time.Millisecond
		var s *stage
		f := forging(t, net, func() *stage { return s })
		var mu sync.Mutex
		var slow [2]peer.ID
		net.Farther = func(from, to peer.ID) time.Duration {
			mu.Lock()
			defer mu.Unlock()
			if slow == [2]peer.ID{from, to} {
				return 40 * time.Millisecond
			}
			return 0
		}
		s = newStage(t, net, 2)
		f.publisher = s.origin.Self()
		s.listen(12, 3)
		pub := s.filmed()
		sendAudio(t, pub, 0, 1500)
		next := 1500
		send := func(n int) {
			sendAudio(t, pub, next, n)
			next += n
		}
		var evil, victim *listener
		for tries := 0; victim == nil; tries++ {
			if tries == 40 {
				t.Fatal("nobody gets everything from a second parent as well")
			}
			before := map[*listener]uint64{}
			for _, l := range s.listeners {
				before[l] = doubles(t, l)
			}
			send(100)
			for _, l := range s.listeners {
				for _, b := range s.listeners {
					if doubles(t, l)-before[l] > 200 && l.room.Tree().Backup == b.room.Tree().Peer && b.room.Tree().Backup != l.room.Tree().Peer {
						evil, victim = b, l
					}
				}
			}
		}
		parent := victim.room.Tree().Parent
		p, err := peer.Decode(parent)
		if err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		slow = [2]peer.ID{p, victim.Self()}
		mu.Unlock()
		send(25)
		f.begin([]*listener{evil}, []*listener{victim}, false)
		send(500)
		if now := victim.room.Tree().Parent; now != parent {
			t.Error("the honest parent was left")
		}
		t.Logf("%d packets forged, %d doubts; from the origin %d hashes of pictures, %d of packets", f.forged, f.doubts, f.pictures, f.singly)
		if f.forged < 25 || f.doubts == 0 || f.singly < 250 {
			t.Errorf("%d packets were forged, %d doubts told, %d packets had a hash of their own", f.forged, f.doubts, f.singly)
		}
		f.check(t, victim, 500*time.Millisecond)
		for _, l := range s.listeners {
			if l != evil && l != victim {
				f.check(t, l, 500*time.Millisecond)
			}
		}
	})
}
