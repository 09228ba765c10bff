package treesim

import (
	"math"
	"time"

	"github.com/castd/castd/tree"
)

// arrive makes a peer, which looks for a place a moment later.
func (s *Sim) arrive(_ int32, life int64) {
	n := int32(len(s.peers))
	s.peers = append(s.peers, peer{
		id: idOf(n), primary: -1, backup: -1, previous: -1, tickAt: never, pulseAt: never, refreshAt: never, correctAt: never, advertAt: never, cameAt: s.now,
	})
	p := &s.peers[n]
	r := s.bodyRand
	p.city, p.access, p.nat = s.world.city(r), drawAccess(r), drawNAT(r)
	p.accessTime = int64(accessMed * 1e6 * math.Exp(accessDev*r.NormFloat64()))
	upload, believed := s.uploads.draw(r)
	if n == 0 {
		upload, believed, p.nat, p.access, p.accessTime = originUpload, originUpload, public, wired, int64(2*milli)
	}
	p.upload, p.slots = upload, capacity(believed)
	p.full, p.thin = feeds(upload)
	s.body(n)
	c := tree.DefaultConfig(p.id)
	c.Slots, c.Seed = p.slots, s.cfg.Seed
	c.PulseSilence = s.silence(p)
	p.r = tree.New(c)
	p.state = up
	s.running++
	if life > 0 {
		s.after(life, payload{kind: evDepart, a: n})
	}
	if p.slots > 0 {
		s.adverts.subs = append(s.adverts.subs, n)
	}
	s.after(0, payload{kind: evFirst, a: n})
}

// originUpload is that of who opens the room, in Mbit/s.
const originUpload = 20

// silence is after how long a child acts on silence: what the jitter of its link calls for, and what real processes take longer.
func (s *Sim) silence(p *peer) time.Duration {
	theta := max(accesses[p.access].theta, s.cal.DetectStop.draw(s.bodyRand))
	return time.Duration(theta)
}

func (s *Sim) first(n int32) {
	if n == 0 {
		s.step(n, tree.Start{Origin: true})
		return
	}
	s.asking++
	s.step(n, tree.Candidates{List: s.known(n)})
	s.step(n, tree.Start{})
	s.after(5*second, payload{kind: evPlaced, a: n})
}

// depart ends a life: half say goodbye, the other half crash or lose their network.
func (s *Sim) depart(n int32) {
	p := &s.peers[n]
	if p.state != up || n == 0 {
		return
	}
	s.replace()
	if s.lifeRand.Float64() < 0.5 {
		s.m.goodbyes++
		s.goodbye(n)
		return
	}
	s.m.crashes++
	s.kill(n, s.blame(n, false))
}

// replace lets another come for one that goes.
func (s *Sim) replace() {
	s.after(int64(s.lifeRand.ExpFloat64()*float64(second)), payload{kind: evArrive, x: session(s.lifeRand, s.stay)})
}

// drain is how long one that says goodbye goes on feeding at most.
const drain = 1300 * milli

func (s *Sim) goodbye(n int32) {
	p := &s.peers[n]
	p.state = leaving
	p.why = s.blame(n, true)
	s.step(n, tree.Leave{})
	s.after(drain, payload{kind: evGone, a: n})
}

func (s *Sim) gone(n int32) {
	if s.peers[n].state == leaving {
		s.vanish(n, s.peers[n].why, false)
	}
}

// kill ends a process. Its kernel closes its TCP connections, which those see who could open one to it, or it to them.
func (s *Sim) kill(n int32, why int32) { s.vanish(n, why, true) }

// hopLife is after how long a silent hop is closed.
const hopLife = 3 * second

func (s *Sim) vanish(n, why int32, crash bool) {
	p := &s.peers[n]
	if p.state == departed {
		return
	}
	p.state = departed
	if crash && why >= 0 {
		s.causes[why].below += s.below(n, why)
	}
	s.running--
	for i := range p.hops {
		h := &p.hops[i]
		s.unfeed(n, h, why)
		d := s.way(n, h.peer)
		down := payload{kind: evHopDown, a: h.peer, b: n, x: h.gen, y: int64(why) + 1}
		if !crash {
			s.after(d, down)
			continue
		}
		if p.nat.open() || s.peers[h.peer].nat.open() {
			s.after(d+s.cal.DetectKill.draw(s.netRand), payload{kind: evBroken, a: h.peer, b: n})
		}
		s.after(d, payload{kind: evAlive, a: h.peer, b: n, x: s.now + d})
		s.after(d+hopLife, down)
	}
	if p.begun&video != 0 {
		s.m.members--
	}
	if p.live&video != 0 {
		s.m.playing--
	}
	p.live = 0
	s.m.departed(s, p)
	p.hops, p.in, p.children, p.r, p.inbox = nil, nil, nil, nil, nil
	p.status = tree.Status{}
}

// placed notes that a newcomer has its first place.
func (s *Sim) placed(n int32) {
	p := &s.peers[n]
	p.asked = true
	if n != 0 {
		s.asking--
	}
	s.m.joined(s, p)
}

// setChildren takes a router's list. Whoever says goodbye feeds those on until they have gone.
func (s *Sim) setChildren(n int32, list []tree.Child) {
	p := &s.peers[n]
	if p.state == leaving {
		return
	}
	s.checkSlots(n, list)
	// Kinds that begin anew are told of as well.
	for i := range p.hops {
		h := &p.hops[i]
		a, b := kinds(p.children, s.peers[h.peer].id), kinds(list, s.peers[h.peer].id)
		if a != b {
			h.told = false
		}
	}
	p.children = list
}

// parentChanged looks at what a change of parent brings.
func (s *Sim) parentChanged(n int32) {
	p := &s.peers[n]
	if p.loopAt == 0 && s.inLoop(n) {
		p.loopAt = s.now
		s.m.loopsSeen++
		s.after(second+1, payload{kind: evLoop, a: n})
	}
	if st := &p.streams[0]; st.offAt != 0 && st.above && st.cause >= 0 && p.primary >= 0 && p.primary != p.previous {
		st.above = false
		s.causes[st.cause].indirect++
	}
}

// below counts those who get media through a peer, and were not counted for the same cause.
func (s *Sim) below(n, why int32) (count int) {
	list := append(s.inflows[:0], n)
	for i := 0; i < len(list); i++ {
		for _, c := range s.peers[list[i]].children {
			k := s.index(c.Peer)
			p := &s.peers[k]
			if c.Kind == tree.Backup || p.primary != list[i] || p.belowOf == why+1 {
				continue
			}
			p.belowOf = why + 1
			list = append(list, k)
			if p.begun&video != 0 {
				count++
			}
		}
	}
	s.inflows = list
	return count
}
