package tree

import "time"

// Who sits on a full reserve. When a peer dies its children ask others for a place, each with all that is below it, and there may be
// less room than orphans. One with many below it comes first: where it finds no place all of them are without media, and where
// each of them looks for a place instead there is even less room. So an orphan with few below it makes room, and is named others.
//
// How many are below an orphan is its own claim, bounded by maxCounted, and twice as many are needed to take a place, so that nobody
// loses it for little and no two can take it from each other in turn. Who claims some below it and turns out to have none is not
// believed again for a while.

// maxCounted is how many peers below an orphan count: beyond it all are alike.
const maxCounted = 256

// boastFor is how long a peer that has claimed others below it, and had none, is taken to have none.
const boastFor = 5 * time.Minute

// boastAfter is the time after which a child that claimed some must have had some.
const boastAfter = 3 * time.Second

// subtree is how many peers below an orphan count.
func (r *Router) subtree(from ID, below uint32) int {
	if r.boasts.has(from, r.now) || r.doubts.has(from, r.now) {
		return 0
	}
	return int(min(below, maxCounted))
}

// smaller finds the orphan that gives its place on the reserve to one with so many below it, c being the place that one has, or nil:
// the one with the fewest, of several the newest. Who has a place already loses it at most once in Config.DisplaceGap.
func (r *Router) smaller(c *child, below int) *child {
	var v *child
	for _, o := range r.children {
		if o == c || o.kind != Orphan || !o.until.IsZero() || o.victim != "" || r.promised(o) {
			continue
		}
		if v == nil || o.below < v.below || o.below == v.below && o.since.After(v.since) {
			v = o
		}
	}
	if v == nil || below < 2*v.below+2 || v.confirmed && !r.helpsOut() && !r.displacedAt.IsZero() && r.now.Sub(r.displacedAt) < r.cfg.DisplaceGap {
		return nil
	}
	return v
}

// giveWay takes the place of an orphan on the reserve away at once, as the upload is needed for another.
func (r *Router) giveWay(v *child) {
	if v.confirmed {
		r.displacedAt = r.now
	}
	r.stand(v, r.candidates(v.asking(), maxProbes))
}

// stand takes away the place of a child that is fed. It keeps the hop and goes on hearing sound as an idle child, if another may be
// had: it has just lost a parent, most likely, and would have nothing at all until it has found a third.
func (r *Router) stand(v *child, list []Candidate) {
	if !v.confirmed && !v.fallback || v.kind == Backup || r.crowded(v) {
		r.send(v.peer, &MsgLeave{Reason: LeaveUnknown, Candidates: list})
		r.removeChild(v, "")
		return
	}
	v.kind, v.confirmed, v.fallback, v.until, v.copy = Backup, true, false, 0, CopyNone
	v.pathSeq, v.pathAt, v.repeated = r.pathSeq, r.now, false
	r.changed()
	r.send(v.peer, &MsgAccept{Nonce: v.nonce, Kind: v.kind, Path: r.path, PathSeq: r.pathSeq, Candidates: list, Delay: r.delay()})
}

// stood looks for another place where the parent has none any more and is a second parent from now on, unless there is another one.
func (r *Router) stood(m *MsgAccept) {
	l := r.parent
	l.kind, l.copy, l.path, l.seq, l.delay = Backup, m.Copy.clamp(), goodPath(l.peer, m.Path), m.PathSeq, clampDelay(m.Delay)
	l.displaced, l.suspect, l.unfed, l.full = false, false, 0, r.now
	if r.backup == nil && l.path != nil {
		r.backup = l
	} else {
		r.send(l.peer, &MsgLeave{Reason: LeaveMoved})
	}
	var prefer []ID
	for _, c := range clampCandidates(r.cfg.Self, m.Candidates) {
		prefer = append(prefer, c.Peer)
	}
	r.sentAway(prefer)
}

// full tells whether a backup has just had no room for this peer: to ask it again would be in vain.
func (r *Router) full(b *link) bool { return !b.full.IsZero() && r.now.Sub(b.full) < r.cfg.Settle }

// sentAway looks for another place where the parent lives and has no room any more: those below it, whom it has named, are as good as others.
func (r *Router) sentAway(prefer []ID) {
	if e := r.cache.find(r.parent.peer); e != nil {
		e.Free, e.seen = 0, r.now
	}
	r.parent = nil
	r.updatePath()
	r.repair(ReasonRepair, nil, prefer)
}

// boasted looks whether a child has had any below it, as it claimed when it came.
func (r *Router) boasted(c *child) {
	switch {
	case c.claimed == 0 || !c.confirmed:
	case c.below > 0:
		c.claimed = 0
	case r.now.Sub(c.since) >= boastAfter:
		c.claimed = 0
		r.boasts.add(c.peer, r.now.Add(boastFor), false)
	}
}
