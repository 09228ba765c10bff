package tree

import (
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/castd/castd/tree/coord"
)

// phase is how far a router's life has gone.
type phase int

const (
	idle phase = iota
	running
	left
)

// Router is one peer's part of a tree. It is not safe for concurrent use: one goroutine owns it.
type Router struct {
	// Constant after New.
	cfg Config
	rng *rand.Rand
	dir *rand.Rand // of coordinates that lie on each other

	// This Step.
	now  instant
	acts []Action
	need []ID // hops

	still bool // the last Step answered and changed nothing

	phase  phase
	began  time.Time // the first Step
	origin bool
	slots  int
	addrs  [][]byte
	hops   map[ID]struct{} // those that are up; looked up only, so that its order never shows
	cache  cache
	shuns  shuns // of which media is not taken
	doubts shuns // whose slots count as none
	boasts shuns // whose word of how many are below them does not count
	coord  coord.State
	share  float64 // of a slot, that audio takes

	// The place.
	parent, backup *link
	former         *link // the parent before, which sends until the new one does; nil else
	formerUntil    instant
	path           []ID   // origin first, self last; nil while there is no place. Never changed in place
	pathSeq        uint64 // grows with each change of path
	seek           *search
	spareSeek      *search
	improveAt      instant // when an orphan looks for an ordinary place
	improveTries   int
	spareAt        instant // when to look for a backup
	spareTries     int
	joined         bool   // had a place since Start
	alone          bool   // said so
	moved          string // reason of a change of parent in this Step

	children    []*child // sorted by id
	sum         tally
	seconds     []*child // scratch of shareCopies
	displacedAt instant
	headed      bool // the origin: it feeds heads only
	headedAt    instant
	headRetry   instant // it does not turn to heads before
	headLost    instant // when an orphan said last that one of them is
	lostBelow   int     // how many were below this peer then
	headTries   int     // times that it had to turn away from them, in a row

	said   said
	advert advertTimer
}

// New returns a router that has not started. It panics where c.Validate fails.
func New(c Config) *Router {
	if err := c.Validate(); err != nil {
		panic(err.Error())
	}
	h := fnv.New64a()
	h.Write([]byte(c.Self))
	return &Router{cfg: c, rng: rand.New(rand.NewPCG(c.Seed, h.Sum64())), dir: rand.New(rand.NewPCG(h.Sum64(), c.Seed)), slots: c.Slots, share: c.AudioShare, addrs: clampAddrs(c.Addrs), hops: make(map[ID]struct{})}
}

// Step takes what happened at a time and returns what is to be done, in order. The slice is valid until the next Step. Time never
// goes back; where it does, the time of the Step before counts.
func (r *Router) Step(at time.Time, in Input) []Action {
	clear(r.acts)
	r.acts = r.acts[:0]
	if r.began.IsZero() {
		r.began, r.now = at, 1
	}
	now := max(r.instant(at), r.now)
	if now.Sub(r.now) > 2*r.cfg.PulseSilence { // else there is no need to look
		if due := r.due(); due.set && now.Sub(due.t) > r.cfg.PulseSilence {
			r.slept(now)
		}
	}
	r.now = now
	r.still = false
	if r.phase == running && r.noted(in) {
		return r.acts
	}
	r.handle(in)
	if r.phase == running {
		_, tick := in.(Tick)
		r.timers(tick)
		r.advance(r.seek)
		r.advance(r.spareSeek)
		r.settle()
	}
	r.finish()
	return r.acts
}

// noted takes an input of which nothing follows before a Tick, and tells whether it was one. There are many of these: signs of life
// from each neighbour, adverts of the whole room, probes, which are answered and change nothing.
func (r *Router) noted(in Input) bool {
	switch in := in.(type) {
	case Alive:
		if p := r.parent; p != nil && p.suspect && p.peer == in.Peer {
			return false
		}
		r.heardFrom(in.Peer, r.instant(in.At), true)
		return true
	case Candidates:
		if r.Searching() {
			return false
		}
		r.handle(in)
		return true
	case Recv:
		if _, probe := in.Msg.(*MsgProbe); probe && r.atRest() {
			r.handle(in)
			r.still = true
			return true
		}
	}
	return false
}

// Still tells whether the last Step left all that Status and NextDeadline tell as it was, so that there is no need to ask for it again.
func (r *Router) Still() bool { return r.still }

// Searching tells whether this peer looks for a parent or a backup. While it does not, it notes adverts and does nothing.
func (r *Router) Searching() bool { return r.seek != nil || r.spareSeek != nil }

// atRest tells whether nothing follows from the time alone before a Tick.
func (r *Router) atRest() bool {
	if r.Searching() || r.origin || r.path == nil || r.former != nil || r.parent == nil || r.parent.displaced || r.parent.suspect {
		return false
	}
	if news := (r.said.advertised && r.said.free > 0) != (r.free() > 0); news && r.slots > 0 {
		return false
	}
	return len(r.children) == 0 || r.settledFor(r.tally())
}

// slept allows for this process having been stopped, as the last deadline has passed long ago: the silence since then is not the
// others' fault.
func (r *Router) slept(now instant) {
	for _, l := range []*link{r.parent, r.backup} {
		if l != nil {
			l.alive = later(l.alive, now.Add(-r.cfg.PulseSilence/2))
		}
	}
	for _, c := range r.children {
		c.alive = later(c.alive, now.Add(-r.cfg.ChildSilence/2))
	}
	r.changed()
}

func (r *Router) act(a Action) { r.acts = append(r.acts, a) }

func (r *Router) notify(e Event) { r.act(Notify{Event: e}) }

func (r *Router) send(to ID, m Message) { r.act(Send{To: to, Msg: m}) }

// handle takes the input itself; what follows from it with time is the timers' and searches'.
func (r *Router) handle(in Input) {
	switch in := in.(type) {
	case SetAddrs:
		r.addrs = clampAddrs(in.Addrs)
		return
	case SetSilence:
		if in.Silence > 0 {
			r.cfg.PulseSilence = in.Silence
		}
		return
	case SetSlots:
		r.slots = min(max(in.Slots, 0), MaxSlots)
		return
	case SetAudioShare:
		if in.Share >= 0 && in.Share <= 1 {
			r.share = in.Share
		}
		return
	case Candidates:
		list := clampAll(r.cfg.Self, in.List)
		r.merge(list)
		if in.Advert {
			r.advert.heard++
			r.advertised(r.seek, list)
		}
		return
	case Start:
		r.start(in.Origin)
		return
	case HopUp:
		r.hopUp(in.Peer)
		return
	}
	if r.phase != running {
		switch in := in.(type) {
		case HopDown:
			delete(r.hops, in.Peer)
		case Recv:
			if j, ok := in.Msg.(*MsgJoin); ok && r.phase == left {
				r.refuse(in.From, j, RefuseLeaving)
			}
		}
		return
	}
	switch in := in.(type) {
	case Recv:
		r.recv(in.From, in.Msg)
	case Pulse:
		r.recvPulse(in)
	case Alive:
		r.heardFrom(in.Peer, r.instant(in.At), true)
	case Fed:
		r.fedBy(in.Peer)
	case Broken:
		r.broken(in.Peer)
	case HopDown:
		r.hopDown(in.Peer)
	case Unreachable:
		r.unreachable(in.Peer)
	case Back:
		if r.cache.find(in.Peer) != nil {
			r.cache.answered(in.Peer)
			r.heard(r.seek)
		}
	case Distrust:
		r.distrust(in)
	case Promote:
		r.promote()
	case Demote:
		if r.origin {
			r.origin = false
			r.joined = true
			r.updatePath()
			r.seek = &search{kind: Orphan, reason: ReasonRepair, urgent: true, began: r.now, width: 1}
		}
	case Leave:
		r.leave(in.Heir)
	}
}

func (r *Router) start(origin bool) {
	if r.phase == running {
		return
	}
	r.phase, r.origin, r.joined, r.alone = running, origin, false, false
	r.advert.start = r.now
	if origin {
		r.coord.Anchor()
	} else {
		r.seek = &search{kind: Ordinary, reason: ReasonJoin, urgent: true, began: r.now, width: hedges}
	}
	r.updatePath()
}

func (r *Router) promote() {
	if r.origin {
		return
	}
	r.cancel(r.seek)
	r.cancel(r.spareSeek)
	r.depart()
	for _, l := range []*link{r.parent, r.backup} {
		if l != nil {
			r.send(l.peer, &MsgLeave{Reason: LeaveMoved})
		}
	}
	r.parent, r.backup, r.origin = nil, nil, true
	r.updatePath()
}

// leave says goodbye: to the children first, naming the own parent as the one to ask, since a slot becomes free there.
func (r *Router) leave(heir Candidate) {
	list := r.candidates(asking{}, MaxCandidates)
	if p := r.parent; p != nil {
		c := Candidate{Peer: p.peer, Depth: uint32(max(0, len(p.path)-1)), Free: 1}
		if e := r.cache.find(p.peer); e != nil {
			c.Addrs = e.Addrs
		}
		list = first(c, list)
	}
	if heir.Peer != "" {
		list = first(heir, list)
	}
	for _, c := range r.children {
		mine := slices.DeleteFunc(slices.Clone(list), func(o Candidate) bool { return o.Peer == c.peer })
		r.send(c.peer, &MsgLeave{Reason: LeaveGoodbye, Candidates: mine[:min(len(mine), maxProbes)]})
	}
	r.children = nil
	r.changed()
	r.cancel(r.spareSeek)
	if r.backup != nil {
		r.dropBackup(LeaveGoodbye)
	}
	r.cancel(r.seek)
	r.depart()
	if r.parent != nil {
		r.send(r.parent.peer, &MsgLeave{Reason: LeaveGoodbye})
	}
	r.parent, r.origin, r.phase = nil, false, left
	r.updatePath()
}

func (r *Router) recv(from ID, m Message) {
	if from == "" || from == r.cfg.Self || len(from) > maxIDLen {
		return
	}
	switch m := m.(type) {
	case *MsgProbe:
		r.recvProbe(from, m)
	case *MsgProbeReply:
		r.recvProbeReply(from, m)
	case *MsgJoin:
		r.recvJoin(from, m)
	case *MsgAccept:
		r.recvAccept(from, m)
	case *MsgRefuse:
		r.recvRefuse(from, m)
	case *MsgConfirm:
		r.recvConfirm(from, m)
	case *MsgLeave:
		r.recvLeave(from, m)
	case *MsgPath:
		r.recvPath(from, m)
	}
}

// recvLeave ends a tie. Two peers may be each other's backups, so the reason tells which of the ties is meant: that of a child
// that goes, of a parent that sends away, or both.
func (r *Router) recvLeave(from ID, m *MsgLeave) {
	list := clampCandidates(r.cfg.Self, m.Candidates)
	r.merge(list)
	asChild, asParent := true, true
	switch m.Reason {
	case LeaveMoved, LeaveLoop, LeaveDistrust:
		asParent = false
	case LeaveDisplaced, LeaveUnknown, LeaveNoPath:
		asChild = false
	}
	if c := r.child(from); c != nil && asChild {
		r.removeChild(c, "")
	}
	if !asParent {
		return
	}
	if m.Reason == LeaveGoodbye {
		r.cache.remove(from)
	}
	var prefer []ID
	for _, c := range list {
		prefer = append(prefer, c.Peer)
	}
	if s, i := r.attemptAt(from); s != nil {
		r.fail(s, i, "")
	}
	if b := r.backup; b != nil && b.peer == from && m.Reason != LeaveDisplaced {
		r.dropBackup("")
	}
	if r.isFormer(from) && m.Reason != LeaveDisplaced {
		r.former = nil
	}
	p := r.parent
	if p == nil || p.peer != from {
		return
	}
	switch m.Reason {
	case LeaveDisplaced:
		p.displaced = true
		if r.seek == nil || !r.seek.urgent {
			r.seekPlace(Ordinary, ReasonDisplaced, prefer)
		}
	case LeaveGoodbye:
		r.lose(ReasonGoodbye, prefer)
	case LeaveUnknown:
		r.sentAway(prefer)
	default:
		r.lose(ReasonRepair, prefer)
	}
}

func (r *Router) hopDown(peer ID) {
	delete(r.hops, peer)
	if c := r.child(peer); c != nil && c.shown() {
		r.removeChild(c, "")
	}
	if r.backup != nil && r.backup.peer == peer {
		r.dropBackup("")
	}
	if r.isFormer(peer) {
		r.depart()
	}
	if r.parent != nil && r.parent.peer == peer {
		r.cache.failed(r.now, peer)
		r.lose(ReasonRepair, nil)
	}
}

// Status returns a snapshot. Its slices stay as they are; the caller leaves them so.
func (r *Router) Status() Status {
	s := Status{
		Depth: r.depth(), Path: r.path, Free: r.free(), Placed: r.path != nil, Origin: r.origin, Candidates: len(r.cache.list),
		Repairing: r.joined && (r.path == nil || r.parent != nil && r.parent.suspect), Children: r.said.children,
		Slots: r.slots, Delay: r.delay(), Coord: r.coord.Coord(), Below: r.below(), FreeBelow: r.freeBelow(),
	}
	if r.parent != nil {
		s.Parent = r.parent.peer
	}
	if r.backup != nil {
		s.Backup = r.backup.peer
	}
	return s
}

// depth is that of this peer, 0 while it has no place.
func (r *Router) depth() int { return max(0, len(r.path)-1) }
