package tree

import (
	"slices"
	"time"
)

// A search looks for a parent or a backup, in rounds. A round probes up to maxProbes candidates at a time, takes the best
// answer a short while after the first one came, asks that peer for a place, opens the hop, and confirms. What is refused
// brings other candidates, which are tried in the same round. A round that has nobody left to ask has failed; the next one
// follows after a pause that doubles.
//
// An urgent search (the parent is lost or silent) does not probe first: it asks the backup, whose hop is up, and the two best
// candidates at once. Whoever is confirmed first wins, the others are told.
const (
	maxProbes = 8  // waiting at a time
	maxAsked  = 32 // in a round
	maxPrefer = 16
	hedges    = 2 // cold candidates that an urgent search asks besides the backup
	maxRounds = 2 // of a search for a better place
	maxSpares = 4 // joins of a search for a backup, which has one round
	maxBlind  = 2 // joins of a round at peers that had no room: meanwhile there is some elsewhere
)

type search struct {
	kind     ChildKind
	reason   string  // for ParentChanged
	urgent   bool    // there is no path: go on until one is found
	began    instant // of an urgent one
	look     bool    // only for what is better by far (better)
	direct   bool    // the backup and the best candidates were asked without a probe
	headless bool    // a child of the origin was lost
	settle   instant // when a newcomer takes a place on a reserve as well; zero for others, and afterwards
	width    int     // attempts at a time
	prefer   []ID    // to be asked first, in this order
	avoid    []ID    // must not be in the new parent's path; dropped after the first round

	asks     []ask
	attempts []attempt
	second   bool    // those whom the answers named were asked
	window   instant // when the best answer so far is taken; zero before the first
	retryAt  instant // zero while a round runs
	rounds   int     // failed
	walls    int     // hops that did not come up
	joins    int     // sent
	blind    int     // of them in this round, to peers that had no room
}

// ask is a probe of a round. Peers that were asked for a place without a probe have one too, already used.
type ask struct {
	peer     ID
	key      uint64 // keyOf(peer)
	nonce    uint64
	sent     instant
	estimate time.Duration // of cost, by hearsay
	slow     instant       // then the answer takes longer than it should
	waiting  bool
	usable   bool
	cost     time.Duration
	reserve  time.Duration // cost of a place on its reserve; 0: there is none, or it counts already
	quality  int
}

// attempt is a join on its way.
type attempt struct {
	peer     ID
	nonce    uint64
	deadline instant
	accepted *MsgAccept // the hop is being opened
	slow     instant    // then the answer, or the hop, takes longer than it should
	sent     instant
	rtt      time.Duration // of the probe, or of the join and its answer; 0: not measured
	quality  int
}

func (s *search) attempt(peer ID) int {
	return slices.IndexFunc(s.attempts, func(a attempt) bool { return a.peer == peer })
}

func (s *search) asked(peer ID) int {
	return slices.IndexFunc(s.asks, func(a ask) bool { return a.peer == peer })
}

// knows tells whether a peer was asked in this round.
func (s *search) knows(peer ID, key uint64) bool {
	for i := range s.asks {
		if s.asks[i].key == key && s.asks[i].peer == peer {
			return true
		}
	}
	return false
}

// hasty tells whether the place is lost, so that whoever is found soonest is the best.
func (s *search) hasty(r *Router) bool { return s.urgent && r.joined }

// spare tells whether the search is for a backup.
func (s *search) spare() bool { return s.kind == Backup }

// maxAsked is how many peers a search probes in a round.
func (s *search) maxAsked() int {
	if s.spare() {
		return 2 * maxProbes
	}
	if s.look {
		return maxProbes
	}
	return maxAsked
}

// spent tells whether a search has sent as many joins as it may: those for a backup are not worth many.
func (s *search) spent() bool { return s.spare() && s.joins >= maxSpares }

// searches lists those that run.
func (r *Router) searches() [2]*search { return [2]*search{r.seek, r.spareSeek} }

// drop ends a search that is done or has no use any more.
func (r *Router) drop(s *search) {
	if s.spare() {
		r.spareSeek = nil
	} else {
		r.seek = nil
	}
}

// cancel ends a search and releases the places it asked for. A backup that was asked to feed becomes idle again.
func (r *Router) cancel(s *search) {
	if s == nil {
		return
	}
	r.drop(s)
	for _, a := range s.attempts {
		if r.backup != nil && a.peer == r.backup.peer && !s.spare() {
			r.backup.nonce = r.rng.Uint64()
			r.send(a.peer, r.joinMessage(r.backup.nonce, Backup, nil))
			continue
		}
		if !r.tiedTo(a.peer) {
			r.send(a.peer, &MsgLeave{Reason: LeaveMoved})
		}
	}
}

// tiedTo tells whether a peer is parent or backup, so that a Leave meant for a stale attempt would hit the living tie.
func (r *Router) tiedTo(p ID) bool {
	return r.parent != nil && r.parent.peer == p || r.backup != nil && r.backup.peer == p
}

// advance moves a search on as far as it goes now.
func (r *Router) advance(s *search) {
	if s == nil {
		return
	}
	r.expire(s)
	if !s.settle.IsZero() && !r.now.Before(s.settle) && r.roomElsewhere() {
		s.settleFor()
	}
	if !s.retryAt.IsZero() {
		if r.now.Before(s.retryAt) {
			return
		}
		s.retryAt, s.asks, s.window, s.second, s.blind = 0, nil, 0, false, 0
	}
	if !s.direct && !s.behindWall(r.now) && s.opening(r.now) {
		return // it has a place, and the hop is being opened
	}
	for s.room(r.now) && !s.spent() && !r.frozen(s) {
		i := r.best(s)
		if i < 0 || !s.ready(r.now, s.asks[i].cost) || r.probeBetter(s, s.asks[i].cost) {
			break
		}
		if r.barred(s, s.asks[i].peer) {
			s.asks[i].usable = false // the other search has asked it meanwhile, and of two joins at one peer only the later counts there
			continue
		}
		if s.asks[i].cost >= blindCost && (s.waiting(r.now) > 0 || r.probe(s) > 0) {
			break // only where nobody has room
		}
		if s.asks[i].cost >= blindCost {
			if s.blind == maxBlind {
				s.asks[i].usable = false
				continue
			}
			s.blind++
		}
		s.asks[i].usable = false
		r.join(s, s.asks[i].peer, s.asks[i].quality)
	}
	if !s.room(r.now) || s.pending(r.now) > 0 && !s.direct && !s.behindWall(r.now) {
		return // of those that were asked without a probe one may be dead: it must not keep the others waiting
	}
	if !s.spent() && (r.best(s) >= 0 || r.probe(s) > 0 || s.waiting(r.now) > 0) || s.busy(r.now) {
		return
	}
	r.roundFailed(s)
}

// expire gives up what was not answered in time.
func (r *Router) expire(s *search) {
	for i := range s.asks {
		a := &s.asks[i]
		if a.waiting && r.now.Sub(a.sent) >= r.cfg.JoinTimeout {
			a.waiting = false
			r.cache.failed(r.now, a.peer)
		}
	}
	for i := len(s.attempts) - 1; i >= 0; i-- {
		if a := s.attempts[i]; !r.now.Before(a.deadline) {
			if a.accepted != nil {
				s.walls++
				r.cache.unhopped(r.now, a.peer)
			} else {
				r.cache.failed(r.now, a.peer)
			}
			r.fail(s, i, LeaveMoved)
		}
	}
}

// fail ends an attempt; with a reason, the peer is told, as it may have kept a place.
func (r *Router) fail(s *search, i int, reason string) {
	a := s.attempts[i]
	s.attempts = slices.Delete(s.attempts, i, i+1)
	if r.backup != nil && r.backup.peer == a.peer && !s.spare() {
		if reason != "" { // it did not answer, so it is no backup either
			r.dropBackup(reason)
		}
		return
	}
	if reason != "" && (r.parent == nil || r.parent.peer != a.peer) {
		r.send(a.peer, &MsgLeave{Reason: reason})
	}
}

// frozen tells whether a search must not ask for places now: between accepting a child and its confirmation a parent keeps its
// own place unless it must, or two peers could move below each other at once.
func (r *Router) frozen(s *search) bool {
	if s.urgent || s.spare() {
		return false
	}
	return slices.ContainsFunc(r.children, func(c *child) bool { return !c.confirmed && c.kind != Backup })
}

// best returns the index of the best usable answer, or -1.
func (r *Router) best(s *search) int {
	best := -1
	for i, a := range s.asks {
		if a.usable && (best < 0 || a.cost < s.asks[best].cost || a.cost == s.asks[best].cost && a.peer < s.asks[best].peer) {
			best = i
		}
	}
	return best
}

// openTime is how long a hop takes that can be had at all. One in four pairs behind translators cannot be connected, which shows by
// waiting only: after that time another is asked as well, and whose hop is up first has it.
func openTime(rtt time.Duration) time.Duration { return 3*rtt + 250*time.Millisecond }

// answerTime is how long an answer takes of a peer that lives, over a connection that must be set up first. Of those that are known many
// may be dead after a failure, and who waited for each of them as long as one may take at worst would be late everywhere else.
func answerTime(rtt time.Duration) time.Duration { return 4*rtt + 200*time.Millisecond }

// late tells whether an attempt takes too long to be waited for; it may come to something all the same.
func (a *attempt) late(now instant) bool { return !now.Before(a.slow) }

// late tells whether an answer is not waited for any more; should it come, it counts.
func (a *ask) late(now instant) bool { return !now.Before(a.slow) }

// opening tells whether a hop is being opened that may come up still.
func (s *search) opening(now instant) bool {
	return slices.ContainsFunc(s.attempts, func(a attempt) bool { return a.accepted != nil && !a.late(now) })
}

// pending counts the attempts that may come to something soon.
func (s *search) pending(now instant) int {
	n := 0
	for i := range s.attempts {
		if !s.attempts[i].late(now) {
			n++
		}
	}
	return n
}

// busy tells whether an attempt is to be awaited before the round counts as failed: where the place is lost, none that is late.
func (s *search) busy(now instant) bool {
	if s.urgent {
		return s.pending(now) > 0
	}
	return len(s.attempts) > 0
}

// room tells whether another attempt may be made: as many at a time as the search is wide, and others in place of late ones: as many again
// where the place is lost, else one.
func (s *search) room(now instant) bool {
	most := s.width + 1
	switch {
	case s.spare():
		most = s.width
	case s.urgent:
		most = 2 * s.width
	}
	return len(s.attempts) < most && s.pending(now) < s.width
}

func (r *Router) roundFailed(s *search) {
	s.rounds++
	for i := range s.asks {
		if a := &s.asks[i]; a.waiting {
			r.cache.failed(r.now, a.peer)
		}
	}
	s.prefer, s.avoid = nil, nil
	if s.spare() || s.look || !s.urgent && s.rounds >= maxRounds && s.reason != ReasonDisplaced {
		r.drop(s)
		r.searchEnded(s)
		return
	}
	if s.urgent && !r.alone {
		r.alone = true
		r.notify(Alone{})
	}
	s.retryAt = r.now.Add(backoff(s.rounds, r.cfg.BackoffMin, r.cfg.BackoffMax, r.rng))
}

// heard wakes a search that pauses, because somebody new was heard of; a little later, as others have heard the same.
func (r *Router) heard(s *search) {
	if s == nil || s.retryAt.IsZero() {
		return
	}
	if len(s.asks) == 0 {
		s.retryAt = r.now // there was nobody to ask at all
		return
	}
	soon := r.now.Add(time.Duration(r.rng.Int64N(int64(r.cfg.BackoffMin)*int64(min(s.rounds, 8)) + 1)))
	if soon.Before(s.retryAt) {
		s.retryAt = soon
	}
}

// advertised shortens the pause of a search by three quarters: somebody who was known has slots that are free now, and a place. Where
// many come back to a place at once, as after the origin was started again, that is at once; where slots are short, adverts are few
// and the pauses remain.
func (r *Router) advertised(s *search, list []Candidate) {
	if s == nil || s.retryAt.IsZero() {
		return
	}
	for _, c := range list {
		if c.Free > 0 && r.now.Before(s.retryAt) {
			s.retryAt = r.now.Add(s.retryAt.Sub(r.now) / 4)
			return
		}
	}
}

// join asks a peer for a place.
func (r *Router) join(s *search, peer ID, quality int) {
	a := attempt{peer: peer, sent: r.now, nonce: r.rng.Uint64(), deadline: r.now.Add(r.cfg.JoinTimeout), quality: quality}
	expected := 2 * farCost
	if e := r.cache.find(peer); e != nil {
		a.rtt, expected = e.rtt, r.roundTrip(e)
	}
	a.slow = r.now.Add(answerTime(expected))
	s.attempts = append(s.attempts, a)
	s.joins++
	avoid := s.avoid
	if s.spare() && r.parent != nil && !r.atOrigin(r.parent.peer) {
		avoid = []ID{r.parent.peer}
	}
	m := r.joinMessage(a.nonce, s.kind, avoid)
	// Who could not even connect to some says nothing of their room.
	if s.urgent && r.path == nil && s.walls == 0 {
		m.Waits = uint32(r.now.Sub(s.began) / time.Second)
	}
	r.send(peer, m)
}

func (r *Router) joinMessage(nonce uint64, kind ChildKind, avoid []ID) *MsgJoin {
	m := &MsgJoin{Nonce: nonce, Kind: kind, Slots: uint32(r.slots), Addrs: r.addrs, Avoid: avoid, Coord: r.coord.Coord(), Accused: r.accused()}
	if kind == Orphan {
		m.Below = uint32(r.below())
	}
	return m
}
