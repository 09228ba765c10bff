package engine

import (
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/castd/castd/tree"
)

// A path begins at the room's hub, whose beacons are signed. A parent may say something else of its own, and pass that on to all
// below it: they do not know how far from the origin they are, nor whether two ways lead over the same peers.
//
// Nothing else in a path tells which of two hubs is the newer one, and nothing has to. A path that carried the hub's term as well would
// say the same again: of two hubs the beacons decide, whose terms are signed and which reach everybody by gossip and down the tree, and
// a path's first id names one of them. The hub of the older term steps down when it hears of the other, has no path from then on, and
// those below it are told so at once, in order, by the numbers that each link's paths bear; one that does not step down is left here. A
// hub that comes back under its own id had no children that take an old path for a new one: they lost it together with their hop, and
// whoever is cut off without noticing sees that the origin's clock stands still (tree, islandLimit).

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
