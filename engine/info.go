package engine

import (
	"cmp"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/castd/castd/engine/wire"
	"github.com/castd/castd/tree"
)

// beacon is the newest sign of life of a room's hub. Values are immutable.
type beacon struct {
	hub      peer.ID
	env      []byte    // nil where only its lease was heard
	addrs    [][]byte  // of the hub
	at       time.Time // when it was heard
	sequence uint64
	audience int
	access   uint64    // number of the hub's access list
	hash     string    // and what the beacon says of it
	reached  uint64    // the newest numbers of the hub's streams, summed up
	direct   bool      // nobody mixes the conference
	further  []peer.ID // peers that mix it besides the hub and its standby
	silent   bool      // they are those of the beacon before: nobody sends anything
}

// Peers that give slots tell the room of them when the router says so, which thins what all of them say to about one advert a second.
// Who may be the hub also tells the room that he is there, whether he gives slots or not: he may have to be found again. All others
// have nothing to tell, and a room of ten thousand listeners is as quiet as one of ten.
const (
	reportGap   = time.Second
	reportEvery = 20 * time.Second
)

// reportLoop publishes an advert of a peer that may be the hub if that is due.
func (r *Room) reportLoop(now time.Time) {
	if !mayHost(r.record.Load(), r.e.userKey()) {
		r.reportDue = time.Time{}
		return
	}
	if now.Sub(r.reported) >= reportEvery && r.links.Load().place.Placed {
		r.reportDue = now
	}
	if !r.reportDue.IsZero() && now.Sub(r.reported) >= reportGap {
		r.advertiseLoop(now)
	}
}

// advertiseLoop publishes this peer's free slots and what else it has to offer.
func (r *Room) advertiseLoop(now time.Time) {
	r.reportDue, r.reported = time.Time{}, now
	if st := r.router.Status(); st.Placed {
		r.publish(wire.Type_ADVERT, &wire.Advert{Self: candidateToWire(r.selfCandidate(st)), Offer: r.e.offer(now)})
	}
}

// selfCandidate describes this peer as one that may take a child.
func (r *Room) selfCandidate(st tree.Status) tree.Candidate {
	c := st.Candidate()
	c.Peer, c.Addrs = tree.ID(r.e.self), addrsOf(r.e.control.Self())
	return c
}

// Info describes the room.
func (r *Room) Info() RoomInfo {
	rec := r.record.Load()
	info := RoomInfo{
		Room: string(r.id), Name: rec.Name, Title: rec.Title, Mode: rec.Mode, Private: rec.Private, Owner: wire.ParticipantID(rec.Owner), Role: r.Role(),
		Streams: []StreamInfo{}, Participants: []ParticipantInfo{}, Audience: r.audience(),
	}
	if b := r.beacon.Load(); b != nil && !r.links.Load().place.Origin {
		info.Audience = b.audience
	}
	stage := make(map[string]ParticipantInfo)
	for _, st := range r.Streams() {
		state := "live"
		if !st.Live {
			state = "ended"
		}
		info.Streams = append(info.Streams, StreamInfo{
			Stream: st.ID.String(), Slot: st.Slot, Kind: st.Kind.String(), Codec: st.Codec, Participant: st.Participant, State: state,
		})
		if st.Live && !mixed(rec, st) {
			roles := []string{"speaker"}
			if st.Participant == info.Owner {
				roles = []string{"owner", "speaker"}
			}
			stage[st.Participant] = ParticipantInfo{Participant: st.Participant, Name: st.Name, Peer: st.Device, Roles: roles}
		}
	}
	seated, p, now := r.seated.Load(), r.policy(), time.Now()
	for _, p := range seated.participants {
		stage[p.Participant] = p
	}
	info.Hands, info.Locked, info.Knock, info.MutedAll = seated.hands, p.Locked(now), p.Knocks(now), p.MutedAll(now)
	info.Settings = settingsInfo(rec)
	for _, p := range stage {
		info.Participants = append(info.Participants, p)
	}
	slices.SortFunc(info.Participants, func(a, b ParticipantInfo) int { return cmp.Compare(a.Participant, b.Participant) })
	info.Mixer, info.Recording = r.mixerInfo(), r.recordingNow()
	return info
}

// Role returns "owner" where this peer's user owns the room, else "member".
func (r *Room) Role() string {
	if r.own {
		return "owner"
	}
	return "member"
}

// Peers describes the peers that this one is connected to.
func (e *Engine) Peers() []PeerInfo {
	byID := make(map[peer.ID]*PeerInfo)
	get := func(id peer.ID) *PeerInfo {
		if byID[id] == nil {
			byID[id] = &PeerInfo{Peer: id.String()}
		}
		return byID[id]
	}
	for _, id := range e.control.Connected() {
		get(id)
	}
	now := time.Now()
	for id, h := range *e.hops.Load() {
		p := get(id)
		p.Hop = true
		p.RTTMs = float64(h.rtt.Load()) / 1e6
		p.UpBps, p.InBps = h.rates(now)
		p.LossPm = h.Stats().LossPermille
		p.Addrs = []string{h.Stats().Remote}
		for _, r := range e.Rooms() {
			l := r.links.Load()
			role := ""
			kind, child := l.children[id]
			sits, seats := l.seats[id]
			switch {
			case id == l.primary:
				role = "parent"
			case child && kind != tree.Backup:
				role = "child"
			case child || id == l.backup:
				role = "backup"
			case l.stage[id], seats && sits:
				role = "publisher"
			case id == l.hub, seats:
				role = "hub"
			default:
				continue
			}
			p.Role = role
			p.Rooms = append(p.Rooms, string(r.id))
		}
		slices.Sort(p.Rooms)
	}
	var out []PeerInfo
	for _, id := range sortedKeys(byID) {
		out = append(out, *byID[id])
	}
	return out
}

// Rates returns the bits per second that this peer sends and receives over all its hops.
func (e *Engine) Rates() (up, down uint64) {
	for _, h := range *e.hops.Load() {
		u, d := h.rates(time.Now())
		up, down = up+u, down+d
	}
	return up, down
}

// StreamCounters count one stream at this peer.
type StreamCounters struct {
	Stream                                     string
	Packets, Bytes, Lost, Repaired, Duplicates uint64
}

// StreamCounters returns the counters of the room's audio and video streams, sorted by id.
func (r *Room) StreamCounters() []StreamCounters {
	var out []StreamCounters
	for _, s := range *r.media.Load() {
		id, ok := s.shown()
		if !ok {
			continue
		}
		out = append(out, StreamCounters{
			Stream: id.String(), Packets: s.packets.Load(), Bytes: s.bytes.Load(), Lost: s.lost.Load(), Repaired: s.repaired.Load(),
			Duplicates: s.duplicates.Load(),
		})
	}
	return out
}
