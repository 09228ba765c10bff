package treesim

import (
	"slices"
	"time"

	"github.com/castd/castd/tree"
)

const (
	recent    = 512 // adverts that the directory draws from
	sample    = 8   // of them for a newcomer
	advertGap = second
	meshHop   = 60 * milli // what a hop of the gossip mesh takes, mean
)

// adverts is what gossip has carried.
type adverts struct {
	ring  []tree.Candidate // distinct peers, the oldest is replaced
	who   []int32          // of ring
	said  []int64          // when, of ring
	at    map[int32]int    // place in ring; looked up only
	next  int
	times []int64 // of the last ones, to know how many there are
	count int
	subs  []int32 // who subscribes: peers that have slots, in the order they came
	heard int64   // deliveries
}

// advertise tells those who subscribe. The mesh carries about one advert a second to each: where there are more, each
// subscriber gets a random part of them, as from a mesh whose peers pass on no more than that.
func (s *Sim) advertise(n int32, a tree.Advertise) {
	v := &s.adverts
	v.count++
	v.remember(n, a.Candidate, s.now)
	v.times = append(v.times, s.now)
	for len(v.times) > 0 && s.now-v.times[0] > 5*second {
		v.times = v.times[1:]
	}
	s.compact()
	if len(v.subs) == 0 {
		return
	}
	share := min(1, 5/float64(len(v.times)))
	list := []tree.Candidate{a.Candidate}
	expect := share * float64(len(v.subs))
	k := int(expect)
	if s.gossipRand.Float64() < expect-float64(k) {
		k++
	}
	if k >= len(v.subs) {
		for _, to := range v.subs {
			s.gossip(n, to, list)
		}
		return
	}
	for range k {
		s.gossip(n, v.subs[s.gossipRand.IntN(len(v.subs))], list)
	}
}

func (s *Sim) gossip(n, to int32, list []tree.Candidate) {
	if to == n || s.peers[to].state != up || s.cut(n, to) {
		return
	}
	s.adverts.heard++
	at := s.now + s.way(n, to) + int64(s.gossipRand.ExpFloat64()*float64(3*meshHop))
	p := &s.peers[to]
	i := len(p.inbox)
	for i > 0 && p.inbox[i-1].at > at {
		i--
	}
	p.inbox = slices.Insert(p.inbox, i, advert{at, list})
	if len(p.inbox) == maxInbox {
		s.read(to, s.now)
	}
	s.awaitAdvert(to)
}

// advert is one that a peer hears at that time.
type advert struct {
	at   int64
	list []tree.Candidate
}

// maxInbox is how many adverts are kept for a peer. A router that looks for nobody notes an advert and does nothing; so its adverts
// are given to it when there is another input for it, each with the time at which it came: to the router that makes no difference.
const maxInbox = 32

// read gives a router the adverts that have come until then.
func (s *Sim) read(n int32, until int64) {
	p := &s.peers[n]
	for len(p.inbox) > 0 && p.inbox[0].at <= until && p.r != nil && p.state != stopped {
		a := p.inbox[0]
		p.inbox = slices.Delete(p.inbox, 0, 1)
		s.counted(n)
		acts := p.r.Step(p.clock(a.at), tree.Candidates{List: a.list, Advert: true})
		if len(acts) > 0 {
			s.carryOut(n, acts)
		}
	}
}

// hearAdvert lets a router that looks for somebody hear what has come.
func (s *Sim) hearAdvert(n int32) {
	p := &s.peers[n]
	p.advertAt = never
	s.read(n, s.now)
	s.awaitAdvert(n)
}

// awaitAdvert plans that a router which looks for somebody hears the next advert when it comes.
func (s *Sim) awaitAdvert(n int32) {
	p := &s.peers[n]
	if p.r == nil || len(p.inbox) == 0 || !p.r.Searching() || p.inbox[0].at >= p.advertAt {
		return
	}
	p.advertAt = max(s.now, p.inbox[0].at)
	s.q.push(p.advertAt, payload{kind: evAdvert, a: n})
}

// compact forgets subscribers that have gone, when half of them have.
func (s *Sim) compact() {
	v := &s.adverts
	if v.count%256 == 0 {
		v.subs = slices.DeleteFunc(v.subs, func(n int32) bool { return s.peers[n].state == departed })
	}
}

func (v *adverts) remember(n int32, c tree.Candidate, now int64) {
	if v.at == nil {
		v.at = make(map[int32]int)
	}
	if i, ok := v.at[n]; ok {
		v.ring[i], v.said[i] = c, now
		return
	}
	if c.Free == 0 {
		return // it takes nobody's place
	}
	if len(v.ring) < recent {
		v.at[n] = len(v.ring)
		v.ring, v.who, v.said = append(v.ring, c), append(v.who, n), append(v.said, now)
		return
	}
	delete(v.at, v.who[v.next])
	v.ring[v.next], v.who[v.next], v.said[v.next] = c, n, now
	v.at[n] = v.next
	v.next = (v.next + 1) % recent
}

// known returns what a peer in reach tells somebody who asks about the room: the origin, and some of whom it heard lately.
func (s *Sim) known(n int32) []tree.Candidate {
	list := []tree.Candidate{{Peer: s.peers[0].id, Free: 1}}
	v := &s.adverts
	for range min(sample, len(v.ring)) {
		i := s.gossipRand.IntN(len(v.ring))
		c := v.ring[i]
		c.Age = time.Duration(s.now - v.said[i])
		if c.Peer != s.peers[n].id && !slices.ContainsFunc(list, func(o tree.Candidate) bool { return o.Peer == c.Peer }) {
			list = append(list, c)
		}
	}
	return list
}

func (s *Sim) ask(n int32) {
	if p := &s.peers[n]; p.r != nil && p.state == up && !p.status.Placed && n != 0 {
		s.m.asks++
		s.step(n, tree.Candidates{List: s.known(n)})
		s.after(second, payload{kind: evAsk, a: n}) // the origin's beacon, and others who have been met
	}
}
