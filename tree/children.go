package tree

import (
	"slices"
	"strings"
	"time"

	"github.com/castd/castd/tree/coord"
)

// child is a peer that has a place here or was promised one.
type child struct {
	peer      ID
	kind      ChildKind
	nonce     uint64
	slots     uint32 // what it gives itself
	addrs     [][]byte
	confirmed bool
	fallback  bool    // was an idle backup child: it is fed before it confirms, and idle again if it does not
	since     instant // promised or confirmed
	alive     instant
	ended     instant // its process seemed to have ended: what was heard before then says nothing
	victim    ID      // makes room for it once it confirms
	until     instant // of a displaced child: fed no longer than this
	pathSeq   uint64  // sent last
	pathAt    instant
	repeated  bool // it was sent a second time
	below     int  // peers below it, and free slots of it and of them, as it says
	claimed   int  // peers below it when it came as an orphan, until its pulses bear that out
	freeBelow int
	free      uint32
	coord     coord.Coord
	rtt       time.Duration // of the hop; 0: not measured
	tests     int           // refused peers that were sent to it since testedAt, while nobody was below it
	testedAt  instant
	vain      []ID // who gives slots and was sent to it since vainAt, and has no place yet
	vainAt    instant
	accuser   ID // who said first, at accusedAt, that it does not feed
	accusedAt instant
	copy      Copy // a backup child: what it is sent
	want      Copy // scratch of shareCopies
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
	n := r.tally().used[k]
	if without != nil && without.kind == k {
		n--
	}
	return n
}

// onReserve counts those who sit on the reserve, or will as soon as somebody confirms for whom they make room.
func (r *Router) onReserve(without *child) int {
	n := r.used(Orphan, without)
	if r.tally().promises == 0 {
		return n
	}
	for _, c := range r.children {
		if c.victim == "" || c == without {
			continue
		}
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
	return max(0, min(r.offered()-r.used(Ordinary, nil), r.room(nil)))
}

// room is how many more children can be fed, on slots and reserve together, c not counted.
func (r *Router) room(c *child) int {
	return r.slots + r.cfg.reserve(r.slots) - r.used(Ordinary, c) - r.onReserve(c)
}

// crowded tells whether this peer takes no more idle children, c not counted. Those that are fed while they have not decided may
// become idle again.
func (r *Router) crowded(c *child) bool {
	n := r.tally().idle
	if c != nil && c.idle() {
		n--
	}
	return n >= r.cfg.backups(r.slots)
}

// moving tells whether this peer has asked for another place than it has.
func (r *Router) moving() bool { return r.seek != nil && len(r.seek.attempts) > 0 }

func (r *Router) recvProbe(from ID, m *MsgProbe) {
	a := &MsgProbeReply{Nonce: m.Nonce, Path: r.path, Free: uint32(r.free()), Delay: r.delay(), Coord: r.coord.Coord(), Crowded: r.crowded(nil), Spare: r.spare()}
	if r.path != nil && !r.moving() && len(r.path) <= r.cfg.MaxDepth {
		if a.Free == 0 && r.weaker(r.child(from), r.believed(from, m.Slots), m.Coord.Clamp()) != nil {
			a.Free = 1
		}
		a.Reserve = uint32(max(0, r.room(nil)-r.free()))
		if a.Reserve == 0 && m.Below > 0 && r.room(nil) == 0 && r.smaller(r.child(from), r.subtree(from, m.Below)) != nil {
			a.Reserve = 1
		}
	}
	if r.spares(r.subtree(from, m.Below)) {
		a.Free, a.Reserve = 0, 0
	}
	if names := named(m.Terse, a.Free); names > 0 {
		of := asking{peer: from, coord: m.Coord.Clamp(), slots: m.Slots}
		if a.Candidates = r.candidates(of, names); a.Free == 0 && len(a.Candidates) == 0 {
			a.Candidates = r.redirects(of, names)
		}
	}
	r.send(from, a)
}

// named is how many others a reply to a probe names: those who may stay here need few.
func named(terse bool, free uint32) int {
	switch {
	case terse:
		return 1
	case free > 0:
		return 2
	}
	return maxProbes
}

func (r *Router) recvJoin(from ID, m *MsgJoin) {
	if m.Kind != Ordinary && m.Kind != Backup && m.Kind != Orphan {
		return
	}
	r.accuse(from, m.Accused)
	c := r.child(from)
	if c != nil && c.nonce == m.Nonce {
		if r.path != nil {
			r.accept(c)
		}
		return
	}
	if why := r.objection(from, m); why != "" {
		r.refuse(from, m, why)
		return
	}
	kind, victim, ok := r.place(from, c, m)
	if !ok {
		r.refuse(from, m, RefuseFull)
		return
	}
	if c == nil {
		i, _ := r.childIndex(from)
		c = &child{peer: from, since: r.now, alive: r.now, freeBelow: int(min(m.Slots, MaxSlots)), free: min(m.Slots, MaxSlots)}
		r.children = slices.Insert(r.children, i, c)
		r.changed()
	}
	if v := r.child(victim); v != nil && v.kind == Orphan && kind == Orphan && c.shown() {
		r.giveWay(v) // its hop is there, and it may miss media already
		victim = ""
	}
	if c.confirmed && c.kind == Backup && kind != Backup {
		c.confirmed, c.fallback, c.since = false, victim == "", r.now // not while another still has the slot
	} else if kind == Backup && c.fallback {
		c.confirmed, c.fallback = true, false
	}
	if !c.confirmed {
		c.since = r.now
	}
	c.kind, c.nonce, c.victim, c.until = kind, m.Nonce, victim, 0
	r.changed()
	c.slots, c.addrs, c.coord = min(m.Slots, MaxSlots), clampAddrs(m.Addrs), m.Coord.Clamp()
	if kind == Orphan {
		c.below = r.subtree(from, m.Below)
		c.claimed = c.below
	}
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

// fed tells whether a child is among those last set that are fed.
func (r *Router) fed(c *child) bool { return c.fallback && c.kind != Backup }

// roomWithout is the room for a promised child once it is there, and whoever goes at once for it has gone.
func (r *Router) roomWithout(c *child) int {
	room := r.room(c)
	if v := r.child(c.victim); v != nil && v.kind == Orphan {
		room++
	}
	return room
}

// place decides which place a peer gets, c being the one it has.
func (r *Router) place(from ID, c *child, m *MsgJoin) (kind ChildKind, victim ID, ok bool) {
	if c != nil && c.confirmed && c.kind != Backup && m.Kind != Backup {
		return c.kind, "", true // it has forgotten its place
	}
	if m.Kind == Backup {
		return Backup, "", c != nil && c.shown() || !r.crowded(c)
	}
	lost := r.origin && r.headless(m)
	if r.spares(r.subtree(from, m.Below)) {
		return 0, "", false
	}
	room := r.room(c)
	if r.used(Ordinary, c) < r.offered() && room > 0 {
		return Ordinary, "", true
	}
	orphan := m.Kind == Orphan && (!r.headed || lost)
	if orphan && room > 0 {
		return Orphan, "", true
	}
	if v := r.weaker(c, r.believed(from, m.Slots), m.Coord.Clamp()); v != nil {
		return v.kind, v.peer, true
	}
	if orphan && room == 0 { // where slots have become fewer, who goes makes room for nobody
		if v := r.smaller(c, r.subtree(from, m.Below)); v != nil {
			return Orphan, v.peer, true
		}
	}
	return 0, "", false
}

func (r *Router) accept(c *child) {
	c.pathSeq, c.pathAt, c.repeated = r.pathSeq, r.now, false
	r.changed()
	r.send(c.peer, &MsgAccept{Nonce: c.nonce, Kind: c.kind, Path: r.path, PathSeq: r.pathSeq, Candidates: r.candidates(c.asking(), maxProbes), Delay: r.delay(), Copy: c.copy})
}

func (r *Router) refuse(to ID, m *MsgJoin, why string) {
	a := asking{peer: to, coord: m.Coord.Clamp(), slots: m.Slots, spare: m.Kind == Backup}
	list := r.redirects(a, maxProbes)
	if why == RefuseFull && m.Kind != Backup {
		r.tested(to, m, list)
	}
	r.send(to, &MsgRefuse{Nonce: m.Nonce, Reason: why, Candidates: list})
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
	if c.kind != Backup && !r.fed(c) && r.roomWithout(c) <= 0 { // slots have become fewer since it was accepted
		r.removeChild(c, LeaveUnknown)
		return
	}
	c.confirmed, c.fallback, c.since, c.alive = true, false, r.now, r.now
	r.changed()
	r.notify(ChildJoined{Peer: c.peer, Kind: c.kind})
	if c.pathSeq != r.pathSeq {
		r.sendPath(c, maxProbes)
	}
	if v := r.child(c.victim); v != nil && v.kind == c.kind {
		r.displace(v, c)
	}
	c.victim = ""
	r.changed()
}

// removeChild ends a child's place; with a reason, it is told.
func (r *Router) removeChild(c *child, reason string) {
	if i, ok := r.childIndex(c.peer); ok {
		r.children = slices.Delete(r.children, i, i+1)
		r.changed()
	}
	if reason != "" {
		r.send(c.peer, &MsgLeave{Reason: reason, Candidates: r.candidates(c.asking(), maxProbes)})
	}
	if c.shown() {
		r.notify(ChildLeft{Peer: c.peer})
	}
}

// childTimers takes off who does not confirm, is silent, or was displaced long enough ago.
func (r *Router) childTimers() {
	if due := r.tally().due; !due.set || r.now.Before(due.t) {
		return
	}
	r.changed() // one may have been heard since
	for i := len(r.children) - 1; i >= 0; i-- {
		c := r.children[i]
		switch {
		case !c.confirmed && r.now.Sub(c.since) >= r.cfg.ConfirmTimeout:
			if c.fallback {
				c.kind, c.confirmed, c.fallback, c.victim, c.alive = Backup, true, false, "", r.now
				r.changed()
				continue
			}
			r.removeChild(c, LeaveUnknown)
		case !c.until.IsZero() && !r.now.Before(c.until) && r.roomy():
			r.goOn(c)
		case c.confirmed && r.now.Sub(c.alive) >= r.cfg.ChildSilence,
			!c.until.IsZero() && !r.now.Before(c.until):
			r.removeChild(c, LeaveUnknown)
		case c.confirmed && !r.now.Before(r.pathDue(c)):
			r.repeatPath(c)
		}
	}
}

// pathDue is when a child is sent the path again: soon after it was new, as a message that is lost would leave all that is below
// the child in error, then rarely.
func (r *Router) pathDue(c *child) instant {
	if c.repeated {
		return c.pathAt.Add(r.cfg.PathEvery)
	}
	return c.pathAt.Add(min(pathAgain, r.cfg.PathEvery))
}

// pathAgain is after which time a new path is repeated.
const pathAgain = time.Second / 2

// repeatPath sends a path that the child should know: soon after it was new without others' names, which it has just got.
func (r *Router) repeatPath(c *child) {
	if c.repeated {
		r.sendPath(c, namedAgain)
	} else {
		r.send(c.peer, &MsgPath{Path: r.path, PathSeq: r.pathSeq, Delay: r.delay()})
	}
	c.pathAt, c.repeated = r.now, true
	r.changed()
}

// namedAgain is how many others a path names that is repeated after a while; one that is new names twice as many.
const namedAgain = maxProbes / 2

func (r *Router) sendPath(c *child, names int) {
	c.pathSeq, c.pathAt, c.repeated = r.pathSeq, r.now, false
	r.changed()
	r.send(c.peer, &MsgPath{Path: r.path, PathSeq: r.pathSeq, Candidates: r.candidates(c.asking(), names), Delay: r.delay()})
}
