package treesim

import (
	"time"

	"github.com/castd/castd/tree"
)

// state is how far a peer's life has gone.
type state uint8

const (
	unborn   state = iota
	up             // runs
	leaving        // has said goodbye and feeds those who are still there
	stopped        // its process is stopped; it keeps what it had
	departed       // has gone
)

// peer is one of the room.
type peer struct {
	id         tree.ID
	r          *tree.Router
	state      state
	city       uint8
	access     access
	nat        nat
	grey       bool  // feeds nobody, and says it does
	liar       bool  // and claims much
	accessTime int64 // one way
	slow       int64 // on top, by a fault
	skew       float64
	upload     float64 // Mbit/s that it has
	slots      int     // that its router was told
	full, thin int     // children that its uplink really carries: with everything, and with the discardable layer left out

	status   tree.Status // after the last Step
	feeds    tree.SetFeeds
	primary  int32 // of feeds; -1 is nobody
	backup   int32
	previous int32
	untold   bool // its router does not know yet that media comes from primary
	children []tree.Child
	hops     []hop
	contacts [contacts]int32 // whom messages went to or came from lately, plus 1
	contact  uint8

	tickAt    int64 // when the next tick is planned
	pulseAt   int64 // when pulses are planned; never if they are not
	refreshAt int64 // when pulses are heard again although nothing changed; never if not planned
	correctAt int64

	in      []inflow
	live    streams // what it gets
	begun   streams // what it got ever
	streams [2]stream
	over    bool  // cannot feed all its children
	starved int   // children that get no video therefor
	belowOf int32 // the cause, plus 1, that it was counted below the victim of
	cameAt  int64
	mediaAt int64 // first of all streams
	loopAt  int64
	wrongAt int64 // since when its path does not match its parents'
	asked   bool
	moves   int
	why     int32        // cause of what its goodbye does
	waiting []tree.Input // while it is stopped

	inbox    []advert // by the time at which they come
	advertAt int64    // when the first of them is read; never if that is not planned
}

// contacts is with how many others a peer keeps a connection for messages.
const contacts = 24

// hop is one end of a hop.
type hop struct {
	peer  int32
	gen   int64 // incarnation, the same at both ends
	sends streams
	fedAt int64 // when it began to send
	muted int64 // by which silence; 0: it is not silent
	told  bool  // the router knows that the other end is well until further notice
	said  said  // the last pulse
	any   bool  // there was one
}

// said is what a pulse tells that changes now and then.
type said struct {
	depth     uint8
	repairing bool
	feeding   bool
	stale     bool // media has stopped coming
	below     uint32
	freeBelow uint32
	free      uint16
}

func (p *peer) hop(to int32) *hop {
	for i := range p.hops {
		if p.hops[i].peer == to {
			return &p.hops[i]
		}
	}
	return nil
}

func (p *peer) dropHop(to int32) {
	for i := range p.hops {
		if p.hops[i].peer == to {
			p.hops[i] = p.hops[len(p.hops)-1]
			p.hops = p.hops[:len(p.hops)-1]
			return
		}
	}
}

// knows reports whether there is a connection for messages, and keeps it.
func (p *peer) knows(q int32) bool {
	for _, c := range p.contacts {
		if c == q+1 {
			return true
		}
	}
	p.contacts[p.contact%contacts] = q + 1
	p.contact++
	return false
}

// clock is the time that a peer's own clock shows at a virtual time.
func (p *peer) clock(at int64) time.Time {
	if p.skew == 0 {
		return start().Add(time.Duration(at))
	}
	return start().Add(time.Duration(float64(at) * (1 + p.skew)))
}

// real is the virtual time at which a peer's clock will show t.
func (p *peer) real(t time.Time) int64 {
	d := int64(t.Sub(start()))
	if p.skew != 0 {
		d = int64(float64(d)/(1+p.skew)) + 1
	}
	return d
}

// maxWaiting bounds what waits for a stopped process: what its sockets hold.
const maxWaiting = 1000

// step gives a router an input and carries out what it wants.
func (s *Sim) step(n int32, in tree.Input) {
	p := &s.peers[n]
	if p.r == nil {
		return
	}
	if p.state == stopped {
		if len(p.waiting) < maxWaiting {
			p.waiting = append(p.waiting, in)
		}
		return
	}
	s.read(n, s.now)
	s.counted(n)
	s.carryOut(n, p.r.Step(p.clock(s.now), in))
}

// carryOut does what a router wants.
func (s *Sim) carryOut(n int32, acts []tree.Action) {
	var do followUp
	for _, a := range acts {
		s.act(n, a, &do)
	}
	if s.peers[n].r.Still() {
		return
	}
	s.follow(n, do)
}

// followUp is what is done once all actions of a Step have been carried out.
type followUp struct {
	feeds, children bool
	joined, moved   bool
}

func (s *Sim) follow(n int32, do followUp) {
	p := &s.peers[n]
	before := p.status
	p.status = p.r.Status()
	if do.feeds || do.children || do.joined {
		s.tellAlive(n, do)
		if p.r == nil {
			return
		}
		p.status = p.r.Status()
	}
	if do.feeds {
		s.parentChanged(n)
	}
	if do.feeds || do.children {
		s.feedChildren(n, -1)
		s.setLive(n, -1)
	}
	st := &p.status
	if do.feeds || do.children || st.Depth != before.Depth || st.Repairing != before.Repairing || st.Below != before.Below || st.FreeBelow != before.FreeBelow || st.Free != before.Free {
		s.duePulses(n)
	}
	if !before.Placed && st.Placed && !p.asked {
		s.placed(n)
	}
	s.plan(n)
	s.awaitAdvert(n)
}

// alive takes a sign of life, or its end: x is when it came, never that more are to come.
func (s *Sim) alive(e *payload) {
	p := &s.peers[e.a]
	h := p.hop(e.b)
	if p.r == nil || h == nil {
		return
	}
	at := forever()
	if h.told = e.x == never; !h.told {
		at = p.clock(s.now).Add(time.Duration(e.x - s.now))
	} else if !s.well(e.b, e.a) || h.muted != 0 {
		return
	}
	s.step(e.a, tree.Alive{Peer: s.peers[e.b].id, At: at})
}

// tellAlive tells the router once that those it is now tied to are well. What breaks them takes it back.
func (s *Sim) tellAlive(n int32, do followUp) {
	p := &s.peers[n]
	tell := func(o int32) {
		if o < 0 || p.r == nil {
			return
		}
		h := p.hop(o)
		if h == nil || h.muted != 0 || !s.well(o, n) {
			return
		}
		h.told = true
		s.counted(n)
		var more followUp
		for _, a := range p.r.Step(p.clock(s.now), tree.Alive{Peer: s.peers[o].id, At: forever()}) {
			s.act(n, a, &more)
		}
	}
	if do.feeds {
		tell(p.primary)
		tell(p.backup)
	}
	if do.children {
		for i := range p.children {
			c := s.index(p.children[i].Peer)
			if h := p.hop(c); h != nil && (!h.told || do.joined) {
				tell(c)
			}
		}
	}
}

// forever is a time that no run reaches.
func forever() time.Time { return start().Add(48 * time.Hour) }

// well reports whether packets of o reach n.
func (s *Sim) well(o, n int32) bool {
	q := &s.peers[o]
	return (q.state == up || q.state == leaving) && !s.cut(o, n)
}

// cut reports whether a partition lies between two peers.
func (s *Sim) cut(a, b int32) bool { return s.islands && s.sideOf(a) != s.sideOf(b) }

// sideOf is where a peer is during a partition; the origin is on the first side.
func (s *Sim) sideOf(a int32) bool { return a != 0 && mix(uint64(a)+s.cfg.Seed*31)&1 == 1 }

// plan sees to it that there is a tick at the router's deadline. A tick that comes too early looks again, so that moving a
// deadline back costs no event.
func (s *Sim) plan(n int32) {
	p := &s.peers[n]
	if p.r == nil {
		return
	}
	t, ok := p.r.NextDeadline()
	if !ok {
		return
	}
	at := max(p.real(t), s.now)
	if at > s.end || at >= p.tickAt {
		return
	}
	p.tickAt = at
	s.q.push(at, payload{kind: evTick, a: n})
}

func (s *Sim) tick(n int32) {
	p := &s.peers[n]
	if p.tickAt != s.now {
		return // there was an earlier one
	}
	p.tickAt = never
	if p.r == nil || p.state == stopped {
		return
	}
	s.read(n, s.now)
	t, ok := p.r.NextDeadline()
	if !ok {
		return
	}
	if p.real(t) > s.now {
		s.plan(n)
		return
	}
	s.step(n, tree.Tick{})
}
