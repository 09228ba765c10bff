package tree

import (
	"slices"
	"strings"
	"time"
)

// child is a peer that has a place here or was promised one.
type child struct {
	peer      ID
	kind      ChildKind
	nonce     uint64
	slots     uint32 // what it gives itself
	addrs     [][]byte
	confirmed bool
	fallback  bool      // was an idle backup child: it is fed before it confirms, and idle again if it does not
	since     time.Time // promised or confirmed
	alive     time.Time
	victim    ID        // makes room for it once it confirms
	until     time.Time // of a displaced child: fed no longer than this
	pathSeq   uint64    // sent last
	pathAt    time.Time
	below     int // peers below it, and free slots of it and of them, as it says
	freeBelow int
}

// shown tells whether a child counts among those to feed, or to keep a hop to.
func (c *child) shown() bool { return c.confirmed || c.fallback }

func (r *Router) child(id ID) *child {
	if i, ok := r.childIndex(id); ok {
		return r.children[i]
	}
	return nil
}

func (r *Router) childIndex(id ID) (int, bool) {
	return slices.BinarySearchFunc(r.children, id, func(c *child, id ID) int { return strings.Compare(string(c.peer), string(id)) })
}

// used counts the children of a kind, promised ones included, without one.
func (r *Router) used(k ChildKind, without *child) int {
	n := 0
	for _, c := range r.children {
		if c.kind == k && c != without {
			n++
		}
	}
	return n
}

// onReserve counts those who sit on the reserve, or will as soon as somebody confirms for whom they make room.
func (r *Router) onReserve(without *child) int {
	n := r.used(Orphan, without)
	for _, c := range r.children {
		if v := r.child(c.victim); v != nil && v.kind == Ordinary {
			n++
		}
	}
	return n
}

// free is the number of ordinary slots to give.
func (r *Router) free() int {
	if r.path == nil || r.moving() || len(r.path) > r.cfg.MaxDepth {
		return 0
	}
	return max(0, r.slots-r.used(Ordinary, nil))
}

// moving tells whether this peer has asked for another place than it has.
func (r *Router) moving() bool { return r.seek != nil && len(r.seek.attempts) > 0 }

// leaf finds the child that makes room for one that gives slots: one that gives none, the newest, as the oldest has shown that it
// stays. An ordinary one moves to the reserve until it has found another place. Where the reserve is taken, one that sits
// there has to go at once: leaves would else hold every place for good, with those who could feed them outside.
func (r *Router) leaf() *child {
	if !r.displacedAt.IsZero() && r.now.Sub(r.displacedAt) < r.cfg.DisplaceGap {
		return nil
	}
	kind := Ordinary
	if r.onReserve(nil) >= r.cfg.reserve(r.slots) {
		kind = Orphan
	}
	var best *child
	for _, c := range r.children {
		if c.kind != kind || c.slots > 0 || !c.confirmed || !c.until.IsZero() || r.promised(c) {
			continue
		}
		if best == nil || c.since.After(best.since) {
			best = c
		}
	}
	return best
}

// promised tells whether a child's place is promised to another.
func (r *Router) promised(c *child) bool {
	return slices.ContainsFunc(r.children, func(o *child) bool { return o.victim == c.peer })
}

// displace makes v, which gives nothing, leave its place to c, which has just taken it.
func (r *Router) displace(v, c *child) {
	r.displacedAt = r.now
	list := first(Candidate{Peer: c.peer, Addrs: c.addrs, Depth: uint32(len(r.path)), Free: c.slots}, r.candidates(v.peer, maxProbes))
	if v.kind == Ordinary {
		v.kind, v.until = Orphan, r.now.Add(r.cfg.DisplaceTimeout)
		r.send(v.peer, &MsgLeave{Reason: LeaveDisplaced, Candidates: list})
		return
	}
	r.send(v.peer, &MsgLeave{Reason: LeaveUnknown, Candidates: list})
	r.removeChild(v, "")
}

func (r *Router) recvProbe(from ID, m *MsgProbe) {
	a := &MsgProbeReply{Nonce: m.Nonce, Path: r.path, Free: uint32(r.free()), Delay: r.delay(), Coord: r.coord.Coord()}
	if r.path != nil && !r.moving() && len(r.path) <= r.cfg.MaxDepth {
		if a.Free == 0 && m.Slots > 0 && r.leaf() != nil {
			a.Free = 1
		}
		a.Reserve = uint32(max(0, r.cfg.reserve(r.slots)-r.onReserve(nil)))
	}
	a.Candidates = r.candidates(from, maxProbes)
	r.send(from, a)
}

func (r *Router) recvJoin(from ID, m *MsgJoin) {
	if m.Kind != Ordinary && m.Kind != Backup && m.Kind != Orphan {
		return
	}
	c := r.child(from)
	if c != nil && c.nonce == m.Nonce {
		if r.path != nil {
			r.accept(c)
		}
		return
	}
	if why := r.objection(from, m); why != "" {
		r.refuse(from, m.Nonce, why)
		return
	}
	kind, victim, ok := r.room(c, m)
	if !ok {
		r.refuse(from, m.Nonce, RefuseFull)
		return
	}
	if c == nil {
		i, _ := r.childIndex(from)
		c = &child{peer: from, since: r.now, alive: r.now}
		r.children = slices.Insert(r.children, i, c)
	}
	if c.confirmed && c.kind == Backup && kind != Backup {
		c.confirmed, c.fallback, c.since = false, victim == "", r.now // not while another still has the slot
	} else if kind == Backup && c.fallback {
		c.confirmed, c.fallback = true, false
	}
	if !c.confirmed {
		c.since = r.now
	}
	c.kind, c.nonce, c.victim, c.until = kind, m.Nonce, victim, time.Time{}
	c.slots, c.addrs = min(m.Slots, MaxSlots), clampAddrs(m.Addrs)
	r.accept(c)
}

// objection returns why a peer cannot be a child whatever room there is; "" if it can.
func (r *Router) objection(from ID, m *MsgJoin) string {
	switch {
	case r.path == nil || m.Kind != Backup && r.moving():
		return RefuseNoPath
	case slices.Contains(r.path, from) || slices.ContainsFunc(clampIDs(m.Avoid), func(id ID) bool { return slices.Contains(r.path, id) }):
		return RefuseLoop
	case len(r.path) > r.cfg.MaxDepth:
		return RefuseTooDeep
	}
	return ""
}

// room decides which place a peer gets, c being the one it has.
func (r *Router) room(c *child, m *MsgJoin) (kind ChildKind, victim ID, ok bool) {
	if c != nil && c.confirmed && c.kind != Backup && m.Kind != Backup {
		return c.kind, "", true // it has forgotten its place
	}
	if m.Kind == Backup {
		return Backup, "", c != nil && c.shown() || r.used(Backup, c) < r.cfg.backups(r.slots)
	}
	if r.used(Ordinary, c) < r.slots {
		return Ordinary, "", true
	}
	if m.Kind == Orphan && r.onReserve(c) < r.cfg.reserve(r.slots) {
		return Orphan, "", true
	}
	if m.Slots > 0 {
		if l := r.leaf(); l != nil && l != c {
			return l.kind, l.peer, true
		}
	}
	return 0, "", false
}

func (r *Router) accept(c *child) {
	c.pathSeq, c.pathAt = r.pathSeq, r.now
	r.send(c.peer, &MsgAccept{Nonce: c.nonce, Kind: c.kind, Path: r.path, PathSeq: r.pathSeq, Candidates: r.candidates(c.peer, maxProbes), Delay: r.delay()})
}

func (r *Router) refuse(to ID, nonce uint64, why string) {
	r.send(to, &MsgRefuse{Nonce: nonce, Reason: why, Candidates: r.candidates(to, maxProbes)})
}

func (r *Router) recvConfirm(from ID, m *MsgConfirm) {
	c := r.child(from)
	if c == nil || c.nonce != m.Nonce {
		if c == nil {
			r.send(from, &MsgLeave{Reason: LeaveUnknown})
		}
		return
	}
	if c.confirmed {
		return
	}
	if r.path == nil || slices.Contains(r.path, from) {
		r.removeChild(c, LeaveNoPath)
		return
	}
	c.confirmed, c.fallback, c.since, c.alive = true, false, r.now, r.now
	r.notify(ChildJoined{Peer: c.peer, Kind: c.kind})
	if c.pathSeq != r.pathSeq {
		r.sendPath(c)
	}
	if v := r.child(c.victim); v != nil && v.kind == c.kind && v.slots == 0 {
		r.displace(v, c)
	}
	c.victim = ""
}

// removeChild ends a child's place; with a reason, it is told.
func (r *Router) removeChild(c *child, reason string) {
	if i, ok := r.childIndex(c.peer); ok {
		r.children = slices.Delete(r.children, i, i+1)
	}
	if reason != "" {
		r.send(c.peer, &MsgLeave{Reason: reason, Candidates: r.candidates(c.peer, maxProbes)})
	}
	if c.shown() {
		r.notify(ChildLeft{Peer: c.peer})
	}
}

// childTimers takes off who does not confirm, is silent, or was displaced long enough ago.
func (r *Router) childTimers() {
	for i := len(r.children) - 1; i >= 0; i-- {
		c := r.children[i]
		switch {
		case !c.confirmed && r.now.Sub(c.since) >= r.cfg.ConfirmTimeout:
			if c.fallback {
				c.kind, c.confirmed, c.fallback, c.victim, c.alive = Backup, true, false, "", r.now
				continue
			}
			r.removeChild(c, LeaveUnknown)
		case c.confirmed && r.now.Sub(c.alive) >= r.cfg.ChildSilence,
			!c.until.IsZero() && !r.now.Before(c.until):
			r.removeChild(c, LeaveUnknown)
		case c.confirmed && r.now.Sub(c.pathAt) >= r.cfg.PathEvery:
			r.sendPath(c)
		}
	}
}

// settle gives free ordinary slots to those who sit on the reserve, the longest first. One of them that gives slots
// changes places with a leaf.
func (r *Router) settle() {
	r.swap()
	for r.path != nil && r.used(Ordinary, nil) < r.slots {
		var first *child
		for _, c := range r.children {
			if c.kind == Orphan && c.confirmed && (first == nil || c.since.Before(first.since)) {
				first = c
			}
		}
		if first == nil {
			return
		}
		first.kind, first.until = Ordinary, time.Time{}
		r.accept(first)
	}
}

// swap gives the slot of a leaf to a peer on the reserve that gives slots, at most once per DisplaceGap.
func (r *Router) swap() {
	if r.path == nil || !r.displacedAt.IsZero() && r.now.Sub(r.displacedAt) < r.cfg.DisplaceGap {
		return
	}
	// Somebody to bring up is rare, and looking for one to go down takes time.
	var up, down *child
	for _, c := range r.children {
		if c.kind == Orphan && c.slots > 0 && c.confirmed && c.until.IsZero() && (up == nil || c.since.Before(up.since)) {
			up = c
		}
	}
	if up == nil || r.used(Ordinary, nil) < r.slots {
		return
	}
	for _, c := range r.children {
		if c.kind == Ordinary && c.slots == 0 && c.confirmed && c.until.IsZero() && (down == nil || c.since.After(down.since)) && !r.promised(c) {
			down = c
		}
	}
	if down == nil {
		return
	}
	up.kind = Ordinary
	r.displace(down, up)
	r.accept(up)
}

func (r *Router) sendPath(c *child) {
	c.pathSeq, c.pathAt = r.pathSeq, r.now
	r.send(c.peer, &MsgPath{Path: r.path, PathSeq: r.pathSeq, Candidates: r.candidates(c.peer, maxProbes), Delay: r.delay()})
}

// candidates names up to n peers for another to ask: first the children that give slots, as they are near and have room while
// this peer is full, then the best of the cache.
func (r *Router) candidates(without ID, n int) []Candidate {
	var out []Candidate
	for _, c := range r.children {
		if c.slots == 0 || c.kind == Backup || !c.confirmed || c.peer == without {
			continue
		}
		d := Candidate{Peer: c.peer, Addrs: c.addrs, Depth: uint32(len(r.path)), Free: c.slots}
		if e := r.cache.find(c.peer); e != nil && e.seen.After(c.since) {
			d.Free = e.Free
		}
		out = append(out, d)
	}
	r.rng.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	slices.SortStableFunc(out, func(a, b Candidate) int { return int(min(b.Free, 1)) - int(min(a.Free, 1)) })
	near := len(out)
	skip := func(id ID) bool {
		return id == without || r.distrusted(id) || slices.ContainsFunc(out[:near], func(c Candidate) bool { return c.Peer == id })
	}
	if len(out) < n {
		for _, e := range r.cache.order(r.now, r.rng, false, skip) {
			if len(out) == n || r.now.Before(e.retry) {
				break
			}
			out = append(out, e.Candidate)
		}
	}
	return out[:min(len(out), n)]
}

// first puts c at the head of a list.
func first(c Candidate, list []Candidate) []Candidate {
	return append([]Candidate{c}, slices.DeleteFunc(list, func(o Candidate) bool { return o.Peer == c.Peer })...)
}
