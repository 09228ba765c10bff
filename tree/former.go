package tree

import (
	"slices"
	"time"
)

// A move misses nothing: the former parent is told only when the first media of the new one has come, and sends on until then. It is
// also who to go back to where the new one does not send what the former has, or is lost before it does.

// formerFor is how long the former parent is kept at most: where nothing is live, no media comes.
const formerFor = time.Second

// part keeps the parent that was left for another.
func (r *Router) part(old *link) {
	r.depart()
	r.former, r.formerUntil = old, r.now.Add(formerFor)
}

// depart tells the former parent.
func (r *Router) depart() {
	if f := r.former; f != nil {
		r.former = nil
		r.send(f.peer, &MsgLeave{Reason: LeaveMoved})
	}
}

// isFormer tells whether a peer is the former parent, which sends on.
func (r *Router) isFormer(peer ID) bool { return r.former != nil && r.former.peer == peer }

// fedBy takes the first media of a parent.
func (r *Router) fedBy(peer ID) {
	if r.parent != nil && r.parent.peer == peer {
		r.depart()
	}
}

// formerTimer ends the wait. Where the former parent has media and the new one has sent none, the new one is given up.
func (r *Router) formerTimer() {
	f := r.former
	if f == nil || r.now.Before(r.formerUntil) {
		return
	}
	const recent = formerFor / 2 // 0 is also said by one that never had any
	if p := r.parent; p != nil && f.pulse.Feeding && f.pulseAt.After(p.since) && f.pulse.MediaAge > 0 && f.pulse.MediaAge < recent && r.now.Sub(p.since) >= formerFor {
		r.cache.failed(r.now, p.peer)
		r.send(p.peer, &MsgLeave{Reason: LeaveMoved})
		r.lose(ReasonRepair, nil)
		return
	}
	r.depart()
}

// goBack returns to the former parent where the new one is lost, and tells whether it could.
func (r *Router) goBack() bool {
	f := r.former
	if f == nil || f.path == nil || slices.Contains(f.path, r.cfg.Self) || r.distrusted(f.peer) || r.child(f.peer) != nil {
		return false
	}
	r.former = nil
	r.cancel(r.seek)
	f.alive = r.now
	r.parent, r.moved = f, ReasonRepair
	r.updatePath()
	r.recheckBackup()
	r.improveAt = r.now.Add(r.cfg.Dwell + spread(r.cfg.Dwell, r.rng))
	return true
}
