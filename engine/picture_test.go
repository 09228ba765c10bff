package engine_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/castd/castd/engine/enginetest"
	"github.com/castd/castd/engine/wire"
)

// A packet that is lost for good takes its picture along, and nothing else: it is waited for once, and sound does not wait.
func TestPictureIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := enginetest.NewNetwork(8)
		net.Delay = 10 * time.Millisecond
		lost := uint64(0)
		net.Tamper = func(_, _ peer.ID, pkt []byte) []byte {
			h, _, err := wire.ParseHeader(pkt)
			if err != nil || h.Kind != wire.KindVideo {
				return pkt
			}
			if lost == 0 && !h.FrameStart && !h.FrameEnd && h.Number%1000 > 500 {
				lost = h.Number
			}
			if h.Number == lost {
				return nil
			}
			return pkt
		}
		s := newStage(t, net, 1)
		s.listen(2, 1)
		pub := s.filmed()
		sendAudio(t, pub, 0, 500)
		time.Sleep(time.Second)
		if lost == 0 {
			t.Fatal("nothing was lost")
		}
		for i, l := range s.listeners {
			wantSuffix(t, "listener", l.given(wire.KindAudio), 300, 200)
			got := l.given(wire.KindVideo)
			missing := uint64(0)
			for k := 1; k < len(got); k++ {
				if got[k].Header.Number <= lost && !got[k].Header.FrameStart && got[k].Header.Timestamp == got[k-1].Header.Timestamp {
					continue
				}
				missing += got[k].Header.Number - got[k-1].Header.Number - 1
			}
			if missing != 5 {
				t.Errorf("listener %d: %d packets were not played, want the 5 of a picture", i, missing)
			}
			if d := worst(got, time.Time{}, time.Now()); d > 700*time.Millisecond {
				t.Errorf("listener %d: no pictures for %v", i, d)
			}
		}
	})
}
