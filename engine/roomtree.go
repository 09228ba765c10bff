package engine

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/castd/castd/engine/relay"
	"github.com/castd/castd/engine/wire"
	"github.com/castd/castd/tree"
)

// step gives the router an input and does what it asks for. Inputs that come up meanwhile follow in order.
func (r *Room) step(in tree.Input) {
	r.inputs = append(r.inputs, in)
	if r.stepping {
		return
	}
	r.stepping = true
	defer func() { r.stepping = false }()
	for len(r.inputs) > 0 {
		in := r.inputs[0]
		r.inputs = r.inputs[1:]
		actions := slices.Clone(r.router.Step(time.Now(), in))
		r.traceLoop(in, actions)
		for _, a := range actions {
			r.actLoop(a)
		}
		if _, alive := in.(tree.Alive); alive && len(actions) == 0 && !r.links.Load().place.Repairing {
			continue // it changes nothing that shows
		}
		r.relinkLoop(nil)
	}
	r.standLoop()
}

// relinkLoop publishes what changed of the links. change may set what the router does not know.
func (r *Room) relinkLoop(change func(*links)) {
	old := r.links.Load()
	next := *old
	next.place = r.router.Status()
	next.stage = r.stagePeers
	next.hub, next.formerHub = r.hub, r.formerHub
	next.inherits = r.inherits != ""
	if change != nil {
		change(&next)
	}
	r.links.Store(&next)
	r.e.relinked.Store(true)
}

func (r *Room) actLoop(a tree.Action) {
	switch a := a.(type) {
	case tree.Send:
		r.sendTreeLoop(a.To, a.Msg)
	case tree.OpenHop:
		delete(r.unneeded, peer.ID(a.To))
		r.openHopLoop(peer.ID(a.To))
	case tree.CloseHop:
		id := peer.ID(a.To)
		if len(r.unneeded) >= maxAsked {
			clear(r.unneeded)
		}
		r.unneeded[id] = true
		// Other actions of this step may still want it, and so may other rooms: look once they are done.
		r.tell(func() { r.e.releaseHop(id) })
	case tree.SetFeeds:
		r.setFeedsLoop(peer.ID(a.Primary), peer.ID(a.Backup))
		r.watchFeedersLoop()
		if r.topicless.off {
			r.quietLoop(time.Now())
		}
	case tree.SetChildren:
		r.setChildrenLoop(a.Children)
	case tree.Advertise:
		r.advertiseLoop(time.Now())
	case tree.Notify:
		r.notifyLoop(a.Event)
	}
}

// setFeedsLoop takes the router's parent and backup. What the former parent sends is taken for a while, and its hop is kept: one that
// says goodbye feeds on until there is another. One that was lost while that is so, or before it sent anything, is no former parent: the
// one before still is.
func (r *Room) setFeedsLoop(primary, backup peer.ID) {
	l := r.links.Load()
	if primary == l.primary {
		r.relinkLoop(func(l *links) { l.backup = backup })
		return
	}
	now := time.Now()
	previous, until, gone := l.primary, now.Add(farewell), primary == "" // else the router tells it when the new one feeds
	if l.primary == "" || now.Before(l.previousUntil) && (l.awaits.Load() || primary == "" && l.previousGone) {
		previous, until, gone = l.previous, l.previousUntil, l.previousGone
	}
	dropped, video := l.previous, r.picturesFlow(now)
	r.relinkLoop(func(l *links) {
		l.previous, l.previousUntil, l.previousGone, l.primary, l.backup = previous, until, gone, primary, backup
		l.awaits = new(atomic.Bool)
		l.awaits.Store(true)
		l.awaitsVideo = video
	})
	if dropped != "" && dropped != previous {
		r.tell(func() { r.releaseFormerLoop(dropped) })
	}
	r.releaseAtLoop(previous, until)
	r.retryLoop()
}

// picturesFlow reports whether there has been video in the last half second.
func (r *Room) picturesFlow(now time.Time) bool {
	return slices.ContainsFunc(*r.all.Load(), func(s *stream) bool {
		return s.kind == wire.KindVideo && now.Sub(time.Unix(0, s.newestAt.Load())) < 500*time.Millisecond
	})
}

// fedLoop notes the first packet of a parent. A former one that has gone, or is waiting to go, is needed no longer.
func (r *Room) fedLoop(by peer.ID) {
	r.step(tree.Fed{Peer: tree.ID(by)})
	l, soon := r.links.Load(), time.Now().Add(lastOnes)
	if l.primary == by && l.previousGone && soon.Before(l.previousUntil) {
		r.relinkLoop(func(l *links) { l.previousUntil = soon })
		r.releaseAtLoop(l.previous, soon)
	}
}

// releaseAtLoop closes the hop to a former parent when its time is over.
func (r *Room) releaseAtLoop(id peer.ID, at time.Time) {
	if id == "" {
		return
	}
	time.AfterFunc(time.Until(at)+time.Millisecond, func() {
		if r.ctx.Err() == nil {
			r.tell(func() { r.releaseFormerLoop(id) })
		}
	})
}

// releaseFormerLoop closes the hop to a former parent, unless the router has asked for it again meanwhile.
func (r *Room) releaseFormerLoop(id peer.ID) {
	if r.unneeded[id] {
		delete(r.unneeded, id)
		r.e.releaseHop(id)
	}
}

// lastOnes is how long a former parent that wants to go is kept, once another one feeds: its last packets come by then, and so does it
// show whether the other one stays.
const lastOnes = 400 * time.Millisecond

// retryLoop asks the new parent for what is missing. It sends everything since what this peer has by itself; only what has not
// come by then, or was lost on the way, is asked for.
func (r *Room) retryLoop() {
	now := time.Now()
	l := r.links.Load()
	for _, s := range *r.all.Load() {
		if s.local || l.stage[s.author] {
			continue
		}
		s.mu.Lock()
		s.repair.Retry(now)
		s.repair.Hold(now.Add(resumeTime))
		s.mu.Unlock()
		s.gaps.Store(true)
	}
	r.e.repairer.wake()
}

// farewell is how long what a former parent sent may be on its way.
const farewell = time.Second

// resumeTime is how long a new parent may take to send what was missed.
const resumeTime = 120 * time.Millisecond

func (r *Room) notifyLoop(ev tree.Event) {
	out := Event{Room: string(r.id)}
	switch ev := ev.(type) {
	case tree.Joined:
		out.Event, out.Parent, out.Depth = "joined", peer.ID(ev.Parent).String(), ptr(ev.Depth)
	case tree.ParentChanged:
		out.Event, out.Depth, out.Reason = "parent", ptr(ev.Depth), ev.Reason
		if ev.Peer != "" {
			out.Peer = peer.ID(ev.Peer).String()
		}
		if ev.Backup != "" {
			out.Backup = peer.ID(ev.Backup).String()
		}
	case tree.ChildJoined:
		r.expected.Delete(peer.ID(ev.Peer)) // from now on it is the child that is expected, or nobody
		out.Event, out.Peer, out.Participant = "peer", peer.ID(ev.Peer).String(), r.userOf[peer.ID(ev.Peer)]
	case tree.ChildLeft:
		out.Event, out.Peer, out.Participant = "left", peer.ID(ev.Peer).String(), r.userOf[peer.ID(ev.Peer)]
		delete(r.userOf, peer.ID(ev.Peer))
		delete(r.audienceOf, peer.ID(ev.Peer))
		delete(r.have, peer.ID(ev.Peer))
		delete(r.passTo, peer.ID(ev.Peer))
		r.sumAudienceLoop()
	case tree.Alone:
		r.e.log.Info("no place in the room's tree yet; trying on", "room", r.id)
		r.askAgain()
		return
	default:
		return
	}
	r.e.events.emit(out)
	r.tellCensusLoop()
	if r.reportDue.IsZero() {
		r.reportDue = time.Now()
	}
}

// openHopLoop sees to it that there is a hop and tells the router.
func (r *Room) openHopLoop(to peer.ID) {
	if r.e.hop(to) != nil {
		r.step(tree.HopUp{Peer: tree.ID(to)})
		return
	}
	r.done.Go(func() {
		ctx, cancel := context.WithTimeout(r.ctx, 5*time.Second)
		defer cancel()
		if _, err := r.e.transport.Dial(ctx, to); err != nil {
			if r.ctx.Err() == nil {
				r.e.log.Debug("cannot open hop", "peer", to, "err", err)
			}
			r.tell(func() { r.step(tree.Unreachable{Peer: tree.ID(to)}) })
		}
	})
}

func (r *Room) hopUpLoop(h Hop) {
	if hs := r.e.hop(h.Peer()); hs == nil || hs.Hop != h {
		return // gone again
	}
	r.feedLoop()
	r.step(tree.HopUp{Peer: tree.ID(h.Peer())})
}

func (r *Room) hopDownLoop(h Hop) {
	id := h.Peer()
	r.feedLoop()
	if r.e.hop(id) != nil {
		return // a newer hop took its place
	}
	if id == r.hub {
		r.stageLoop()
	}
	r.step(tree.HopDown{Peer: tree.ID(id)})
}

// releaseHop closes the hop to a peer that no room needs any more.
func (e *Engine) releaseHop(id peer.ID) {
	for _, r := range e.Rooms() {
		if r.expects(id) {
			return
		}
	}
	if h := e.hop(id); h != nil {
		_ = h.Close()
	}
}

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
	part := func(id peer.ID) portion {
		switch {
		case l.fed(id):
			return all
		case id == r.hub || id == r.formerHub:
			return ownOnly
		case l.copies[id] == tree.CopyAll:
			return allAgain
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
)

// belongs reports whether a stream is part of a portion.
func (e *Engine) belongs(part portion, id wire.StreamID) bool {
	switch part {
	case ownOnly:
		s := (*e.streams.Load())[id]
		return s != nil && s.local && s.kind != wire.KindExcerpt
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
