package engine_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/castd/castd/engine/enginetest"
	"github.com/castd/castd/engine/wire"
)

// A second parent that sends sound vouches for it by excerpts, and sends no records.
func TestExcerptsInPlaceOfRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := enginetest.NewNetwork(64)
		net.Delay = 10 * time.Millisecond
		s := newStage(t, net, 2)
		s.listen(5, 3)
		type hop struct{ from, to peer.ID }
		var mu sync.Mutex
		var sent map[hop]map[wire.Kind]int
		net.Tamper = func(a, b peer.ID, pkt []byte) []byte {
			mu.Lock()
			defer mu.Unlock()
			if h, _, err := wire.ParseHeader(pkt); err == nil && sent != nil {
				if sent[hop{a, b}] == nil {
					sent[hop{a, b}] = make(map[wire.Kind]int)
				}
				sent[hop{a, b}][h.Kind]++
			}
			return pkt
		}
		pub := s.filmed()
		sendAudio(t, pub, 0, 1000)
		mu.Lock()
		sent = make(map[hop]map[wire.Kind]int)
		mu.Unlock()
		sendAudio(t, pub, 1000, 250)
		mu.Lock()
		defer mu.Unlock()
		soundOnly := 0
		for _, n := range sent {
			switch {
			case n[wire.KindVideo] > 0:
				if n[wire.KindExcerpt] > 0 || n[wire.KindRecord] < 50 {
					t.Errorf("a hop with video has %d records and %d excerpts", n[wire.KindRecord], n[wire.KindExcerpt])
				}
			case n[wire.KindAudio] > 0:
				soundOnly++
				if n[wire.KindRecord] > 0 || n[wire.KindExcerpt] < n[wire.KindAudio]/5 { // one vouches for four
					t.Errorf("a hop with sound only has %d packets, %d records and %d excerpts", n[wire.KindAudio], n[wire.KindRecord], n[wire.KindExcerpt])
				}
			}
		}
		if soundOnly == 0 {
			t.Error("nobody has sound from a second parent")
		}
	})
}

// Who changes excerpts, or what they vouch for, is found out; all is played, and nothing else.
func TestForgedExcerpts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := enginetest.NewNetwork(64)
		net.Delay = 10 * time.Millisecond
		s := newStage(t, net, 2)
		s.listen(5, 3)
		var mu sync.Mutex
		flipped := 0
		net.Tamper = func(_, _ peer.ID, pkt []byte) []byte {
			mu.Lock()
			defer mu.Unlock()
			if h, n, err := wire.ParseHeader(pkt); err == nil && h.Kind == wire.KindExcerpt && h.Number%5 == 0 {
				flipped++
				pkt[n+flipped%(len(pkt)-n)] ^= 1
			}
			return pkt
		}
		pub := s.filmed()
		sendAudio(t, pub, 0, 1500)
		time.Sleep(time.Second)
		mu.Lock()
		defer mu.Unlock()
		forged := uint64(0)
		for _, l := range s.listeners {
			wantSuffix(t, "listener", l.given(wire.KindAudio), 700, 800)
			forged += l.Engine.Counters()["packets_forged_total"]
		}
		if flipped == 0 || forged == 0 {
			t.Errorf("%d excerpts were changed, %d were found out", flipped, forged)
		}
	})
}
