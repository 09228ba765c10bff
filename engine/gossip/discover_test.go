package gossip

import (
	"crypto/ed25519"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/marcopolo/simnet"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/castd/castd/engine/wire"
)

func info(key, host int) peer.AddrInfo {
	id, err := wire.PeerID(testKey(key).Public().(ed25519.PublicKey))
	if err != nil {
		panic(err)
	}
	return peer.AddrInfo{ID: id, Addrs: []ma.Multiaddr{ma.StringCast("/ip4/" + simnet.IntToPublicIPv4(host).String() + "/udp/8471/quic-v1")}}
}

// Saved and bootstrap peers are connected to in the background, also when they come later; bootstrap peers for good.
func TestDiscovery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newLab(t)
		saved := net.start(2, 2, nil)
		a := net.start(1, 1, func(c *Config) {
			c.Saved = []peer.AddrInfo{info(2, 2), info(1, 1)} // itself is skipped
			c.Bootstrap = []peer.AddrInfo{info(3, 3)}
		})
		time.Sleep(5 * time.Second)
		if got := a.Connected(); len(got) != 1 || got[0] != saved.id {
			t.Errorf("Connected = %v", got)
		}
		boot := net.start(3, 3, nil)
		time.Sleep(lastRetry)
		if len(a.Connected()) != 2 {
			t.Error("no connection to a bootstrap peer that came later")
		}
		boot.Close()
		saved.Close()
		time.Sleep(time.Second)
		boot, saved = net.start(3, 3, nil), net.start(2, 2, nil)
		time.Sleep(2 * lastRetry)
		if got := a.Connected(); len(got) != 1 || got[0] != boot.id {
			t.Errorf("Connected = %v, want the bootstrap peer", got)
		}
		net.close(a, boot, saved)
	})
}

func TestFoundOnTheLocalNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newLab(t)
		a, b := net.start(1, 1, nil), net.start(2, 2, nil)
		defer net.close(a, b)
		f := &finder{plane: a.Plane, waiting: make(chan peer.AddrInfo, 1)}
		f.HandlePeerFound(a.Self())
		if len(f.waiting) != 0 {
			t.Error("found itself")
		}
		f.HandlePeerFound(b.Self())
		if len(f.waiting) != 1 || len(a.host.Peerstore().Addrs(b.id)) == 0 {
			t.Error("a peer that was found is not noted")
		}
		f.HandlePeerFound(info(9, 9)) // nobody takes it
		if a.Stats().DiscoveryDropped != 1 || len(a.host.Peerstore().Addrs(info(9, 9).ID)) == 0 {
			t.Errorf("%+v", a.Stats())
		}
		a.connect(t, b)
		<-f.waiting
		f.HandlePeerFound(b.Self())
		if len(f.waiting) != 0 {
			t.Error("a connected peer would be dialled")
		}
	})
}

// Close ends what waits: dials, pauses, requests. The bubble fails if a goroutine stays.
func TestCloseWhileBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newLab(t)
		b := net.start(2, 2, nil)
		a := net.start(1, 1, func(c *Config) { c.Bootstrap = []peer.AddrInfo{info(7, 7), info(8, 8)} })
		a.connect(t, b)
		a.Join(testTopic)
		b.dead.Store(true)
		done := make(chan error)
		go func() {
			_, err := a.Request(t.Context(), b.id, []byte("x"))
			done <- err
		}()
		a.Send(t.Context(), b.id, []byte("x"))
		time.Sleep(300 * time.Millisecond)
		start := time.Now()
		net.close(a)
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("Close took %v", took)
		}
		if err := <-done; err == nil {
			t.Error("a request to a dead peer was answered")
		}
		if err := a.Join(testTopic); err == nil {
			t.Error("Join after Close")
		}
		a.Close()
		b.Close()
	})
}
