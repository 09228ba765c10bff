package tree

import "slices"

// Peers that are not what they say: those that send forged media or withhold it are not chosen for a while, nor is anybody below them.

// shun is a peer that is not chosen until then.
type shun struct {
	peer  ID
	until instant
	sure  bool // it did wrong itself, as far as can be told
}

// shuns are several, the oldest first.
type shuns []shun

// maxShuns bounds them; the oldest is forgotten first.
const maxShuns = 64

func (s *shuns) add(peer ID, until instant, sure bool) {
	*s = slices.DeleteFunc(*s, func(o shun) bool { return o.peer == peer })
	if len(*s) == maxShuns {
		*s = slices.Delete(*s, 0, 1)
	}
	*s = append(*s, shun{peer, until, sure})
}

func (s shuns) has(peer ID, now instant) bool {
	return slices.ContainsFunc(s, func(o shun) bool { return o.peer == peer && now.Before(o.until) })
}

// distrust leaves a peer; as a parent that is merely late, once there is another.
func (r *Router) distrust(in Distrust) {
	peer := in.Peer
	if peer == "" {
		return
	}
	d := in.For
	if d <= 0 {
		d = r.cfg.DistrustFor
	}
	r.shuns.add(peer, r.now.Add(d), in.For <= 0)
	r.cache.remove(peer)
	if s, i := r.attemptAt(peer); s != nil {
		r.fail(s, i, LeaveDistrust)
	}
	if r.backup != nil && r.backup.peer == peer {
		r.dropBackup(LeaveDistrust)
	}
	if r.isFormer(peer) {
		r.depart()
	}
	if r.parent == nil || r.parent.peer != peer {
		return
	}
	if in.Late {
		r.parent.displaced = true
		if r.seek == nil || !r.seek.urgent {
			r.seekPlace(Orphan, ReasonDisplaced, nil) // a reserve is better than what it gives
		}
		return
	}
	r.send(peer, &MsgLeave{Reason: LeaveDistrust})
	r.lose(ReasonRepair, nil)
}

func (r *Router) distrusted(peer ID) bool { return r.shuns.has(peer, r.now) }
