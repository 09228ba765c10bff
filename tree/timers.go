package tree

import "time"

// timers does what time alone brings. Silence is judged on ticks only, because only before a tick the caller tells when it
// heard parent and backup last.
func (r *Router) timers(tick bool) {
	if tick {
		r.silence()
	}
	if p := r.parent; p != nil {
		switch {
		case p.suspect && r.now.Sub(p.alive) >= r.cfg.ChildSilence:
			r.cache.failed(r.now, p.peer)
			r.send(p.peer, &MsgLeave{Reason: LeaveMoved})
			r.parent = nil
		case p.suspect:
		case p.path == nil && r.seek == nil && r.now.Sub(p.pathless) >= p.patience:
			r.seek = &search{kind: Orphan, reason: ReasonRepair, urgent: true, width: 1, avoid: []ID{p.peer}}
		case p.path != nil && p.displaced && r.seek == nil:
			r.seekPlace(Ordinary, ReasonDisplaced, nil)
		case p.path != nil && r.seek == nil && !r.now.Before(r.improveAt):
			r.improve()
		}
	} else if !r.origin && r.seek == nil {
		r.seek = &search{kind: Orphan, reason: ReasonRepair, urgent: true, width: 1}
	}
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
	r.updatePath()
	r.repair(ReasonRepair, p.peer, nil)
}

// broken takes a sign that a peer's process has ended: as if it had been silent for long enough already. Of a backup nothing
// follows, as its hop tells soon.
func (r *Router) broken(peer ID) {
	if p := r.parent; p != nil && p.peer == peer && !p.suspect {
		p.alive = earlier(p.alive, r.now.Add(-r.cfg.PulseSilence))
		r.suspect(p)
	}
}

// NextDeadline returns when to give Tick; false while there is nothing to wait for.
func (r *Router) NextDeadline() (time.Time, bool) {
	if r.phase != running {
		return time.Time{}, false
	}
	var d deadline
	c := &r.cfg
	if p := r.parent; p != nil {
		switch {
		case p.suspect:
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
	for _, ch := range r.children {
		if !ch.confirmed {
			d.at(ch.since.Add(c.ConfirmTimeout))
			continue
		}
		d.at(ch.alive.Add(c.ChildSilence))
		if !ch.until.IsZero() {
			d.at(ch.until)
		}
		d.at(ch.pathAt.Add(c.PathEvery))
	}
	if at, ok := r.advertAt(); ok {
		d.at(at)
	}
	return d.t, d.set
}

func (r *Router) searchDeadline(s *search, d *deadline) {
	if !s.retryAt.IsZero() {
		d.at(s.retryAt)
	}
	for _, a := range s.attempts {
		d.at(a.deadline)
	}
	for _, a := range s.asks {
		if a.waiting {
			d.at(a.sent.Add(r.cfg.JoinTimeout))
		}
	}
	if len(s.attempts) < s.width && !s.window.IsZero() && r.now.Before(s.window) {
		d.at(s.window)
	}
}

// deadline is the earliest of several times.
type deadline struct {
	t   time.Time
	set bool
}

func (d *deadline) at(t time.Time) {
	if !d.set || t.Before(d.t) {
		d.t, d.set = t, true
	}
}
