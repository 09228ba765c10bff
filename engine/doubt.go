package engine

import (
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/castd/castd/engine/relay"
	"github.com/castd/castd/engine/wire"
)

// A manifest vouches for a picture as a whole. One that is spoiled, because a packet of it was forged on the way, is dropped and asked
// for again; and the publisher is told. For doubtLife each packet has a hash of its own then, and a false one is told from the others
// when it comes.
//
// Until then a second parent that sends pictures can spoil those of an honest first one, and have it blamed. That takes a round trip to
// the publisher, and a parent is left for what it does for longer (blame). Doubt goes by both parents, so that one that forges cannot
// withhold it; where both are of one mind, the first is blamed on, and left. A peer that doubts without cause has the room pay for
// hashes that it need not have: 0.8 per cent of 1.5 Mbit/s.

const (
	doubtLife = time.Minute            // the hashes of pictures are tried again after that
	doubtGap  = 250 * time.Millisecond // between two doubts that are passed on; one may be lost
)

// doubt says that a picture of the stream was spoiled: to its publisher where that is here, else to whoever sends it.
func (s *stream) doubt(now time.Time) {
	last := s.doubtAt.Load()
	if s.kind != wire.KindVideo || now.UnixNano()-last < int64(doubtGap) || !s.doubtAt.CompareAndSwap(last, now.UnixNano()) {
		return
	}
	if s.local {
		s.room.post(func() {
			for _, p := range s.room.pubs {
				p.doubted(s, now)
			}
		})
		return
	}
	l := s.room.links.Load()
	for i, to := range [...]peer.ID{s.feeder(l), l.backup} {
		if h := s.room.e.hop(to); h != nil && (i == 0 || to != s.feeder(l)) {
			_ = h.WriteControl(&wire.HopControl{Doubts: []*wire.Doubt{{Stream: uint64(s.id)}}})
		}
	}
}

// doubted has the packets of a stream vouched for one by one for a while.
func (p *publication) doubted(s *stream, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, ps := range p.streams {
		if ps.s == s {
			p.singlyTo = now.Add(doubtLife)
		}
	}
}

// spoiled takes a picture that is not what its hash says: what was dropped of it is asked for again. Who sent all of it is blamed, and
// of two the parent, as said above.
func (s *stream) spoiled(first uint64, packets int, now time.Time) {
	feeder := s.feeder(s.room.links.Load())
	s.mu.Lock()
	from := s.senders.of(first, feeder)
	for n := first + 1; n < first+uint64(packets); n++ {
		if s.senders.of(n, feeder) != from {
			from = feeder
		}
	}
	s.mu.Unlock()
	s.bad(from)
	s.doubt(now)
	s.want(first, packets, now)
}

// senders tells who sent the latest packets of pictures. The zero value knows of none.
type senders struct{ ring []sender }

type sender struct {
	number uint64
	from   peer.ID
}

// keptSenders is how many packets' senders are known: those of the time until their manifest comes, of 10 Mbit/s.
const keptSenders = 512

func (r *senders) note(number uint64, from peer.ID) {
	if r.ring == nil {
		r.ring = make([]sender, keptSenders)
	}
	r.ring[number%keptSenders] = sender{number, from}
}

// of returns who sent the packet, or another where that is not known.
func (r *senders) of(number uint64, other peer.ID) peer.ID {
	if r.ring != nil && r.ring[number%keptSenders].number == number && r.ring[number%keptSenders].from != "" {
		return r.ring[number%keptSenders].from
	}
	return other
}

// sent notes who sent a packet that was new.
func (s *stream) sent(number uint64, from peer.ID) {
	if s.kind != wire.KindVideo || s.local {
		return
	}
	s.mu.Lock()
	s.senders.note(number, from)
	s.mu.Unlock()
}

// wrong blames who sent a packet that is not what its hash says; from sent the hash.
func (s *stream) wrong(number uint64, from peer.ID) {
	s.mu.Lock()
	who := s.senders.of(number, from)
	s.mu.Unlock()
	s.bad(who)
}

// want has those of the numbers asked for of which there is no packet.
func (s *stream) want(first uint64, packets int, now time.Time) {
	for n := first; n < first+uint64(packets); n++ {
		if s.store.State(n) == relay.StateAbsent {
			s.wanted(n, now)
		}
	}
}
