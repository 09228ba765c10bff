package tree

import "time"

// timers does what time alone brings. Silence is judged on ticks only, because only before a tick the caller tells when it
// heard parent and backup last.
func (r *Router) timers(tick bool) {
	if tick {
		r.silence()
		r.decide()
	}
	if p := r.parent; p != nil {
		switch {
		case p.suspect && r.now.Sub(p.alive) >= r.cfg.ChildSilence:
			r.cache.failed(r.now, p.peer)
			r.send(p.peer, &MsgLeave{Reason: LeaveMoved})
			r.parent = nil
		case p.suspect:
		case p.path == nil && r.seek == nil && r.now.Sub(p.pathless) >= p.patience:
			r.repair(ReasonRepair, p, nil)
		case p.path != nil && p.displaced && r.seek == nil:
			r.seekPlace(Ordinary, ReasonDisplaced, nil)
		case p.path != nil && r.seek == nil && !r.now.Before(r.improveAt):
			r.improve()
		}
	} else if !r.origin && r.seek == nil {
		r.seek = &search{kind: Orphan, reason: ReasonRepair, urgent: true, began: r.now, width: 1}
	}
	r.formerTimer()
	r.backupTimers()
	r.childTimers()
}

// silence acts on a parent or backup that was not heard for too long.
func (r *Router) silence() {
	if b := r.backup; b != nil && r.now.Sub(b.alive) >= r.cfg.BackupSilence {
		r.cache.failed(r.now, b.peer)
		r.dropBackup(LeaveMoved)
	}
	p := r.parent
	if p == nil || p.suspect {
		return
	}
	if r.now.Sub(p.alive) >= r.cfg.PulseSilence {
		r.suspect(p)
		return
	}
	if stalled(r.now, p, r.backup) {
		r.send(p.peer, &MsgLeave{Reason: LeaveMoved})
		r.lose(ReasonRepair, nil)
	}
}

// suspect asks others for what the silent parent does not send.
func (r *Router) suspect(p *link) {
	p.suspect = true
	r.repair(ReasonRepair, p, nil)
	r.updatePath()
}

// deadAfter is how long a parent is silent until the backup, which feeds this peer meanwhile, takes its place.
const deadAfter = time.Second

// hedged tells whether the parent is silent and the backup has been asked to help out: until deadAfter nothing is decided. Those
// below are told nothing, as they miss nothing, and the parent is kept should it come back.
func (r *Router) hedged() bool {
	return r.parent != nil && r.parent.suspect && r.backup != nil && r.seek != nil && r.seek.attempt(r.backup.peer) >= 0 &&
		(r.held() || r.now.Sub(r.parent.alive) < deadAfter)
}

// held tells whether the backup feeds this peer in place of the silent parent.
func (r *Router) held() bool {
	if r.parent == nil || !r.parent.suspect || r.backup == nil || r.seek == nil {
		return false
	}
	i := r.seek.attempt(r.backup.peer)
	return i >= 0 && r.seek.attempts[i].accepted != nil
}

// hold leaves an accepted place at the backup unconfirmed while it helps out. Nobody else is asked meanwhile.
func (r *Router) hold(s *search, i int) {
	kept := s.attempts[i]
	for _, a := range s.attempts {
		if a.peer != kept.peer {
			r.send(a.peer, &MsgLeave{Reason: LeaveMoved})
		}
	}
	kept.deadline = later(kept.deadline, r.parent.alive.Add(2*deadAfter))
	s.attempts, s.width = append(s.attempts[:0], kept), 1
}

// decide ends the wait: the parent counts as dead.
func (r *Router) decide() {
	p, s := r.parent, r.seek
	if p == nil || !p.suspect || r.now.Sub(p.alive) < deadAfter || s == nil {
		return
	}
	r.updatePath()
	for i, a := range s.attempts {
		if _, up := r.hops[a.peer]; up && a.accepted != nil {
			r.take(s, i)
			return
		}
	}
}

// brokenFor is how much longer a child may be silent whose process seems to have ended: its place is needed, by those below it first of all.
const brokenFor = 500 * time.Millisecond

// broken takes a sign that a peer's process has ended: as if it had been silent for long enough already, or, for a child, nearly so.
func (r *Router) broken(peer ID) {
	if c := r.child(peer); c != nil {
		c.alive, c.ended = earlier(c.alive, r.now.Add(brokenFor-r.cfg.ChildSilence)), r.now
		r.changed()
	}
	if b := r.backup; b != nil && b.peer == peer { // a mistake costs a search, a dead backup the next repair
		r.cache.failed(r.now, peer)
		r.dropBackup(LeaveMoved)
	}
	if r.isFormer(peer) {
		r.depart()
	}
	if p := r.parent; p != nil && p.peer == peer && !p.suspect {
		p.alive, p.ended = earlier(p.alive, r.now.Add(-r.cfg.PulseSilence)), r.now
		r.suspect(p)
	}
}

// NextDeadline returns when to give Tick; false while there is nothing to wait for.
func (r *Router) NextDeadline() (time.Time, bool) {
	d := r.due()
	if !d.set {
		return time.Time{}, false
	}
	return r.wall(d.t), true
}

// due is what NextDeadline tells.
func (r *Router) due() (d deadline) {
	if r.phase != running {
		return d
	}
	c := &r.cfg
	if p := r.parent; p != nil {
		switch {
		case p.suspect:
			if r.path != nil {
				d.at(p.alive.Add(deadAfter))
			}
			d.at(p.alive.Add(c.ChildSilence))
		default:
			d.at(p.alive.Add(c.PulseSilence))
			if p.path == nil && r.seek == nil {
				d.at(p.pathless.Add(p.patience))
			}
			if p.path != nil && r.seek == nil {
				d.at(r.improveAt)
			}
		}
	}
	if r.former != nil {
		d.at(r.formerUntil)
	}
	if b := r.backup; b != nil {
		d.at(b.alive.Add(c.BackupSilence))
	}
	if r.wantBackup() {
		d.at(r.spareAt)
	}
	for _, s := range r.searches() {
		if s != nil {
			r.searchDeadline(s, &d)
		}
	}
	if due := r.tally().due; due.set {
		d.at(due.t)
	}
	if at, ok := r.advertAt(); ok {
		d.at(at)
	}
	return d
}

func (r *Router) searchDeadline(s *search, d *deadline) {
	if !s.retryAt.IsZero() {
		d.at(s.retryAt)
	}
	if r.now.Before(s.settle) {
		d.at(s.settle)
	}
	for i := range s.attempts {
		a := &s.attempts[i]
		d.at(a.deadline)
		if !a.late(r.now) {
			d.at(a.slow)
		}
	}
	for i := range s.asks {
		if a := &s.asks[i]; a.waiting {
			if !a.late(r.now) {
				d.at(a.slow)
			}
			d.at(a.sent.Add(r.cfg.JoinTimeout))
		}
	}
	if len(s.attempts) < s.width && !s.window.IsZero() && r.now.Before(s.window) {
		d.at(s.window)
	}
}

// deadline is the earliest of several times.
type deadline struct {
	t   instant
	set bool
}

func (d *deadline) at(t instant) {
	if !d.set || t.Before(d.t) {
		d.t, d.set = t, true
	}
}
