package engine

import (
	"cmp"
	"slices"
	"time"

	"github.com/castd/castd/engine/room"
	"github.com/castd/castd/engine/wire"
)

// The mix is a stream of each peer that makes it: of the hub, and of its standby. Both come down the tree; whoever plays it here gets one,
// spliced of them, which goes on whoever mixes.

// mixed reports whether a stream is the mix of a conference, which nobody says.
func mixed(rec *room.Record, st *StreamState) bool {
	return rec.Mode == room.Conference && st.Slot == mixSlot && st.Kind == wire.KindAudio
}

// remixedLoop returns the one stream that those of the peers which mix are to whoever plays it, nil where there is none, and tells when it
// begins and ends.
func (r *Room) remixedLoop(mixes []*StreamState) *StreamState {
	if len(mixes) == 0 {
		r.mixState.Store(nil)
		return nil
	}
	first := slices.MinFunc(mixes, func(a, b *StreamState) int { return cmp.Compare(a.StartedMs, b.StartedMs) })
	st := *first
	st.ID = wire.NewStreamID(r.id, nil, "", mixSlot, st.Label)
	st.Participant, st.Name, st.Incarnation, st.First = wire.ParticipantID(r.owner), "", 0, 0
	st.Live, st.EndedAt = false, time.Time{}
	for _, m := range mixes {
		st.Live = st.Live || m.Live
		if m.EndedAt.After(st.EndedAt) {
			st.EndedAt = m.EndedAt
		}
	}
	if st.Live {
		st.EndedAt = time.Time{}
	}
	old := r.mixState.Load()
	if old != nil {
		st.StartedMs = old.StartedMs // what plays is what has played longest
	}
	r.mixState.Store(&st)
	if old != nil && old.Live != st.Live || old == nil && st.Live {
		r.streamEvent(&st)
	}
	return &st
}

// shown returns the id under which what is counted of a stream is told, and whether it is: of the mix only what the peer makes that mixes.
func (s *stream) shown() (wire.StreamID, bool) {
	if !mixed(s.room.record.Load(), s.state.Load()) {
		return s.id, true
	}
	state := s.room.mixState.Load()
	if state == nil || s.author != s.room.mixer() {
		return 0, false
	}
	return state.ID, true
}

// deliverMix takes a packet of one of the peers that mix.
func (l *leaf) deliverMix(s *stream, p *Packet) {
	state, lead, spare := l.room.mixState.Load(), l.room.mixer(), l.room.standby()
	if state == nil || s.author != lead && s.author != spare {
		return // it has just ended, or is nobody's who may mix
	}
	// What has come of each, confirmed or not, tells which of them live.
	for _, other := range *l.room.media.Load() {
		if !mixed(l.room.record.Load(), other.state.Load()) || other.author != lead && other.author != spare {
			continue
		}
		if n, ok := other.store.Highest(); ok {
			if at, ok := other.store.Timestamp(n); ok {
				l.mix.reach(other.author, at, time.Unix(0, other.newestAt.Load()))
			}
		}
	}
	for _, out := range l.mix.offer(s.author, lead, int64(p.Header.Number), p.Header.Timestamp, p, time.Now()) {
		l.mixed = *out.packet
		h := &l.mixed.Header
		l.mixed.Stream, h.Stream, h.Incarnation, h.Number, h.Timestamp = state, state.ID, 0, uint64(out.number), out.timestamp
		l.hand(&l.mixed)
	}
}

// copyPacket makes a copy that may be kept.
func copyPacket(to, from *Packet) {
	payload, ext := to.Payload[:0], to.Header.Ext[:0]
	*to = *from
	to.Payload, to.Header.Ext = append(payload, from.Payload...), append(ext, from.Header.Ext...)
}
