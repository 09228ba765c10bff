package engine

import (
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/castd/castd/engine/relay"
	"github.com/castd/castd/engine/seal"
	"github.com/castd/castd/engine/wire"
)

// HopPacket implements HopHandler: the packet path begins here for everything that comes from other peers.
func (e *Engine) HopPacket(h Hop, pkt []byte) {
	e.arrived(h, true, time.Now())
	e.takePacket(h.Peer(), pkt)
}

func (e *Engine) takePacket(from peer.ID, pkt []byte) {
	hdr, n, err := wire.ParseHeader(pkt)
	if err != nil || len(pkt) > wire.MaxPacket {
		e.metrics.malformed.Add(1)
		return
	}
	s := (*e.streams.Load())[hdr.Stream]
	if s == nil {
		switch {
		case hdr.Kind == wire.KindRecord:
			e.unknownRecord(from, pkt)
		case e.takeLine(from, hdr, pkt[n:]):
		default:
			e.metrics.unknownStream.Add(1)
		}
		return
	}
	s.fromHop(from, &hdr, pkt, false, time.Now())
}

// fromHop takes a packet of a known stream from a peer. told says that the room has been given the announce in it.
func (s *stream) fromHop(from peer.ID, h *wire.Header, pkt []byte, told bool, now time.Time) {
	l := s.room.links.Load()
	if from == l.primary {
		s.given.Add(1)
		if h.Number > s.givenTo.Load() { // a parent's packets come one after another
			s.givenTo.Store(h.Number)
		}
		if l.awaits != nil && (!l.awaitsVideo || h.Kind == wire.KindVideo) && l.awaits.Load() && l.awaits.CompareAndSwap(true, false) {
			s.room.tell(func() { s.room.fedLoop(from) })
		}
	}
	if s.local || h.Kind != s.kind {
		s.duplicates.Add(1) // what this peer publishes comes back down the tree when it listens too
		return
	}
	if !s.takes(l, from) {
		s.room.e.metrics.notFed.Add(1)
		return
	}
	if h.Kind.Media() && !s.opens(h.Incarnation) {
		// Of a key that nobody told of, or that is no longer held. If it is to come, the packet is asked for again.
		s.room.e.metrics.wrongGeneration.Add(1)
		return
	}
	var manifest *wire.Manifest
	if !h.Kind.Media() {
		// A record packet is its own proof, and is checked before it is kept or passed on.
		if s.store.State(h.Number) == relay.StateConfirmed {
			s.duplicates.Add(1)
			return
		}
		m, err := s.slot.verify(h, pkt)
		if err != nil {
			s.bad(from)
			return
		}
		if !told && h.Kind == wire.KindRecord && s.slot.news(m) {
			if !s.room.takeAnnounce(from, m.Announce, pkt) {
				s.slot.announced.Store(nil) // it comes again
			}
			return
		}
		manifest = m
	}
	if s.put(h, pkt, manifest != nil, from, now) && manifest != nil {
		s.slot.apply(manifest, from, now)
	}
}

// put stores a packet, passes it on and wakes those who wait for it. It reports whether the packet was new.
func (s *stream) put(h *wire.Header, pkt []byte, trusted bool, from peer.ID, now time.Time) bool {
	v := s.store.Put(h, pkt, trusted)
	switch v {
	case relay.New:
		s.sent(h.Number, from)
	case relay.Variant:
		// Another version of a number that no manifest has covered yet: one of the two is forged, and children must be able
		// to choose as this peer will.
		s.forward(h, len(pkt), v, from)
		return false
	case relay.Spoiled:
		s.sent(h.Number, from)
		if first, last, ok := s.store.Picture(h.Number); ok {
			s.spoiled(first, int(last-first+1), now)
		}
		return false
	case relay.Forged, relay.Conflict:
		s.bad(from)
		return false
	default:
		s.duplicates.Add(1)
		return false
	}
	s.packets.Add(1)
	s.bytes.Add(uint64(len(pkt)))
	s.newestAt.Store(now.UnixNano())
	if h.Kind == wire.KindVideo && h.KeyFrame && h.FrameStart && h.Spatial == 0 {
		s.groupAt.Store(now.UnixNano())
	}
	s.forward(h, len(pkt), v, from)
	switch h.Kind {
	case wire.KindExcerpt:
		return true // what is missing is asked for as a record packet
	case wire.KindRecord:
		s.slot.excerptOf(h, pkt, from, now)
	}
	if !s.local {
		s.track(h, now)
	}
	s.room.leaf.notify()
	return true
}

// forward gives the packet to the feeder of the room's children.
func (s *stream) forward(h *wire.Header, size int, v relay.Verdict, from peer.ID) {
	if s.room.fan.Load().empty() {
		return
	}
	it := pending{Item: s.store.Item(h, size, v), from: from}
	if h.Kind == wire.KindExcerpt {
		var before relay.Item
		if before, it.late = s.slot.late(h.Number); before.Store != nil {
			s.room.feeder.push(pending{Item: before, from: from, late: true})
		}
	}
	s.room.feeder.push(it)
}

// track notes an arrival for repair and for gap events.
func (s *stream) track(h *wire.Header, now time.Time) {
	rate := s.state.Load().ClockRate
	s.mu.Lock()
	if s.repair.Arrived(h.Number, now) {
		s.repaired.Add(1)
	}
	_, due := s.repair.Next()
	gap, first, last := s.arrival.note(h, rate, now)
	s.mu.Unlock()
	if due && !s.gaps.Swap(true) {
		s.room.e.repairer.wake()
	}
	if gap > 0 && s.kind.Media() {
		s.room.gapEvent(s, gap, first, last)
	}
}

// bad counts a packet that is certainly forged, against the peer that sent it.
func (s *stream) bad(from peer.ID) {
	s.forged.Add(1)
	s.room.e.metrics.forged.Add(1)
	s.room.blame(from)
}

// apply takes a verified manifest: it confirms or unmasks packets, names those that will never come, sets clocks.
func (sl *slot) apply(m *wire.Manifest, from peer.ID, now time.Time) {
	media := *sl.media.Load()
	for _, run := range m.Runs {
		s := media[wire.StreamID(run.Stream)]
		if s == nil {
			continue
		}
		for covered, hash := range seal.Hashes(run) {
			s.vouched(covered, hash, from, now)
		}
		s.named(seal.End(run)-1, now)
	}
	for _, skip := range m.Skips {
		s := media[wire.StreamID(skip.Stream)]
		if s == nil || skip.Last < skip.First || skip.Last-skip.First > maxSkip {
			continue
		}
		s.store.Skip(skip.First, skip.Last)
		s.mu.Lock()
		s.repair.Skip(skip.First, skip.Last)
		s.mu.Unlock()
	}
	for _, c := range m.Clocks {
		if s := media[wire.StreamID(c.Stream)]; s != nil {
			s.clock.Store(&clockRecord{timestamp: c.Timestamp, unixUs: c.UnixUs})
		}
	}
	sl.record.room.leaf.notify()
}

// vouched takes a hash of a verified manifest.
func (s *stream) vouched(c seal.Covered, hash wire.Hash, from peer.ID, now time.Time) {
	if c.Packets > 1 {
		switch s.store.ConfirmPicture(c.First, c.Packets, hash) {
		case relay.Wrong:
			s.spoiled(c.First, c.Packets, now)
		case relay.Absent:
			s.want(c.First, c.Packets, now)
		}
		return
	}
	switch s.store.Confirm(c.First, hash) {
	case relay.Wrong:
		s.wrong(c.First, from)
		s.wanted(c.First, now)
	case relay.Absent: // what had come may have been pushed out before it was vouched for
		s.wanted(c.First, now)
	}
}

// news reports whether a manifest carries an announce that the room has not been given yet.
func (sl *slot) news(m *wire.Manifest) bool {
	if len(m.Announce) == 0 {
		return false
	}
	old := sl.announced.Load()
	return (old == nil || string(*old) != string(m.Announce)) && sl.announced.CompareAndSwap(old, &m.Announce)
}

// maxSkip bounds how many numbers one skip may name.
const maxSkip = 1 << 20

// wanted tells the stream that there is no right packet under a number that is vouched for.
func (s *stream) wanted(number uint64, now time.Time) {
	s.lacks(func() {
		if s.repair.Expected(number) {
			s.repair.Wanted(number, now)
		}
	})
}

// named takes the highest number that a manifest vouches for. Manifests overtake packets: they also come by a second parent's
// shorter way, here or to the parent.
func (s *stream) named(number uint64, now time.Time) {
	if s.local {
		return
	}
	s.lacks(func() {
		if s.repair.Quiet(now) {
			s.repair.Highest(number, now)
		}
	})
}

// lacks lets f say what is missing, and has it asked for.
func (s *stream) lacks(f func()) {
	s.mu.Lock()
	f()
	_, due := s.repair.Next()
	s.mu.Unlock()
	if due && !s.gaps.Swap(true) {
		s.room.e.repairer.wake()
	}
}

// marked tells the stream that its numbers reach at least to number: the tail may be missing.
func (s *stream) marked(number uint64, now time.Time) {
	if s.local {
		return
	}
	s.promised.Store(number)
	s.lacks(func() { s.repair.Highest(number, now) })
}

// unknownRecord takes a record packet of a slot that no announce has told of yet. If it carries one, the room's goroutine
// decides; the slot's other packets are asked for again once it is known.
func (e *Engine) unknownRecord(from peer.ID, pkt []byte) {
	m, err := seal.ReadManifest(pkt)
	if err != nil {
		e.metrics.malformed.Add(1)
		return
	}
	if len(m.Announce) == 0 {
		e.metrics.unknownStream.Add(1)
		return
	}
	msg, err := wire.OpenEnvelope(m.Announce, time.Now())
	if err != nil || msg.Type != wire.Type_ANNOUNCE {
		e.metrics.forged.Add(1)
		return
	}
	r := e.roomByID(msg.Room)
	if r == nil {
		e.metrics.unknownStream.Add(1)
		return
	}
	r.takeAnnounce(from, m.Announce, pkt)
}

// takeAnnounce has the room's goroutine apply an announce and then take the record packet that it came in. It reports false
// if the room is too busy.
func (r *Room) takeAnnounce(from peer.ID, env, pkt []byte) bool {
	again := append([]byte(nil), pkt...)
	return r.post(func() {
		r.announceLoop(env, from)
		h, _, err := wire.ParseHeader(again)
		if err != nil {
			return
		}
		if s := (*r.e.streams.Load())[h.Stream]; s != nil && s.room == r {
			// Not as takePacket does: of two packets with different announces each would make the other's news again.
			s.fromHop(from, &h, again, true, time.Now())
		}
	})
}
