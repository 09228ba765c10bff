package treesim

import (
	"time"

	"github.com/castd/castd/tree"
)

// Pulses go out at fixed times; of those that say what the one before said nothing is simulated but their octets.
const (
	livePulse  = 500 * milli // while media flows, which shows life by itself
	quietPulse = 100 * milli
)

// duePulses plans a look at what the next pulses say.
func (s *Sim) duePulses(n int32) {
	p := &s.peers[n]
	if p.pulseAt != never || len(p.hops) == 0 {
		return
	}
	every := livePulse
	if p.live&video == 0 && n != 0 {
		every = quietPulse
	}
	phase := int64(mix(uint64(n)+s.cfg.Seed)) & 0xfffffff % every
	at := (s.now-phase)/every*every + phase + every
	p.pulseAt = at
	s.q.push(at, payload{kind: evPulses, a: n})
}

// tells returns what a pulse to a peer says, false if the two have nothing to do with each other.
func (s *Sim) tells(n, to int32) (said, bool) {
	p := &s.peers[n]
	st := &p.status
	w := said{depth: uint8(min(st.Depth, 255)), repairing: st.Repairing, stale: p.live&video == 0 && n != 0}
	uses := to == p.primary || to == p.backup
	if uses {
		w.below, w.freeBelow, w.free = uint32(st.Below), uint32(st.FreeBelow), uint16(st.Free)
	}
	if k, child := childKind(p.children, s.peers[to].id); child {
		uses = true
		w.feeding = k != tree.Backup
	}
	if p.grey || p.liar {
		w.stale = false
	}
	return w, uses
}

func (s *Sim) sayPulses(n int32) {
	p := &s.peers[n]
	p.pulseAt = never
	if p.r == nil || p.state == stopped {
		return
	}
	for i := range p.hops {
		h := &p.hops[i]
		w, uses := s.tells(n, h.peer)
		if !uses || h.any && w == h.said || s.cut(n, h.peer) {
			continue
		}
		h.said, h.any = w, true
		s.m.pulses++
		s.sendPulse(n, h.peer, w)
	}
}

func (s *Sim) sendPulse(n, to int32, w said) {
	p := &s.peers[n]
	x := int64(w.depth)
	if w.repairing {
		x |= 1 << 8
	}
	if w.feeding {
		x |= 1 << 9
	}
	since := int64(0)
	if w.stale {
		x |= 1 << 10
		since = p.streams[0].offAt
	}
	s.after(s.way(n, to)+s.jitter(n, to), payload{kind: evPulse, a: to, b: n, x: x, y: int64(w.below)<<40 | int64(w.freeBelow&0xffffff)<<16 | int64(w.free), z: since})
}

func (s *Sim) pulsed(e *payload) {
	p := &s.peers[e.a]
	if p.hop(e.b) == nil {
		return
	}
	in := tree.Pulse{
		From: s.peers[e.b].id, Depth: int(e.x & 0xff), Repairing: e.x&(1<<8) != 0, Feeding: e.x&(1<<9) != 0,
		RTT: time.Duration(2 * s.way(e.a, e.b)), Below: int(e.y >> 40), FreeBelow: int(e.y >> 16 & 0xffffff), Free: int(e.y & 0xffff),
	}
	if e.x&(1<<10) != 0 {
		in.MediaAge = time.Duration(s.now - e.z)
		in.OriginAge = in.MediaAge
	}
	s.step(e.a, in)
}

// refresh gives a peer that gets no video the pulses of its parents again: with time alone they mean more.
func (s *Sim) refresh(n int32) {
	p := &s.peers[n]
	p.refreshAt = never
	if p.r == nil || p.state != up || p.live&video != 0 || p.primary < 0 {
		return
	}
	for _, o := range [...]int32{p.primary, p.backup} {
		if o < 0 || p.hop(o) == nil || !s.well(o, n) {
			continue
		}
		if w, uses := s.tells(o, n); uses {
			s.sendPulse(o, n, w)
		}
	}
	p.refreshAt = s.now + int64(500*time.Millisecond)
	s.q.push(p.refreshAt, payload{kind: evRefresh, a: n})
}

func childKind(list []tree.Child, id tree.ID) (tree.ChildKind, bool) {
	for i := range list {
		if list[i].Peer == id {
			return list[i].Kind, true
		}
	}
	return 0, false
}
