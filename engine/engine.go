package engine

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/castd/castd/engine/room"
	"github.com/castd/castd/engine/seal"
	"github.com/castd/castd/engine/uplink"
	"github.com/castd/castd/engine/wire"
)

// Keeper keeps what must outlive the process. engine/store implements it; all methods are safe for concurrent use.
type Keeper interface {
	// Reserve returns the first of n numbers under key that nobody has been given before, also not before a crash.
	Reserve(key string, n uint64) (first uint64, err error)
	// SavedRooms lists the rooms that this peer owns or has met; SaveRoom adds or replaces one by its id.
	SavedRooms() []SavedRoom
	SaveRoom(r SavedRoom) error
	// SavedInvites lists the invites that this peer made to a room. SaveInvite adds one.
	SavedInvites(id wire.RoomID) []SavedInvite
	SaveInvite(i SavedInvite) error
	// UseInvite counts a use of an invite by somebody, unless he has used it before. Of many at the same time no more succeed than
	// there are uses, also across a crash. It returns ErrSpent or ErrNoInvite otherwise.
	UseInvite(id wire.RoomID, invite, who string) error
}

// SavedInvite is an invite as the Keeper keeps it. The secret in it is not kept.
type SavedInvite struct {
	ID      string // room.InviteID
	Room    wire.RoomID
	Rights  room.Rights
	Made    time.Time
	Expires time.Time
	Uses    uint32   // 0: any number
	Used    []string // participant ids of those who used it
}

// SavedRoom is a room as the Keeper keeps it.
type SavedRoom struct {
	Name   string
	ID     wire.RoomID
	Record []byte // envelope of the newest RoomRecord
	Chain  []byte // encoded wire.Chain: this user's rights there, where an invite gave him any
	Access []byte // envelope of the newest access list
	Keys   []seal.RoomKey
}

// Config sets up an Engine.
type Config struct {
	Control   ControlPlane
	Transport Transport
	Keeper    Keeper
	Signer    *wire.Signer       // this device
	User      ed25519.PrivateKey // whom it acts for
	Slots     int                // ordinary children; 0 relays for nobody
	Canary    Canary             // nil: only silence tells that a parent has crashed
	Mixing    Mixing             // nil: this peer mixes no conferences
	Policy    Policy             // nil: who has the right may
	MixSeats  int                // participants of a conference that it holds as their mixer, at most 1,000; 0: DefaultMixSeats
	// Reach is how long a question about a room may take: 600 ms, or more where peers must be dialled first.
	Reach   time.Duration
	Version string       // of castd, for the offers to others
	Machine Machine      // nil: it is idle and plugged in
	Crashes []time.Time  // when earlier processes of this peer were found to have ended without a goodbye
	Log     *slog.Logger // nil discards
}

// DefaultMixSeats is how many participants a mixer holds, by what a home's uplink bears: each gets some 45 kbit/s.
const DefaultMixSeats = 150

// mixSeats returns what a Config says.
func mixSeats(n int) int {
	if n <= 0 {
		return DefaultMixSeats
	}
	return min(n, maxMixSeats)
}

// Engine is one peer. All methods are safe for concurrent use. Two engines in one process do not know of each other.
type Engine struct {
	// constant
	control   ControlPlane
	transport Transport
	keeper    Keeper
	signer    *wire.Signer
	user      ed25519.PrivateKey
	self      peer.ID
	reach     time.Duration
	version   string
	canary    Canary // may be nil
	mixing    Mixing // may be nil
	mixSeats  int
	policy    Policy  // may be nil
	machine   Machine // may be nil
	crashes   []time.Time
	log       *slog.Logger
	events    *bus
	changes   changes
	repairer  *repairer
	directory directory
	listed    chan struct{} // capacity 1: there is a room to tell the directory of
	livened   chan struct{} // capacity 1: something went live, pulses are due
	relinked  atomic.Bool   // somebody may need pulses at another pace
	cancel    context.CancelFunc
	ctx       context.Context // of everything that this engine started
	started   time.Time
	sealed    func(key, nonce [seal.NonceSize]byte) // sees all seals, where a test set it before publishing

	// atomics and snapshots
	streams atomic.Pointer[map[wire.StreamID]*stream]
	lines   atomic.Pointer[map[wire.StreamID]*lineEnd]
	hops    atomic.Pointer[map[peer.ID]*hopState]
	shed    atomic.Int32                   // uplink.Shed
	forced  atomic.Pointer[uplink.Verdict] // in place of the controller's, where a test set it
	busy    atomic.Uint32                  // thousandths of the computer's processors
	battery atomic.Bool                    // it runs on battery
	metrics metrics
	totals  totals

	work sync.WaitGroup

	mu     sync.Mutex // guards what follows, and the making of new snapshots
	rooms  map[wire.RoomID]*Room
	slots  int
	guests int
	// withheld slots are not given while this peer carries more than it can.
	withheld int
	closed   bool

	closedHops HopTotals // of hops that are closed
}

// New returns a running engine. It fails when the control plane does not start.
func New(c Config) (*Engine, error) {
	if c.Control == nil || c.Transport == nil || c.Keeper == nil || c.Signer == nil || len(c.User) != ed25519.PrivateKeySize {
		return nil, errors.New("engine: Control, Transport, Keeper, Signer and User are required")
	}
	if c.Log == nil {
		c.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	if c.Reach <= 0 {
		c.Reach = 600 * time.Millisecond
	}
	ctx, cancel := context.WithCancel(context.Background())
	e := &Engine{
		control: c.Control, transport: c.Transport, keeper: c.Keeper, signer: c.Signer, user: c.User, self: c.Control.Self().ID,
		reach: c.Reach, version: c.Version, canary: c.Canary, mixing: c.Mixing, mixSeats: mixSeats(c.MixSeats),
		policy: c.Policy, machine: c.Machine, crashes: slices.Clone(c.Crashes),
		log: c.Log, ctx: ctx, cancel: cancel, started: time.Now(),
		rooms: make(map[wire.RoomID]*Room), slots: c.Slots, listed: make(chan struct{}, 1),
		livened: make(chan struct{}, 1),
	}
	e.events = newBus(&e.totals)
	e.streams.Store(&map[wire.StreamID]*stream{})
	e.lines.Store(&map[wire.StreamID]*lineEnd{})
	e.hops.Store(&map[peer.ID]*hopState{})
	e.repairer = newRepairer(e)
	e.transport.Start(e, e)
	e.work.Go(func() { e.repairer.run(ctx) })
	e.work.Go(func() { e.pulseRun(ctx) })
	e.work.Go(func() { e.overloadRun(ctx) })
	if err := e.control.Start(e); err != nil {
		cancel()
		e.work.Wait()
		return nil, fmt.Errorf("start control plane: %w", err)
	}
	e.work.Go(func() { e.directoryRun(ctx) })
	return e, nil
}

// Self returns this peer's id.
func (e *Engine) Self() peer.ID { return e.self }

// Close says goodbye in every room, lets children move on for as long as ctx allows (they need well under a second), and ends
// everything that the engine started. Control plane and transport stay open; they are their maker's to close.
func (e *Engine) Close(ctx context.Context) error {
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return nil
	}
	e.closed = true
	rooms := maps.Clone(e.rooms)
	e.mu.Unlock()
	var wg sync.WaitGroup
	for _, r := range rooms {
		wg.Go(func() { r.leave(ctx) })
	}
	wg.Wait()
	e.cancel()
	for _, r := range rooms {
		r.done.Wait()
	}
	e.work.Wait()
	return nil
}

// Events delivers events until ctx ends. Statistics come every so often where the interval is positive.
func (e *Engine) Events(ctx context.Context, stats time.Duration) <-chan Event {
	events := e.events.listen(ctx)
	if stats <= 0 {
		return events
	}
	out := make(chan Event, 64)
	go func() {
		defer close(out)
		tick := time.NewTicker(stats)
		defer tick.Stop()
		for {
			var batch []Event
			select {
			case <-ctx.Done():
				return
			case ev, ok := <-events:
				if !ok {
					return
				}
				batch = []Event{ev}
			case <-tick.C:
				for _, r := range e.Rooms() {
					batch = append(batch, r.statsEvents()...)
				}
			}
			for _, ev := range batch {
				select {
				case out <- ev:
				case <-ctx.Done():
					return
				}
			}
		}
	}()
	return out
}

// Rooms returns the rooms that this peer is in, in no particular order.
func (e *Engine) Rooms() []*Room {
	e.mu.Lock()
	defer e.mu.Unlock()
	rooms := make([]*Room, 0, len(e.rooms))
	for _, r := range e.rooms {
		rooms = append(rooms, r)
	}
	return rooms
}

func (e *Engine) roomByID(id wire.RoomID) *Room {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.rooms[id]
}

// index adds and removes streams of the packet path's index.
func (e *Engine) index(add []*stream, remove []wire.StreamID) {
	e.mu.Lock()
	defer e.mu.Unlock()
	next := maps.Clone(*e.streams.Load())
	for _, id := range remove {
		if s := next[id]; s != nil {
			s.room.retireLocked(s)
		}
		delete(next, id)
	}
	for _, s := range add {
		if old := next[s.id]; old != nil && old != s {
			old.room.retireLocked(old)
		}
		next[s.id] = s
	}
	e.streams.Store(&next)
}

// SetSlots changes how many ordinary children this peer takes, for all its rooms together.
func (e *Engine) SetSlots(n int) {
	e.mu.Lock()
	e.slots = n
	e.mu.Unlock()
	e.spreadSlots()
}

// guestSlot takes one of the slots for a guest who is not on the loopback.
func (e *Engine) guestSlot() (func(), error) {
	e.mu.Lock()
	if e.guests >= e.slots {
		e.mu.Unlock()
		return nil, NewUserError(CodeFull, "this peer has no free slot for another guest: raise --upload or --max-children, or ask another peer of the room")
	}
	e.guests++
	e.mu.Unlock()
	e.spreadSlots()
	return sync.OnceFunc(func() {
		e.mu.Lock()
		e.guests--
		e.mu.Unlock()
		e.spreadSlots()
	}), nil
}

// spreadSlots tells every room how many slots it has.
func (e *Engine) spreadSlots() {
	e.mu.Lock()
	free := e.slotsLocked()
	rooms := maps.Clone(e.rooms)
	e.mu.Unlock()
	for _, r := range rooms {
		r.setSlots(free)
	}
}

// metrics are the engine's counters.
type metrics struct {
	malformed, unknownStream, notFed, forged atomic.Uint64 // packets dropped
	handsDropped                             atomic.Uint64 // hands of listeners that there was no room for
	lineDropped                              atomic.Uint64 // packets and news of conferences that no hop took
	lineRepeated                             atomic.Uint64 // packets of conferences that came before, or far too late
	muted                                    atomic.Uint64 // packets of who is muted
	policyDenied                             atomic.Uint64 // questions that the policy said no to
	talksDropped                             atomic.Uint64 // changes of who talks that the room was too busy for
	wrongGeneration                          atomic.Uint64 // and those whose media key is not held, or unknown
	withheld                                 atomic.Uint64 // parents left because they did not send what they had
	refused, expelled                        atomic.Uint64 // peers without a right
	accessOld, wrongKeys, gossipUnread       atomic.Uint64
	nacksSent, resent                        atomic.Uint64
	controlIn, controlBad, mailboxFull       atomic.Uint64
	keyFrameWishes                           atomic.Uint64
	broken                                   atomic.Uint64 // canaries
	overloads                                atomic.Uint64
	heals                                    atomic.Uint64 // looks for other parts of a room
}

// Counters returns the engine's counters by the names that metrics use (without the prefix castd_).
func (e *Engine) Counters() map[string]uint64 {
	m := &e.metrics
	return map[string]uint64{
		"packets_malformed_total":         m.malformed.Load(),
		"packets_unknown_stream_total":    m.unknownStream.Load(),
		"packets_not_from_parent_total":   m.notFed.Load(),
		"call_dropped_total":              m.lineDropped.Load(),
		"hands_dropped_total":             m.handsDropped.Load(),
		"call_packets_repeated_total":     m.lineRepeated.Load(),
		"packets_muted_total":             m.muted.Load(),
		"policy_denied_total":             m.policyDenied.Load(),
		"talks_dropped_total":             m.talksDropped.Load(),
		"packets_forged_total":            m.forged.Load(),
		"packets_wrong_generation_total":  m.wrongGeneration.Load(),
		"parents_withholding_total":       m.withheld.Load(),
		"peers_refused_total":             m.refused.Load(),
		"peers_expelled_total":            m.expelled.Load(),
		"access_lists_old_total":          m.accessOld.Load(),
		"media_keys_wrong_total":          m.wrongKeys.Load(),
		"gossip_unread_total":             m.gossipUnread.Load(),
		"parent_connections_broken_total": m.broken.Load(),
		"nacks_sent_total":                m.nacksSent.Load(),
		"packets_resent_total":            m.resent.Load(),
		"control_messages_total":          m.controlIn.Load(),
		"control_messages_bad_total":      m.controlBad.Load(),
		"mailbox_full_total":              m.mailboxFull.Load(),
		"key_frame_requests_total":        m.keyFrameWishes.Load(),
		"overloads_total":                 m.overloads.Load(),
		"partition_probes_total":          m.heals.Load(),
		"events_dropped_total":            e.events.dropped.Load(),
	}
}
