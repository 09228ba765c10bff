package engine

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/castd/castd/engine/codec"
	"github.com/castd/castd/engine/room"
	"github.com/castd/castd/engine/seal"
	"github.com/castd/castd/engine/wire"
)

// Times of publications.
const (
	// manifestEvery is how long a packet may wait for its manifest. Viewers wait for it, so pictures have it shorter; sound
	// alone spends a larger part of its rate on it.
	manifestEvery      = 50 * time.Millisecond
	manifestEveryAudio = 100 * time.Millisecond
	// factsEvery is how often announce and clocks are repeated; freshFor is how long a new announce goes into every manifest,
	// because nothing of a slot is taken before its announce is known.
	factsEvery = time.Second
	freshFor   = time.Second
	// announceLife is how long an announce counts; it is signed anew after half of that.
	announceLife = time.Minute
	// slotLife is how long a slot waits for its publisher to come back.
	slotLife = 30 * time.Second
	// holeLife is how long the source may take to repeat what it lost on the way here.
	holeLife = 700 * time.Millisecond
	// keyFrameGap is the least time between two requests for a key frame, keyFrameAge the most a group may last.
	keyFrameGap = 3 * time.Second
	keyFrameAge = 10 * time.Second
	keyFrameMax = 6 << 20 // octets of a group after which a key frame is asked for
)

// Numbers are reserved in blocks. A source's first packets may come out of order, so that a block begins with a margin.
const (
	numberBlock  = 1 << 16
	numberMargin = 64
)

// publication is an open slot of this peer. Its goroutine builds manifests; sources write from theirs.
type publication struct {
	// constant
	room        *Room
	slot        string
	participant string
	name        string
	record      wire.StreamID
	done        chan struct{}
	kick        chan struct{} // capacity 1: something waits for a manifest
	every       time.Duration
	startedMs   int64
	recordFirst uint64
	manifests   *stream // the record stream

	mu       sync.Mutex // guards what follows
	streams  map[string]*pubStream
	notary   *seal.Notary
	announce []byte
	signedAt time.Time
	freshTo  time.Time
	factsAt  time.Time
	closedAt time.Time // slot waits for its publisher; zero while it is open
	held     *hold     // by the connection that writes, or wrote last
	ended    bool
	buf      []byte
}

// pubStream is one stream of a publication.
type pubStream struct {
	cfg         StreamConfig
	s           *stream
	incarnation uint16
	sealer      *seal.Sealer
	inspector   *codec.Inspector
	first       uint64 // first number of this incarnation
	limit       uint64 // numbers below are reserved
	floor       uint64 // numbers from here on are this publication's
	reserving   bool
	reserveAt   time.Time // not before then, since the last try failed
	reserveErr  error     // of the last try

	begun     bool   // a packet has come since the slot was (re)opened
	base      uint64 // number of the source's sequence 0, modulo 2^64
	offset    uint32 // of timestamps
	next      uint64 // one more than the highest number sent
	lastTS    uint32
	lastAt    time.Time
	flag      bool                 // next packet is the first after a pause
	holes     map[uint64]time.Time // numbers that the source has not sent yet
	clock     *clockRecord         // by the source; else by arrival
	requested time.Time            // last key frame request
	groupSize int
}

// Publish implements Media.
func (r *Room) Publish(ctx context.Context, c SlotConfig) (Publication, error) {
	slot, err := room.NormalSlot(c.Slot)
	if err != nil {
		return nil, NewUserError(CodeBadMedia, err.Error())
	}
	if len(c.Streams) == 0 || len(c.Streams) > room.MaxStreams {
		return nil, NewUserError(CodeBadMedia, "there is nothing to send: offer an audio or a video stream")
	}
	if c.Participant == "" {
		c.Participant = wire.ParticipantID(r.e.user.Public().(ed25519.PublicKey))
	}
	if !r.maySpeak(c) {
		return nil, NewUserError(CodeNotAllowed, fmt.Sprintf("you may not send into room %q: ask its owner for an invite made with `castd invite %s --speak`", r.Name(), r.Name()))
	}
	var h *hold
	var perr error
	if err := r.call(ctx, func() { h, perr = r.publishLoop(slot, c) }); err != nil {
		return nil, err
	}
	if perr != nil {
		return nil, perr
	}
	if !r.links.Load().place.Origin {
		if err := r.joinStage(ctx, h.p); err != nil {
			h.p.finish(err)
			return nil, err
		}
	}
	return h, nil
}

// maySpeak reports whether this peer's user may send what is asked for.
func (r *Room) maySpeak(c SlotConfig) bool {
	rec := r.record.Load()
	user := r.e.user.Public().(ed25519.PublicKey)
	if mayHost(rec, user) || rec.Mode == room.Conference && !rec.Private {
		return true
	}
	rights, err := room.VerifyChain(r.chain.Load(), r.id, rec.Owner, user, time.Now(), rec.Epoch)
	if err != nil {
		return false
	}
	for _, s := range c.Streams {
		if s.Kind == wire.KindVideo && !rights.Has(room.Video) {
			return false
		}
	}
	return rights.Has(room.Speak)
}

// publishLoop opens the slot, or goes on with one that waits for its publisher.
func (r *Room) publishLoop(slot string, c SlotConfig) (*hold, error) {
	if r.leaving {
		return nil, ErrClosed
	}
	key := slot + "\x00" + c.Participant
	if old := r.pubs[key]; old != nil {
		if h := old.reopen(c); h != nil {
			return h, nil
		}
		old.finish(nil)
	}
	p := &publication{
		room: r, slot: slot, participant: c.Participant, name: c.Name, done: make(chan struct{}), kick: make(chan struct{}, 1),
		every: manifestEveryAudio, streams: make(map[string]*pubStream), buf: make([]byte, 0, wire.MaxPacket),
		startedMs: time.Now().UnixMilli(),
	}
	device := r.e.signer.Public()
	p.record = wire.NewStreamID(r.id, device, c.Participant, slot, wire.RecordLabel)
	for _, sc := range c.Streams {
		ps, err := r.newPubStream(device, slot, c.Participant, sc)
		if err != nil {
			return nil, err
		}
		if p.streams[sc.Label] != nil {
			return nil, NewUserError(CodeBadMedia, "two streams of a slot have the same label")
		}
		p.streams[sc.Label] = ps
		if sc.Kind == wire.KindVideo {
			p.every = manifestEvery
		}
	}
	first, err := r.e.keeper.Reserve("record "+p.record.String(), numberBlock)
	if err != nil {
		return nil, fmt.Errorf("publish: %w", err)
	}
	p.recordFirst = first
	p.notary = seal.NewNotary(r.e.signer.Device, p.record, 0, first)
	if err := p.sign(time.Now(), false); err != nil {
		return nil, err
	}
	change, err := r.roster.ApplyEnvelope(p.announce, time.Now())
	if err != nil {
		return nil, fmt.Errorf("publish: %w", err)
	}
	r.changeLoop(change, p)
	if p.manifests = (*r.e.streams.Load())[p.record]; p.manifests == nil {
		return nil, errors.New("publish: stream was not made")
	}
	for _, ps := range p.streams {
		ps.s = (*r.e.streams.Load())[wire.NewStreamID(r.id, device, c.Participant, slot, ps.cfg.Label)]
		if ps.s == nil {
			return nil, errors.New("publish: stream was not made")
		}
	}
	r.pubs[key] = p
	p.freshTo = time.Now().Add(freshFor)
	h := p.newHold()
	p.flush(time.Now())
	r.done.Go(p.run)
	return h, nil
}

func (r *Room) newPubStream(device ed25519.PublicKey, slot, participant string, sc StreamConfig) (*pubStream, error) {
	id := wire.NewStreamID(r.id, device, participant, slot, sc.Label)
	incarnation, err := r.e.keeper.Reserve("incarnation "+id.String(), 1)
	if err != nil {
		return nil, fmt.Errorf("publish: %w", err)
	}
	first, err := r.e.keeper.Reserve("number "+id.String(), numberBlock)
	if err != nil {
		return nil, fmt.Errorf("publish: %w", err)
	}
	sealer, err := seal.NewSealer(r.key, device, id, uint16(incarnation))
	if err != nil {
		return nil, fmt.Errorf("publish: %w", err)
	}
	sealer.Limit(first, first+numberBlock)
	if r.e.sealed != nil {
		sealer.Watch(r.e.sealed)
	}
	return &pubStream{
		cfg: sc, sealer: sealer, inspector: codec.NewInspector(sc.Codec), first: first + numberMargin, floor: first, limit: first + numberBlock,
		next: first + numberMargin, holes: make(map[uint64]time.Time), incarnation: uint16(incarnation),
	}, nil
}

// sign makes the slot's announce.
func (p *publication) sign(now time.Time, ended bool) error {
	a := &wire.Announce{
		Participant: p.participant, Name: p.name, Slot: p.slot, Record: uint64(p.record), StartedMs: p.startedMs, RecordFirst: p.recordFirst, Ended: ended,
	}
	r := p.room
	if !mayHost(r.record.Load(), r.e.user.Public().(ed25519.PublicKey)) {
		a.Chain = r.chain.Load()
	}
	for _, label := range sortedKeys(p.streams) {
		ps := p.streams[label]
		a.Streams = append(a.Streams, &wire.StreamInfo{
			Id: uint64(wire.NewStreamID(r.id, r.e.signer.Public(), p.participant, p.slot, label)), Kind: uint32(ps.cfg.Kind), Label: label,
			Codec: ps.cfg.Codec, ClockRate: ps.cfg.ClockRate, Channels: ps.cfg.Channels, Fmtp: ps.cfg.Fmtp,
			Incarnation: uint32(ps.incarnation), First: ps.first,
		})
	}
	env, err := r.e.signer.Seal(r.id, wire.Type_ANNOUNCE, 0, now.Add(announceLife), a)
	if err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	p.announce, p.signedAt = env, now
	return nil
}

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
	f := ps.inspector.Inspect(m.Timestamp, m.Payload, m.Marker, m.Dependency)
	h := wire.Header{
		Kind: ps.cfg.Kind, Marker: m.Marker, FrameStart: f.Start, FrameEnd: f.End, Level: m.Level, Voice: m.Voice,
		KeyFrame: f.Key, Discardable: f.Discardable, LayerSync: f.LayerSync, Spatial: f.Spatial, Temporal: f.Temporal,
		Incarnation: ps.incarnation, Stream: ps.s.id, Number: number, Timestamp: m.Timestamp + ps.offset,
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
	select {
	case p.kick <- struct{}{}:
	default:
	}
	return nil
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

// run builds manifests while there is something to vouch for, and repeats announce and clocks.
func (p *publication) run() {
	timer := time.NewTimer(factsEvery)
	defer timer.Stop()
	for {
		select {
		case <-p.room.ctx.Done():
			p.end(ErrClosed)
			return
		case <-p.done:
			return
		case <-p.kick:
			select {
			case <-time.After(p.every):
			case <-p.done:
				return
			case <-p.room.ctx.Done():
				p.end(ErrClosed)
				return
			}
		case <-timer.C:
		}
		now := time.Now()
		p.mu.Lock()
		waited := !p.closedAt.IsZero() && now.Sub(p.closedAt) >= slotLife
		if !p.ended {
			p.flush(now)
		}
		p.mu.Unlock()
		if waited {
			p.finish(nil)
			return
		}
		timer.Reset(factsEvery)
	}
}

// flush sends what has gathered: hashes, skips, and the repeated facts where they are due. The caller holds p.mu, or is alone.
func (p *publication) flush(now time.Time) {
	for _, label := range sortedKeys(p.streams) {
		ps := p.streams[label]
		for _, n := range sortedKeys(ps.holes) {
			if now.Sub(ps.holes[n]) >= holeLife {
				p.notary.Skip(ps.s.id, n, n)
				ps.s.store.Skip(n, n)
				delete(ps.holes, n)
			}
		}
	}
	facts := now.Sub(p.factsAt) >= factsEvery
	if facts {
		p.factsAt = now
		if now.Sub(p.signedAt) >= announceLife/2 {
			if err := p.sign(now, false); err != nil {
				p.room.e.log.Error("cannot sign announce", "err", err)
			} else {
				env := p.announce
				p.room.tell(func() { _, _ = p.room.roster.ApplyEnvelope(env, time.Now()) })
			}
		}
		for _, label := range sortedKeys(p.streams) {
			if ps := p.streams[label]; ps.clock != nil {
				p.notary.Clock(ps.s.id, ps.clock.timestamp, ps.clock.unixUs)
				ps.s.clock.Store(ps.clock)
			}
		}
	}
	if facts || now.Before(p.freshTo) {
		if err := p.notary.Announce(p.announce); err != nil {
			p.room.e.log.Error("announce is too large", "err", err)
		}
	}
	p.send(now)
}

// send builds the record packets and puts them on their way.
func (p *publication) send(now time.Time) {
	for _, pkt := range p.notary.Build(uint32(now.UnixMilli())) {
		h, _, err := wire.ParseHeader(pkt)
		if err != nil {
			panic("engine: internal error: record packet has no header")
		}
		p.manifests.put(&h, pkt, true, "", now)
	}
}

// reopen goes on with a slot whose publisher came back with the same streams. It returns nil where that cannot be.
func (p *publication) reopen(c SlotConfig) *hold {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended || len(c.Streams) != len(p.streams) {
		return nil
	}
	for _, sc := range c.Streams {
		ps := p.streams[sc.Label]
		if ps == nil || ps.cfg.Kind != sc.Kind || ps.cfg.Codec != sc.Codec || ps.cfg.ClockRate != sc.ClockRate || ps.cfg.Channels != sc.Channels {
			return nil
		}
	}
	for _, sc := range c.Streams {
		ps := p.streams[sc.Label]
		ps.cfg, ps.begun = sc, false
		ps.inspector = codec.NewInspector(sc.Codec)
	}
	p.closedAt = time.Time{}
	return p.newHold()
}

// finish ends the publication and takes it off the room.
func (p *publication) finish(err error) {
	p.end(err) // also of a slot that was only waiting
	key := p.slot + "\x00" + p.participant
	p.room.tell(func() {
		if p.room.pubs[key] == p {
			delete(p.room.pubs, key)
		}
	})
}

// end announces the slot's end, once.
func (p *publication) end(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return
	}
	p.ended = true
	p.release(err)
	now := time.Now()
	p.flush(now)
	if p.sign(now, true) == nil {
		env := p.announce
		// Three times, because nothing that follows would show that it was lost.
		for range 3 {
			if p.notary.Announce(env) == nil {
				p.send(now)
			}
		}
		p.room.tell(func() { p.room.announceOwnLoop(env) })
	}
	close(p.done)
}

// announceOwnLoop applies an announce of this peer's own.
func (r *Room) announceOwnLoop(env []byte) {
	if change, err := r.roster.ApplyEnvelope(env, time.Now()); err == nil {
		r.changeLoop(change, nil)
	}
}

// ask asks the source for a key frame, at most once in keyFrameGap.
func (ps *pubStream) ask(now time.Time) {
	if ps.cfg.KeyFrame == nil || now.Sub(ps.requested) < keyFrameGap {
		return
	}
	ps.requested = now
	ps.s.room.e.metrics.keyFrameWishes.Add(1)
	ps.s.room.done.Go(ps.cfg.KeyFrame)
}

// wish asks for a key frame on behalf of somebody who joined: the source where it is here, else the parent. Where the current
// group is younger than keyFrameGap it will do.
func (s *stream) wish(now time.Time) {
	if s.kind != wire.KindVideo || s.groupAge(now) < keyFrameGap {
		return
	}
	last := s.wishAt.Load()
	if now.UnixNano()-last < int64(keyFrameGap) || !s.wishAt.CompareAndSwap(last, now.UnixNano()) {
		return
	}
	if s.local {
		s.room.post(func() {
			for _, p := range s.room.pubs {
				p.mu.Lock()
				for _, ps := range p.streams {
					if ps.s == s {
						ps.ask(now)
					}
				}
				p.mu.Unlock()
			}
		})
		return
	}
	if h := s.room.e.hop(s.feeder(s.room.links.Load())); h != nil {
		_ = h.WriteControl(&wire.HopControl{Wishes: []*wire.KeyFrameWish{{Stream: uint64(s.id)}}})
	}
}
