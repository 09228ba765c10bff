package treesim

import (
	"cmp"
	"slices"

	"github.com/castd/castd/tree"
)

// settle is the time after the last fault of a scenario.
const settle = 10 * second

// blame makes a cause for what a fault does to others.
func (s *Sim) blame(victim int32, goodbye bool) int32 {
	s.causes = append(s.causes, cause{at: s.now, victim: victim, goodbye: goodbye})
	return int32(len(s.causes) - 1)
}

// spread plans n faults over the time there is; x tells which kind.
func (s *Sim) spread(n int, x int64) {
	last := max(s.faultAt+second, s.end-settle)
	for i := range n {
		s.q.push(s.faultAt+(last-s.faultAt)*int64(i)/int64(n), payload{kind: evFault, x: x})
	}
}

// once plans one fault.
func (s *Sim) once(x int64) { s.q.push(s.faultAt, payload{kind: evFault, x: x}) }

// Kinds of faults.
const (
	faultKill int64 = iota
	faultSupernodes
	faultRestart
	faultFlash
	faultPartition
	faultGrey
	faultSlow
	faultStop
	faultPollute
	faultRebind
	faultPause
	faultOrigin
	faultWiFi
)

func (s *Sim) planKills()      { s.spread(min(1000, max(1, s.cfg.Peers/10)), faultKill) }
func (s *Sim) planSupernodes() { s.once(faultSupernodes) }
func (s *Sim) planRestart()    { s.once(faultRestart) }
func (s *Sim) planFlash()      { s.once(faultFlash) }
func (s *Sim) planPartition()  { s.once(faultPartition) }
func (s *Sim) planGrey()       { s.spread(min(200, max(1, s.cfg.Peers/50)), faultGrey) }
func (s *Sim) planSlow()       { s.spread(min(200, max(1, s.cfg.Peers/50)), faultSlow) }
func (s *Sim) planStops()      { s.spread(min(500, max(1, s.cfg.Peers/20)), faultStop) }
func (s *Sim) planPolluters()  { s.spread(max(1, s.cfg.Peers/20), faultPollute) }
func (s *Sim) planRebind()     { s.spread(max(1, s.cfg.Peers/10), faultRebind) }
func (s *Sim) planSkew()       { s.spread(max(1, s.cfg.Peers/10), faultPause) }
func (s *Sim) planOrigin()     { s.once(faultOrigin) }
func (s *Sim) planWiFi() {
	s.spread(max(1, int(float64(s.cfg.Peers)*float64(s.end-s.faultAt)/60e9)), faultWiFi)
}

// countsJoins tells whether the time that newcomers wait counts as the time to be served.
func (s *Sim) countsJoins() bool { return s.scenario.Name == "flash" || s.scenario.Name == "restart50" }

// body gives a newcomer what the scenario says of it.
func (s *Sim) body(n int32) {
	p := &s.peers[n]
	switch s.scenario.Name {
	case "clockskew":
		p.skew = 0.02*s.faultRand.Float64() - 0.01
	case "polluter":
		if n > 0 && s.faultRand.Float64() < 0.01 {
			p.liar, p.slots = true, maxSlots
		}
	}
}

// interior draws a peer that feeds others; -1 if there is none.
func (s *Sim) interior() int32 {
	for range 1000 {
		n := int32(1 + s.faultRand.IntN(len(s.peers)-1))
		p := &s.peers[n]
		if p.state != up || p.grey || p.liar || p.slow > 0 {
			continue
		}
		if slices.ContainsFunc(p.children, func(c tree.Child) bool { return c.Kind != tree.Backup }) {
			return n
		}
	}
	return -1
}

// anybody draws a peer that fits; -1 if there is none.
func (s *Sim) anybody(fits func(*peer) bool) int32 {
	for range 1000 {
		n := int32(1 + s.faultRand.IntN(len(s.peers)-1))
		if p := &s.peers[n]; p.state == up && fits(p) {
			return n
		}
	}
	return -1
}

func (s *Sim) nextFault(e *payload) {
	switch e.x {
	case faultKill:
		if n := s.interior(); n >= 0 {
			s.kill(n, s.blame(n, false))
			s.replace()
		}
	case faultSupernodes:
		s.killSupernodes()
	case faultRestart:
		why := s.blame(-1, false)
		for _, n := range s.half() {
			s.kill(n, why)
			s.after(int64(s.faultRand.Float64()*60e9), payload{kind: evArrive, x: session(s.lifeRand, s.stay)})
		}
	case faultFlash:
		for range s.cfg.Peers / 2 {
			s.after(int64(s.faultRand.Float64()*60e9), payload{kind: evArrive, x: residual(s.lifeRand, s.stay)})
		}
	case faultPartition:
		s.split()
	case faultGrey:
		if n := s.interior(); n >= 0 {
			s.peers[n].grey = true
			s.feedChildren(n, s.blame(n, false))
		}
	case faultSlow:
		if n := s.interior(); n >= 0 {
			s.peers[n].slow = 400 * milli
			s.after(30*second, payload{kind: evHeal, a: n, x: faultSlow})
		}
	case faultStop:
		if n := s.interior(); n >= 0 {
			s.stop(n, 20*second)
		}
	case faultPause:
		if n := s.anybody(func(*peer) bool { return true }); n >= 0 {
			s.stop(n, second)
		}
	case faultPollute:
		if n := s.anybody(func(p *peer) bool { return p.liar }); n >= 0 {
			s.goodbye(n)
			s.after(second, payload{kind: evArrive, x: 60 * second})
		}
	case faultRebind:
		if n := s.anybody(func(p *peer) bool { return !p.nat.open() }); n >= 0 {
			s.mute(n, 300*milli)
		}
	case faultWiFi:
		if n := s.anybody(func(p *peer) bool { return p.access != wired }); n >= 0 {
			s.mute(n, 80*milli+int64(s.faultRand.Float64()*float64(320*milli)))
		}
	case faultOrigin:
		s.crashOrigin()
	default:
		panic("treesim: internal error: unknown fault")
	}
}

func (s *Sim) heal(e *payload) {
	switch e.x {
	case faultSlow:
		s.peers[e.a].slow = 0
	case faultStop:
		s.cont(e.a)
	case faultRebind:
		s.unmute(e.a, e.y)
	case faultPartition:
		s.islands = false
		s.m.healedAt = s.now
	case faultOrigin:
		s.restartOrigin()
	default:
		panic("treesim: internal error: unknown fault")
	}
}

// supernode is how many slots make one.
const supernode = 4

// killSupernodes kills three in ten of those who feed most, as a fault of one version of the program would.
func (s *Sim) killSupernodes() {
	var list []int32
	for i := range s.peers {
		if p := &s.peers[i]; i > 0 && p.state == up && p.slots >= supernode {
			list = append(list, int32(i))
		}
	}
	slices.SortFunc(list, func(a, b int32) int { return cmp.Compare(s.pair(a, a, 9), s.pair(b, b, 9)) })
	why := s.blame(-1, false)
	for _, n := range list[:len(list)*3/10] {
		s.kill(n, why)
		s.after(int64(s.faultRand.Float64()*60e9), payload{kind: evArrive, x: session(s.lifeRand, s.stay)})
	}
}

// half draws every second peer, the origin left out.
func (s *Sim) half() []int32 {
	var list []int32
	for i := range s.peers {
		if i > 0 && s.peers[i].state == up && s.faultRand.IntN(2) == 0 {
			list = append(list, int32(i))
		}
	}
	return list
}

// stop stops a process: it sends nothing, and what is sent to it waits.
func (s *Sim) stop(n int32, d int64) {
	p := &s.peers[n]
	p.state = stopped
	s.silent(n, s.blame(n, false))
	s.after(d, payload{kind: evHeal, a: n, x: faultStop})
	for i := range p.hops {
		h := &p.hops[i]
		s.after(hopLife, payload{kind: evStale, a: h.peer, b: n, x: h.gen})
	}
}

// silent lets all hops of a peer fall silent.
func (s *Sim) silent(n, why int32) {
	p := &s.peers[n]
	s.feedChildren(n, why)
	for i := range p.hops {
		o := p.hops[i].peer
		d := s.way(n, o)
		s.after(d, payload{kind: evAlive, a: o, b: n, x: s.now + d})
	}
}

// stale closes a hop whose other end has been silent for too long.
func (s *Sim) stale(e *payload) {
	p := &s.peers[e.a]
	h := p.hop(e.b)
	if h == nil || h.gen != e.x || s.well(e.b, e.a) && h.muted == 0 {
		return
	}
	s.unfeed(e.a, h, -1)
	p.dropHop(e.b)
	s.after(s.way(e.a, e.b), payload{kind: evHopDown, a: e.b, b: e.a, x: e.x})
	s.step(e.a, tree.HopDown{Peer: s.peers[e.b].id})
}

// cont lets a stopped process go on: first it reads what came meanwhile.
func (s *Sim) cont(n int32) {
	p := &s.peers[n]
	if p.state != stopped {
		return
	}
	p.state = up
	s.audible(n)
	list := p.waiting
	p.waiting = nil
	for _, in := range list {
		s.step(n, in)
	}
	s.step(n, tree.Tick{})
	s.setLive(n, -1)
	s.feedChildren(n, -1)
}

// audible lets the routers at the other ends know that a peer is well.
func (s *Sim) audible(n int32) {
	p := &s.peers[n]
	for i := range p.hops {
		if o := p.hops[i].peer; s.well(n, o) {
			s.after(s.way(n, o), payload{kind: evAlive, a: o, b: n, x: never})
		}
	}
}

// mute silences all hops of a peer, both ways.
func (s *Sim) mute(n int32, d int64) {
	p := &s.peers[n]
	why := s.blame(n, false)
	s.muteSeq++
	for i := range p.hops {
		h := &p.hops[i]
		o := h.peer
		h.muted = s.muteSeq
		q := &s.peers[o]
		if g := q.hop(n); g != nil {
			g.muted = s.muteSeq
		}
		w := s.way(n, o)
		s.after(w, payload{kind: evAlive, a: o, b: n, x: s.now + w})
		s.after(w, payload{kind: evAlive, a: n, b: o, x: s.now + w})
		s.feedChildren(o, why)
	}
	s.feedChildren(n, why)
	s.after(d, payload{kind: evHeal, a: n, x: faultRebind, y: s.muteSeq})
}

func (s *Sim) unmute(n int32, seq int64) {
	p := &s.peers[n]
	for i := range p.hops {
		h := &p.hops[i]
		if h.muted != seq {
			continue
		}
		h.muted = 0
		o := h.peer
		q := &s.peers[o]
		if g := q.hop(n); g != nil && g.muted == seq {
			g.muted = 0
		}
		w := s.way(n, o)
		if s.well(n, o) {
			s.after(w, payload{kind: evAlive, a: o, b: n, x: never})
		}
		if s.well(o, n) {
			s.after(w, payload{kind: evAlive, a: n, b: o, x: never})
		}
		s.feedChildren(o, -1)
	}
	s.feedChildren(n, -1)
}

// split cuts the network in two for half a minute.
func (s *Sim) split() {
	s.islands = true
	why := s.blame(-1, false)
	for i := range s.peers {
		n := int32(i)
		p := &s.peers[i]
		if p.state != up {
			continue
		}
		s.feedChildren(n, why)
		for k := range p.hops {
			h := &p.hops[k]
			if !s.cut(n, h.peer) {
				continue
			}
			d := s.way(n, h.peer)
			s.after(d, payload{kind: evAlive, a: h.peer, b: n, x: s.now + d})
			s.after(hopLife, payload{kind: evStale, a: n, b: h.peer, x: h.gen})
		}
	}
	s.after(30*second, payload{kind: evHeal, x: faultPartition})
}

// crashOrigin kills the origin; the process is started again 3 s later.
func (s *Sim) crashOrigin() {
	s.kill(0, s.blame(0, false))
	s.after(3*second, payload{kind: evHeal, x: faultOrigin})
}

func (s *Sim) restartOrigin() {
	p := &s.peers[0]
	c := tree.DefaultConfig(p.id)
	c.Slots, c.Seed = p.slots, s.cfg.Seed+1
	p.r, p.state = tree.New(c), up
	p.primary, p.backup, p.previous = -1, -1, -1
	s.running++
	s.step(0, tree.Start{Origin: true})
}
