package gossip

import (
	"context"
	"sync"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
)

// presence turns connections coming and going into PeerUp and PeerDown. libp2p's notifications must not block, so that they
// only leave their mark here, and one goroutine delivers. What waits is at most one entry a peer: a peer that went and
// came back before that was delivered is told as down and up once.
type presence struct {
	wake chan struct{} // capacity 1

	mu      sync.Mutex
	conns   map[network.Conn]context.CancelFunc // ends what watches the connection
	count   map[peer.ID]int                     // open connections
	told    map[peer.ID]bool                    // peers of which PeerUp was the last that was told
	gone    map[peer.ID]bool                    // peers that were without connection since last told
	waiting map[peer.ID]bool                    // peers in queue
	queue   []peer.ID
}

func newPresence() *presence {
	return &presence{
		wake:  make(chan struct{}, 1),
		conns: make(map[network.Conn]context.CancelFunc), count: make(map[peer.ID]int), told: make(map[peer.ID]bool),
		gone: make(map[peer.ID]bool), waiting: make(map[peer.ID]bool),
	}
}

// opened notes a connection and returns those that there were before to the same peer. The cancel function is called
// when it closes. It reports false for a connection that is known.
func (e *presence) opened(c network.Conn, cancel context.CancelFunc) (others []network.Conn, isNew bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, ok := e.conns[c]; ok {
		return nil, false
	}
	id := c.RemotePeer()
	if e.count[id] > 0 {
		for o := range e.conns {
			if o.RemotePeer() == id {
				others = append(others, o)
			}
		}
	}
	e.conns[c] = cancel
	e.count[id]++
	if e.count[id] == 1 {
		e.enqueueLocked(id)
	}
	return others, true
}

// closed notes that a connection has ended. It reports whether there are others with the peer.
func (e *presence) closed(c network.Conn) (others bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	cancel, ok := e.conns[c]
	if !ok {
		return false
	}
	cancel()
	delete(e.conns, c)
	id := c.RemotePeer()
	if e.count[id]--; e.count[id] == 0 {
		delete(e.count, id)
		e.gone[id] = true
		e.enqueueLocked(id)
		return false
	}
	return true
}

func (e *presence) enqueueLocked(id peer.ID) {
	if !e.waiting[id] {
		e.waiting[id] = true
		e.queue = append(e.queue, id)
	}
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// next returns what is to be told of the peer that has waited longest.
func (e *presence) next() (id peer.ID, down, up, ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.queue) == 0 {
		return "", false, false, false
	}
	id = e.queue[0]
	e.queue = e.queue[1:]
	delete(e.waiting, id)
	is, was := e.count[id] > 0, e.told[id]
	down = was && (!is || e.gone[id])
	up = is && (!was || down)
	delete(e.gone, id)
	if is {
		e.told[id] = true
	} else {
		delete(e.told, id)
	}
	return id, down, up, true
}

// deliverLoop tells h until ctx ends.
func (e *presence) deliverLoop(ctx context.Context, up, down func(peer.ID)) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-e.wake:
		}
		for ctx.Err() == nil {
			id, isDown, isUp, ok := e.next()
			if !ok {
				break
			}
			if isDown {
				down(id)
			}
			if isUp {
				up(id)
			}
		}
	}
}
