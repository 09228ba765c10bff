package engine

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/castd/castd/engine/wire"
	"github.com/castd/castd/tree"
)

// setFeedsLoop takes the router's parent and backup. What the former parent sends is taken for a while, and its hop is kept: one that
// says goodbye feeds on until there is another. One that was lost while that is so, or before it sent anything, is no former parent: the
// one before still is.
func (r *Room) setFeedsLoop(primary, backup peer.ID) {
	l := r.links.Load()
	if primary == l.primary {
		r.relinkLoop(func(l *links) { l.backup = backup })
		return
	}
	now := time.Now()
	previous, until, gone := l.primary, now.Add(farewell), primary == "" // else the router tells it when the new one feeds
	if l.primary == "" || now.Before(l.previousUntil) && (l.awaits.Load() || primary == "" && l.previousGone) {
		previous, until, gone = l.previous, l.previousUntil, l.previousGone
	}
	dropped, video := l.previous, r.picturesFlow(now)
	r.relinkLoop(func(l *links) {
		l.previous, l.previousUntil, l.previousGone, l.primary, l.backup = previous, until, gone, primary, backup
		l.awaits = new(atomic.Bool)
		l.awaits.Store(true)
		l.awaitsVideo = video
	})
	if dropped != "" && dropped != previous {
		r.tell(func() { r.releaseFormerLoop(dropped) })
	}
	r.releaseAtLoop(previous, until)
	r.retryLoop()
}

// picturesFlow reports whether there has been video in the last half second.
func (r *Room) picturesFlow(now time.Time) bool {
	return slices.ContainsFunc(*r.all.Load(), func(s *stream) bool {
		return s.kind == wire.KindVideo && now.Sub(time.Unix(0, s.newestAt.Load())) < 500*time.Millisecond
	})
}

// fedLoop notes the first packet of a parent. A former one that has gone, or is waiting to go, is needed no longer.
func (r *Room) fedLoop(by peer.ID) {
	r.step(tree.Fed{Peer: tree.ID(by)})
	l, soon := r.links.Load(), time.Now().Add(lastOnes)
	if l.primary == by && l.previousGone && soon.Before(l.previousUntil) {
		r.relinkLoop(func(l *links) { l.previousUntil = soon })
		r.releaseAtLoop(l.previous, soon)
	}
}

// releaseAtLoop closes the hop to a former parent when its time is over.
func (r *Room) releaseAtLoop(id peer.ID, at time.Time) {
	if id == "" {
		return
	}
	time.AfterFunc(time.Until(at)+time.Millisecond, func() {
		if r.ctx.Err() == nil {
			r.tell(func() { r.releaseFormerLoop(id) })
		}
	})
}

// releaseFormerLoop closes the hop to a former parent, unless the router has asked for it again meanwhile.
func (r *Room) releaseFormerLoop(id peer.ID) {
	if r.unneeded[id] {
		delete(r.unneeded, id)
		r.e.releaseHop(id)
	}
}

// lastOnes is how long a former parent that wants to go is kept, once another one feeds: its last packets come by then, and so does it
// show whether the other one stays.
const lastOnes = 400 * time.Millisecond

// retryLoop asks the new parent for what is missing. It sends everything since what this peer has by itself; only what has not
// come by then, or was lost on the way, is asked for.
func (r *Room) retryLoop() {
	now := time.Now()
	l := r.links.Load()
	for _, s := range *r.all.Load() {
		if s.local || l.stage[s.author] {
			continue
		}
		s.mu.Lock()
		s.repair.Retry(now)
		s.repair.Hold(now.Add(resumeTime))
		s.mu.Unlock()
		s.gaps.Store(true)
	}
	r.e.repairer.wake()
}

// farewell is how long what a former parent sent may be on its way.
const farewell = time.Second

// resumeTime is how long a new parent may take to send what was missed.
const resumeTime = 120 * time.Millisecond
