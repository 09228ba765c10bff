package engine

import (
	"maps"
	"slices"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/castd/castd/tree"
)

// Ties are the connections that tell of the end of a process (package canary): one for each hop to a parent, backup or child.

// watchFeedersLoop has it told when the process of the parent or of the backup ends. Each hop is watched once: a canary that was wrong
// says nothing more.
func (r *Room) watchFeedersLoop() {
	place := r.links.Load().place
	r.tieLoop(r.watched, []peer.ID{peer.ID(place.Parent), peer.ID(place.Backup)}, func(h *hopState) func() {
		return r.e.canary.Watch(h.Peer(), h.Stats().Remote, func() {
			r.tell(func() {
				if r.watched[h] != nil {
					r.e.metrics.broken.Add(1)
					r.step(tree.Broken{Peer: tree.ID(h.Peer())})
				}
			})
		})
	})
}

// showChildrenLoop lets the children watch this process.
func (r *Room) showChildrenLoop() {
	r.tieLoop(r.shown, slices.Collect(maps.Keys(r.links.Load().children)), func(h *hopState) func() {
		return r.e.canary.Show(h.Peer(), h.Stats().Remote, func() {
			r.tell(func() {
				if r.shown[h] != nil {
					r.step(tree.Broken{Peer: tree.ID(h.Peer())})
				}
			})
		})
	})
}

// tieLoop keeps one connection that tells of the end of a process for each of the peers that there is a hop to.
func (r *Room) tieLoop(ties map[*hopState]func(), peers []peer.ID, tie func(*hopState) func()) {
	if r.e.canary == nil {
		return
	}
	hops := make(map[*hopState]bool, len(peers))
	for _, id := range peers {
		if h := r.e.hop(id); h != nil {
			hops[h] = true
		}
	}
	for h, stop := range ties {
		if !hops[h] {
			stop()
			delete(ties, h)
		}
	}
	for h := range hops {
		if ties[h] == nil {
			ties[h] = tie(h)
		}
	}
}

func (r *Room) untieLoop() {
	for _, ties := range []map[*hopState]func(){r.watched, r.shown} {
		for _, stop := range ties {
			stop()
		}
		clear(ties)
	}
}
