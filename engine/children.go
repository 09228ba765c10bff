package engine

import (
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/castd/castd/engine/relay"
	"github.com/castd/castd/engine/wire"
	"github.com/castd/castd/tree"
)

// maxParting bounds the children that are fed without a place.
const maxParting = 8

// partLoop goes on feeding a child that has said goodbye: it feeds its own until they have found another parent, and closes the hop
// then. The router has given its place away already.
func (r *Room) partLoop(id peer.ID) {
	if _, again := r.parting[id]; again || len(r.parting) == maxParting || !r.links.Load().fed(id) {
		return // a second goodbye buys no more time
	}
	r.parting[id] = time.Now().Add(farewell)
	time.AfterFunc(farewell+time.Millisecond, func() {
		if r.ctx.Err() == nil {
			r.tell(func() {
				delete(r.parting, id)
				r.setChildrenLoop(r.children)
				r.releaseFormerLoop(id)
			})
		}
	})
}

// setChildrenLoop takes the router's list of children.
func (r *Room) setChildrenLoop(children []tree.Child) {
	r.children = children
	kinds, copies := make(map[peer.ID]tree.ChildKind, len(children)), make(map[peer.ID]tree.Copy)
	for _, c := range children {
		kinds[peer.ID(c.Peer)] = c.Kind
		if c.Copy != tree.CopyNone {
			copies[peer.ID(c.Peer)] = c.Copy
		}
	}
	// Whoever has been told to go elsewhere is fed until he has gone: he closes the hop. Closed from here, it would overtake the
	// goodbye, and the child would take a departure for a failure. So is who goes himself, for those below him.
	for id, kind := range r.links.Load().children {
		if _, ok := kinds[id]; !ok && r.e.hop(id) != nil && (r.leaving || time.Now().Before(r.parting[id])) {
			kinds[id] = kind
		}
	}
	r.relinkLoop(func(l *links) { l.children, l.copies = kinds, copies })
	r.census.setChildren(time.Now(), children)
	r.tellCensusLoop()
	r.feedLoop()
}

// feedLoop sees to it that whoever is to be fed has a queue and a goroutine that serves the hop there is now, and nobody
// else has: the children, and the hub that this peer publishes to. Whatever changes either, or a hop, calls it.
func (r *Room) feedLoop() {
	r.showChildrenLoop()
	l := r.links.Load()
	want := make(map[peer.ID]Hop, len(l.children)+1)
	for id := range l.children {
		if h := r.e.hop(id); h != nil && (l.fed(id) || l.copied(id)) {
			want[id] = h.Hop
		} // else the hop is still to come, or the router hears of its end by itself
	}
	for _, id := range []peer.ID{r.hub, r.formerHub} {
		if h := r.e.hop(id); h != nil && !l.place.Origin {
			want[id] = h.Hop
		}
	}
	for id := range r.heads {
		if h := r.e.hop(id); h != nil {
			want[id] = h.Hop
		}
	}
	part := func(id peer.ID) portion {
		switch {
		case l.fed(id):
			return all
		case id == r.hub || id == r.formerHub:
			return ownOnly
		case l.copies[id] == tree.CopyAll:
			return allAgain
		case !l.copied(id):
			return mixOnly
		}
		return audioOnly
	}
	changed := false
	for id, c := range r.feeding {
		if want[id] != c.hop {
			c.close()
			r.e.totals.closed(c)
			delete(r.feeding, id)
			changed = true
		}
	}
	var begun []*child
	for _, id := range sortedKeys(want) {
		p := part(id)
		c := r.feeding[id]
		switch {
		case c == nil:
			c = newChild(r.feeder, want[id], p, r.e.belongs)
			r.e.totals.open(c)
			r.feeding[id] = c
			changed = true
		case c.part.Swap(int32(p)) == int32(p):
			continue
		}
		switch p {
		case all, ownOnly: // else it has all that went before from its parent
			begun = append(begun, c)
		case audioOnly:
			r.lastExcerptsLoop(c)
		}
	}
	// Who is new is in the fan-out before his backlog is computed: what comes in between reaches him twice rather than never.
	if changed {
		r.refanLoop()
	}
	for _, c := range begun {
		r.backlogLoop(c, r.have[c.peer])
		delete(r.have, c.peer) // it holds for this beginning only
	}
}

// portion says which of the room's streams somebody is sent.
type portion int32

const (
	all       portion = iota
	ownOnly           // the hub: what this peer publishes
	audioOnly         // a backup child that has video from its parent: audio, and what vouches for it
	allAgain          // a backup child that has all of it from its parent too
	mixOnly           // a head of the hub's that has all from there: what this standby mixes
)

// belongs reports whether a stream is part of a portion.
func (e *Engine) belongs(part portion, id wire.StreamID) bool {
	switch part {
	case ownOnly:
		s := (*e.streams.Load())[id]
		return s != nil && s.local && s.kind != wire.KindExcerpt
	case mixOnly:
		s := (*e.streams.Load())[id]
		return s != nil && s.local && s.slot.name == mixSlot
	case audioOnly:
		s := (*e.streams.Load())[id]
		return s != nil && s.kind != wire.KindVideo && (s.kind != wire.KindRecord || s.slot.excerpt.Load() == nil)
	}
	return true
}

func (r *Room) refanLoop() {
	f := &fanout{}
	for _, c := range r.feeding {
		f.children = append(f.children, c)
	}
	slices.SortFunc(f.children, func(a, b *child) int { return compareIDs(a.peer, b.peer) })
	r.fan.Store(f)
}

func compareIDs(a, b peer.ID) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// Lengths of what a newcomer gets of streams that have no groups of pictures.
const (
	audioBacklog  = 50 // one second
	recordBacklog = 16
)

// backlogLoop queues what a child needs from the past: everything since the numbers that it told, or, of streams that are
// new to it, the current group of pictures with the manifests that cover it.
func (r *Room) backlogLoop(c *child, have []*wire.StreamMark) {
	next := make(map[wire.StreamID]uint64, len(have))
	for _, m := range have {
		next[wire.StreamID(m.Stream)] = m.Number
	}
	for _, s := range *r.all.Load() {
		if !c.has(s.id) {
			continue
		}
		highest, ok := s.store.Highest()
		if !ok {
			continue
		}
		from, known := next[s.id]
		if !known {
			from = s.backlogStart(highest)
		}
		if from <= highest {
			relay.Burst(c.queue, s.store, from)
		}
	}
}

// backlogStart returns the first number that a newcomer is sent.
func (s *stream) backlogStart(highest uint64) uint64 {
	lowest, _ := s.store.Lowest()
	from := highest + 1
	switch s.kind {
	case wire.KindVideo:
		if first, _, ok := s.store.Group(); ok {
			from = first
		}
	case wire.KindAudio:
		from = highest - min(highest, audioBacklog)
	case wire.KindExcerpt: // no backlog has them
	case wire.KindRecord:
		from = highest - min(highest, recordBacklog)
		for _, m := range *s.slot.media.Load() {
			if m.kind != wire.KindVideo {
				continue
			}
			if first, _, ok := m.store.Group(); ok {
				from = min(from, s.slot.vouchedIn(m.id, first, highest))
			}
		}
	}
	if s.room.young(s) {
		from = lowest // it began just now: let nobody miss its beginning
	}
	return max(from, lowest)
}

// young reports whether a stream began so recently that newcomers get all of it.
func (r *Room) young(s *stream) bool {
	return time.Since(time.UnixMilli(s.state.Load().StartedMs)) < 3*time.Second
}

// resumeFrom returns the next number that this peer needs of a stream, false if it has nothing yet.
func (s *stream) resumeFrom() (uint64, bool) {
	highest, ok := s.store.Highest()
	if !ok {
		return 0, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if first, missing := s.repair.First(); missing && highest-first < 2048 {
		return first, true
	}
	return highest + 1, true
}
