package engine

import (
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	"github.com/castd/castd/engine/wire"
	"github.com/castd/castd/tree"
	"github.com/castd/castd/tree/coord"
)

// Conversions between the tree's messages and their form on the wire.

func treeToWire(m tree.Message) *wire.TreeMessage {
	switch m := m.(type) {
	case *tree.MsgProbe:
		return &wire.TreeMessage{Message: &wire.TreeMessage_Probe{Probe: &wire.Probe{Nonce: m.Nonce, Slots: m.Slots, Coord: m.Coord.Append(nil), Terse: m.Terse, Below: m.Below}}}
	case *tree.MsgProbeReply:
		return &wire.TreeMessage{Message: &wire.TreeMessage_ProbeReply{ProbeReply: &wire.ProbeReply{
			Nonce: m.Nonce, Free: m.Free, Reserve: m.Reserve, Path: idsToWire(m.Path), Candidates: candidatesToWire(m.Candidates),
			DelayUs: delayToWire(m.Delay), Coord: m.Coord.Append(nil), Crowded: m.Crowded, Spare: m.Spare,
		}}}
	case *tree.MsgJoin:
		return &wire.TreeMessage{Message: &wire.TreeMessage_Join{Join: &wire.Join{
			Nonce: m.Nonce, Kind: wire.ChildKind(m.Kind), Slots: m.Slots, Addrs: m.Addrs, Avoid: idsToWire(m.Avoid), Coord: m.Coord.Append(nil),
			Below: m.Below, Accused: idsToWire(m.Accused), WaitsS: m.Waits,
		}}}
	case *tree.MsgAccept:
		return &wire.TreeMessage{Message: &wire.TreeMessage_Accept{Accept: &wire.Accept{
			Nonce: m.Nonce, Kind: wire.ChildKind(m.Kind), Path: idsToWire(m.Path), PathSeq: m.PathSeq, Candidates: candidatesToWire(m.Candidates),
			DelayUs: delayToWire(m.Delay), Copy: wire.Copy(m.Copy),
		}}}
	case *tree.MsgRefuse:
		return &wire.TreeMessage{Message: &wire.TreeMessage_Refuse{Refuse: &wire.Refuse{
			Nonce: m.Nonce, Reason: m.Reason, Candidates: candidatesToWire(m.Candidates),
		}}}
	case *tree.MsgConfirm:
		return &wire.TreeMessage{Message: &wire.TreeMessage_Confirm{Confirm: &wire.Confirm{Nonce: m.Nonce}}}
	case *tree.MsgLeave:
		return &wire.TreeMessage{Message: &wire.TreeMessage_Leave{Leave: &wire.Leave{
			Reason: m.Reason, Candidates: candidatesToWire(m.Candidates),
		}}}
	case *tree.MsgPath:
		return &wire.TreeMessage{Message: &wire.TreeMessage_Path{Path: &wire.Path{
			Path: idsToWire(m.Path), PathSeq: m.PathSeq, Candidates: candidatesToWire(m.Candidates), DelayUs: delayToWire(m.Delay),
		}}}
	}
	panic("engine: internal error: unknown tree message")
}

// treeFromWire returns nil for a message of a kind that this version does not know.
func treeFromWire(m *wire.TreeMessage) tree.Message {
	switch m := m.Message.(type) {
	case *wire.TreeMessage_Probe:
		return &tree.MsgProbe{Nonce: m.Probe.GetNonce(), Slots: m.Probe.GetSlots(), Coord: coord.Decode(m.Probe.GetCoord()), Terse: m.Probe.GetTerse(), Below: m.Probe.GetBelow()}
	case *wire.TreeMessage_ProbeReply:
		p := m.ProbeReply
		return &tree.MsgProbeReply{
			Nonce: p.Nonce, Free: p.Free, Reserve: p.Reserve, Path: idsFromWire(p.Path), Candidates: candidatesFromWire(p.Candidates),
			Delay: delayFromWire(p.DelayUs), Coord: coord.Decode(p.Coord), Crowded: p.Crowded, Spare: p.Spare,
		}
	case *wire.TreeMessage_Join:
		j := m.Join
		return &tree.MsgJoin{
			Nonce: j.Nonce, Kind: tree.ChildKind(j.Kind), Slots: j.Slots, Addrs: j.Addrs, Avoid: idsFromWire(j.Avoid), Coord: coord.Decode(j.Coord),
			Below: j.Below, Accused: idsFromWire(j.Accused), Waits: j.WaitsS,
		}
	case *wire.TreeMessage_Accept:
		a := m.Accept
		return &tree.MsgAccept{
			Nonce: a.Nonce, Kind: tree.ChildKind(a.Kind), Path: idsFromWire(a.Path), PathSeq: a.PathSeq, Candidates: candidatesFromWire(a.Candidates),
			Delay: delayFromWire(a.DelayUs), Copy: tree.Copy(a.Copy),
		}
	case *wire.TreeMessage_Refuse:
		return &tree.MsgRefuse{Nonce: m.Refuse.Nonce, Reason: m.Refuse.Reason, Candidates: candidatesFromWire(m.Refuse.Candidates)}
	case *wire.TreeMessage_Confirm:
		return &tree.MsgConfirm{Nonce: m.Confirm.GetNonce()}
	case *wire.TreeMessage_Leave:
		return &tree.MsgLeave{Reason: m.Leave.Reason, Candidates: candidatesFromWire(m.Leave.Candidates)}
	case *wire.TreeMessage_Path:
		return &tree.MsgPath{Path: idsFromWire(m.Path.Path), PathSeq: m.Path.PathSeq, Candidates: candidatesFromWire(m.Path.Candidates), Delay: delayFromWire(m.Path.DelayUs)}
	}
	return nil
}

func idsToWire(ids []tree.ID) [][]byte {
	if ids == nil {
		return nil
	}
	out := make([][]byte, len(ids))
	for i, id := range ids {
		out[i] = []byte(id)
	}
	return out
}

func idsFromWire(ids [][]byte) []tree.ID {
	if len(ids) == 0 {
		return nil
	}
	out := make([]tree.ID, 0, min(len(ids), tree.MaxPath+1))
	for _, id := range ids[:min(len(ids), tree.MaxPath+1)] {
		out = append(out, tree.ID(id))
	}
	return out
}

func candidatesToWire(list []tree.Candidate) []*wire.Candidate {
	out := make([]*wire.Candidate, 0, len(list))
	for _, c := range list {
		out = append(out, candidateToWire(c))
	}
	return out
}

func candidateToWire(c tree.Candidate) *wire.Candidate {
	return &wire.Candidate{
		Peer: []byte(c.Peer), Addrs: c.Addrs, Depth: c.Depth, Free: c.Free,
		Slots: c.Slots, DelayUs: delayToWire(c.Delay), Coord: c.Coord.Append(nil), Branch: c.Branch,
		AgeMs: ageToWire(c.Age),
	}
}

// ageToWire returns an age as the wire has it, in milliseconds.
func ageToWire(d time.Duration) uint32 {
	return uint32(min(max(d, 0), tree.MaxAge).Milliseconds())
}

// delayToWire returns a delay as the wire has it, in microseconds.
func delayToWire(d time.Duration) uint32 {
	return uint32(min(max(d, 0), tree.MaxDelay).Microseconds())
}

func delayFromWire(us uint32) time.Duration {
	return min(time.Duration(us)*time.Microsecond, tree.MaxDelay)
}

func candidatesFromWire(list []*wire.Candidate) []tree.Candidate {
	out := make([]tree.Candidate, 0, min(len(list), tree.MaxCandidates))
	for _, c := range list[:min(len(list), tree.MaxCandidates)] {
		if id, err := peer.IDFromBytes(c.GetPeer()); err == nil {
			out = append(out, tree.Candidate{
				Peer: tree.ID(id), Addrs: c.Addrs, Depth: c.Depth, Free: c.Free,
				Slots: c.Slots, Delay: delayFromWire(c.DelayUs), Coord: coord.Decode(c.Coord), Branch: c.Branch,
				Age: min(time.Duration(c.AgeMs)*time.Millisecond, tree.MaxAge),
			})
		}
	}
	return out
}

// addrInfo returns the peer and addresses of a candidate; what is no address is left out.
func addrInfo(c tree.Candidate) peer.AddrInfo {
	info := peer.AddrInfo{ID: peer.ID(c.Peer)}
	for _, b := range c.Addrs[:min(len(c.Addrs), tree.MaxAddrs)] {
		if len(b) > tree.MaxAddrLen {
			continue
		}
		if a, err := multiaddr.NewMultiaddrBytes(b); err == nil {
			info.Addrs = append(info.Addrs, a)
		}
	}
	return info
}

// addrsOf returns a peer's addresses as candidates carry them.
func addrsOf(info peer.AddrInfo) [][]byte {
	out := make([][]byte, 0, len(info.Addrs))
	for _, a := range info.Addrs[:min(len(info.Addrs), tree.MaxAddrs)] {
		out = append(out, a.Bytes())
	}
	return out
}
