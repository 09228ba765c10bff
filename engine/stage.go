package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/proto"

	"github.com/castd/castd/engine/room"
	"github.com/castd/castd/engine/wire"
	"github.com/castd/castd/tree"
)

// A publisher that is not the room's hub asks the hub to take it, opens a hop to it, and sends its streams up there; from the
// hub they go down the tree like the hub's own. The hub is the first hop, and refuses who may not send.

// stageTimeout is how long a publisher waits for the hub.
const stageTimeout = 10 * time.Second

// joinStage brings a publication to the hub.
func (r *Room) joinStage(ctx context.Context, p *publication) error {
	ctx, cancel := context.WithTimeout(ctx, stageTimeout)
	defer cancel()
	for {
		hub := r.hubNow()
		if hub != "" {
			try, stop := r.whileHub(ctx, hub)
			answer, err := r.askStage(try, hub, p)
			reason := answer.GetReason()
			switch {
			case err != nil:
				r.e.log.Debug("hub does not answer", "peer", hub, "err", err)
			case reason == "":
				_ = r.call(ctx, func() { r.stageAcceptedLoop(hub, answer.Have) })
				if _, err := r.e.transport.Dial(try, hub); err == nil {
					stop()
					return nil
				}
			case reason == "not_allowed":
				stop()
				return NewUserError(CodeNotAllowed, fmt.Sprintf("the owner of room %q does not let you send: ask for an invite made with `castd invite %s --speak`", r.Name(), r.Name()))
			case reason == "full":
				stop()
				return NewUserError(CodeFull, fmt.Sprintf("the stage of room %q is full: try again when somebody has left it", r.Name()))
			}
			stop()
			if now := r.hubNow(); now != hub && now != "" {
				continue // another one took its place meanwhile
			}
		} else {
			r.askAgain()
		}
		select {
		case <-ctx.Done():
			return NewUserError(CodeTimeout, fmt.Sprintf("the owner of room %q cannot be reached: is castd running there?", r.Name()))
		case <-time.After(250 * time.Millisecond):
		}
	}
}

// whileHub returns a context that ends when the hub is another one: who has just died answers nobody.
func (r *Room) whileHub(ctx context.Context, hub peer.ID) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	r.done.Go(func() {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				if now := r.hubNow(); now != "" && now != hub {
					cancel()
					return
				}
			}
		}
	})
	return ctx, cancel
}

// hubFresh is how long a beacon says more than the path to the tree's origin.
const hubFresh = 3 * time.Second

// hubNow returns the room's hub as far as this peer knows it.
func (r *Room) hubNow() peer.ID {
	b := r.beacon.Load()
	if b != nil && time.Since(b.at) < hubFresh {
		return b.hub // also of a hub that is about to be the tree's origin
	}
	if path := r.links.Load().place.Path; len(path) > 1 {
		return peer.ID(path[0])
	}
	if b != nil {
		return b.hub
	}
	return ""
}

func (r *Room) askStage(ctx context.Context, hub peer.ID, p *publication) (*wire.StageAnswer, error) {
	p.mu.Lock()
	env := p.announce
	p.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	var answer wire.StageAnswer
	err := r.e.request(ctx, hub, r.id, wire.Type_STAGE_JOIN, &wire.StageJoin{Announces: [][]byte{env}}, wire.Type_STAGE_ANSWER, &answer)
	if err == nil && answer.Reason == "not_hub" && answer.Hub != nil {
		r.post(func() { r.candidatesLoop(candidatesFromWire([]*wire.Candidate{answer.Hub})) })
	}
	return &answer, err
}

// stageJoinLoop answers a publisher that asks this hub.
func (r *Room) stageJoinLoop(from peer.ID, j *wire.StageJoin) *wire.StageAnswer {
	if !r.links.Load().place.Origin && r.inherits == "" {
		a := &wire.StageAnswer{Reason: "not_hub"}
		if b := r.beacon.Load(); b != nil {
			a.Hub = &wire.Candidate{Peer: []byte(b.hub)}
		}
		return a
	}
	if len(j.Announces) == 0 || len(j.Announces) > 16 {
		return &wire.StageAnswer{Reason: "not_allowed"}
	}
	for _, env := range j.Announces {
		m, err := r.e.open(from, env)
		if err != nil || m.Type != wire.Type_ANNOUNCE {
			return &wire.StageAnswer{Reason: "not_allowed"}
		}
		var a wire.Announce
		if proto.Unmarshal(m.Body, &a) != nil || r.refusal(m.User, a.Chain, time.Now()) != "" {
			r.e.metrics.refused.Add(1)
			return &wire.StageAnswer{Reason: "not_allowed"}
		}
		change, err := r.roster.ApplyEnvelope(env, time.Now())
		if err != nil && !errors.Is(err, room.ErrStale) { // what is newer came from him as well
			r.e.log.Info("publisher refused", "room", r.id, "peer", from, "err", err)
			reason := "not_allowed"
			if errors.Is(err, room.ErrFull) {
				reason = "full"
			}
			return &wire.StageAnswer{Reason: reason}
		}
		r.setStageLoop(from, true)
		r.grants[from] = &grant{user: m.User, chain: a.Chain, ends: room.ExpiresAt(a.Chain)}
		r.changeLoop(change, nil)
	}
	return &wire.StageAnswer{Have: r.wanted(from)}
}

// wanted returns the next number wanted of each stream of a publisher that this peer has something of: a hub that takes
// another's place has what that one has passed on, and the publisher sends it the rest.
func (r *Room) wanted(from peer.ID) []*wire.StreamMark {
	var marks []*wire.StreamMark
	for _, s := range *r.all.Load() {
		if s.author != from || len(marks) == maxWanted {
			continue
		}
		if n, ok := s.resumeFrom(); ok {
			marks = append(marks, &wire.StreamMark{Stream: uint64(s.id), Number: n})
		}
	}
	return marks
}

// maxWanted bounds the streams of a publisher that a hub tells of.
const maxWanted = 64

// stageAcceptedLoop begins to send to the hub, from where it has this peer's streams to.
func (r *Room) stageAcceptedLoop(hub peer.ID, have []*wire.StreamMark) {
	if r.feeding[hub] == nil {
		r.have[hub] = have[:min(len(have), maxWanted)]
	}
	r.setHubLoop(hub)
}

// watchStageLoop lets go of publishers who have been away or silent for as long as a slot waits, and of the hub when nothing
// has been sent there for as long. Where the hop to the hub was lost it sees to a new one.
func (r *Room) watchStageLoop(now time.Time) {
	live := make(map[peer.ID]bool)
	for _, s := range *r.media.Load() {
		if s.state.Load().Live {
			live[s.author] = true
		}
	}
	if r.mixing != nil {
		for s := range r.mixing.seats {
			if s.far != nil {
				live[s.far.peer] = true
			}
		}
	}
	for id := range r.stagePeers {
		switch since := r.stageIdle[id]; {
		case live[id] && r.e.hop(id) != nil:
			delete(r.stageIdle, id)
		case since.IsZero():
			r.stageIdle[id] = now
		case now.Sub(since) >= slotLife:
			r.setStageLoop(id, false)
			r.e.releaseHop(id)
		}
	}
	if r.hub == "" || r.leaving {
		return
	}
	if len(r.pubs)+len(r.lines) > 0 {
		r.hubUsed = now
	} else if now.Sub(r.hubUsed) >= slotLife {
		r.setHubLoop("")
		return
	}
	if r.e.hop(r.hub) == nil {
		r.stageLoop()
	}
}

// setStageLoop notes that a publisher is on this hub's stage, or no longer.
func (r *Room) setStageLoop(id peer.ID, on bool) {
	next := maps.Clone(r.stagePeers)
	delete(next, id)
	delete(r.stageIdle, id)
	if on {
		next[id] = true
	}
	switch _, since := r.staged[id]; {
	case !on:
		delete(r.staged, id)
	case !since || !r.stagePeers[id]:
		r.staged[id] = time.Now()
	}
	r.stagePeers = next
	r.relinkLoop(nil)
}

// setHubLoop notes where this peer's own streams go. They go there as soon as there is a hop; where another hub had them, they go
// to both for a while, so that nobody misses any.
func (r *Room) setHubLoop(hub peer.ID) {
	old, former := r.hub, r.formerHub
	r.hub = hub
	switch {
	case old == hub:
	case old != "" && hub != "":
		r.formerHub, r.formerTo = old, time.Now().Add(hubOverlap)
	case hub == r.formerHub:
		r.formerHub = ""
	}
	r.relinkLoop(nil)
	r.feedLoop()
	for _, id := range []peer.ID{old, former} {
		if id != "" && id != r.hub && id != r.formerHub {
			r.e.releaseHop(id)
		}
	}
}

// hubOverlap is how long a publisher sends to the former hub as well.
const hubOverlap = 3 * time.Second

// dropFormerHubLoop lets go of the former hub when its time is over.
func (r *Room) dropFormerHubLoop(now time.Time) {
	if r.formerHub != "" && (now.After(r.formerTo) || r.links.Load().place.Origin) {
		former := r.formerHub
		r.formerHub = ""
		r.relinkLoop(nil)
		r.feedLoop()
		r.e.releaseHop(former)
	}
}

// stageLoop brings all open publications to the hub anew: it was lost, or another took its place.
func (r *Room) stageLoop() {
	pubs := make([]*publication, 0, len(r.pubs))
	for _, key := range sortedKeys(r.pubs) {
		pubs = append(pubs, r.pubs[key])
	}
	if len(pubs) == 0 || r.rejoining || r.links.Load().place.Origin {
		return
	}
	r.rejoining = true
	r.done.Go(func() {
		for _, p := range pubs {
			if err := r.joinStage(r.ctx, p); err != nil && r.ctx.Err() == nil {
				r.e.log.Warn("cannot bring publication back to the hub", "err", err)
				r.e.events.emit(Event{Event: "error", Room: string(r.id), Code: CodeTimeout, Message: err.Error()})
			}
		}
		r.tell(func() { r.rejoining = false })
	})
}

// feedback is what a source should know of the way its media goes: the worst loss among those whom this peer feeds.
func (r *Room) feedback() Feedback {
	var f Feedback
	for _, c := range r.fan.Load().children {
		if h := r.e.hop(c.peer); h != nil {
			f.Fraction = max(f.Fraction, uint8(min(h.peerLoss.Load()*256/1000, 255)))
		}
	}
	return f
}

// offer gives the router candidates.
func (r *Room) offer(list []tree.Candidate) { r.post(func() { r.candidatesLoop(list) }) }

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K {
	return slices.Sorted(maps.Keys(m))
}
