package engine_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/enginetest"
	"github.com/castd/castd/engine/wire"
)

// A question for a room that is lost is asked again: the peer knows it, and who asks need not wait for what the directory has.
func TestLostQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := enginetest.NewNetwork(71)
		net.Delay = 10 * time.Millisecond
		var mu sync.Mutex
		lost := make(map[[2]peer.ID]bool)
		net.Fail = func(from, to peer.ID, msg []byte) bool {
			m, err := wire.OpenEnvelope(msg, time.Now())
			if err != nil || m.Type != wire.Type_ROOM_QUERY {
				return false
			}
			mu.Lock()
			defer mu.Unlock()
			first := !lost[[2]peer.ID{from, to}]
			lost[[2]peer.ID{from, to}] = true
			return first
		}
		newStage(t, net, 2)
		began := time.Now()
		p := addPeer(t, net, "bob/laptop", 2)
		if _, err := p.Join(t.Context(), "lobby", engine.JoinOptions{Listen: true}); err != nil {
			t.Fatalf("after %v: %v", time.Since(began), err)
		}
		if took := time.Since(began); took > 300*time.Millisecond {
			t.Errorf("the room was known after %v: nobody was asked again", took)
		}
	})
}
