package tree

import "slices"

// The backup is a second parent whose hop is open and idle, and whose path shares no peer with this one's, so that what breaks the
// one spares the other. It is looked for once a place has settled, checked whenever a path changes, and replaced
// when a better one may be had.

// bestQuality is that of a backup whose path is disjoint.
const bestQuality = 3

func (r *Router) takeBackup(s *search, l *link) {
	if old := r.backup; old != nil && old.peer != l.peer {
		r.send(old.peer, &MsgLeave{Reason: LeaveMoved})
	}
	r.backup = l
	l.quality = 1
	r.cancel(s)
	r.spareTries = 0
	r.spareAt = r.now.Add(spread(maxSpareGap, r.rng))
	r.recheckBackup() // paths may have changed while the hop was opened
}

// dropBackup ends the tie to the backup; with a reason, it is told.
func (r *Router) dropBackup(reason string) {
	b := r.backup
	r.backup = nil
	if s := r.seek; s != nil {
		if i := s.attempt(b.peer); i >= 0 {
			r.fail(s, i, reason)
			reason = ""
		}
	}
	if reason != "" {
		r.send(b.peer, &MsgLeave{Reason: reason})
	}
	r.spareAt = r.now.Add(spread(r.cfg.Settle, r.rng))
	r.spareTries = 0
}

// recheckBackup judges the backup by the present paths. While either side has none, the old verdict stands.
func (r *Router) recheckBackup() {
	b := r.backup
	if b == nil || r.path == nil || r.parent == nil || b.path == nil {
		return
	}
	q := spareQuality(r.cfg.Self, r.parent.peer, r.path, b.path)
	if q == 0 {
		r.dropBackup(LeaveMoved)
		return
	}
	if q < b.quality { // most paths that change do so more than once, as moves go on above and below, and many come apart again
		r.spareTries = 0
		r.spareAt = r.now.Add(spread(r.cfg.Dwell, r.rng))
	}
	b.quality = q
}

// wantBackup tells whether to look for a backup, or for a better one.
func (r *Router) wantBackup() bool {
	return r.path != nil && r.parent != nil && r.spareSeek == nil && r.seek == nil &&
		(r.backup == nil || r.backup.quality < bestQuality || r.exposed())
}

// exposed tells whether others are below this peer and would miss video with it: its backup has no slot to send it to this peer as well.
func (r *Router) exposed() bool {
	return r.backup != nil && r.backup.copy != CopyAll && r.share < 1 && r.below() > 0
}

// improves tells whether a peer is a better backup than the one there is, by the quality of its path and its slots to spare.
func (r *Router) improves(quality int, spare uint32) bool {
	b := r.backup
	return b == nil || quality > b.quality || quality == b.quality && spare > 0 && r.exposed()
}

// backupTimers looks for a backup when it is time.
func (r *Router) backupTimers() {
	if r.wantBackup() && !r.now.Before(r.spareAt) {
		r.spareSeek = &search{kind: Backup, reason: ReasonOptimize, width: 1}
	}
}

// askBackup asks the backup, whose path was broken too and is not any more, for a place.
func (r *Router) askBackup() {
	b, s := r.backup, r.seek
	if b == nil || b.path == nil || r.full(b) || s == nil || s.kind != Orphan || !s.urgent || s.attempt(b.peer) >= 0 || slices.Contains(s.avoid, b.peer) {
		return
	}
	if _, up := r.hops[b.peer]; up && r.fits(s, b.peer, b.path) {
		r.join(s, b.peer, 0)
	}
}
