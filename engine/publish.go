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
	// manifestEvery is how long a packet may wait for its manifest: shorter where people talk to each other, who wait for it; mostly it
	// waits far shorter where there are pictures (see vouch). Half of what a manifest costs is spent on each, however little it is about.
	manifestEvery        = 120 * time.Millisecond
	manifestEveryTalking = 80 * time.Millisecond
	manifestEveryAudio   = 100 * time.Millisecond
	// factsEvery is how often clocks are repeated, and announceEvery the announce, for those to whom it was not told with their place
	// in the tree; freshFor is how long a new announce goes into every manifest, because nothing of a slot is taken before its announce
	// is known.
	factsEvery    = time.Second
	announceEvery = 4 * time.Second
	freshFor      = time.Second
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
	every       time.Duration // that a packet may wait for its manifest
	pictures    bool          // the slot has some
	startedMs   int64
	recordFirst uint64
	manifests   *stream // the record stream

	mu          sync.Mutex // guards what follows
	streams     map[string]*pubStream
	notary      *seal.Notary
	announce    []byte
	signedAt    time.Time
	freshTo     time.Time
	factsAt     time.Time
	announcedAt time.Time
	sentAt      time.Time // the last manifests
	unvouchedAt time.Time // since when a packet has waited for its manifest; zero: none does
	singlyTo    time.Time // until then each packet has a hash of its own; see doubt.go
	closedAt    time.Time // slot waits for its publisher; zero while it is open
	held        *hold     // by the connection that writes, or wrote last
	ended       bool
	buf         []byte
}

// pubStream is one stream of a publication.
type pubStream struct {
	cfg         StreamConfig
	s           *stream
	incarnation uint16 // with which the numbers began
	sealing     uint16 // of sealer
	generation  uint32 // of the key that the numbers began with
	rekeys      []room.Rekey
	upcoming    *rekeying // nil: the sealer stays
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
	if err := r.Decide(ctx, Question{
		Action: ActionSpeak, Participant: c.Participant, Name: c.Name, Self: c.Participant == wire.ParticipantID(r.e.userKey()),
	}); err != nil {
		return nil, err
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
	rights, _ := r.policy().Check(r.e.userKey(), r.chain.Load(), time.Now()) // without a right it does not matter why
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
			p.every, p.pictures = manifestEvery, true
			if r.record.Load().Mode == room.Conference {
				p.every = manifestEveryTalking
			}
		}
	}
	first, err := r.e.keeper.Reserve("record "+p.record.String(), numberBlock)
	if err != nil {
		return nil, fmt.Errorf("publish: %w", err)
	}
	p.recordFirst = first
	var sound []wire.StreamID
	for _, label := range sortedKeys(p.streams) {
		if p.streams[label].cfg.Kind == wire.KindAudio {
			sound = append(sound, wire.NewStreamID(r.id, device, c.Participant, slot, label))
		}
	}
	p.notary = seal.NewNotary(r.e.signer.Device, p.record, 0, first, sound...)
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
	key := r.ring.Load().newest()
	if key == nil {
		return nil, NewUserError(CodeTimeout, fmt.Sprintf("the key of room %q has not come yet: try again when somebody who has it is in reach", r.Name()))
	}
	sealer, err := seal.NewSealer(key.RoomKey, device, id, uint16(incarnation))
	if err != nil {
		return nil, fmt.Errorf("publish: %w", err)
	}
	sealer.Limit(first, first+numberBlock)
	if r.e.sealed != nil {
		sealer.Watch(r.e.sealed)
	}
	return &pubStream{
		cfg: sc, sealer: sealer, inspector: codec.NewInspector(sc.Codec), first: first + numberMargin, floor: first, limit: first + numberBlock,
		next: first + numberMargin, holes: make(map[uint64]time.Time), incarnation: uint16(incarnation), sealing: uint16(incarnation),
		generation: key.Generation,
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
			Incarnation: uint32(ps.incarnation), Generation: ps.generation, First: ps.first, Rekeys: ps.rekeysToWire(),
		})
	}
	env, err := r.e.signer.Seal(r.id, wire.Type_ANNOUNCE, 0, now.Add(announceLife), a)
	if err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	p.announce, p.signedAt = env, now
	return nil
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
