package engine_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/castd/castd/engine/enginetest"
	"github.com/castd/castd/engine/wire"
)

// Some manifests never come, whoever is asked. What they vouch for cannot be played; all of it together is waited for once.
func TestManifestsAreMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := enginetest.NewNetwork(7)
		net.Delay = 10 * time.Millisecond
		first := uint64(0)
		net.Tamper = func(_, _ peer.ID, pkt []byte) []byte {
			h, _, err := wire.ParseHeader(pkt)
			if err != nil || h.Kind != wire.KindRecord {
				return pkt
			}
			if first == 0 {
				first = h.Number
			}
			if n := h.Number - first; n >= 20 && n < 24 {
				return nil
			}
			return pkt
		}
		s := newStage(t, net, 1)
		s.listen(1, 1)
		pub, err := s.room.Publish(t.Context(), audioSlot())
		if err != nil {
			t.Fatal(err)
		}
		sendAudio(t, pub, 0, 500)
		time.Sleep(time.Second)
		got := s.listeners[0].sink.Packets()
		if len(got) < 470 || len(got) > 490 {
			t.Errorf("%d of 500 packets were played; 4 manifests of 5 packets each were missing", len(got))
		}
		for i := 1; i < len(got); i++ {
			if d := got[i].At.Sub(got[i-1].At); d > 1600*time.Millisecond {
				t.Errorf("nothing was played for %v", d)
			}
		}
	})
}
