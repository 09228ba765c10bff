package treesim

import (
	"github.com/castd/castd/tree"
)

// act carries out an action of a router, as the engine does.
func (s *Sim) act(n int32, a tree.Action, do *followUp) {
	p := &s.peers[n]
	switch a := a.(type) {
	case tree.Send:
		to := s.index(a.To)
		kind, nonce := describe(a.Msg)
		s.log.action(kind, n, to, nonce)
		s.send(n, to, a.Msg)
	case tree.OpenHop:
		to := s.index(a.To)
		s.log.action('o', n, to, 0)
		s.open(n, to)
	case tree.CloseHop:
		to := s.index(a.To)
		s.log.action('c', n, to, 0)
		s.closeHop(n, to)
	case tree.SetFeeds:
		do.feeds = true
		primary := s.index(a.Primary)
		if primary != p.primary {
			do.moved = true
			p.previous = p.primary
			p.untold = true
		}
		p.feeds, p.primary, p.backup = a, primary, s.index(a.Backup)
		s.log.action('f', n, p.primary, uint64(p.backup))
	case tree.SetChildren:
		do.children = true
		s.log.action('k', n, -1, uint64(len(a.Children)))
		s.setChildren(n, a.Children)
	case tree.Advertise:
		s.log.action('v', n, -1, uint64(a.Candidate.Free))
		s.advertise(n, a)
	case tree.Notify:
		s.notified(n, a.Event, do)
	default:
		panic("treesim: internal error: unknown action")
	}
}

func (s *Sim) notified(n int32, ev tree.Event, do *followUp) {
	p := &s.peers[n]
	switch ev := ev.(type) {
	case tree.Joined:
	case tree.ParentChanged:
		if ev.Reason == tree.ReasonOptimize && do.moved && s.now >= s.faultAt {
			p.moves++
		}
		s.m.reason(ev.Reason)
	case tree.ChildJoined:
		do.joined, do.children = true, true
	case tree.ChildLeft:
	case tree.Alone:
		s.m.alone++
		s.after(200*milli, payload{kind: evAsk, a: n})
	default:
		panic("treesim: internal error: unknown event of a router")
	}
}

// describe names a message in the trace.
func describe(m tree.Message) (kind byte, nonce uint64) {
	switch m := m.(type) {
	case *tree.MsgProbe:
		return 'P', m.Nonce
	case *tree.MsgProbeReply:
		return 'R', m.Nonce
	case *tree.MsgJoin:
		return 'J', m.Nonce
	case *tree.MsgAccept:
		return 'A', m.Nonce
	case *tree.MsgRefuse:
		return 'X', m.Nonce
	case *tree.MsgConfirm:
		return 'C', m.Nonce
	case *tree.MsgLeave:
		return 'L', uint64(len(m.Reason))
	case *tree.MsgPath:
		return 'H', m.PathSeq
	}
	panic("treesim: internal error: unknown message")
}

// lost is how often a message is lost altogether: a stream that breaks.
const lost = 1e-4

// send delivers a message over the control plane: streams of connections that are set up where there are none.
func (s *Sim) send(n, to int32, m tree.Message) {
	p := &s.peers[n]
	if to < 0 {
		return
	}
	q := &s.peers[to]
	if p.liar {
		m = s.lie(n, m)
	}
	s.sent(n, m)
	d := s.way(n, to) + s.jitter(n, to)
	if p.hop(to) == nil && !p.knows(to) {
		d += 2 * s.way(n, to) // one round trip of QUIC
		if !s.reach(n, to) {
			d += s.way(n, to) // over a relay
		}
	}
	switch {
	case q.state == departed || q.state == unborn:
		s.after(d+second, payload{kind: evUnreach, a: n, b: to})
	case s.cut(n, to):
		s.after(5*second, payload{kind: evUnreach, a: n, b: to})
	case s.netRand.Float64() < lost:
	default:
		s.after(d, payload{kind: evMessage, a: to, b: n, msg: m})
	}
}

func (s *Sim) received(e *payload) {
	p := &s.peers[e.a]
	if p.r == nil || p.state == stopped {
		return
	}
	p.knows(e.b)
	s.heard(e.a, e.msg)
	s.step(e.a, tree.Recv{From: s.peers[e.b].id, Msg: e.msg})
}

// dialTime is how long a hop is tried.
const dialTime = 5 * second

// open sets up a hop: signalling, ICE and the handshake take 4.5 one-way times, and what both ends compute.
func (s *Sim) open(n, to int32) {
	p := &s.peers[n]
	if p.hop(to) != nil {
		s.after(0, payload{kind: evHopUp, a: n, b: to})
		return
	}
	if !s.reach(n, to) || s.cut(n, to) {
		s.m.unreachable++
		s.after(dialTime, payload{kind: evUnreach, a: n, b: to})
		return
	}
	s.m.opened++
	s.m.hopSetup(s, n, to)
	s.after(9*s.way(n, to)/2+s.cal.HopSetup.draw(s.netRand), payload{kind: evOpen, a: n, b: to})
}

func (s *Sim) opened(n, to int32) {
	p, q := &s.peers[n], &s.peers[to]
	if p.r == nil {
		return
	}
	switch {
	case p.hop(to) != nil:
		s.step(n, tree.HopUp{Peer: q.id})
		return
	case q.state != up || p.state != up || s.cut(n, to):
		s.after(dialTime/2, payload{kind: evUnreach, a: n, b: to})
		return
	}
	s.hopSeq++
	p.hops = append(p.hops, hop{peer: to, gen: s.hopSeq})
	q.hops = append(q.hops, hop{peer: n, gen: s.hopSeq})
	s.step(to, tree.HopUp{Peer: p.id})
	s.feedChildren(to, -1)
	s.duePulses(to)
	s.step(n, tree.HopUp{Peer: q.id})
	s.feedChildren(n, -1)
	s.duePulses(n)
}

// closeHop ends a hop that this end needs no longer. One that says goodbye leaves that to its children.
func (s *Sim) closeHop(n, to int32) {
	p := &s.peers[n]
	h := p.hop(to)
	if h == nil || p.state == leaving && h.sends != 0 {
		return
	}
	gen := h.gen
	s.unfeed(n, h, -1)
	p.dropHop(to)
	s.ended(n, to)
	s.after(s.way(n, to), payload{kind: evHopDown, a: to, b: n, x: gen})
}

// hopDown takes the end of a hop.
func (s *Sim) hopDown(e *payload) {
	p := &s.peers[e.a]
	h := p.hop(e.b)
	if h == nil || h.gen != e.x {
		return
	}
	s.unfeed(e.a, h, int32(e.y)-1)
	p.dropHop(e.b)
	s.step(e.a, tree.HopDown{Peer: s.peers[e.b].id})
}

// lie makes what a liar says of its place look better than it is: next to the origin, with room for many.
func (s *Sim) lie(n int32, m tree.Message) tree.Message {
	path := []tree.ID{s.peers[0].id, s.peers[n].id}
	switch m := m.(type) {
	case *tree.MsgProbeReply:
		c := *m
		c.Path, c.Free = path, maxSlots
		return &c
	case *tree.MsgAccept:
		c := *m
		c.Path = path
		return &c
	case *tree.MsgPath:
		c := *m
		c.Path = path
		return &c
	}
	return m
}
