package gossip

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
)

const (
	// resyncPause is how long gossipsub has to come to an understanding with a peer by itself. The peer of the two whose id is the
	// greater waits half as long again, so that they do not both make the connection anew at once.
	resyncPause = time.Second
	// maxResyncRounds bounds how often a connection is made again; each time it has twice as long as the last.
	maxResyncRounds = 4
	// maxResyncs bounds the peers that are looked after by resync at once.
	maxResyncs = 256
)

// resync sees to a peer with which there were two connections, of which one has closed, as happens when a peer was killed and
// started again, or both have dialled. Gossipsub may be left without the peer for as long as the other connection lasts, in one
// of several ways: it opens its new stream on the connection that is just closing, and does not try again; it forgets with the old
// stream what the peer has subscribed to, which the peer has no reason to say again; or it does so after the peer has said it on
// the new one. So the connection is made again. forgotten says that subscriptions of the peer were forgotten.
func (p *Plane) resync(id peer.ID, forgotten bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if before, running := p.resyncing[id]; running {
		p.resyncing[id] = before || forgotten
		return
	}
	if p.closed || len(p.resyncing) >= maxResyncs {
		return
	}
	p.resyncing[id] = forgotten
	p.wg.Go(func() {
		p.resyncLoop(id)
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.resyncing, id)
	})
}

// resyncLoop makes the connection to a peer again until gossip flows on it.
func (p *Plane) resyncLoop(id peer.ID) {
	pause := resyncPause
	if id < p.id {
		pause += pause / 2
	}
	for range maxResyncRounds {
		if !p.pause(pause) || p.host.Network().Connectedness(id) != network.Connected {
			return
		}
		p.mu.Lock()
		forgotten := p.resyncing[id]
		p.resyncing[id] = false // what is forgotten with the connection that is closed here comes again with the next
		p.mu.Unlock()
		if p.gossips(id) && !(forgotten && !p.topics.filter.knows(id)) {
			return
		}
		p.log.Debug("connect again to gossip", "peer", id)
		p.host.Network().ClosePeer(id)
		ctx, cancel := context.WithTimeout(p.ctx, dialTimeout)
		err := p.Connect(ctx, peer.AddrInfo{ID: id})
		cancel()
		if err != nil {
			p.log.Debug("peer is not in reach", "peer", id, "reason", dialReason(err))
			return
		}
		pause *= 2
	}
}

// gossips reports whether gossipsub has a stream to a connected peer, and knows the subscriptions that came from there.
func (p *Plane) gossips(id peer.ID) bool {
	supported, err := p.host.Peerstore().GetProtocols(id)
	if err != nil || !slices.ContainsFunc(supported, isGossip) {
		return true // nothing that could be mended
	}
	if !slices.ContainsFunc(p.host.Network().ConnsToPeer(id), hasGossipStream) || !slices.Contains(p.topics.ps.ListPeers(""), id) {
		return false
	}
	for _, topic := range p.topics.filter.of(id) {
		if !slices.Contains(p.topics.ps.ListPeers(topic), id) {
			return false
		}
	}
	return true
}

func hasGossipStream(c network.Conn) bool {
	return slices.ContainsFunc(c.GetStreams(), func(s network.Stream) bool {
		return s.Stat().Direction == network.DirOutbound && isGossip(s.Protocol())
	})
}

// isGossip reports whether a protocol is a version of gossipsub's.
func isGossip[P ~string](id P) bool { return strings.HasPrefix(string(id), "/meshsub/") }
