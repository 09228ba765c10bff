package enginetest

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
)

// TestCloseBothEnds: both ends of a hop may be closed at the same time.
func TestCloseBothEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := NewNetwork(1)
		var peers [2]*Peer
		for i, name := range []string{"ann/laptop", "bob/laptop"} {
			p, err := net.Add(name, 1)
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				_ = p.Engine.Close(context.Background())
				p.Close()
			}()
			peers[i] = p
		}
		for range 2000 {
			a, b := newHop(peers[0], peers[1]), newHop(peers[1], peers[0])
			a.other, b.other = b, a
			var both sync.WaitGroup
			both.Go(func() { _ = a.Close() })
			both.Go(func() { _ = b.Close() })
			both.Wait()
			<-a.done
			<-b.done
		}
	})
}
