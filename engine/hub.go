package engine

import (
	"crypto/ed25519"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/proto"

	"github.com/castd/castd/engine/wire"
	"github.com/castd/castd/tree"
)

// quietBeacon is the least time between two beacons while nothing is live.
const quietBeacon = 1500 * time.Millisecond

// recordEvery is how often the hub tells the room its record, so that all know what the owner said last.
const recordEvery = time.Minute

func (r *Room) sendRecordLoop(now time.Time) {
	if now.Sub(r.recorded) >= recordEvery {
		r.recorded = now
		r.broadcastLoop(r.record.Load().Envelope, false)
	}
}

// sendBeaconLoop tells the room that it lives and where its hub is: once a second, and half as often while nothing is live.
func (r *Room) sendBeaconLoop(now time.Time) {
	if b := r.beacon.Load(); r.silence == quietSilence && b != nil && b.hub == r.e.self && now.Sub(b.at) < quietBeacon {
		return
	}
	b := &wire.Beacon{
		Hub: []byte(r.e.self), Addrs: addrsOf(r.e.control.Self()), Audience: uint32(r.audience()),
		Marks: r.marks(func(s *stream) bool { return s.kind != wire.KindRecord }), SinceMs: r.hubSince,
	}
	if a := r.access.Load(); a != nil {
		b.Access, b.AccessHash = a.Number, a.Hash()
	}
	env, err := r.e.seal(r.id, wire.Type_BEACON, b)
	if err != nil {
		r.e.log.Error("cannot encode beacon", "err", err)
		return
	}
	r.beacon.Store(&beacon{hub: r.e.self, env: env, at: now})
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
	if r.links.Load().place.Origin {
		// Two hubs of one room, after a partition or because two of the owner's devices began at once: the older stays.
		if b.SinceMs > r.hubSince || b.SinceMs == r.hubSince && id > r.e.self {
			return
		}
		r.e.log.Info("another hub of this room is older: following it", "hub", id)
		r.stagePeers = make(map[peer.ID]bool) // they follow as well
		r.step(tree.Demote{})
	}
	r.beacon.Store(&beacon{hub: id, env: env, at: heard, sequence: m.Sequence, audience: int(b.Audience), access: b.Access, hash: string(b.AccessHash)})
	if r.behindLoop() {
		time.AfterFunc(pushTime, func() { // it may be on its way
			if r.ctx.Err() == nil {
				r.tell(func() { r.fetchLoop(time.Now()) })
			}
		})
	}
	r.candidatesLoop([]tree.Candidate{{Peer: tree.ID(id), Addrs: b.Addrs, Free: 1}})
	if len(r.pubs) > 0 && r.hub != id {
		r.stageLoop()
	}
}

// hubGone is how long nothing may be heard of the hub before another peer that may be it takes its place.
const hubGone = 5 * time.Second

// takeOverLoop makes this peer the hub where it may be, and the one that there was is gone: nobody tells of it, and no parent
// leads to it. If several do so at once, the beacons decide.
func (r *Room) takeOverLoop(now time.Time) {
	l := r.links.Load()
	if l.place.Placed || !r.inTree || r.leaving || !mayHost(r.record.Load(), r.e.user.Public().(ed25519.PublicKey)) {
		r.lostAt = time.Time{}
		return
	}
	if r.lostAt.IsZero() {
		r.lostAt = now
	}
	if b := r.beacon.Load(); now.Sub(r.lostAt) < hubGone || b != nil && now.Sub(b.at) < hubGone {
		return
	}
	r.e.log.Info("the hub of this room is gone: taking over", "room", r.id)
	r.hubSince = uint64(now.UnixMilli())
	r.step(tree.Promote{})
	r.setHubLoop("")
	r.hostKeysLoop(now)
	r.e.list()
}
