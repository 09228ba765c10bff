package tree

import (
	"slices"
	"time"

	"github.com/castd/castd/tree/coord"
)

// Whom a peer names to another. Who is refused must find a place elsewhere: first come the children, as they are near, have room
// while this peer is full, and their own lists lead on down to where a slot is free; then what the cache has, one half the
// best for the other, one half any, so that what everybody knows stays a sample of the room.

// asking is the peer that candidates are named to.
type asking struct {
	peer  ID
	coord coord.Coord
	slots uint32
	spare bool // looks for a backup
}

// asking describes a child.
func (c *child) asking() asking {
	return asking{peer: c.peer, coord: c.coord, slots: c.slots, spare: c.kind == Backup}
}

// first puts c at the head of a list.
func first(c Candidate, list []Candidate) []Candidate {
	out := make([]Candidate, 1, len(list)+1)
	out[0] = c
	for _, o := range list {
		if o.Peer != c.Peer {
			out = append(out, o)
		}
	}
	return out
}

// pick is one of those to name.
type pick struct {
	entry *entry
	child *child
	v     time.Duration
}

// picks keeps the best of what it is given, best first; its room is on the stack.
type picks struct {
	list [MaxCandidates]pick
	n    int
}

func (p *picks) add(k pick, most int) {
	if p.n == most && (most == 0 || k.v >= p.list[most-1].v) {
		return
	}
	if p.n < most {
		p.n++
	}
	i := p.n - 1
	for ; i > 0 && p.list[i-1].v > k.v; i-- {
		p.list[i] = p.list[i-1]
	}
	p.list[i] = k
}

// candidates names up to n peers to one that asks.
func (r *Router) candidates(to asking, n int) []Candidate {
	n = min(n, MaxCandidates)
	var near, far picks
	half := n
	if len(r.cache.list) > 0 {
		half = (n + 1) / 2
	}
	for _, c := range r.children {
		if c.kind == Backup || !c.confirmed || c.peer == to.peer || r.claims(c) == 0 {
			continue
		}
		v := foretold(to.coord, c.coord) / 2
		if c.free == 0 {
			v += blindCost
			if c.freeBelow > 0 {
				v -= blindCost / 2
			}
		}
		near.add(pick{child: c, v: v + time.Duration(r.rng.Int64N(int64(5*time.Millisecond)))}, half)
	}
	out := make([]Candidate, 0, n)
	for _, k := range near.list[:near.n] {
		c := k.child
		out = append(out, Candidate{
			Peer: c.peer, Addrs: c.addrs, Depth: uint32(len(r.path)), Free: c.free, Slots: c.slots, Coord: c.coord,
			Delay: r.delay() + foretold(r.coord.Coord(), c.coord)/2, Branch: r.branchBelow(c.peer),
		})
	}
	if len(r.cache.list) == 0 || len(out) == n {
		return out
	}
	var keys [MaxCandidates]uint64 // of out
	for i := range out {
		keys[i] = keyOf(out[i].Peer)
	}
	rest := n - len(out)
	a := asker{coord: to.coord, slots: int(to.slots), spare: to.spare, branch: BranchOf(r.path)}
	best := (rest + 1) / 2
	not := keyOf(to.peer)
	for i := range r.cache.list {
		e, key := &r.cache.list[i], r.cache.keys[i]
		if (key != not || e.Peer != to.peer) && r.nameable(e, key, out, &keys) {
			far.add(pick{entry: e, v: e.rank(a)}, best)
		}
	}
	for _, k := range far.list[:far.n] {
		keys[len(out)] = keyOf(k.entry.Peer)
		out = append(out, r.told(k.entry))
	}
	from := r.rng.IntN(len(r.cache.list))
	for i := range r.cache.list {
		if len(out) == n {
			break
		}
		at := (from + i) % len(r.cache.list)
		e, key := &r.cache.list[at], r.cache.keys[at]
		if (key != not || e.Peer != to.peer) && r.nameable(e, key, out, &keys) {
			keys[len(out)] = key
			out = append(out, r.told(e))
		}
	}
	return out
}

// nameable tells whether a candidate is fit to be named besides those that are, whose keys are given as well.
func (r *Router) nameable(e *entry, key uint64, named []Candidate, keys *[MaxCandidates]uint64) bool {
	if r.now < e.retry || r.distrusted(e.Peer) {
		return false
	}
	for i := range named {
		if keys[i] == key && named[i].Peer == e.Peer {
			return false
		}
	}
	return true
}

// told describes a candidate to another peer.
func (r *Router) told(e *entry) Candidate {
	c := e.Candidate
	c.Age = r.now.Sub(e.seen)
	return c
}

// leastNamed is how many others a refusal names where it can.
const leastNamed = 3

// redirects names up to n peers to one that is refused: those who may have room, or, where this peer knows of none, whoever else may
// lead on to one: its own parents and the origin, peers that did not answer it lately, and last its children that give nothing, who
// know others at least. It is empty only where this peer knows nobody but the asker and those it distrusts.
func (r *Router) redirects(to asking, n int) []Candidate {
	out := r.candidates(to, n)
	if len(out) > 0 {
		return out
	}
	n = min(n, leastNamed)
	add := func(c Candidate) {
		if len(out) < n && c.Peer != "" && c.Peer != to.peer && c.Peer != r.cfg.Self && !r.distrusted(c.Peer) &&
			!slices.ContainsFunc(out, func(o Candidate) bool { return o.Peer == c.Peer }) {
			out = append(out, c)
		}
	}
	link := func(l *link) {
		if l == nil {
			return
		}
		c := Candidate{Peer: l.peer, Depth: uint32(max(0, len(l.path)-1)), Delay: l.delay, Branch: BranchOf(l.path)}
		if e := r.cache.find(l.peer); e != nil {
			c = r.told(e)
		}
		add(c)
	}
	link(r.parent)
	if len(r.path) > 0 {
		c := Candidate{Peer: r.path[0]}
		if e := r.cache.find(c.Peer); e != nil {
			c = r.told(e)
		}
		add(c)
	}
	link(r.backup)
	for i := range r.cache.list {
		add(r.told(&r.cache.list[i]))
	}
	for _, gives := range []bool{true, false} {
		for _, c := range r.children {
			if c.slots > 0 == gives {
				add(Candidate{Peer: c.peer, Addrs: c.addrs, Depth: uint32(len(r.path)), Slots: c.slots, Coord: c.coord, Branch: r.branchBelow(c.peer)})
			}
		}
	}
	return out
}
