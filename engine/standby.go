package engine

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/proto"

	"github.com/castd/castd/engine/room"
	"github.com/castd/castd/engine/wire"
	"github.com/castd/castd/tree/elect"
)

// Who mixes a conference
//
// The hub mixes, and the first of its successors stands by: those whom the owner has appointed to keep his room open, in the order of
// package elect. Whoever takes part has a seat at both. The standby plays what the hub played, by maps that come over the hop between
// them, and so makes the same packets on the same timeline, for participants by their lines, for all others as a stream of its own. A
// receiver passes on one of the two and has the other at hand (splice): it goes on with the standby's when the hub's pause, and back when
// the hub is there again. So that no other peer need notice anything, the standby sends its mix not only to the hub but also to those whom
// the hub feeds, over hops of its own. When the standby becomes the hub nobody needs to move: it goes on mixing, and another one stands by.

// mixer returns the peer that mixes a conference, "" while it is not known.
func (r *Room) mixer() peer.ID {
	if r.links.Load().place.Origin {
		return r.e.self
	}
	return r.hubNow()
}

// standby returns the peer that stands by, "" where there is none.
func (r *Room) standby() peer.ID {
	if id := r.standing.Load(); id != nil {
		return *id
	}
	return ""
}

// mixers returns the peers at which a participant has a seat, the one that mixes first.
func (r *Room) mixers() []peer.ID {
	var ids []peer.ID
	for _, id := range []peer.ID{r.mixer(), r.standby()} {
		if id != "" && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids
}

// mixerInfo says who mixes the room, nil where nobody does.
func (r *Room) mixerInfo() *MixerInfo {
	ids := r.mixers()
	if r.Mode() != room.Conference || r.mixer() == "" {
		return nil
	}
	if r.unmixed() {
		return &MixerInfo{Mode: MixerDirect}
	}
	info := &MixerInfo{Peer: ids[0].String(), Readable: true}
	if len(ids) > 1 {
		info.Standby = ids[1].String()
	}
	for _, id := range r.furtherPeers() {
		info.Further = append(info.Further, id.String())
	}
	return info
}

// unmixed reports whether those who take part hear each other directly, as far as this peer knows.
func (r *Room) unmixed() bool {
	if p := r.plan.Load(); p != nil && p.hub == r.mixer() && p.has(r.e.self) && r.calls.Load() > 0 {
		return p.phase == wire.CallPhase_CALL_DIRECT
	}
	b := r.beacon.Load()
	return b != nil && b.hub == r.mixer() && b.direct
}

// mixesLoop reports whether this peer is the one that mixes.
func (r *Room) mixesLoop() bool {
	_, holding := r.elector.Term()
	return (holding || r.links.Load().place.Origin) && r.Mode() == room.Conference && !r.leaving
}

// standsByLoop reports whether this peer is the standby of the one that mixes.
func (r *Room) standsByLoop() bool {
	return r.standby() == r.e.self && r.Mode() == room.Conference && r.inTree && !r.leaving && !r.mixesLoop()
}

// seatsLoop reports whether participants have seats at this peer.
func (r *Room) seatsLoop() bool { return r.mixesLoop() || r.standsByLoop() }

// nameStandbyLoop notes who stands by, after the elector was given something.
func (r *Room) nameStandbyLoop() {
	var next peer.ID
	if heirs := r.elector.Lease().Successors; len(heirs) > 0 && r.Mode() == room.Conference {
		next = peer.ID(heirs[0])
	}
	if next != r.standby() {
		r.standing.Store(&next)
	}
	r.watchMixLoop()
}

// watchMixLoop goes on mixing as what this peer is now, or ends it where others do.
func (r *Room) watchMixLoop() {
	m := r.mixing
	switch {
	case m == nil:
	case r.mixesLoop():
		if m.follows != "" {
			r.e.log.Info("this peer mixes the conference now", "room", r.id)
			r.unfollowLoop(m)
			m.mix.Lead()
		}
	case !r.standsByLoop(), m.follows != r.hubNow() && r.hubNow() != "":
		r.unmixLoop(true) // of another timeline
	}
}

// standByLoop makes the mix that has just begun one that follows the hub's.
func (r *Room) standByLoop() {
	m := r.mixing
	m.follows, m.maps = r.hubNow(), mapsID(r.id, r.hubNow())
	m.mix.Follow(nil)
	r.e.connect(m.maps, &lineEnd{from: m.follows, take: func(_ *wire.Header, payload []byte) {
		if p := playoutMap(payload); p != nil {
			m.mix.Follow(p)
		}
	}})
	r.stageLoop() // the hub passes the mix on
}

// unfollowLoop takes no more maps.
func (r *Room) unfollowLoop(m *mixing) {
	if m.follows != "" {
		r.e.connect(m.maps, nil)
		m.follows = ""
	}
}

// mapsID is what the maps of a peer that mixes go under.
func mapsID(id wire.RoomID, mixer peer.ID) wire.StreamID {
	return wire.NewStreamID(id, []byte(mixer), "", "call", "maps")
}

// sendMaps returns what sends maps to the standby, and to those who go over to this mix or from it.
func (r *Room) sendMaps() func(*PlayoutMap) {
	id := mapsID(r.id, r.e.self)
	direct, further := directMapsID(r.id, r.e.self), furtherMapsID(r.id, r.e.self)
	return func(m *PlayoutMap) {
		var more []peer.ID
		if to := r.mapsTo.Load(); to != nil {
			more = *to
		}
		var others []peer.ID
		if to := r.mapsFurther.Load(); to != nil {
			others = *to
		}
		to := r.standby()
		if to != "" && r.e.hop(to) == nil {
			to = "" // it is on its way
		}
		if to == "" && len(more)+len(others) == 0 {
			return
		}
		out := &wire.PlayoutMap{Tick: m.Tick, Number: m.Number}
		for _, in := range m.Inputs {
			out.Inputs = append(out.Inputs, &wire.PlayoutPosition{Participant: in.Participant, Timestamp: in.Timestamp, Gain: float32(in.Gain)})
		}
		payload, err := proto.Marshal(out)
		if err != nil {
			r.e.log.Error("cannot encode a playout map", "err", err)
			return
		}
		packet := &MediaPacket{Sequence: int64(m.Tick), Timestamp: uint32(m.Tick * 960), Payload: payload}
		if to != "" {
			r.e.writeLine(to, id, packet)
		}
		for _, other := range others {
			r.e.writeLine(other, further, packet)
		}
		for _, other := range more {
			if other != r.e.self {
				r.e.writeLine(other, direct, packet)
			} else if d := r.directNow.Load(); d != nil {
				d.mix.Follow(m)
			}
		}
	}
}

// playoutMap reads a map, nil if it is none.
func playoutMap(payload []byte) *PlayoutMap {
	var in wire.PlayoutMap
	if proto.Unmarshal(payload, &in) != nil || len(in.Inputs) > MaxPlayoutInputs {
		return nil
	}
	m := &PlayoutMap{Tick: in.Tick, Number: in.Number}
	for _, p := range in.Inputs {
		m.Inputs = append(m.Inputs, PlayoutPosition{Participant: p.Participant, Timestamp: p.Timestamp, Gain: float64(p.Gain)})
	}
	return m
}

// seatLinksLoop keeps the hops to those who have seats here, and to where this peer's participants sit.
func (r *Room) seatLinksLoop() {
	next := make(map[peer.ID]bool)
	for l := range r.lines {
		next[l.hub] = false
	}
	if r.mixing != nil {
		for s := range r.mixing.seats {
			if s.far != nil {
				next[s.far.peer] = true
			}
		}
	}
	old := r.seatPeers
	r.seatPeers = next
	r.relinkLoop(nil)
	for id := range old {
		if _, still := next[id]; !still {
			r.e.releaseHop(id)
		}
	}
}

const (
	// maxHeads bounds the peers that a standby sends its mix to besides its children: of a large room the hub feeds fewer.
	maxHeads = 8
	// headsLife is how long they get it after the hub told of them last: it may be dead.
	headsLife = 5 * time.Second
	// headsRetry is the least time between two tries to open hops to them.
	headsRetry = time.Second
)

// headsLoop returns the peers that this hub feeds, those with the most listeners first.
func (r *Room) headsLoop() []peer.ID {
	if r.mixing == nil || !r.mixesLoop() {
		return nil
	}
	l := r.links.Load()
	ids := make([]peer.ID, 0, len(l.children))
	for id := range l.children {
		if l.fed(id) {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b peer.ID) int {
		return cmp.Or(cmp.Compare(r.audienceOf[b], r.audienceOf[a]), cmp.Compare(a, b))
	})
	return ids[:min(len(ids), maxHeads)]
}

// takeHeadsLoop notes whom the hub feeds, and opens hops to them.
func (r *Room) takeHeadsLoop(ids [][]byte, now time.Time) {
	next := make(map[peer.ID]bool)
	for _, id := range ids[:min(len(ids), maxHeads)] {
		if head := peer.ID(id); head != r.e.self && r.mixing != nil {
			next[head] = true
		}
	}
	r.headsTo = now.Add(headsLife)
	r.setHeadsLoop(next)
	if now.Sub(r.headsAt) < headsRetry {
		return
	}
	r.headsAt = now
	for id := range next {
		if r.e.hop(id) != nil {
			continue
		}
		r.done.Go(func() {
			ctx, cancel := context.WithTimeout(r.ctx, seatPatience)
			defer cancel()
			if _, err := r.e.transport.Dial(ctx, id); err != nil {
				r.e.log.Debug("cannot reach a head of the hub", "peer", id, "err", err)
			}
		})
	}
}

// setHeadsLoop sends the mix to these peers.
func (r *Room) setHeadsLoop(next map[peer.ID]bool) {
	old := r.heads
	if maps.Equal(old, next) {
		return
	}
	r.heads = next
	r.relinkLoop(nil)
	r.feedLoop()
	for id := range old {
		if !next[id] {
			r.e.releaseHop(id)
		}
	}
}

// dropHeadsLoop ends that where the hub has told of none for a while.
func (r *Room) dropHeadsLoop(now time.Time) {
	if len(r.heads) > 0 && (now.After(r.headsTo) || r.mixing == nil) {
		r.setHeadsLoop(nil)
	}
}

// directLoop returns the standby, where it may send its mix to this peer over a hop of its own: to one that the hub feeds, and for as long
// as it does.
func (r *Room) directLoop(parent peer.ID) peer.ID {
	id := r.standby()
	if parent != "" && parent == r.mixer() {
		return id
	}
	return mixSender(*r.media.Load(), r.e.self, id, time.Now())
}

// mixSender returns who else sends his mix to this peer himself: the standby before others, and of those the one who did last. The hub that
// has just died, whose child this peer was, would else be taken for it, and the standby's hop be closed when it is needed most.
func mixSender(media []*stream, self, standby peer.ID, now time.Time) peer.ID {
	var last *stream
	for _, s := range media {
		if s.author == self || !s.direct(now) {
			continue
		}
		if s.author == standby {
			return standby
		}
		if last == nil || s.directAt.Load() > last.directAt.Load() {
			last = s
		}
	}
	if last == nil {
		return ""
	}
	return last.author
}

// spareSilence is how long a standby may be silent that is to be a standby still: it hears from this hub, and tells, twice a second.
const spareSilence = 3 * time.Second

// watchStandbyLoop takes a standby that has died for none at once, so that another one is named: its offer would count for half a minute.
func (r *Room) watchStandbyLoop(now time.Time) {
	id := r.standby()
	if !r.mixesLoop() || r.mixing == nil || id == "" {
		r.spare = spare{}
		return
	}
	hop := r.e.hop(id)
	switch {
	case id != r.spare.id:
		r.spare = spare{id: id}
	case hop != nil && silentFor(hop, now) < spareSilence:
		r.spare.seen = now
	case !r.spare.seen.IsZero() && now.Sub(r.spare.seen) >= spareSilence:
		r.e.log.Info("the standby is silent: another one is to be named", "room", r.id, "peer", id)
		r.electLoop(elect.Gone{Peer: elect.ID(id)})
	}
}

// spare is what a hub knows of its standby.
type spare struct {
	id   peer.ID
	seen time.Time // when it was heard last; zero: not yet
}
