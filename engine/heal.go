package engine

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/proto"

	"github.com/castd/castd/engine/wire"
)

// When a network falls apart and comes together again, gossip overlays stay apart: each part is whole, and nobody in it has a reason
// to look for somebody else. So every peer that gives slots, or may be the hub, from time to time dials one that it has met in this
// room and is not connected to any more, and asks what it knows of the room. The connection alone joins the overlays; where the other
// follows another hub, each side is told of the other's at once, and the hub of the older term yields. The gateway's bootstrap peers
// are dialled again by the control plane itself.

const (
	// healEvery is the mean time between two looks, +-50 %: two parts of ten such peers find each other within seconds.
	healEvery = 10 * time.Second
	healDial  = 4 * time.Second
	// metFor is how long a peer is worth a look that was not heard of.
	metFor = time.Hour
)

// healLoop looks for another part of the room when it is time.
func (r *Room) healLoop(now time.Time) {
	if r.healAt.IsZero() {
		r.healAt = now.Add(healSpread())
		return
	}
	if now.Before(r.healAt) || r.leaving || !r.inTree {
		return
	}
	r.healAt = now.Add(healSpread())
	r.e.mu.Lock()
	gives := r.e.slots > 0
	r.e.mu.Unlock()
	if !gives && !r.stands.ready {
		return
	}
	connected := r.e.control.Connected()
	var lost []peer.ID
	for _, id := range sortedKeys(r.acquainted) {
		switch since := now.Sub(r.acquainted[id].last); {
		case since > metFor:
			delete(r.acquainted, id)
		case !slices.Contains(connected, id):
			lost = append(lost, id)
		}
	}
	if len(lost) == 0 {
		return
	}
	id := lost[rand.IntN(len(lost))]
	r.e.metrics.heals.Add(1)
	r.done.Go(func() {
		ctx, cancel := context.WithTimeout(r.ctx, healDial)
		defer cancel()
		if err := r.e.control.Connect(ctx, peer.AddrInfo{ID: id}); err != nil {
			return // it has gone, as far as one can tell
		}
		r.compare(ctx, id)
	})
}

func healSpread() time.Duration { return healEvery/2 + rand.N(healEvery) }

// compare asks a peer what it knows of the room, and tells the room of the other's hub where that is another one.
func (r *Room) compare(ctx context.Context, id peer.ID) {
	told, err := r.e.askRoom(ctx, id, &wire.RoomQuery{Room: string(r.id), Chain: r.shownChain()})
	if err != nil {
		return // there is a next time
	}
	for _, f := range told {
		if f.refused != "" || f.rec.ID != r.id || f.beacon == nil {
			continue
		}
		r.postKeys(f)
		m, err := wire.OpenEnvelope(f.beacon, time.Now())
		if err != nil || m.Type != wire.Type_BEACON || m.Room != r.id {
			continue
		}
		var b wire.Beacon
		if proto.Unmarshal(m.Body, &b) != nil {
			continue
		}
		r.post(func() {
			own := r.beacon.Load()
			if own == nil || own.env == nil || string(own.hub) == string(b.Hub) {
				r.beaconLoop(m, f.beacon, f.heard)
				return
			}
			r.e.log.Info("another part of the room was found", "room", r.id, "peer", id, "hub", peer.ID(b.Hub))
			// Both sides hear of both hubs. What is repeated is signed by the hub itself.
			r.broadcastLoop(own.env, false)
			r.broadcastLoop(f.beacon, false)
			r.beaconLoop(m, f.beacon, f.heard)
			r.offer(f.candidates)
		})
	}
}
