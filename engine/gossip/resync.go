package gossip

import (
	"context"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
)

// resyncPause is how long a peer has to say again what it has subscribed to.
const resyncPause = time.Second

// maxResyncs bounds the peers that are looked after by resync at once.
const maxResyncs = 64

// resync sees to a peer whose subscriptions gossipsub has forgotten. That is right when the peer has gone. But when there
// were two connections to the peer and the one that gossipsub sent on has closed, as happens when a peer was killed and
// started again, gossipsub opens a new stream on the other and expects the peer to subscribe anew, which the peer has no
// reason to do; after a few times it does not even open the stream. The peer would get no gossip for as long as the
// connection lasts. So the connection is made again.
func (p *Plane) resync(id peer.ID) {
	if p.host.Network().Connectedness(id) != network.Connected {
		return
	}
	p.mu.Lock()
	if p.closed || p.resyncing[id] || len(p.resyncing) >= maxResyncs {
		p.mu.Unlock()
		return
	}
	p.resyncing[id] = true
	p.wg.Add(1)
	p.mu.Unlock()
	go func() {
		defer p.wg.Done()
		defer func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			delete(p.resyncing, id)
		}()
		if !p.pause(resyncPause) || p.topics.filter.knows(id) || p.host.Network().Connectedness(id) != network.Connected {
			return
		}
		p.log.Debug("connect again to hear of subscriptions", "peer", id)
		p.host.Network().ClosePeer(id)
		ctx, cancel := context.WithTimeout(p.ctx, dialTimeout)
		defer cancel()
		if err := p.Connect(ctx, peer.AddrInfo{ID: id}); err != nil {
			p.log.Debug("peer is not in reach", "peer", id, "reason", dialReason(err))
		}
	}()
}
