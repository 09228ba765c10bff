package engine

import (
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/castd/castd/engine/wire"
	"github.com/castd/castd/tree"
	"github.com/castd/castd/tree/elect"
)

// Least times between two beacons: while nothing is live, and while a beacon has nothing new to tell and nobody waits for the
// hub's end to take its place. That is well below elect.Config.Patience, after which somebody does who has not been named yet.
const (
	quietBeacon = 1500 * time.Millisecond
	idleBeacon  = 2500 * time.Millisecond
)

// newHub is how long a hub that has just become one thins nothing.
const newHub = 5 * time.Second

// recordEvery is how often the hub tells the room its record, so that all know what the owner said last.
const recordEvery = time.Minute

func (r *Room) sendRecordLoop(now time.Time) {
	if now.Sub(r.recorded) >= recordEvery {
		r.recorded = now
		r.broadcastLoop(r.record.Load().Envelope, false)
	}
}

// sendBeaconLoop tells the room that it lives and where its hub is: once a second, less often while nothing is live or new. That a
// few listeners more or fewer are there is not new: in a large room somebody comes or goes in every second.
func (r *Room) sendBeaconLoop(now time.Time) {
	if b := r.beacon.Load(); b != nil && b.hub == r.e.self {
		a := r.access.Load()
		switch since := now.Sub(b.at); {
		case now.Sub(time.UnixMilli(r.elector.Lease().Term.Since)) < newHub: // some are looking for a parent, and may miss one
		case b.direct != r.toldDirect, !slices.Equal(b.further, r.namedFurtherLoop()):
		case !r.live && since < quietBeacon:
			return
		case len(r.elector.Lease().Successors) == 0 && near(uint32(b.audience), uint32(r.audience())) && (a == nil || a.Number == b.access) && since < idleBeacon:
			return
		}
	}
	b := &wire.Beacon{
		Hub: []byte(r.e.self), Addrs: addrsOf(r.e.control.Self()), Audience: uint32(r.audience()),
		Marks: r.marks(func(s *stream) bool { return s.kind.Media() }),
	}
	b.Direct = r.toldDirect
	further := r.namedFurtherLoop()
	for _, id := range further {
		b.Further = append(b.Further, []byte(id))
	}
	lease := r.elector.Lease()
	b.Term, b.SinceMs = lease.Term.N, uint64(lease.Term.Since)
	for _, id := range lease.Successors {
		b.Successors = append(b.Successors, []byte(id))
	}
	if a := r.access.Load(); a != nil {
		b.Access, b.AccessHash = a.Number, a.Hash()
	}
	env, err := r.e.seal(r.id, wire.Type_BEACON, b)
	if err != nil {
		r.e.log.Error("cannot encode beacon", "err", err)
		return
	}
	r.beacon.Store(&beacon{hub: r.e.self, env: env, at: now, audience: int(b.Audience), access: b.Access, hash: string(b.AccessHash), direct: b.Direct, further: further})
	r.broadcastLoop(env, false)
	if ring := r.ring.Load(); r.private && ring.before() != nil {
		r.broadcastLoop(env, true) // for those who have yet to get the new key, and learn of it by this
	}
}

// beaconLoop takes the hub's beacon, which was heard at that time, here or where it was told from. One that is repeated tells
// nothing new.
func (r *Room) beaconLoop(m *wire.Message, env []byte, heard time.Time) {
	var b wire.Beacon
	if proto.Unmarshal(m.Body, &b) != nil || !mayHost(r.record.Load(), m.User) {
		return
	}
	id, err := wire.PeerID(m.Device)
	if err != nil || string(b.Hub) != string(id) || id == r.e.self {
		return
	}
	if old := r.beacon.Load(); old != nil && old.hub == id && m.Sequence <= old.sequence {
		return
	}
	r.electLoop(elect.Heard{Lease: leaseOf(id, b.Term, b.SinceMs, b.Successors), At: heard})
	if term, holding := r.elector.Term(); holding || term.Holder != elect.ID(id) {
		return // it is not the hub any more, or is about to learn that it is not
	}
	last := r.beacon.Load()
	back := last != nil && heard.Sub(last.at) >= hubFresh
	next := &beacon{hub: id, addrs: b.Addrs, env: env, at: heard, sequence: m.Sequence, audience: int(b.Audience), access: b.Access, hash: string(b.AccessHash), direct: b.Direct, further: furtherFromWire(b.Further)}
	for _, mark := range b.Marks {
		next.reached += mark.Number
	}
	next.silent = last != nil && last.env != nil && last.hub == id && last.reached == next.reached
	r.beacon.Store(next)
	if a := r.acquainted[id]; a != nil {
		a.last = time.Now()
	} else {
		r.acquaintLoop(id, nil, b.Addrs, time.Now())
	}
	if r.behindLoop() {
		time.AfterFunc(pushTime, func() { // it may be on its way
			if r.ctx.Err() == nil {
				r.tell(func() { r.fetchLoop(time.Now()) })
			}
		})
	}
	r.candidatesLoop([]tree.Candidate{{Peer: tree.ID(id), Addrs: b.Addrs, Free: 1}})
	if back {
		r.step(tree.Back{Peer: tree.ID(id)})
	}
	if len(r.pubs) > 0 && r.hub != id {
		r.stageLoop()
	}
}
