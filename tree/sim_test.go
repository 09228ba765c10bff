package tree

import (
	"container/heap"
	"crypto/sha256"
	"fmt"
	"hash"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// The simulated network: routers with latency between them, messages that may be lost, hops that take two round trips to open,
// and pulses. Virtual time; everything random comes from the seed.

var simStart = time.Unix(1_000_000, 0)

type simEvent struct {
	at  time.Duration
	seq uint64
	do  func()
}

type simQueue []simEvent

func (q simQueue) Len() int { return len(q) }
func (q simQueue) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].seq < q[j].seq
}
func (q simQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *simQueue) Push(x any)   { *q = append(*q, x.(simEvent)) }
func (q *simQueue) Pop() any {
	old := *q
	e := old[len(old)-1]
	old[len(old)-1] = simEvent{}
	*q = old[:len(old)-1]
	return e
}

type simNode struct {
	i        int
	id       ID
	r        *Router
	alive    bool
	feeds    SetFeeds
	children []Child
	heard    map[ID]time.Duration
	tick     uint64 // of the tick that counts
	sameTick int
	lastTick time.Duration
	slots    int
	muted    map[int]bool // who does not hear this node on the hop
	placedAt time.Duration
	born     time.Duration
	last     ID // parent
	fedBy    ID // parent whose media has come
	events   []Event
	lie      func(to ID, m Message) Message // a liar says this instead; nil is nothing
	boast    func(to ID, p *Pulse)          // and this in its pulses
	dry      bool                           // takes children, pulses as if it fed them, and feeds nobody
	dryFor   int                            // looks in a row at which the parent did not feed this node
}

type simHop struct{ closed [2]bool }

type sim struct {
	t                         testing.TB
	now                       time.Duration
	q                         simQueue
	seq                       uint64
	nodes                     []*simNode
	byID                      map[ID]*simNode
	rng                       *rand.Rand
	seed                      uint64
	hops                      map[[2]int]*simHop
	pos                       [][2]float64
	trace                     hash.Hash
	loss                      float64 // of messages
	mute                      bool    // probes do not tell slots
	loops                     map[int]time.Duration
	looped                    int // seen at all
	msgs                      int
	refused                   int
	config                    func(c *Config)
	world                     *world // nil: a square of 80 ms
	calm                      bool   // few pulses, no trace: for large rooms
	moves, displaced, adverts int
	looks                     func(n *simNode, acts []Action) // at what each Step returns
}

func newSim(t testing.TB, seed uint64) *sim {
	return &sim{
		t: t, byID: map[ID]*simNode{}, rng: rand.New(rand.NewPCG(seed, 7)), seed: seed, hops: map[[2]int]*simHop{},
		trace: sha256.New(), loops: map[int]time.Duration{},
	}
}

func (s *sim) after(d time.Duration, do func()) {
	s.seq++
	heap.Push(&s.q, simEvent{s.now + d, s.seq, do})
}

func (s *sim) run(until time.Duration) {
	for len(s.q) > 0 && s.q[0].at <= until {
		e := heap.Pop(&s.q).(simEvent)
		s.now = e.at
		e.do()
	}
	s.now = until
}

// latency is 2 to 80 ms, by distance.
func (s *sim) latency(a, b int) time.Duration {
	if s.world != nil {
		return s.world.latency(a, b)
	}
	dx, dy := s.pos[a][0]-s.pos[b][0], s.pos[a][1]-s.pos[b][1]
	return 2*time.Millisecond + time.Duration((dx*dx+dy*dy)*39*float64(time.Millisecond))
}

// add starts a node; the first is the origin. It knows the origin and a few others.
func (s *sim) add(slots int) *simNode {
	i := len(s.nodes)
	c := DefaultConfig(ID(fmt.Sprintf("n%04d", i)))
	c.Slots, c.Seed = slots, s.seed
	if s.calm {
		c.PulseSilence, c.BackupSilence, c.ChildSilence = 10*time.Second, 10*time.Second, 10*time.Second
	}
	if s.config != nil {
		s.config(&c)
	}
	n := &simNode{i: i, id: c.Self, r: New(c), alive: true, heard: map[ID]time.Duration{}, slots: slots, born: s.now, muted: map[int]bool{}}
	s.nodes = append(s.nodes, n)
	s.byID[n.id] = n
	if s.world != nil {
		s.world.add(s)
	}
	s.pos = append(s.pos, [2]float64{s.rng.Float64(), s.rng.Float64()})
	if i > 0 {
		list := []Candidate{{Peer: "n0000", Depth: 0, Free: 1}}
		for range min(i-1, 6) {
			list = append(list, Candidate{Peer: s.nodes[s.rng.IntN(i)].id, Depth: 4})
		}
		s.step(n, Candidates{List: list})
	}
	s.step(n, Start{Origin: i == 0})
	s.after(time.Duration(s.rng.IntN(100))*time.Millisecond, func() { s.pulse(n) })
	return n
}

func (s *sim) step(n *simNode, in Input) {
	if !n.alive {
		return
	}
	acts := n.r.Step(simStart.Add(s.now), in)
	if s.looks != nil {
		s.looks(n, acts)
	}
	s.apply(n, acts)
	checkTally(s.t, n.r)
	s.schedule(n)
}

func (s *sim) schedule(n *simNode) {
	n.tick++
	at, ok := n.r.NextDeadline()
	if !ok {
		return
	}
	mine := n.tick
	s.after(max(0, at.Sub(simStart)-s.now), func() {
		if n.tick != mine || !n.alive {
			return
		}
		if n.lastTick != s.now {
			n.lastTick, n.sameTick = s.now, 0
		}
		if n.sameTick++; n.sameTick > 20 {
			s.t.Fatalf("%s: ticks without end at %v: %s", n.id, s.now, dump(n.r))
		}
		now := simStart.Add(s.now)
		for _, p := range []ID{n.feeds.Primary, n.feeds.Backup} {
			if at, ok := n.heard[p]; ok {
				s.apply(n, n.r.Step(now, Alive{p, simStart.Add(at)}))
			}
		}
		s.step(n, Tick{})
	})
}

func key(a, b int) [2]int { return [2]int{min(a, b), max(a, b)} }

func (h *simHop) side(a, b int) *bool {
	if a < b {
		return &h.closed[0]
	}
	return &h.closed[1]
}

func (s *sim) apply(n *simNode, acts []Action) {
	for _, a := range slices.Clone(acts) {
		if !s.calm {
			fmt.Fprintf(s.trace, "%d %s %s\n", s.now, n.id, describe(a, func(n uint64) string { return fmt.Sprint(n) }))
		}
		switch a := a.(type) {
		case Send:
			s.msgs++
			if _, ok := a.Msg.(*MsgRefuse); ok {
				s.refused++
			}
			s.sendMsg(n, a)
		case OpenHop:
			s.open(n, s.byID[a.To])
		case CloseHop:
			m := s.byID[a.To]
			h := s.hops[key(n.i, m.i)]
			if h == nil {
				continue
			}
			*h.side(n.i, m.i) = true
			if h.closed[0] && h.closed[1] {
				s.cut(n, m)
			}
		case SetFeeds:
			news := a.Primary != n.feeds.Primary
			n.feeds = a
			if news {
				n.fedBy = ""
			}
			if p := s.byID[a.Primary]; p != nil && news {
				s.firstMedia(n, p)
			}
		case SetChildren:
			n.children = a.Children
			for _, c := range a.Children {
				if m := s.byID[c.Peer]; s.hops[key(n.i, m.i)] != nil {
					*s.hops[key(n.i, m.i)].side(n.i, m.i) = false
				}
			}
			for _, c := range a.Children {
				s.firstMedia(s.byID[c.Peer], n)
			}
			s.checkSlots(n)
		case Advertise:
			s.adverts++
			s.advertise(n, a.Candidate)
		case Notify:
			n.events = append(n.events, a.Event)
			switch ev := a.Event.(type) {
			case Joined:
				n.placedAt = s.now
			case ParentChanged:
				if ev.Reason == ReasonOptimize && ev.Peer != n.last {
					s.moves++
				}
				if ev.Reason == ReasonDisplaced {
					s.displaced++
				}
				n.last = ev.Peer
			}
		}
	}
}

// firstMedia tells a child once when the first media of its parent comes, if it is sent any.
func (s *sim) firstMedia(c, p *simNode) {
	if c.feeds.Primary != p.id || c.fedBy == p.id || !slices.ContainsFunc(p.children, func(o Child) bool { return o.Peer == c.id && o.Kind != Backup }) {
		return
	}
	c.fedBy = p.id
	s.after(s.latency(c.i, p.i), func() {
		if p.alive && c.feeds.Primary == p.id {
			s.step(c, Fed{p.id})
		}
	})
}

func (s *sim) sendMsg(n *simNode, a Send) {
	m := s.byID[a.To]
	if m == nil || !m.alive {
		s.after(time.Second, func() { s.step(n, Unreachable{a.To}) })
		return
	}
	if s.rng.Float64() < s.loss {
		return
	}
	if p, ok := a.Msg.(*MsgProbe); ok && s.mute {
		a.Msg = &MsgProbe{Nonce: p.Nonce, Below: p.Below}
	}
	if n.lie != nil {
		if a.Msg = n.lie(a.To, a.Msg); a.Msg == nil {
			return
		}
	}
	d := s.latency(n.i, m.i)
	s.after(d+time.Duration(s.rng.Int64N(int64(d)/5+1)), func() { s.step(m, Recv{n.id, a.Msg}) })
}

func (s *sim) open(n, m *simNode) {
	k := key(n.i, m.i)
	if h := s.hops[k]; h != nil {
		*h.side(n.i, m.i) = false
		s.after(0, func() {
			if s.hops[k] == h {
				s.step(n, HopUp{m.id})
			}
		})
		return
	}
	s.after(4*s.latency(n.i, m.i), func() {
		if !m.alive {
			s.after(time.Second, func() { s.step(n, Unreachable{m.id}) })
			return
		}
		if s.hops[k] == nil && n.alive {
			s.hops[k] = &simHop{}
			s.step(m, HopUp{n.id})
			s.step(n, HopUp{m.id})
		}
	})
}

func (s *sim) cut(n, m *simNode) {
	k := key(n.i, m.i)
	delete(s.hops, k)
	s.after(0, func() { s.step(n, HopDown{m.id}) })
	s.after(0, func() { s.step(m, HopDown{n.id}) })
}

// advertise tells everybody in a small room, a sample in a large one.
func (s *sim) advertise(n *simNode, c Candidate) {
	tell := s.nodes
	if len(tell) > 400 { // those who hear each other often enough to thin theirs, and no more
		tell = nil
		for range 200 {
			tell = append(tell, s.nodes[s.rng.IntN(len(s.nodes))])
		}
	}
	for _, m := range tell {
		if m != n && m.alive {
			s.after(s.latency(n.i, m.i), func() { s.step(m, Candidates{List: []Candidate{c}, Advert: true}) })
		}
	}
}

func (s *sim) pulse(n *simNode) {
	if !n.alive {
		return
	}
	st := n.r.Status()
	to := map[ID]bool{}
	say := func(p ID, feeding bool) {
		m := s.byID[p]
		if m == nil || to[p] || s.hops[key(n.i, m.i)] == nil || n.muted[m.i] {
			return
		}
		to[p] = true
		in := Pulse{From: n.id, Depth: st.Depth, Repairing: st.Repairing, Feeding: feeding, Below: st.Below, FreeBelow: st.FreeBelow, Free: st.Free}
		if n.boast != nil {
			n.boast(p, &in)
		}
		s.after(s.latency(n.i, m.i), func() {
			m.heard[n.id] = s.now
			s.step(m, in)
		})
	}
	for _, c := range n.children {
		say(c.Peer, c.Kind != Backup)
	}
	say(n.feeds.Primary, false)
	say(n.feeds.Backup, false)
	every := 100 * time.Millisecond
	if s.calm {
		every = 2 * time.Second
	}
	s.after(every, func() { s.pulse(n) })
}

// kill stops a node. With noise its hops go down at once, as when a process dies; else there is only silence.
func (s *sim) kill(n *simNode, noise bool) {
	n.alive = false
	for _, m := range s.nodes {
		k := key(n.i, m.i)
		if m == n || s.hops[k] == nil {
			continue
		}
		delete(s.hops, k)
		d := 5 * time.Second
		if noise {
			d = s.latency(n.i, m.i)
		}
		s.after(d, func() {
			if s.hops[k] == nil {
				s.step(m, HopDown{n.id})
			}
		})
	}
}

func (s *sim) leave(n *simNode) {
	s.step(n, Leave{})
	s.after(200*time.Millisecond, func() { s.kill(n, true) })
}
