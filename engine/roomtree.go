package engine

import (
	"context"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

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
	next.stage, next.seats, next.heads = r.stagePeers, r.seatPeers, r.heads
	next.mates = r.matesNow()
	next.natives = r.nativesLoop()
	next.standby = r.directLoop(next.primary)
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
