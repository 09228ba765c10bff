package tree

import (
	"slices"
	"time"
)

// link is what is known of a parent or backup.
type link struct {
	peer  ID
	nonce uint64
	kind  ChildKind     // what this peer is to it
	path  []ID          // its own, itself last; nil while it has none
	seq   uint64        // of path
	since instant       // confirmed
	alive instant       // last packet of any kind
	ended instant       // its process seemed to have ended: what was heard before then says nothing
	delay time.Duration // from the origin to it
	rtt   time.Duration // 0: not measured

	quality   int     // of a backup
	copy      Copy    // what a backup sends
	suspect   bool    // silent; still fed from should it come back
	full      instant // a backup: when it had no room for this peer any more
	displaced bool    // it asked to find another place
	pathless  instant // since when path is nil
	patience  time.Duration
	unfed     instant // since when its pulses say that it does not feed this peer; zero if it does
	confirmed instant // when the confirmation was repeated last
	pulse     Pulse
	pulseAt   instant
}

// atOrigin tells whether a peer is the origin, as far as this peer's path tells.
func (r *Router) atOrigin(p ID) bool { return len(r.path) > 0 && r.path[0] == p }

// updatePath derives this peer's path from its parent's. Everything that changes the one calls it.
func (r *Router) updatePath() {
	var path []ID
	switch {
	case r.origin:
		path = []ID{r.cfg.Self}
	case r.parent != nil && (!r.parent.suspect || r.hedged()) && r.parent.path != nil:
		path = append(slices.Clip(r.parent.path), r.cfg.Self)
	}
	if slices.Equal(path, r.path) {
		return
	}
	r.path = path
	if path != nil {
		r.cache.keep = path[0]
	}
	r.pathSeq++
	if path == nil {
		r.cancel(r.spareSeek)
		return
	}
	r.recheckBackup()
}

// takeParent places this peer below l.
func (r *Router) takeParent(s *search, l *link) {
	old := r.parent
	r.parent = l
	r.moved = s.reason
	r.alone = false
	if r.backup != nil && r.backup.peer == l.peer {
		r.backup = nil
	}
	r.cancel(s)
	if sp := r.spareSeek; sp != nil {
		if i := sp.attempt(l.peer); i >= 0 {
			sp.attempts = slices.Delete(sp.attempts, i, i+1)
		}
		r.cancel(sp)
	}
	switch {
	case old == nil || old.peer == l.peer:
	case old.suspect || old.path == nil:
		r.send(old.peer, &MsgLeave{Reason: LeaveMoved})
	default:
		r.part(old)
	}
	r.updatePath()
	r.recheckBackup()
	r.spareAt = r.now.Add(spread(r.cfg.Settle, r.rng))
	r.spareTries = 0
	if l.kind == Ordinary {
		r.improveAt = r.now.Add(r.cfg.Dwell + spread(r.cfg.LookEvery/2, r.rng))
	} else {
		r.improveAt = r.now.Add(r.cfg.Dwell + spread(r.cfg.Dwell, r.rng)/2)
	}
	r.improveTries = 0
}

// lose ends the tie to the parent and looks for another, those in prefer first.
func (r *Router) lose(reason string, prefer []ID) {
	p := r.parent
	r.parent = nil
	if r.goBack() {
		return
	}
	r.updatePath()
	r.repair(reason, p, prefer)
}

// repair looks for a new parent at once, the old one being lost or silent, or where lost is nil having no room: at the backup, and in
// parallel at the two best candidates known. A search under way goes on as an urgent one.
func (r *Router) repair(reason string, lost *link, prefer []ID) {
	s := r.seek
	switch {
	case s == nil:
		s = &search{kind: Orphan}
		r.seek = s
	case s.direct && s.retryAt.IsZero():
		s.reason = reason
		return
	}
	if !s.urgent {
		s.began = r.now
	}
	s.look = false
	s.kind, s.reason, s.urgent, s.direct, s.prefer, s.rounds = Orphan, reason, true, true, prefer, 0
	s.avoid, s.retryAt, s.asks, s.window, s.blind = nil, 0, nil, 0, 0
	if lost != nil {
		s.avoid, s.headless = []ID{lost.peer}, len(lost.path) == 2
	}
	s.width = 1 + hedges
	if b := r.backup; b != nil && b.path != nil && s.attempt(b.peer) < 0 && (lost == nil || b.peer != lost.peer) {
		if r.full(b) {
			s.asks = append(s.asks, ask{peer: b.peer, key: keyOf(b.peer)})
		} else if _, up := r.hops[b.peer]; up {
			s.asks = append(s.asks, ask{peer: b.peer, key: keyOf(b.peer)})
			r.join(s, b.peer, 0)
		}
	}
	for _, c := range r.next(s, max(0, s.width-len(s.attempts))) {
		s.asks = append(s.asks, ask{peer: c.Peer, key: keyOf(c.Peer)})
		r.join(s, c.Peer, 0)
	}
	if r.joined { // those that were asked may be dead or full as well, and who waits for them first finds the next ones late
		r.probe(s)
	}
}

// seekPlace looks for a parent without haste.
func (r *Router) seekPlace(kind ChildKind, reason string, prefer []ID) {
	r.cancel(r.seek)
	r.seek = &search{kind: kind, reason: reason, width: 1, prefer: prefer}
}

// searchEnded notes that a search that was not needed has found nothing; the next one comes later and later.
func (r *Router) searchEnded(s *search) {
	if s.spare() {
		r.spareTries++
		shortest, longest := r.cfg.Settle, maxSpareGap
		if r.backup != nil { // only a better one is wanted
			shortest, longest = r.cfg.Dwell, 4*longest
		}
		r.spareAt = r.now.Add(backoff(r.spareTries, shortest, longest, r.rng))
		return
	}
	r.improveTries++
	if s.look {
		r.improveAt = r.now.Add(backoff(r.improveTries, r.cfg.LookEvery, 8*r.cfg.LookEvery, r.rng))
		return
	}
	r.improveAt = r.now.Add(backoff(r.improveTries, r.cfg.Dwell, maxSpareGap, r.rng))
}

// maxSpareGap is the longest pause between two searches for a better place or backup.
const maxSpareGap = 30 * time.Second

// heardFrom notes that a peer was alive at t. A time to come that was named before gives way to any that is named by a caller
// afterwards (takeBack), but not to the arrival of a message.
func (r *Router) heardFrom(peer ID, t instant, takeBack bool) {
	news := func(old instant) bool { return t.After(old) || takeBack && old.After(r.now) && t.Before(old) }
	if c := r.child(peer); c != nil && news(c.alive) && t.After(c.ended) {
		if t.Before(c.alive) {
			r.changed()
		}
		c.alive = t
	}
	if b := r.backup; b != nil && b.peer == peer && news(b.alive) {
		b.alive = t
	}
	if p := r.parent; p != nil && p.peer == peer && news(p.alive) && t.After(p.ended) {
		p.alive = t
		if p.suspect && r.now.Sub(t) < r.cfg.PulseSilence { // false alarm: stay
			p.suspect = false
			if p.path != nil {
				r.cancel(r.seek)
			}
			r.updatePath()
		}
	}
}

// recvPulse takes what a parent, backup or child tells on the hop.
func (r *Router) recvPulse(p Pulse) {
	r.heardFrom(p.From, r.now, false)
	if b := r.backup; b != nil && b.peer == p.From {
		b.pulse, b.pulseAt = p, r.now
	}
	c := r.child(p.From)
	if c != nil {
		if c.aggregate(p) {
			r.changed()
		}
		r.boasted(c)
		if p.RTT > 0 {
			c.rtt = clampDelay(p.RTT)
		}
	}
	if c != nil && c.confirmed && p.Depth != len(r.path) && c.kind != Backup && r.now.Sub(c.pathAt) >= r.cfg.AdvertGap {
		r.sendPath(c, namedAgain)
	}
	if r.isFormer(p.From) {
		r.former.pulse, r.former.pulseAt = p, r.now
	}
	l := r.parent
	if l == nil || l.peer != p.From {
		return
	}
	l.pulse, l.pulseAt = p, r.now
	if p.RTT > 0 {
		l.rtt = clampDelay(p.RTT)
	}
	switch {
	case p.OriginAge >= islandLimit && !p.Repairing && r.now.Sub(l.since) >= islandLimit:
		r.cache.failed(r.now, l.peer)
		r.send(l.peer, &MsgLeave{Reason: LeaveMoved})
		r.lose(ReasonRepair, nil)
	case p.Feeding:
		l.unfed = 0
	case l.unfed.IsZero():
		l.unfed = r.now
	case r.now.Sub(l.unfed) >= unfedLimit:
		r.send(l.peer, &MsgLeave{Reason: LeaveMoved})
		r.lose(ReasonRepair, nil)
	case r.now.Sub(l.since) >= unfedLimit/2 && r.now.Sub(l.confirmed) >= unfedLimit/2:
		l.confirmed = r.now
		r.send(l.peer, &MsgConfirm{Nonce: l.nonce}) // it may not have got the first
	}
}

// islandLimit is how long a parent may go on sending pulses without news of the origin's clock, unless it says that it repairs its
// own place: it is cut off and does not know, or in a loop that the paths did not show. Pulses beside media come twice a second.
const islandLimit = 3 * time.Second

// unfedLimit is how long a parent may say that it does not feed this peer.
const unfedLimit = time.Second

// stalled tells whether a backup gets media while the parent, whose pulses come, does not: a peer above it hangs, or it
// withholds them.
func stalled(now instant, parent, backup *link) bool {
	const fresh, old, recent = 2 * time.Second, time.Second, 500 * time.Millisecond
	return parent != nil && backup != nil && !parent.pulseAt.IsZero() && !backup.pulseAt.IsZero() &&
		now.Sub(parent.pulseAt) < fresh && now.Sub(backup.pulseAt) < fresh &&
		!parent.pulse.Repairing && !backup.pulse.Repairing &&
		parent.pulse.MediaAge > old && backup.pulse.MediaAge < recent && now.Sub(parent.since) > fresh
}

// recvPath takes a new path of a parent or backup.
func (r *Router) recvPath(from ID, m *MsgPath) {
	path := goodPath(from, m.Path)
	for _, s := range r.searches() {
		if s == nil {
			continue
		}
		if i := s.attempt(from); i >= 0 && s.attempts[i].accepted != nil && m.PathSeq > s.attempts[i].accepted.PathSeq {
			if !r.fits(s, from, path) {
				r.fail(s, i, LeaveLoop)
				return
			}
			a := *s.attempts[i].accepted
			a.Path, a.PathSeq = path, m.PathSeq
			s.attempts[i].accepted = &a
		}
	}
	r.merge(clampCandidates(r.cfg.Self, m.Candidates))
	switch {
	case r.parent != nil && r.parent.peer == from:
		if m.PathSeq < r.parent.seq {
			return
		}
		r.parent.delay = clampDelay(m.Delay)
		r.parentPath(path, m.PathSeq)
	case r.backup != nil && r.backup.peer == from:
		if m.PathSeq >= r.backup.seq {
			r.backup.path, r.backup.seq, r.backup.delay = path, m.PathSeq, clampDelay(m.Delay)
			r.recheckBackup()
			r.askBackup()
		}
	case r.isFormer(from):
		if m.PathSeq >= r.former.seq {
			r.former.path, r.former.seq, r.former.delay = path, m.PathSeq, clampDelay(m.Delay)
		}
	default:
		if s, _ := r.attemptAt(from); s == nil {
			r.send(from, &MsgLeave{Reason: LeaveMoved}) // it takes this peer for its child
		}
	}
}

// attemptAt returns the search that has an attempt at a peer.
func (r *Router) attemptAt(peer ID) (*search, int) {
	for _, s := range r.searches() {
		if s != nil {
			if i := s.attempt(peer); i >= 0 {
				return s, i
			}
		}
	}
	return nil, -1
}

func (r *Router) parentPath(path []ID, seq uint64) {
	p := r.parent
	p.seq = seq
	if slices.Contains(path, r.cfg.Self) { // a loop: two peers moved below each other at once
		r.send(p.peer, &MsgLeave{Reason: LeaveLoop})
		r.lose(ReasonRepair, nil)
		return
	}
	if len(path) > r.cfg.MaxDepth {
		path = nil // too deep: look elsewhere, but stay until there is another place
	}
	if path == nil && p.path != nil {
		p.pathless = r.now
		p.patience = r.cfg.Patience + spread(r.cfg.Patience, r.rng)
	}
	had := p.path != nil
	p.path = path
	if path != nil && !had && !p.suspect && r.seek != nil && r.seek.reason == ReasonRepair {
		r.cancel(r.seek)
	}
	r.updatePath()
}
