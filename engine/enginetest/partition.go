package enginetest

import (
	"context"
	"slices"

	"github.com/libp2p/go-libp2p/core/peer"
)

// Split makes the network fall into parts: nobody reaches anybody in another part, and the connections between parts are lost.
func (n *Network) Split(parts ...[]*Peer) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for i, part := range parts {
		for _, other := range parts[i+1:] {
			for _, a := range part {
				for _, b := range other {
					for _, pair := range [...][2]peer.ID{{a.id, b.id}, {b.id, a.id}} {
						n.parted[pair], n.severed[pair] = true, true
					}
				}
			}
		}
	}
}

// Heal lets everybody reach everybody again. The connections that Split cut stay cut until somebody opens one: as with a real
// network, nothing tells the parts of each other.
func (n *Network) Heal() {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.parted)
}

// Connect opens a connection that Split has cut.
func (c *control) Connect(ctx context.Context, info peer.AddrInfo) error {
	if err := wait(ctx, c.net.Delay); err != nil {
		return err
	}
	o := c.peer().reach(info.ID)
	if o == nil {
		<-ctx.Done()
		return errUnreachable
	}
	c.net.mu.Lock()
	severed := c.net.severed[[2]peer.ID{c.id, o.id}]
	delete(c.net.severed, [2]peer.ID{c.id, o.id})
	delete(c.net.severed, [2]peer.ID{o.id, c.id})
	c.net.mu.Unlock()
	if severed {
		c.control.PeerUp(o.id)
		o.control.PeerUp(c.id)
	}
	return nil
}

// connectedLocked returns the peers that one has connections to, sorted.
func (n *Network) connectedLocked(id peer.ID) []peer.ID {
	var out []peer.ID
	for other := range n.peers {
		pair := [2]peer.ID{id, other}
		if other != id && !n.cut[other] && !n.cut[id] && !n.parted[pair] && !n.severed[pair] {
			out = append(out, other)
		}
	}
	slices.Sort(out)
	return out
}

// overlay returns whom gossip of a peer comes to: everybody that connections lead to, nearest first.
func (n *Network) overlay(id peer.ID) []*Peer {
	n.mu.Lock()
	defer n.mu.Unlock()
	seen := map[peer.ID]bool{id: true}
	var out []*Peer
	for next := []peer.ID{id}; len(next) > 0; next = next[1:] {
		for _, other := range n.connectedLocked(next[0]) {
			if !seen[other] {
				seen[other] = true
				out = append(out, n.peers[other])
				next = append(next, other)
			}
		}
	}
	return out
}
