package engine

import (
	"context"
	"crypto/ed25519"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/castd/castd/engine/room"
	"github.com/castd/castd/engine/wire"
	"github.com/castd/castd/tree"
	"github.com/castd/castd/tree/detect"
	"github.com/castd/castd/tree/elect"
)

// Room is a room that this peer is in. Its exported methods are safe for concurrent use; methods that end in Loop belong to
// its goroutine.
type Room struct {
	// constant
	e       *Engine
	id      wire.RoomID
	tag     uint64
	topic   string
	owner   ed25519.PublicKey
	own     bool      // this peer's user owns the room
	since   time.Time // when this peer entered it
	private bool      // constant: who changes it opens another room under the same id
	leaf    *leaf
	ctx     context.Context
	cancel  context.CancelFunc
	done    sync.WaitGroup

	// snapshots and atomics
	record      atomic.Pointer[room.Record]
	chain       atomic.Pointer[wire.Chain]
	access      atomic.Pointer[room.Access] // newest; nil: nothing was revoked
	ring        atomic.Pointer[keyring]
	ended       atomic.Bool   // it is being left, and not because its person wants to
	unread      atomic.Bool   // gossip came that this peer has no key for
	lacking     atomic.Uint32 // newest generation that is known of and not held
	links       atomic.Pointer[links]
	fan         atomic.Pointer[fanout]
	media       atomic.Pointer[[]*stream]       // audio and video, sorted by id
	all         atomic.Pointer[[]*stream]       // and record streams
	whoRecords  atomic.Pointer[[]RecordingInfo] // nil: nobody ever did
	mixState    atomic.Pointer[StreamState]     // of the conference's mix, whoever makes it; nil while there is none
	standing    atomic.Pointer[peer.ID]         // who stands by to mix; see standby
	states      atomic.Pointer[[]*StreamState]  // of media
	below       atomic.Int64                    // listeners below
	listener    atomic.Bool                     // this peer counts as a listener
	originClock atomic.Uint32                   // that the parent told last, and when it moved, in Unix nanoseconds
	originAt    atomic.Int64
	parentFresh atomic.Bool            // the parent says that it has had media within the last second
	beacon      atomic.Pointer[beacon] // newest
	seated      atomic.Pointer[seated]
	plan        atomic.Pointer[plan]      // by which way a conference is heard, as the hub said last
	directNow   atomic.Pointer[directNow] // nil: all by the mixer
	calls       atomic.Int32              // of participants at this peer
	mapsFurther atomic.Pointer[[]peer.ID] // further mixers, which follow this hub's mix
	loudest     loudest                   // whose packets go from this mixer to the others
	mapsTo      atomic.Pointer[[]peer.ID] // who follows this hub's mix besides the standby
	seatNews    atomic.Int32              // news of seats that are on their way out
	liveAt      atomic.Int64              // Unix nanoseconds: when something was live last
	sending     atomic.Int32              // messages of the tree that are on their way out
	quiet       atomic.Int32              // others that nothing follows from
	blamedAt    atomic.Int64              // Unix nanoseconds
	expected    sync.Map                  // peer.ID -> time.Time

	mailbox chan func() // 1,024 calls; what does not fit is dropped and counted: all of it is repeated by those who sent it
	inner   innerMail   // what this peer itself has to say, and nobody repeats

	// owned by the room's goroutine
	router            *tree.Router
	inputs            []tree.Input // to be given to the router after the present one
	stepping          bool
	children          []tree.Child          // as the router listed them last
	misledAt          time.Time             // since when the parent's path has not begun at the hub; zero: it does
	parting           map[peer.ID]time.Time // children that have said goodbye, and until when they are fed
	unneeded          map[peer.ID]bool      // peers whose hop the router has done without since
	roster            *room.Roster
	feeding           map[peer.ID]*child
	feeder            *feeder                        // sends to the children; constant
	have              map[peer.ID][]*wire.StreamMark // what a joining child told it has
	userOf            map[peer.ID]string             // participant ids of those who asked to join
	audienceOf        map[peer.ID]int
	blamed            map[peer.ID]*blameRecord
	slots             map[wire.StreamID]*slot // by record stream
	endedAt           map[wire.StreamID]time.Time
	stagePeers        map[peer.ID]bool
	staged            map[peer.ID]time.Time   // since when they are there
	stageIdle         map[peer.ID]time.Time   // since when they have had no hop, or nothing live
	pubs              map[string]*publication // by slot and participant
	elector           *elect.Elector          // who is the hub
	electTimer        *time.Timer             // for its deadline
	recorders         recordings
	records           int // recordings of this peer's
	recordsSince      time.Time
	saidRecording     time.Time
	recordingSequence uint64

	stands     standing  // what it was told last
	bidAt      time.Time // when the hub is told next that this peer may follow it
	inherits   peer.ID   // the hub that is handing over to this peer; "" else
	heir       peer.ID   // the peer that this hub has handed over to; "" else
	acquainted map[peer.ID]*acquaintance
	healAt     time.Time // when to look for another part of the room
	formerHub  peer.ID   // where they went before, until the new hub has them
	formerTo   time.Time // but no longer than that
	hub        peer.ID   // where this peer's publications go
	hubUsed    time.Time // when there was one last
	rejoining  bool      // they are being brought there
	inTree     bool
	leaving    bool
	census     *census // who sits where below this peer
	telling    bool    // it is to be told upward in a moment
	reportDue  time.Time
	dues       dues
	sharing    audioShare
	reported   time.Time
	silence    time.Duration        // that the router allows the parent
	live       bool                 // some stream is
	watched    map[*hopState]func() // of the parent and the backup, to those who end their canaries
	shown      map[*hopState]func() // of the children
	childrenAt time.Time            // when the router was told of the children last
	asked      map[peer.ID]uint64   // nonces of the last Joins
	answered   time.Time            // when a stranger's pulse was answered last
	grants     map[peer.ID]*grant   // of those who asked for a place, gave one, or publish here
	fetched    time.Time            // when list and keys were asked for last
	fetches    int
	recorded   time.Time // when the hub told the room its record last
	topicless  topicless
	taps       taps
	mixing     *mixing                   // nil while this peer mixes nothing
	sat        map[string]bool           // participants who have had a seat, as far as this peer knows
	floor      floor                     // hands and messages, where this peer mixes
	raised     raisedHands               // of those who only listen, at the hub
	dismissed  map[string]time.Time      // until when they get no seat
	ownHands   map[string]*ownHand       // of those who listen by way of this peer
	handsAt    time.Time                 // when the hub was told of them last
	ruled      time.Time                 // when it was looked at last whether a ruling has ended
	retold     time.Time                 // when participants were told last of what is not the mix's to tell
	untold     bool                      // there is something of that
	lines      map[*line]bool            // to the peer that does, and to its standby
	seatPeers  map[peer.ID]bool          // see links.seats
	spare      spare                     // the standby, at the hub
	heads      map[peer.ID]bool          // the hub's, to whom this standby sends its mix
	headsTo    time.Time                 // but no longer than that
	headsAt    time.Time                 // when hops to them were opened last
	passTo     map[peer.ID]*wire.Hearing // who asked for what is published

	// Of a conference of a few, see direct.go.
	planner      *planner   // at its hub
	toldDirect   bool       // that nobody mixes
	direct       *direct    // nil while this peer's participants go by the mixer
	planBefore   []planSeat // of the hub before
	planBeforeTo time.Time  // until then
	planToned    time.Time  // when a tone told last that somebody comes or goes

	// Of a conference of more than one mixer can hold, see cascade.go.
	cascade  cascade
	further  *further // nil while this peer is no further mixer
	mixMates mates    // the other mixers

	endedMedia map[wire.Kind]MediaTotals // of streams that are no more; guarded by the engine's mutex
}

// blameRecord remembers forged packets of one peer.
type blameRecord struct{ first, last time.Time }

// blamePerHop is how much longer a peer bears with its parent for each hop above it.
const blamePerHop = 250 * time.Millisecond

// blameEvery is the least time between two offences that are counted.
const blameEvery = 50 * time.Millisecond

// mayHost reports whether a user may be the room's hub.
func mayHost(rec *room.Record, user ed25519.PublicKey) bool {
	return user != nil && (rec.IsOwner(user) || rec.IsDelegate(user))
}

// startRoom makes the room and its goroutines. origin: this peer is the room's hub.
func (e *Engine) startRoom(kept SavedRoom, rec *room.Record, chain *wire.Chain, origin, inTree bool) (*Room, error) {
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return nil, ErrClosed
	}
	if r := e.rooms[rec.ID]; r != nil {
		e.mu.Unlock()
		return r, nil
	}
	ctx, cancel := context.WithCancel(e.ctx)
	r := &Room{
		e: e, id: rec.ID, tag: rec.ID.Tag(), topic: topicOf(rec.ID, rec.Private), owner: rec.Owner, private: rec.Private, since: time.Now(),
		own: rec.IsOwner(e.user.Public().(ed25519.PublicKey)), ctx: ctx, cancel: cancel, mailbox: make(chan func(), mailboxSize), inner: innerMail{wake: make(chan struct{}, 1)},
		roster: room.NewRoster(rec), feeding: make(map[peer.ID]*child), have: make(map[peer.ID][]*wire.StreamMark),
		userOf:     make(map[peer.ID]string),
		audienceOf: make(map[peer.ID]int), blamed: make(map[peer.ID]*blameRecord),
		slots: make(map[wire.StreamID]*slot), endedAt: make(map[wire.StreamID]time.Time), watched: make(map[*hopState]func()), shown: make(map[*hopState]func()), stagePeers: make(map[peer.ID]bool), stageIdle: make(map[peer.ID]time.Time), staged: make(map[peer.ID]time.Time), asked: make(map[peer.ID]uint64),
		pubs: make(map[string]*publication), sat: make(map[string]bool), raised: make(raisedHands), dismissed: make(map[string]time.Time), ownHands: make(map[string]*ownHand), recorders: make(recordings), lines: make(map[*line]bool), census: newCensus(e.self), grants: make(map[peer.ID]*grant),
		acquainted: make(map[peer.ID]*acquaintance), unneeded: make(map[peer.ID]bool), parting: make(map[peer.ID]time.Time), passTo: make(map[peer.ID]*wire.Hearing), elector: elect.New(elect.HubConfig(elect.ID(e.self), string(rec.ID)+" hub")),
	}
	r.taps.init()
	r.electTimer = time.NewTimer(time.Hour)
	r.record.Store(rec)
	access, ring := restore(kept, rec, time.Now())
	r.access.Store(access)
	r.ring.Store(ring)
	r.roster.SetAccess(access, time.Now()) // of an empty roster
	r.chain.Store(chain)
	r.links.Store(&links{})
	r.fan.Store(&fanout{})
	r.feeder = newFeeder(e.transport, &r.fan)
	r.media.Store(&[]*stream{})
	r.all.Store(&[]*stream{})
	r.states.Store(&[]*StreamState{})
	r.seated.Store(&seated{})
	cfg := tree.DefaultConfig(tree.ID(e.self))
	cfg.Slots = e.slotsLocked()
	if origin {
		cfg.Slots = max(cfg.Slots, 1) // an origin that relays to nobody would be a room for one
	}
	cfg.Addrs = addrsOf(e.control.Self())
	cfg.Seed = uint64(time.Now().UnixNano())
	r.router = tree.New(cfg)
	r.leaf = newLeaf(r)
	e.rooms[rec.ID] = r
	r.done.Go(r.loop) // before Close can see the room
	r.done.Go(func() { r.leaf.run(ctx) })
	e.mu.Unlock()
	e.changes.tell()

	if err := e.control.Join(r.topic); err != nil {
		e.log.Warn("cannot join room topic", "err", err)
	}
	r.tell(func() {
		if origin {
			r.electLoop(elect.Take{})
		}
		if inTree {
			r.enterTreeLoop(origin)
		}
	})
	return r, nil
}

// enterTreeLoop takes a place in the tree, or begins it as its origin, once.
func (r *Room) enterTreeLoop(origin bool) {
	if !r.inTree && !r.leaving {
		r.inTree = true
		r.step(tree.Start{Origin: origin})
		r.standLoop()
		if origin {
			r.sendBeaconLoop(time.Now())
		}
	}
}

func (r *Room) loop() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	defer r.electTimer.Stop()
	look := time.NewTicker(time.Second / looks)
	defer look.Stop()
	looked := 0
	defer r.closeLoop()
	for {
		if at, ok := r.router.NextDeadline(); ok {
			timer.Reset(max(time.Until(at), time.Millisecond))
		} else {
			timer.Reset(time.Hour)
		}
		select {
		case <-r.ctx.Done():
			return
		case <-r.inner.wake:
			r.innerLoop()
		case f := <-r.mailbox:
			r.innerLoop() // first
			f()
		case <-timer.C:
			r.aliveLoop(time.Now())
			r.step(tree.Tick{})
		case c := <-r.taps.queue:
			r.talkedLoop(c)
		case <-r.electTimer.C:
			r.standLoop()
			r.electLoop(elect.Tick{})
		case now := <-look.C:
			r.lookDuesLoop(now)
			r.retellLoop(now)
			r.tapsLoop(now)
			if looked++; looked%looks == 0 {
				r.secondLoop(now)
			}
		}
	}
}

// closeLoop ends what the room's goroutine owns.
func (r *Room) closeLoop() {
	r.undirectLoop()
	r.endFurtherLoop()
	r.unmixLoop(true)
	r.untieLoop()
	for _, c := range r.feeding {
		c.close()
		r.e.totals.closed(c)
	}
	var ids []wire.StreamID
	for _, s := range *r.e.streams.Load() {
		if s.room == r {
			ids = append(ids, s.id)
		}
	}
	r.e.index(nil, ids)
}

// secondLoop does what is due once a second.
func (r *Room) secondLoop(now time.Time) {
	r.standLoop()
	if _, holding := r.elector.Term(); holding {
		r.sendBeaconLoop(now)
		r.sendRecordLoop(now)
	}
	r.bidLoop(now)
	r.healLoop(now)
	r.forgetEndedLoop(now)
	r.rightsLoop(now)
	r.reportLoop(now)
	r.censusLoop(now)
	r.paceLoop(now)
	r.misledLoop(now)
	for id, b := range r.blamed {
		if now.Sub(b.last) > 10*time.Second {
			delete(r.blamed, id)
		}
	}
	r.watchStageLoop(now)
	r.watchDuesLoop(now)
	r.audioShareLoop()
	r.dropFormerHubLoop(now)
	r.watchMixLoop()
	r.dropHeadsLoop(now)
	r.watchStandbyLoop(now)
	r.watchSeatsLoop(now)
	r.watchHandsLoop(now)
	r.recordingsLoop(now)
	r.watchDirectLoop(now)
	r.planLoop(now)
	r.cascadeLoop(now)
	r.watchCascadeLoop(now)
	r.quietLoop(now)
}

// paceLoop lets the room be quiet while nothing is live.
func (r *Room) paceLoop(now time.Time) {
	live := false
	for _, st := range *r.states.Load() {
		if st.Live {
			live = true
			r.liveAt.Store(now.UnixNano())
		}
	}
	if live != r.live {
		r.live = live
		r.e.relinked.Store(true)
		select {
		case r.e.livened <- struct{}{}:
		default:
		}
	}
	r.patienceLoop()
}

// patienceLoop tells the router how long the parent may be silent: as long as its hop's past says while something is live.
func (r *Room) patienceLoop() {
	silence := quietSilence
	if h := r.e.hop(r.links.Load().primary); r.live {
		silence = detect.Start
		if h != nil {
			silence = h.silenceLimit()
		}
	}
	if silence != r.silence {
		r.silence = silence
		r.step(tree.SetSilence{Silence: silence})
	}
}

// aliveLoop tells the router, before it is given a Tick, when others were heard last: parent and backup each time, and the
// children, who have far longer, now and then.
func (r *Room) aliveLoop(now time.Time) {
	r.patienceLoop()
	l := r.links.Load()
	alive := func(id peer.ID) {
		if h := r.e.hop(id); h != nil {
			r.step(tree.Alive{Peer: tree.ID(id), At: h.LastReceived()})
		}
	}
	for _, id := range []peer.ID{l.primary, l.backup} {
		alive(id)
	}
	if now.Sub(r.childrenAt) >= time.Second {
		r.childrenAt = now
		for id := range l.children {
			alive(id)
		}
	}
}

// lastWords is how long a publisher that leaves stays for repairs of its last packets.
const lastWords = 250 * time.Millisecond

// leave says goodbye: publications end, children learn where else to go and are fed until they have moved.
func (r *Room) leave(ctx context.Context) {
	r.handOver(ctx)
	r.retireFurther(ctx)
	published := false
	_ = r.call(ctx, func() {
		r.leaving = true
		r.undirectLoop()
		r.endFurtherLoop()
		r.unmixLoop(true)
		r.standLoop()
		published = len(r.pubs)+len(r.endedAt) > 0
		for _, p := range r.pubs {
			p.end(nil)
		}
	})
	// The last manifests and what is in the children's queues go out before the goodbye.
	settle := func(d time.Duration, until func() bool) {
		deadline := time.Now().Add(d)
		for !until() && time.Now().Before(deadline) && ctx.Err() == nil {
			select {
			case <-time.After(10 * time.Millisecond):
			case <-ctx.Done():
			}
		}
	}
	drained := func() bool {
		if r.feeder.waiting() {
			return false
		}
		for _, c := range r.fan.Load().children {
			if c.queue.Len() > 0 {
				return false
			}
		}
		return true
	}
	settle(300*time.Millisecond, drained)
	if published && len(r.fan.Load().children) > 0 {
		// What got lost of the end can be asked for: the marks of two pulses show that it is missing.
		settle(lastWords, func() bool { return false })
	}
	_ = r.call(ctx, r.goodbyeLoop)
	settle(time.Second, func() bool { return r.sending.Load() == 0 && len(r.fan.Load().children) == 0 })
	_ = r.e.control.Leave(r.topic)
	r.e.mu.Lock()
	if r.e.rooms[r.id] == r {
		delete(r.e.rooms, r.id)
	}
	r.e.mu.Unlock()
	r.e.changes.tell()
	r.cancel()
}

func (r *Room) setSlots(n int) {
	r.tell(func() {
		if r.links.Load().place.Origin {
			n = max(n, 1)
		}
		r.step(tree.SetSlots{Slots: n})
	})
}

// ID implements Media.
func (r *Room) ID() wire.RoomID { return r.id }

// Mode implements Media.
func (r *Room) Mode() string { return r.record.Load().Mode }

// Name returns the room's name.
func (r *Room) Name() string { return r.record.Load().Name }

// Streams implements Media.
func (r *Room) Streams() []*StreamState { return *r.states.Load() }

// GuestSlot implements Media.
func (r *Room) GuestSlot() (func(), error) { return r.e.guestSlot() }

// blame notes a forged packet that came from the peer. An honest relay passes forgeries on for as long as it takes a
// manifest to unmask them, then leaves whoever sent them; who goes on for over a second does not care, and is left himself.
func (r *Room) blame(from peer.ID) {
	now := time.Now()
	last := r.blamedAt.Load()
	if now.UnixNano()-last < int64(blameEvery) || !r.blamedAt.CompareAndSwap(last, now.UnixNano()) {
		return // a flood of forgeries is one offence
	}
	r.post(func() {
		b := r.blamed[from]
		if b == nil {
			b = &blameRecord{first: now}
			r.blamed[from] = b
		}
		b.last = now
		// Longer below than above, or all would leave at the same time as the one who is next to the forger.
		l := r.links.Load()
		if patience := time.Second + time.Duration(l.place.Depth)*blamePerHop; now.Sub(b.first) > patience && l.primary == from {
			delete(r.blamed, from)
			r.e.log.Warn("parent sends forged media: leaving it", "peer", from)
			r.e.events.emit(Event{Event: "error", Room: string(r.id), Code: "forged_media", Message: "the parent sent media that its publisher did not sign; another parent is being looked for"})
			r.step(tree.Distrust{Peer: tree.ID(from), Reason: "forged media"})
		}
	})
}
