package engine

import (
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/castd/castd/engine/wire"
	"github.com/castd/castd/tree"
)

// links says what other peers are to this one in a room. Values are immutable; the room's goroutine makes new ones.
type links struct {
	primary, backup peer.ID
	previous        peer.ID // primary before: what it sent last is still on its way until then
	previousUntil   time.Time
	previousGone    bool    // it was lost, or has said goodbye
	hub             peer.ID // where this peer's own publications go, if it is not the hub itself
	formerHub       peer.ID // where they went before, while the new hub does not have them yet
	inherits        bool    // this peer is about to be the hub: publishers come to it, and the tree still feeds it
	children        map[peer.ID]tree.ChildKind
	copies          map[peer.ID]tree.Copy // what backup children are sent
	stage           map[peer.ID]bool      // publishers that this hub has taken
	seats           map[peer.ID]bool      // peers with a line to this one; true: participants sit here, false: they sit there
	heads           map[peer.ID]bool      // peers that this standby sends its mix to
	mates           mates                 // peers that get the packets of participants from here
	natives         map[peer.ID]bool      // peers whose participants' sound comes to this further mixer
	standby         peer.ID               // which sends its mix to this peer, perhaps
	place           tree.Status
	awaits          *atomic.Bool // until the primary's first packet
	awaitsVideo     bool         // pictures flow, and sound alone may have come from it before it was the primary
}

// feeds reports whether media from the peer is taken.
func (l *links) feeds(from peer.ID) bool {
	return from != "" && (from == l.primary || from == l.backup || from == l.previous && time.Now().Before(l.previousUntil))
}

// fed reports whether the peer is a child that media is sent to.
func (l *links) fed(to peer.ID) bool {
	kind, ok := l.children[to]
	return ok && kind != tree.Backup
}

// copied reports whether the peer is a backup child that audio, or everything, is sent to.
func (l *links) copied(to peer.ID) bool { return l.copies[to] != tree.CopyNone && !l.fed(to) }

// uses reports whether the room needs a hop to the peer.
func (l *links) uses(id peer.ID) bool {
	_, child := l.children[id]
	_, seats := l.seats[id]
	return child || seats || l.mates[id] != nil || l.natives[id] || l.heads[id] || id != "" && id == l.standby || id == l.primary || id == l.backup || id == l.previous && id != "" && time.Now().Before(l.previousUntil) || id == l.hub || id == l.formerHub || l.stage[id]
}

// serves reports whether the peer may ask this one for packets and key frames.
func (r *Room) serves(id peer.ID) bool {
	l := r.links.Load()
	_, child := l.children[id]
	return child || l.heads[id] || id == l.hub || id == l.formerHub
}

// expects reports whether a hop offered by the peer is wanted.
func (r *Room) expects(id peer.ID) bool {
	if r.links.Load().uses(id) {
		return true
	}
	until, ok := r.expected.Load(id)
	return ok && time.Now().Before(until.(time.Time))
}

// expect lets the peer offer a hop during the next seconds.
func (r *Room) expect(id peer.ID) {
	now := time.Now()
	r.expected.Range(func(k, until any) bool {
		if now.After(until.(time.Time)) {
			r.expected.Delete(k)
		}
		return true
	})
	r.expected.Store(id, now.Add(10*time.Second))
}

// pulsePace returns how often the peer should get a pulse for this room, in units of pulseEvery; 0 if the two have nothing to do
// with each other here.
func (r *Room) pulsePace(to peer.ID) int {
	l := r.links.Load()
	feeds := l.fed(to) || l.copied(to) || to == l.hub || to == l.formerHub || l.natives[to]
	switch {
	case !l.uses(to):
		return 0
	case feeds && time.Since(time.Unix(0, r.liveAt.Load())) < liveTail:
		return livePulseEvery
	case feeds, to == l.primary, l.stage[to], l.mates[to] != nil:
		return childEvery
	}
	return idlePulseEvery
}

// pulseFor returns the room's part of a pulse to the peer, nil if the two have nothing to do with each other here.
func (r *Room) pulseFor(to peer.ID) *wire.RoomPulse {
	l := r.links.Load()
	if !l.uses(to) {
		return nil
	}
	p := &wire.RoomPulse{Room: r.tag, Depth: uint32(l.place.Depth), Repairing: l.place.Repairing}
	kind, child := l.children[to]
	if child {
		p.OriginClock = r.originClock.Load()
		if l.place.Origin {
			p.OriginClock = uint32(time.Since(r.e.started).Milliseconds())
		}
		p.Feeding = kind != tree.Backup
		newest := int64(0)
		for _, s := range *r.media.Load() {
			newest = max(newest, s.newestAt.Load())
		}
		if newest != 0 {
			p.MediaAgeMs = uint32(min(time.Since(time.Unix(0, newest)), time.Hour).Milliseconds())
		}
		if p.Feeding {
			p.Marks = r.marks(func(s *stream) bool { return true })
		}
	}
	if to == l.primary {
		p.Audience = uint32(r.audience())
	}
	if to == l.primary || to == l.backup { // a backup wants to know how many suffer with this peer
		p.Below, p.FreeBelow, p.Free = uint32(l.place.Below), uint32(l.place.FreeBelow), uint32(l.place.Free)
	}
	if to == l.hub || to == l.formerHub {
		p.Feeding = true
		p.Marks = r.marks(func(s *stream) bool { return s.local })
	}
	return p
}

// marks returns the newest numbers of the streams that fit.
func (r *Room) marks(fits func(*stream) bool) []*wire.StreamMark {
	var marks []*wire.StreamMark
	for _, s := range *r.all.Load() {
		if !fits(s) {
			continue
		}
		if n, ok := s.store.Highest(); ok {
			marks = append(marks, &wire.StreamMark{Stream: uint64(s.id), Number: n})
		}
	}
	return marks
}

// pulse takes the room's part of a pulse.
func (r *Room) pulse(from peer.ID, p *wire.RoomPulse, now time.Time) {
	l := r.links.Load()
	if from == l.primary || l.stage[from] {
		if h := r.e.hop(from); h != nil {
			r.setRTT(from, time.Duration(h.rtt.Load()))
		}
		for _, m := range p.Marks {
			if s := (*r.e.streams.Load())[wire.StreamID(m.Stream)]; s != nil && s.room == r && s.feeder(l) == from {
				s.marked(m.Number, now)
			}
		}
	}
	if !l.uses(from) {
		if !r.expects(from) {
			r.post(func() { r.strangerLoop(from, p.Feeding, now) })
		}
		return
	}
	in := tree.Pulse{
		From: tree.ID(from), Depth: int(min(p.Depth, 64)), MediaAge: time.Duration(p.MediaAgeMs) * time.Millisecond,
		Repairing: p.Repairing, Feeding: p.Feeding, Below: int(min(p.Below, 1<<20)), FreeBelow: int(min(p.FreeBelow, 1<<20)), Free: int(min(p.Free, tree.MaxSlots)),
	}
	if h := r.e.hop(from); h != nil {
		in.RTT = time.Duration(h.rtt.Load())
	}
	if from == l.primary {
		r.parentFresh.Store(p.MediaAgeMs > 0 && p.MediaAgeMs < 1000) // 0 is also said by one that has never had any
	}
	if from == l.primary && p.OriginClock != 0 { // an old peer knows of none
		if r.originClock.Swap(p.OriginClock) != p.OriginClock {
			r.originAt.Store(now.UnixNano())
		}
		in.OriginAge = now.Sub(time.Unix(0, r.originAt.Load()))
	}
	audience := int(min(p.Audience, 1<<20))
	if _, child := l.children[from]; child && from != l.primary && from != l.backup && !r.news(from, in, audience, now) {
		return
	}
	r.post(func() {
		if _, child := r.links.Load().children[from]; child && r.audienceOf[from] != audience {
			r.audienceOf[from] = audience
			r.sumAudienceLoop()
		}
		r.step(in)
	})
}

// childNews is what a child's pulse told the router last. That the child lives is seen by its hop.
type childNews struct {
	pulse    tree.Pulse
	audience int
	at       time.Time
}

// repeatNews is how often what a child's pulses tell goes to the router although nothing in it is new.
const repeatNews = 5 * time.Second

// news reports whether a child's pulse tells something new. It is called by the reader of the child's hop.
func (r *Room) news(from peer.ID, in tree.Pulse, audience int, now time.Time) bool {
	hs := r.e.hop(from)
	if hs == nil {
		return true
	}
	in.MediaAge, in.RTT, in.OriginAge = 0, 0, 0 // these change with each pulse; every repeatNews is often enough for them
	old := hs.told[r.tag]
	if old.pulse == in && old.audience == audience && now.Sub(old.at) < repeatNews {
		return false
	}
	if hs.told == nil || len(hs.told) > maxTold {
		hs.told = make(map[uint64]childNews)
	}
	hs.told[r.tag] = childNews{in, audience, now}
	return true
}

// maxTold bounds the rooms whose pulses are remembered for a hop.
const maxTold = 64

// strangerLoop tells a peer that takes this one for its parent, or for its child if it feeds it, that it is mistaken: one of the
// two has seen their hop come and go, the other has not.
func (r *Room) strangerLoop(from peer.ID, feeds bool, now time.Time) {
	if r.links.Load().uses(from) || r.expects(from) || now.Sub(r.answered) < strangerGap {
		return
	}
	r.answered = now
	reason := tree.LeaveUnknown
	if feeds {
		reason = tree.LeaveMoved
	}
	r.sendTreeLoop(tree.ID(from), &tree.MsgLeave{Reason: reason})
}

// strangerGap is the least time between two answers to pulses of peers that this one has nothing to do with.
const strangerGap = 200 * time.Millisecond

// setRTT tells the streams that come from the peer how far away it is.
func (r *Room) setRTT(from peer.ID, rtt time.Duration) {
	l := r.links.Load()
	for _, s := range *r.all.Load() {
		if !s.local && s.feeder(l) == from {
			s.mu.Lock()
			s.repair.SetRTT(rtt)
			s.mu.Unlock()
		}
	}
}

// sumAudienceLoop adds up the listeners below this peer.
func (r *Room) sumAudienceLoop() {
	sum := 0
	for id, n := range r.audienceOf {
		if r.links.Load().fed(id) {
			sum += n
		}
	}
	r.below.Store(int64(sum))
}

// audience returns the listeners at this peer and below: guests that watch, and the peer itself where it is a listener.
func (r *Room) audience() int {
	n := int(r.below.Load()) + r.leaf.guests()
	if r.listener.Load() && !r.links.Load().place.Origin {
		n++
	}
	return n
}
