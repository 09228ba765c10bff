package treesim

import (
	"slices"
	"time"

	"github.com/castd/castd/tree"
)

// streams is a set of them.
type streams uint8

const (
	video streams = 1 << iota
	audio
	all = video | audio
)

// inflow is what comes from one peer.
type inflow struct {
	peer int32
	has  streams
	seq  int64 // of the event that told
}

// stream is what a peer knows of one of the streams it gets.
type stream struct {
	offAt int64 // when the last packet came before a gap; 0 while there is none
	pos   int64 // of that packet, in the origin's time
	cause int32
	above bool // the gap began above the parent
}

// cause is a fault that makes gaps, and what came of it.
type cause struct {
	at       int64
	victim   int32
	goodbye  bool
	below    int // peers that got media through the victim
	affected int // of them, who missed video, once for each gap
	indirect int // of them, who moved though their parent was well
}

// accepts reports whether a peer takes media from another.
func (p *peer) accepts(from int32) bool {
	return from == p.primary || from == p.backup || from == p.previous
}

// feedChildren sees to it that each child gets what it should.
func (s *Sim) feedChildren(n, why int32) {
	p := &s.peers[n]
	have := p.live
	if n == 0 {
		have = all
	}
	if p.state != up && p.state != leaving || p.grey || p.liar {
		have = 0
	}
	fed := 0
	for i := range p.hops {
		h := &p.hops[i]
		if kinds(p.children, s.peers[h.peer].id)&video != 0 {
			fed++
			if h.fedAt == 0 {
				h.fedAt = s.now
			}
		} else {
			h.fedAt = 0
		}
	}
	newest := s.overload(n, fed)
	for i := range p.hops {
		h := &p.hops[i]
		want := kinds(p.children, s.peers[h.peer].id)
		if h.fedAt >= newest && want&video != 0 {
			want &^= video
		}
		want &= have
		if h.muted != 0 || s.cut(n, h.peer) {
			want = 0
		}
		if want == h.sends {
			continue
		}
		d := s.way(n, h.peer) + s.cal.HopForward.draw(s.netRand)
		if h.sends == 0 && h.fedAt == s.now {
			d += s.cal.Resume.draw(s.netRand)
		}
		h.sends = want
		s.feedSeq++
		s.after(d, payload{kind: evFeed, a: h.peer, b: n, x: int64(want), y: int64(why) + 1, z: s.feedSeq})
	}
}

// kinds tells which streams a child is to get.
func kinds(list []tree.Child, id tree.ID) streams {
	i, ok := slices.BinarySearchFunc(list, id, func(c tree.Child, id tree.ID) int {
		switch {
		case c.Peer < id:
			return -1
		case c.Peer > id:
			return 1
		}
		return 0
	})
	switch {
	case !ok:
		return 0
	case list[i].Kind != tree.Backup:
		return all
	case list[i].Copy == tree.CopyAudio:
		return audio
	case list[i].Copy == tree.CopyAll:
		return all
	}
	return 0
}

// overload deals with an uplink that cannot carry its children: beyond what it can with the discardable layer left out, the
// newest get no video. It returns since when a child must be fed to be left out.
func (s *Sim) overload(n int32, fed int) int64 {
	p := &s.peers[n]
	p.over, p.starved = fed > p.full, max(0, fed-p.thin)
	if !p.over {
		return never
	}
	if p.correctAt == never {
		p.correctAt = s.now + correctAfter
		s.q.push(p.correctAt, payload{kind: evCorrect, a: n})
	}
	if p.starved == 0 {
		return never
	}
	list := make([]int64, 0, fed)
	for i := range p.hops {
		if p.hops[i].fedAt > 0 {
			list = append(list, p.hops[i].fedAt)
		}
	}
	slices.Sort(list)
	return list[p.thin]
}

// correct lets a peer's uplink controller tell what it can feed.
func (s *Sim) correct(n int32) {
	p := &s.peers[n]
	p.correctAt = never
	if p.r == nil || p.state != up || !p.over || p.liar {
		return
	}
	if true := capacity(p.upload); true < p.slots {
		p.slots = true
		s.m.corrected++
		s.step(n, tree.SetSlots{Slots: true})
	}
}

// unfeed stops what is sent on a hop.
func (s *Sim) unfeed(n int32, h *hop, why int32) {
	if h.sends == 0 {
		return
	}
	h.sends, h.fedAt = 0, 0
	s.feedSeq++
	s.after(s.way(n, h.peer), payload{kind: evFeed, a: h.peer, b: n, y: int64(why) + 1, z: s.feedSeq})
}

// fed takes a change of what comes from a peer: the last packet before it, or the first one after.
func (s *Sim) fed(e *payload) {
	p := &s.peers[e.a]
	if p.state == departed {
		return
	}
	i := slices.IndexFunc(p.in, func(f inflow) bool { return f.peer == e.b })
	switch {
	case i >= 0 && p.in[i].seq > e.z:
		return
	case i >= 0:
		p.in[i].has, p.in[i].seq = streams(e.x), e.z
	case e.x != 0:
		p.in = append(p.in, inflow{e.b, streams(e.x), e.z})
	default:
		return
	}
	s.setLive(e.a, int32(e.y)-1)
}

// ended forgets what came from a peer whose hop this one has closed.
func (s *Sim) ended(n, from int32) {
	p := &s.peers[n]
	i := slices.IndexFunc(p.in, func(f inflow) bool { return f.peer == from })
	if i >= 0 && p.in[i].has != 0 {
		p.in[i].has = 0
		s.setLive(n, -1)
	}
}

// setLive works out which streams a peer gets now, ends and begins its gaps, and tells its children.
func (s *Sim) setLive(n, why int32) {
	p := &s.peers[n]
	if n == 0 || p.state != up && p.state != leaving {
		return
	}
	if p.state == leaving {
		why = p.why
	}
	var is streams
	k := p.in[:0]
	for _, f := range p.in {
		if p.untold && f.peer == p.primary && f.has != 0 {
			p.untold = false
			s.after(0, payload{kind: evFed, a: n, b: f.peer})
		}
		if f.has == 0 && f.peer != p.primary && f.peer != p.backup {
			continue
		}
		k = append(k, f)
		if p.accepts(f.peer) {
			is |= f.has
		}
	}
	p.in = k
	for _, one := range [...]streams{video, audio} {
		if is&one != 0 && !s.fromOrigin(n, one) {
			is &^= one
		}
	}
	was := p.live
	p.live = is
	switch {
	case is&video != 0 && was&video == 0:
		s.m.playing++
	case is&video == 0 && was&video != 0:
		s.m.playing--
	}
	for i, one := range [...]streams{video, audio} {
		st := &p.streams[i]
		switch {
		case was&one != 0 && is&one == 0:
			*st = stream{offAt: s.now, pos: s.now - s.delay(n), cause: why}
			st.above = p.primary >= 0 && s.well(p.primary, n) && p.hop(p.primary) != nil
		case was&one == 0 && is&one != 0:
			s.resumed(n, i, one)
		}
	}
	if is != was {
		s.feedChildren(n, why)
		s.duePulses(n)
	}
	if is&video == 0 && p.primary >= 0 && p.refreshAt == never {
		p.refreshAt = s.now + int64(500*time.Millisecond)
		s.q.push(p.refreshAt, payload{kind: evRefresh, a: n})
	}
}

// resumed ends a gap, or notes the first media.
func (s *Sim) resumed(n int32, i int, one streams) {
	p := &s.peers[n]
	st := &p.streams[i]
	if p.begun&one == 0 {
		p.begun |= one
		if one == video {
			s.m.members++
		}
		if p.begun == all {
			p.mediaAt = s.now
			s.m.firstMedia(s, p)
		}
		return
	}
	// What is behind what was there already is known; the first new packet may come later.
	end := max(s.now, st.pos+s.delay(n))
	s.m.gap(s, n, i, end-st.offAt, *st, true)
	*st = stream{}
}

// fromOrigin reports whether a stream can come to a peer from the origin, along what peers believe to get. Two that feed each
// other and nobody else feeds do not get anything new.
func (s *Sim) fromOrigin(n int32, one streams) bool {
	// Nearly always the first that feeds each peer leads up to it.
	at := n
	for range 2 * tree.MaxPath {
		up := s.peers[at].source(one)
		if up < 0 {
			break
		}
		if s.begins(up) {
			return true
		}
		at = up
	}
	s.inflows = append(s.inflows[:0], n)
	for i := 0; i < len(s.inflows); i++ {
		p := &s.peers[s.inflows[i]]
		for _, f := range p.in {
			if f.has&one == 0 || !p.accepts(f.peer) {
				continue
			}
			if s.begins(f.peer) {
				return true
			}
			if !slices.Contains(s.inflows, f.peer) {
				s.inflows = append(s.inflows, f.peer)
			}
		}
	}
	return false
}

// begins tells whether media need not come from elsewhere to a peer for it to have some: what is on its way from who has gone still comes.
func (s *Sim) begins(n int32) bool {
	q := &s.peers[n]
	return n == 0 || q.state != up && q.state != leaving
}

// source is the parent that a stream comes from, or whoever else it comes from; -1 is nobody.
func (p *peer) source(one streams) int32 {
	from := int32(-1)
	for _, f := range p.in {
		if f.has&one == 0 || !p.accepts(f.peer) {
			continue
		}
		if f.peer == p.primary {
			return f.peer
		}
		if from < 0 {
			from = f.peer
		}
	}
	return from
}

// feeder is from whom a peer gets video, or got it last; -1 is nobody.
func (p *peer) feeder() int32 {
	for _, f := range p.in {
		if f.has&video != 0 && f.peer == p.primary {
			return f.peer
		}
	}
	for _, f := range p.in {
		if f.has&video != 0 && p.accepts(f.peer) {
			return f.peer
		}
	}
	return p.primary
}

// delay is what video takes from the origin to a peer, in ns.
func (s *Sim) delay(n int32) int64 {
	d := int64(0)
	forward := int64(s.cal.HopForward.P50 * 1e6)
	for range 2 * tree.MaxPath {
		if n == 0 {
			return d
		}
		up := s.peers[n].feeder()
		if up < 0 {
			return d
		}
		d += s.way(up, n) + forward
		n = up
	}
	return d
}
