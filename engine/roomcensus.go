package engine

import (
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/castd/castd/engine/wire"
	"github.com/castd/castd/tree"
)

// censusGap is how long changes are gathered before the parent is told of them.
const censusGap = 250 * time.Millisecond

// tellCensusLoop tells the parent what has changed, in a moment.
func (r *Room) tellCensusLoop() {
	if r.telling {
		return
	}
	r.telling = true
	time.AfterFunc(censusGap, func() {
		if r.ctx.Err() == nil {
			r.tell(func() {
				r.telling = false
				r.censusLoop(time.Now())
			})
		}
	})
}

// censusLoop tells the parent what is due.
func (r *Room) censusLoop(now time.Time) {
	st := r.links.Load().place
	if st.Origin {
		r.census.below(now) // forgets who is gone
		return
	}
	if !st.Placed || st.Parent == "" || r.leaving {
		return
	}
	own := seat{
		peer: r.e.self, parent: seatID(peer.ID(st.Parent)), backup: seatID(peer.ID(st.Backup)), slots: uint32(max(st.Slots, 0)),
		free: uint32(max(st.Free, 0)), audience: uint32(r.audience()), below: uint32(max(st.Below, 0)),
		delayMs: uint32(max(st.Delay.Milliseconds(), 0)), repairing: st.Repairing,
	}
	if list := r.census.report(now, own.parent, own); len(list) > 0 {
		r.sendWireLoop(peer.ID(st.Parent), &wire.TreeMessage{Message: &wire.TreeMessage_Census{Census: &wire.Census{Seats: list}}})
	}
}

// heardCensusLoop takes what a child tells of itself and those below it.
func (r *Room) heardCensusLoop(from peer.ID, m *wire.Census, now time.Time) {
	if r.links.Load().fed(from) && r.census.hear(now, from, m.GetSeats()) {
		r.tellCensusLoop()
	}
}

// Tree returns this peer's place in the room's tree.
func (r *Room) Tree() TreeInfo {
	st := r.links.Load().place
	t := TreeInfo{
		Peer: r.e.self.String(), Depth: max(len(st.Path)-1, 0), Path: []string{}, Children: []ChildInfo{}, Slots: st.Slots, Free: st.Free,
		Audience: r.audience(), Below: st.Below, DelayMs: int(st.Delay.Milliseconds()), Repairing: st.Repairing,
	}
	for _, id := range st.Path {
		t.Path = append(t.Path, peer.ID(id).String())
	}
	if len(t.Path) > 1 {
		t.Parent = t.Path[len(t.Path)-2]
	}
	if st.Backup != "" {
		t.Backup = peer.ID(st.Backup).String()
	}
	for _, c := range st.Children {
		t.Children = append(t.Children, ChildInfo{Peer: peer.ID(c.Peer).String(), Kind: c.Kind.String(), Depth: c.Depth})
	}
	return t
}

// Prepared reports whether this peer knows where to go when its parent in the room's tree dies; see tree.Router.Prepared.
func (r *Room) Prepared() (ok bool) {
	_ = r.call(r.ctx, func() { ok = r.router.Prepared() })
	return ok
}

// RoomTree returns the places that are known, from the origin down: at the origin those of the room, of a large one its upper
// levels; elsewhere the way to this peer, of which no more is known than who it leads over, this peer, and those below it.
func (r *Room) RoomTree() []TreeInfo {
	self := r.Tree()
	var out []TreeInfo
	for i, id := range self.Path[:max(len(self.Path)-1, 0)] {
		above := TreeInfo{Peer: id, Depth: i, Path: slices.Clone(self.Path[:i+1]), Children: []ChildInfo{}}
		if i > 0 {
			above.Parent = self.Path[i-1]
		}
		above.Children = append(above.Children, ChildInfo{Peer: self.Path[i+1], Kind: tree.Ordinary.String(), Depth: i + 1})
		out = append(out, above)
	}
	out = append(out, self)
	var seats []seat
	if err := r.call(r.ctx, func() {
		for _, h := range r.census.below(time.Now()) {
			seats = append(seats, h.seat)
		}
	}); err != nil {
		return out
	}
	out[len(out)-1].Below = max(self.Below, len(seats))
	return append(out, seatInfos(&self, seats)...)
}

// seatInfos makes places of seats, which come level by level, below a peer.
func seatInfos(self *TreeInfo, seats []seat) []TreeInfo {
	out := make([]TreeInfo, 0, len(seats))
	id, err := peer.Decode(self.Peer)
	if err != nil {
		panic("engine: internal error: own peer id: " + err.Error())
	}
	names := map[uint64]string{seatID(id): self.Peer}
	for _, up := range self.Path {
		if id, err := peer.Decode(up); err == nil {
			names[seatID(id)] = up
		}
	}
	at := make(map[uint64]int, len(seats))
	for _, s := range seats {
		names[seatID(s.peer)] = s.peer.String()
	}
	for _, s := range seats {
		key := seatID(s.peer)
		path := self.Path
		if i, ok := at[s.parent]; ok {
			path = out[i].Path
		}
		t := TreeInfo{
			Peer: names[key], Parent: names[s.parent], Backup: names[s.backup], Path: append(slices.Clone(path), names[key]), Children: []ChildInfo{},
			Slots: int(s.slots), Free: int(s.free), Audience: int(s.audience), Below: int(s.below), DelayMs: int(s.delayMs), Repairing: s.repairing,
		}
		t.Depth = len(t.Path) - 1
		at[key] = len(out)
		out = append(out, t)
		if i, ok := at[s.parent]; ok {
			out[i].Children = append(out[i].Children, ChildInfo{Peer: t.Peer, Kind: s.kind.String(), Depth: t.Depth})
		}
	}
	known := make([]int, len(out)) // below each; pulses may not have told of all of them yet
	for i, s := range slices.Backward(seats) {
		out[i].Below = max(out[i].Below, known[i])
		if k, ok := at[s.parent]; ok {
			known[k] += known[i] + 1
		}
	}
	for i, s := range seats {
		if k, ok := at[s.backup]; ok && s.backup != 0 {
			out[k].Children = append(out[k].Children, ChildInfo{Peer: out[i].Peer, Kind: tree.Backup.String(), Depth: out[k].Depth + 1})
		}
	}
	return out
}
