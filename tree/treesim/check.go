package treesim

import (
	"github.com/castd/castd/tree"
)

// checkSlots looks whether a list of children is more than the peer may have. One whose slots have become fewer may keep
// what it has, and take no more.
func (s *Sim) checkSlots(n int32, list []tree.Child) {
	p := &s.peers[n]
	count := func(list []tree.Child) (fed int) {
		for _, c := range list {
			if c.Kind != tree.Backup {
				fed++
			}
		}
		return fed
	}
	fed := count(list)
	limit := p.slots + reserve(p.slots)
	if fed > limit && fed > count(p.children) {
		s.m.slotViolations++
	}
	if n == 0 {
		s.m.originFed = fed
	}
}

// reserve is how many orphans a peer may feed on top of its slots.
func reserve(slots int) int {
	if slots == 0 {
		return 0
	}
	return max(1, (slots+4)/5)
}

// inLoop reports whether following the parents from a peer leads back to it.
func (s *Sim) inLoop(n int32) bool {
	up := s.peers[n].primary
	for range 4 * tree.MaxPath {
		switch {
		case up < 0 || up == 0 && n != 0:
			return false
		case up == n:
			return true
		}
		up = s.peers[up].primary
	}
	return false
}

// checkLoop looks whether a peer is in a loop still, a second after it was found in one.
func (s *Sim) checkLoop(n int32) {
	p := &s.peers[n]
	p.loopAt = 0
	if p.state == up && s.inLoop(n) {
		s.m.loops++
	}
}

// checkPlaced looks whether a newcomer has got a place in time.
func (s *Sim) checkPlaced(n int32) {
	p := &s.peers[n]
	if p.state != up || p.asked || p.liar || s.islands {
		return
	}
	s.m.refused++
}

// sweep looks at all peers once a second: their paths, and what they get.
func (s *Sim) sweep() {
	s.after(second, payload{kind: evSweep})
	measuring := s.now >= s.faultAt
	homeless := 0
	for i := range s.peers {
		p := &s.peers[i]
		if p.state != up || p.r == nil {
			continue
		}
		n := int32(i)
		if !p.status.Placed && s.now-p.cameAt > slow {
			homeless++
		}
		if s.pathWrong(n) {
			if p.wrongAt == 0 {
				p.wrongAt = s.now
			} else if s.now-p.wrongAt == 2*second {
				s.m.wrongPaths++
			}
		} else {
			p.wrongAt = 0
		}
		if measuring {
			s.m.second(s, n, p)
		}
	}
	if s.m.healedAt > 0 && s.m.wholeAt == 0 && homeless == 0 {
		s.m.wholeAt = s.now
	}
	if measuring {
		s.m.originSends = append(s.m.originSends, int64(s.m.originFed))
	}
}

// pathWrong reports whether a peer that has a place believes in a path that its parents do not make.
func (s *Sim) pathWrong(n int32) bool {
	p := &s.peers[n]
	path := p.status.Path
	if path == nil {
		return false
	}
	at := n
	for i := len(path) - 1; i >= 0; i-- {
		if at < 0 || path[i] != s.peers[at].id {
			return true
		}
		at = s.peers[at].primary
	}
	return false
}
