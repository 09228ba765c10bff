package engine

import (
	"errors"
	"fmt"
	"time"

	"github.com/castd/castd/engine/seal"
	"github.com/castd/castd/engine/wire"
)

// Numbers are reserved in blocks. A source's first packets may come out of order, so that a block begins with a margin.
const (
	numberBlock  = 1 << 16
	numberMargin = 64
)

// write sends a packet. The caller holds p.mu, and the slot is open.
func (p *publication) write(label string, m *MediaPacket, now time.Time) error {
	ps := p.streams[label]
	if ps == nil {
		return fmt.Errorf("publish: no stream is called %q", label)
	}
	if len(m.Payload) == 0 || len(m.Payload) > maxPayload {
		return fmt.Errorf("publish: payload of %d octets, want 1 to %d", len(m.Payload), maxPayload)
	}
	if !ps.begun {
		p.begin(ps, m, now)
	}
	number := ps.base + uint64(m.Sequence)
	if number < ps.first-numberMargin || number+holeSpan < ps.next || number+uint64(len(ps.holes)) > ps.next+holeSpan {
		p.begin(ps, m, now) // the source began anew
		number = ps.base + uint64(m.Sequence)
	}
	if number+numberBlock/2 > ps.limit {
		p.reserve(ps, now)
		if number >= ps.limit {
			return errors.Join(errNoNumbers, ps.reserveErr)
		}
	}
	ps.turn(now)
	f := ps.inspector.Inspect(m.Timestamp, m.Payload, m.Marker, m.Dependency)
	h := wire.Header{
		Kind: ps.cfg.Kind, Marker: m.Marker, FrameStart: f.Start, FrameEnd: f.End, Level: m.Level, Voice: m.Voice,
		KeyFrame: f.Key, Discardable: f.Discardable, LayerSync: f.LayerSync, Spatial: f.Spatial, Temporal: f.Temporal,
		Incarnation: ps.sealing, Stream: ps.s.id, Number: number, Timestamp: m.Timestamp + ps.offset,
	}
	if ps.flag {
		h.Ext = wire.AppendExtension(h.Ext, wire.ExtDiscontinuity, nil)
		ps.flag = false
	}
	if m.Level == 127 && m.Voice { // what browsers say of a muted microphone
		h.Ext = wire.AppendExtension(h.Ext, wire.ExtSilentVoice, nil)
	}
	if len(m.Orientation) > 0 {
		h.Ext = wire.AppendExtension(h.Ext, wire.ExtOrientation, m.Orientation)
	}
	if len(m.Dependency) > 0 {
		h.Ext = wire.AppendExtension(h.Ext, wire.ExtDependencyDescriptor, m.Dependency)
	}
	pkt, err := ps.sealer.Seal(p.buf[:0], &h, m.Payload)
	if err != nil {
		if errors.Is(err, seal.ErrNonceReuse) {
			return nil // the source sent it twice
		}
		return fmt.Errorf("publish: %w", err)
	}
	if number >= ps.next {
		for n := ps.next; n < number; n++ {
			ps.holes[n] = now
		}
		ps.next, ps.lastTS, ps.lastAt = number+1, h.Timestamp, now
	} else {
		delete(ps.holes, number)
	}
	if h.KeyFrame && h.FrameStart {
		ps.groupSize = 0
	}
	ps.groupSize += len(pkt)
	p.notary.Add(ps.s.id, number, pkt)
	ps.s.put(&h, pkt, true, "", now)
	if ps.cfg.Kind == wire.KindVideo && (ps.s.groupAge(now) > keyFrameAge || ps.groupSize > keyFrameMax) {
		ps.ask(now)
	}
	p.vouch(&h, now)
	return nil
}

// vouch has a manifest made in time for a packet. Where one is nearly due, it goes out with the packet, which is of no use before it:
// whoever sends both on does so at once. The best time is the end of a picture, which then waits for nothing, and those before it for
// no longer than the time between them: of 30 pictures a second every third one takes a manifest along, of 25 every other one. In the
// middle of a picture there is none, as the other packets would wait for the next; nor with sound, just before a picture takes it along.
func (p *publication) vouch(h *wire.Header, now time.Time) {
	first := p.unvouchedAt.IsZero()
	if first {
		p.unvouchedAt = now
		select {
		case p.kick <- struct{}{}:
		default:
		}
	}
	if p.pictures && h.FrameEnd && h.Kind == wire.KindVideo && now.Sub(p.sentAt) >= p.every*5/8 ||
		!p.pictures && !first && now.Sub(p.unvouchedAt) >= p.every*3/4 {
		p.flush(now)
	}
}

// maxPayload leaves room for header, extensions and tag within wire.MaxPacket.
const maxPayload = wire.MaxPacket - wire.HeaderSize - 64 - seal.TagSize

// holeSpan is the farthest that a source's numbers may jump, less the holes that there are already; beyond, it has begun anew.
const holeSpan = 2048

// begin ties the source's numbers and timestamps to those of the stream, which go on.
func (p *publication) begin(ps *pubStream, m *MediaPacket, now time.Time) {
	if ps.lastAt.IsZero() {
		ps.offset = 0
	} else {
		away := now.Sub(ps.lastAt)
		ps.offset = ps.lastTS + uint32(int64(away)*int64(ps.cfg.ClockRate)/int64(time.Second)) - m.Timestamp
		if ps.cfg.Timeline {
			ps.offset = 0
		}
		ps.flag = true
		// A margin, because the first packets may come out of order.
		next := max(ps.next, ps.floor) + numberMargin
		p.notary.Skip(ps.s.id, ps.next, next-1)
		ps.s.store.Skip(ps.next, next-1)
		ps.next = next
	}
	ps.base = ps.next - uint64(m.Sequence)
	ps.begun = true
	ps.clock = &clockRecord{timestamp: m.Timestamp + ps.offset, unixUs: now.UnixMicro()}
	p.factsAt = time.Time{} // its clock goes into the next manifest
}

// errNoNumbers refuses packets while the disk takes no reservation and the numbers reserved before are used up.
var errNoNumbers = errors.New("publish: no more packet numbers")

// reserveGap is the time between two tries to reserve numbers while the disk takes none.
const reserveGap = 5 * time.Second

// reserve takes the next block of numbers, in the background: half a block is left for as long as that takes. While it fails,
// media goes on with that half. The caller holds p.mu.
func (p *publication) reserve(ps *pubStream, now time.Time) {
	if ps.reserving || now.Before(ps.reserveAt) {
		return
	}
	ps.reserving = true
	p.room.done.Go(func() {
		first, err := p.room.e.keeper.Reserve("number "+ps.s.id.String(), numberBlock)
		p.mu.Lock()
		defer p.mu.Unlock()
		ps.reserving, ps.reserveErr = false, err
		if err != nil {
			ps.reserveAt = now.Add(reserveGap)
			p.room.e.log.Warn("cannot reserve packet numbers; the stream stops when the block is used up", "err", err)
			return
		}
		if first != ps.limit { // an earlier publication of the slot took a block while it ended: go on beyond it
			ps.floor, ps.begun = first, false
		}
		ps.limit = first + numberBlock
		ps.sealer.Limit(ps.floor, ps.limit)
	})
}
