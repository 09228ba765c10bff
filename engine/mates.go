package engine

import (
	"context"
	"maps"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// mates are other peers that this one exchanges participants' packets with: of a conference of a few, and of one with several mixers. The
// room's goroutine owns them.
type mates map[peer.ID]*mate

// mate is one of them.
type mate struct {
	since   time.Time // when it was reached last; before that, when it came
	reached bool      // it was
	dialing *atomic.Bool
}

const (
	// mateSilence is how long another peer may be silent, which tells twice a second that it lives.
	mateSilence = 1500 * time.Millisecond
	// matePatience is how long the first hop to one may take, and mateGrace how long it may be away afterwards.
	matePatience = 3 * time.Second
	mateGrace    = time.Second
)

// matesLoop keeps hops to these peers, and no others.
func (r *Room) matesLoop(of *mates, peers []peer.ID, now time.Time) {
	old, next := *of, make(mates)
	for _, id := range peers {
		switch {
		case id == r.e.self || id == "" || next[id] != nil:
		case old[id] != nil:
			next[id] = old[id]
		default:
			next[id] = &mate{since: now, dialing: new(atomic.Bool)}
		}
	}
	*of = next
	if !maps.Equal(old, next) {
		r.relinkLoop(nil)
	}
	for id := range old {
		if next[id] == nil {
			r.e.releaseHop(id)
		}
	}
	r.reachLoop(next, now)
}

// matesNow returns all of them.
func (r *Room) matesNow() mates {
	all := make(mates)
	if r.direct != nil {
		maps.Copy(all, r.direct.mates)
	}
	maps.Copy(all, r.mixMates)
	return all
}

// reachLoop opens hops to those to whom there are none.
func (r *Room) reachLoop(all mates, now time.Time) {
	for id, m := range all {
		if hop := r.e.hop(id); hop != nil {
			if silentFor(hop, now) < mateSilence {
				m.since, m.reached = now, true
			}
			continue
		}
		r.expect(id)
		if m.dialing.Swap(true) {
			continue
		}
		r.done.Go(func() {
			defer m.dialing.Store(false)
			ctx, cancel := context.WithTimeout(r.ctx, seatPatience)
			defer cancel()
			if _, err := r.e.transport.Dial(ctx, id); err != nil {
				r.e.log.Debug("cannot reach a peer of the conference", "peer", id, "err", err)
				return
			}
			r.tell(func() {
				now := time.Now()
				r.reachLoop(mates{id: m}, now)
				r.reportPlanLoop(now)
				r.reportFurtherLoop(now)
			})
		})
	}
}

// missing reports whether a peer cannot be reached.
func (m *mate) missing(now time.Time) bool {
	if m.reached {
		return now.Sub(m.since) >= mateGrace
	}
	return now.Sub(m.since) >= matePatience
}
