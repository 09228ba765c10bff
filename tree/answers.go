package tree

import (
	"slices"
	"time"
)

// What comes back to a search: answers to probes and joins, and hops.

func (r *Router) recvProbeReply(from ID, m *MsgProbeReply) {
	for _, s := range r.searches() {
		if s == nil {
			continue
		}
		i := s.asked(from)
		if i < 0 || !s.asks[i].waiting || s.asks[i].nonce != m.Nonce {
			continue
		}
		a := &s.asks[i]
		a.waiting = false
		path := goodPath(from, m.Path)
		rtt := r.now.Sub(a.sent)
		r.measured(rtt, m.Coord)
		r.cache.answered(from)
		if e := r.cache.find(from); e != nil && path != nil {
			e.Depth, e.Free, e.rtt, e.seen = uint32(len(path)-1), min(m.Free, MaxSlots), rtt, r.now
			e.Delay, e.Coord, e.Branch = clampDelay(m.Delay), m.Coord.Clamp(), BranchOf(path)
			e.crowded = 0
			if m.Crowded {
				e.crowded = r.now.Add(crowdedFor)
			}
		}
		if r.fits(s, from, path) {
			if s.spare() {
				a.quality = spareQuality(r.cfg.Self, r.parent.peer, r.path, path)
			}
			o := offer{path, m.Free, m.Reserve, rtt, clampDelay(m.Delay), m.Crowded}
			if s.reason == ReasonJoin && len(path) == 1 {
				o.reserve = 0 // the origin's is for those who lose a head
			}
			a.cost, a.usable = o.cost(s.kind, r.slots, a.quality)
			if s.hasty(r) {
				a.cost += hasteCost(rtt)
			}
			if !s.settle.IsZero() && o.reserve > 0 {
				o.free = 0
				a.reserve, _ = o.cost(Orphan, r.slots, 0)
			}
			if e := r.cache.find(from); e != nil && r.now < e.walled && !s.spare() {
				a.cost += blindCost
				a.reserve = 0
			}
			if s.look && !better(a.cost, r.cost()) {
				a.usable = false
			}
			if s.spare() && !r.improves(a.quality, m.Spare) {
				a.usable = false
			}
			if s.spare() && m.Spare == 0 && r.below() > 0 {
				a.cost += spareCost / 2 // it could feed this peer only after a failure
			}
		}
		if s.window.IsZero() {
			s.window = r.now.Add(r.cfg.ProbeWindow)
		}
		r.learn(s, m.Candidates)
		return
	}
}

// fits tells whether a peer with this path may become what s looks for, as far as this side can tell. All paths begin at the origin,
// so that distrust in it shuts out the origin as a parent only.
func (r *Router) fits(s *search, peer ID, path []ID) bool {
	if path == nil || len(path) > r.cfg.MaxDepth || slices.Contains(path, r.cfg.Self) || slices.ContainsFunc(path[1:], r.distrusted) || r.distrusted(peer) {
		return false
	}
	if s.spare() && (r.parent == nil || r.path == nil || r.parent.peer == peer) {
		return false
	}
	return !slices.ContainsFunc(s.avoid, func(id ID) bool { return slices.Contains(path, id) })
}

// learn merges candidates that a peer named; they come first in the rest of the round.
func (r *Router) learn(s *search, list []Candidate) {
	list = clampCandidates(r.cfg.Self, list)
	r.merge(list)
	for _, c := range list {
		if len(s.prefer) < maxPrefer && !slices.Contains(s.prefer, c.Peer) {
			s.prefer = append(s.prefer, c.Peer)
		}
	}
}

// onTheWay is added to the age of what others pass on, so that nothing becomes younger by being passed to and fro.
const onTheWay = 50 * time.Millisecond

// merge puts candidates into the cache and wakes a search for a parent that pauses.
func (r *Router) merge(list []Candidate) {
	for _, c := range list {
		if c.Age > 0 {
			c.Age += onTheWay
		}
		if r.cache.add(r.now, r.rng, c) {
			r.heard(r.seek)
		}
	}
}

// byNonce finds the attempt that an answer belongs to.
func (r *Router) byNonce(from ID, nonce uint64) (*search, int) {
	for _, s := range r.searches() {
		if s != nil {
			if i := s.attempt(from); i >= 0 && s.attempts[i].nonce == nonce {
				return s, i
			}
		}
	}
	return nil, -1
}

func (r *Router) recvRefuse(from ID, m *MsgRefuse) {
	list := clampCandidates(r.cfg.Self, m.Candidates)
	s, i := r.byNonce(from, m.Nonce)
	if s == nil {
		if r.backup != nil && r.backup.peer == from && r.backup.nonce == m.Nonce { // it would not become idle again
			r.dropBackup(LeaveMoved)
		}
		r.merge(list)
		return
	}
	if e := r.cache.find(from); e != nil && m.Reason == RefuseFull {
		e.Free, e.seen = 0, r.now
	}
	r.fail(s, i, "")
	r.learn(s, list)
}

func (r *Router) recvAccept(from ID, m *MsgAccept) {
	s, i := r.byNonce(from, m.Nonce)
	if s == nil {
		r.acceptedAgain(from, m)
		return
	}
	a := &s.attempts[i]
	if a.accepted != nil {
		if b := r.backup; m.Kind == Backup && b != nil && b.peer == from && !s.spare() { // it was helping out, and another needs the place
			b.nonce, b.copy, b.full = m.Nonce, m.Copy.clamp(), r.now
			r.fail(s, i, "")
			r.learn(s, m.Candidates)
		}
		return
	}
	r.merge(clampCandidates(r.cfg.Self, m.Candidates))
	path := goodPath(from, m.Path)
	if !r.fits(s, from, path) || s.spare() && spareQuality(r.cfg.Self, r.parent.peer, r.path, path) == 0 {
		r.fail(s, i, LeaveLoop)
		return
	}
	if rtt := r.now.Sub(a.sent); a.rtt == 0 || rtt < a.rtt {
		a.rtt = rtt // the probe may have had to wait for a connection
	}
	a.accepted = &MsgAccept{Nonce: m.Nonce, Kind: m.Kind, Path: path, PathSeq: m.PathSeq, Delay: m.Delay, Copy: m.Copy.clamp()}
	if _, up := r.hops[from]; up {
		if r.hedged() && s == r.seek && r.backup.peer == from {
			r.hold(s, i)
			return
		}
		r.take(s, i)
		return
	}
	a.deadline, a.slow = r.now.Add(r.cfg.JoinTimeout), r.now.Add(openTime(a.rtt))
	r.act(OpenHop{To: from}) // others may have accepted as well: whose hop is up first has it, as not every hop can be had
}

// acceptedAgain takes an Accept that belongs to no attempt: a change of kind from a parent, or one that comes too late.
func (r *Router) acceptedAgain(from ID, m *MsgAccept) {
	switch {
	case r.parent != nil && r.parent.peer == from:
		if r.parent.nonce != m.Nonce {
			return
		}
		if m.Kind == Backup {
			r.merge(clampCandidates(r.cfg.Self, m.Candidates))
			r.stood(m)
			return
		}
		r.parent.kind = m.Kind
		if m.Kind == Ordinary && r.seek != nil && !r.seek.urgent {
			r.cancel(r.seek) // it may stay after all
		}
		r.parent.displaced = false
		r.recvPath(from, &MsgPath{Path: m.Path, PathSeq: m.PathSeq, Delay: m.Delay})
	case r.backup != nil && r.backup.peer == from:
		if r.backup.nonce == m.Nonce {
			r.backup.copy = m.Copy.clamp()
			r.recvPath(from, &MsgPath{Path: m.Path, PathSeq: m.PathSeq, Delay: m.Delay})
		}
	default:
		r.send(from, &MsgLeave{Reason: LeaveMoved})
	}
}

// take confirms an accepted attempt, now that there is a hop.
func (r *Router) take(s *search, i int) {
	a := s.attempts[i]
	s.attempts = slices.Delete(s.attempts, i, i+1)
	r.send(a.peer, &MsgConfirm{Nonce: a.nonce})
	l := &link{peer: a.peer, nonce: a.nonce, kind: a.accepted.Kind, path: a.accepted.Path, seq: a.accepted.PathSeq, since: r.now, alive: r.now, delay: clampDelay(a.accepted.Delay), rtt: a.rtt, copy: a.accepted.Copy}
	if s.spare() {
		r.takeBackup(s, l)
	} else {
		r.takeParent(s, l)
	}
}

func (r *Router) hopUp(peer ID) {
	r.hops[peer] = struct{}{}
	for _, s := range r.searches() {
		if s == nil {
			continue
		}
		if i := s.attempt(peer); i >= 0 && s.attempts[i].accepted != nil {
			r.take(s, i)
			return
		}
	}
}

// unreachable gives up all that waits for a peer.
func (r *Router) unreachable(peer ID) {
	r.cache.failed(r.now, peer)
	for _, s := range r.searches() {
		if s == nil {
			continue
		}
		if i := s.asked(peer); i >= 0 {
			s.asks[i].waiting = false
		}
		if i := s.attempt(peer); i >= 0 {
			if s.attempts[i].accepted != nil {
				s.walls++
				r.cache.unhopped(r.now, peer)
			}
			r.fail(s, i, LeaveMoved)
		}
	}
	if _, up := r.hops[peer]; up {
		return // only the message was lost; the hop tells when the peer is gone
	}
	if r.backup != nil && r.backup.peer == peer {
		r.dropBackup("")
	}
	if c := r.child(peer); c != nil {
		r.removeChild(c, "")
	}
	if r.parent != nil && r.parent.peer == peer {
		r.lose(ReasonRepair, nil)
	}
}
