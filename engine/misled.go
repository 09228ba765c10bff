package engine

import (
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/castd/castd/tree"
)

// A path begins at the room's hub, whose beacons are signed. A parent may say something else of its own, and pass that on to all
// below it: they do not know how far from the origin they are, nor whether two ways lead over the same peers.

const (
	// misledFor is how long a path may begin at somebody else: after a change of hub the new paths come a moment later.
	misledFor = 5 * time.Second
	// misledLevel is how much longer at each level, so that those next to whoever lies move first and the others need not.
	misledLevel = 3 * time.Second
	// misledShun is how long the parent is not chosen then. It may have been misled itself.
	misledShun = time.Minute
)

// misledLoop looks for another parent where the parent's path does not begin at the hub.
func (r *Room) misledLoop(now time.Time) {
	l, b := r.links.Load(), r.beacon.Load()
	path := l.place.Path
	if l.primary == "" || len(path) == 0 || b == nil || now.Sub(b.at) >= 2*idleBeacon || peer.ID(path[0]) == b.hub {
		r.misledAt = time.Time{}
		return
	}
	if r.misledAt.IsZero() {
		r.misledAt = now
	}
	if now.Sub(r.misledAt) < misledFor+time.Duration(max(len(path)-3, 0))*misledLevel {
		return
	}
	r.misledAt = now
	r.e.log.Info("parent's path does not begin at the hub: leaving it", "peer", shortID(l.primary))
	r.step(tree.Distrust{Peer: tree.ID(l.primary), Reason: "a false path", Late: true, For: misledShun})
}
