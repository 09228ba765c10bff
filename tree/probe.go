package tree

import (
	"slices"
	"time"
)

// Whom a search probes, and how long it waits for the answers.

// probeBetter asks those whom the answers named and who seem better than the best answer, as long as the window is open, and
// reports whether there are any. They get another window, once.
func (r *Router) probeBetter(s *search, cost time.Duration) bool {
	if s.spare() || s.direct || len(s.attempts) > 0 || s.second || s.window.IsZero() || !r.now.Before(s.window) {
		return false
	}
	for _, id := range s.prefer {
		e := r.cache.find(id)
		if e == nil || e.Free == 0 || r.now < e.walled || e.estimate(r.coord.Coord()) >= cost || s.asked(id) >= 0 || r.barred(s, id) || r.hopeless(s, e) {
			continue
		}
		if s.waiting(r.now) >= maxProbes || len(s.asks) >= s.maxAsked() {
			break
		}
		r.ask(s, e)
		s.second = true
	}
	if s.second {
		s.window = later(s.window, r.now.Add(r.cfg.ProbeWindow+r.cfg.ProbeWindow/4))
	}
	return s.second
}

// ask probes a candidate.
func (r *Router) ask(s *search, e *entry) {
	if s.reason == ReasonJoin && s.kind == Ordinary && s.settle.IsZero() {
		s.settle = r.now.Add(settleAfter)
	}
	estimate := e.estimate(r.coord.Coord())
	if s.hasty(r) {
		estimate += hasteCost(r.roundTrip(e))
	}
	a := ask{peer: e.Peer, key: keyOf(e.Peer), nonce: r.rng.Uint64(), sent: r.now, estimate: estimate, slow: r.now.Add(answerTime(r.roundTrip(e))), waiting: true}
	s.asks = append(s.asks, a)
	m := &MsgProbe{Nonce: a.nonce, Slots: uint32(r.slots), Coord: r.coord.Coord(), Terse: s.spare() || s.look}
	if s.kind == Orphan {
		m.Below = uint32(r.below())
	}
	r.send(a.peer, m)
}

// ready tells whether to stop waiting for further answers: all came, the window is over, or none is likely to be better. A backup
// is in no haste.
func (s *search) ready(now instant, cost time.Duration) bool {
	if !s.window.IsZero() && !now.Before(s.window) {
		return true
	}
	for _, a := range s.asks {
		if a.waiting && !a.late(now) && (a.estimate < cost || s.spare()) {
			return false
		}
	}
	return true
}

// waiting counts the answers to probes that are awaited.
func (s *search) waiting(now instant) int {
	n := 0
	for i := range s.asks {
		if a := &s.asks[i]; a.waiting && !a.late(now) {
			n++
		}
	}
	return n
}

// probe asks further candidates and returns how many.
func (r *Router) probe(s *search) int {
	room := min(maxProbes-s.waiting(r.now), s.maxAsked()-len(s.asks))
	if room <= 0 {
		return 0
	}
	next := r.next(s, room)
	for _, e := range next {
		r.ask(s, e)
	}
	return len(next)
}

// next returns up to n candidates that were not asked in this round, preferred ones first.
func (r *Router) next(s *search, n int) []*entry {
	skip := func(e *entry, key uint64) bool {
		return s.knows(e.Peer, key) || r.hopeless(s, e) || r.barred(s, e.Peer)
	}
	out := make([]*entry, 0, n)
	for _, id := range s.prefer {
		if e := r.cache.find(id); len(out) < n && e != nil && r.now >= e.walled && !skip(e, keyOf(id)) {
			out = append(out, e)
		}
	}
	if len(out) == n {
		return out
	}
	preferred := out
	rest := r.cache.order(r.now, r.rng, r.asker(s), n-len(out), func(e *entry, key uint64) bool {
		return slices.Contains(preferred, e) || skip(e, key)
	})
	for _, k := range rest.list[:rest.n] {
		out = append(out, k.entry)
	}
	return out
}

// hopeless tells whether a candidate is not worth a probe of a search that is not needed: one that is not better by far, or a
// backup that had no room lately or is in the branch where the primary path runs already.
func (r *Router) hopeless(s *search, e *entry) bool {
	if !s.look && (!s.spare() || r.backup == nil) {
		return false
	}
	if s.look {
		return !r.promising(e, r.cost(), r.coord.Coord())
	}
	if r.now < e.crowded {
		return true
	}
	branch := BranchOf(r.path)
	return r.backup.quality >= bestQuality-1 && branch != 0 && e.Branch == branch
}

// asker describes this peer to the cache.
func (r *Router) asker(s *search) asker {
	return asker{coord: r.coord.Coord(), slots: r.slots, branch: BranchOf(r.path), spare: s.spare(), feeds: s.spare() && r.below() > 0, urgent: s.hasty(r), headless: s.headless}
}

// barred tells whether a search has no business with a peer.
func (r *Router) barred(s *search, id ID) bool {
	if id == r.cfg.Self || r.distrusted(id) || slices.Contains(s.avoid, id) {
		return true
	}
	for _, t := range r.searches() {
		if t != nil && t.attempt(id) >= 0 {
			return true
		}
	}
	if r.parent != nil && r.parent.peer == id || r.isFormer(id) {
		return true
	}
	if s.spare() && r.backup != nil && r.backup.peer == id {
		return true
	}
	c := r.child(id)
	return c != nil && c.kind != Backup
}
