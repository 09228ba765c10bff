package engine

import (
	"bytes"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/castd/castd/engine/relay"
	"github.com/castd/castd/engine/room"
	"github.com/castd/castd/engine/seal"
	"github.com/castd/castd/engine/wire"
)

// A second parent that sends sound sends excerpts of the manifests with it (seal.Excerpt), under a stream id of their own. Every peer
// makes them of the record packets that it gets, and takes them from its second parent where they come first: so sound goes on when
// the first one dies, and with it what vouches for it. Excerpts are neither asked for again nor part of a backlog; a peer that lacks
// one lacks a record packet, and asks for that.

// newExcerpts makes the excerpt stream of a slot with video. In a slot without, a manifest is its own excerpt.
func (r *Room) newExcerpts(sl *slot, st *room.Stream, local *publication) *stream {
	id := wire.NewStreamID(r.id, st.Device, st.Participant, st.Slot, wire.ExcerptLabel)
	return r.newStream(sl, id, wire.KindExcerpt, &StreamState{
		ID: id, Slot: st.Slot, Label: wire.ExcerptLabel, Kind: wire.KindExcerpt, Participant: st.Participant, StartedMs: st.StartedMs, Live: true,
	}, local)
}

// verify checks a record packet, or an excerpt. A record packet whose excerpt has come before has the same signature and need not be
// verified once more.
func (sl *slot) verify(h *wire.Header, pkt []byte) (*wire.Manifest, error) {
	if h.Kind == wire.KindExcerpt {
		return seal.VerifyExcerpt([]byte(sl.device), sl.record.id, pkt)
	}
	if x := sl.excerpt.Load(); x != nil {
		var buf [wire.MaxPacket]byte
		if n, state := x.store.Get(h.Number, buf[:]); state == relay.StateConfirmed {
			if made, err := seal.Excerpt(pkt, x.id); err == nil && bytes.Equal(made, buf[:n]) {
				return seal.ReadManifest(pkt)
			}
		}
	}
	return seal.VerifyManifest([]byte(sl.device), pkt)
}

// excerptOf keeps the excerpt of a record packet that has been verified, and passes it on to those who hear sound only, unless it came
// by itself before. A publisher that signs two manifests with one number is believed once.
func (sl *slot) excerptOf(h *wire.Header, pkt []byte, from peer.ID, now time.Time) {
	x := sl.excerpt.Load()
	if x == nil || x.store.State(h.Number) == relay.StateConfirmed {
		return
	}
	made, err := seal.Excerpt(pkt, x.id)
	if err != nil {
		return
	}
	of := *h
	of.Kind, of.Stream = wire.KindExcerpt, x.id
	x.put(&of, made, true, from, now)
}

// late reports whether those who get everything from here are to be sent the excerpt with the number as well: the record packet before
// it has not come either, so that perhaps none does. Until then an excerpt is ahead because it came a shorter way. before is the excerpt
// of that one, where it was held back for this.
func (sl *slot) late(number uint64) (before relay.Item, late bool) {
	highest, ok := sl.record.store.Highest()
	if !ok || number < highest+2 {
		return before, false
	}
	if number == highest+2 {
		before, _ = sl.excerpt.Load().store.Next(number-1, number-1)
	}
	return before, true
}

// lastExcerptsLoop sends the newest excerpts to a child that gets records no more: some came before their record packets, and had been
// held back for these.
func (r *Room) lastExcerptsLoop(c *child) {
	for _, id := range sortedKeys(r.slots) {
		if x := r.slots[id].excerpt.Load(); x != nil {
			if highest, ok := x.store.Highest(); ok {
				relay.Burst(c.queue, x.store, highest-min(highest, lastExcerpts))
			}
		}
	}
}

// lastExcerpts is how many numbers an excerpt may be ahead of the record packets that have come.
const lastExcerpts = 4
