package engine

import (
	"cmp"
	"encoding/binary"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/castd/castd/engine/wire"
	"github.com/castd/castd/tree"
)

// How the origin of a room comes to know its tree: each peer tells its parent who sits where below it, itself included. A change
// goes up within moments; everything is told again every few minutes, so that what got lost is made good and what nobody
// tells of any more is forgotten (soft state, as in RFC 2205 section 2.3). A peer that has a new parent tells it all.
//
// What one peer tells is bounded by censusRate octets a second, and it tells of no more than maxToldSeats peers: those nearest to
// it, and among these who feeds others before who does not. Who is not told of is still counted, because pulses carry how many
// peers and listeners there are below. So a link's traffic does not grow with the room, a room of some hundred peers is known
// one by one, and of a larger one its upper levels are.
//
// The numbers are chosen, not measured: a seat takes about 70 octets, a message 300 more for envelope and signature.
const (
	maxToldSeats = 512  // seats that a peer tells its parent of
	maxSeats     = 4096 // seats that a peer knows
	maxSeatsMsg  = 128  // seats in one message; more are not read
	censusRate   = 1000 // octets a second to the parent, in the long run
	censusBurst  = 16_000
	seatOctets   = 70
	baseOctets   = 300

	seatAgain = 2 * time.Minute         // a seat is told again
	seatLife  = 3*seatAgain + seatAgain // and forgotten when it has not been
	seatLoose = 10 * time.Second        // a seat is kept while no way leads down to it: its parent may be about to be told of
	numberGap = 5 * time.Second         // changes of mere numbers are told no sooner

	delaySlack = 10 // milliseconds that a delay may change by without being told again

	censusLook = 10 * time.Second // where nothing changes shape, what is due is told this often, in one message
)

// seat is one peer's place, as its parent or somebody between knows it.
type seat struct {
	peer           peer.ID
	parent, backup uint64 // short ids; 0: none
	kind           tree.ChildKind
	slots, free    uint32
	audience       uint32
	below          uint32
	delayMs        uint32
	repairing      bool
}

// seatID names a peer by the end of its id, which of an Ed25519 key nobody can choose to be another's.
func seatID(id peer.ID) uint64 {
	if len(id) < 8 {
		return 0
	}
	return binary.BigEndian.Uint64([]byte(id[len(id)-8:]))
}

// sameShape reports whether two seats of a peer differ in numbers at most.
func (s seat) sameShape(o seat) bool {
	return s.peer == o.peer && s.parent == o.parent && s.backup == o.backup && s.kind == o.kind && s.repairing == o.repairing
}

// alike reports whether the numbers of two seats are near enough to each other not to be told again.
func (s seat) alike(o seat) bool {
	return near(s.slots, o.slots) && near(s.free, o.free) && near(s.audience, o.audience) && near(s.below, o.below) &&
		(near(s.delayMs, o.delayMs) || max(s.delayMs, o.delayMs)-min(s.delayMs, o.delayMs) <= delaySlack)
}

// near reports whether two numbers differ by an eighth at most.
func near(a, b uint32) bool { return 8*(max(a, b)-min(a, b)) <= max(a, b) }

// heldSeat is a seat below this peer.
type heldSeat struct {
	seat
	via   uint64    // the child that told of it
	at    time.Time // and when
	loose time.Time // since when no way leads down to it; zero while one does
}

// toldSeat is what the parent was told.
type toldSeat struct {
	seat
	at time.Time
}

// census is what a peer knows of those below it in a room's tree, and what it has told its parent of that. The room's goroutine
// owns it.
type census struct {
	self  uint64
	seats map[uint64]*heldSeat
	via   map[uint64]int // how many seats a child has told of
	kids  map[uint64]bool

	parent uint64 // that was told
	told   map[uint64]toldSeat
	stale  bool      // there may be something to tell
	own    seat      // as it was when that was looked at last
	look   time.Time // when to look again whatever happens
	octets float64   // that may be sent now
	filled time.Time
}

func newCensus(self peer.ID) *census {
	return &census{
		self: seatID(self), seats: make(map[uint64]*heldSeat), via: make(map[uint64]int), kids: make(map[uint64]bool),
		told: make(map[uint64]toldSeat), octets: censusBurst,
	}
}

// setChildren takes the list of children. Those that this peer feeds have a seat below it, whether they tell so or not.
func (c *census) setChildren(now time.Time, children []tree.Child) {
	clear(c.kids)
	for _, child := range children {
		id := seatID(peer.ID(child.Peer))
		if child.Kind == tree.Backup || id == 0 || id == c.self {
			continue
		}
		c.kids[id] = true
		h := c.seats[id]
		if h == nil || h.parent != c.self {
			c.put(&heldSeat{seat: seat{peer: peer.ID(child.Peer), parent: c.self}, via: id, at: now})
			h = c.seats[id]
		}
		if h != nil && h.kind != child.Kind {
			h.kind, c.stale = child.Kind, true
		}
	}
	for id, h := range c.seats {
		if h.parent == c.self && !c.kids[id] {
			c.drop(id)
		}
	}
}

// put adds or replaces a seat; where there are too many it does nothing.
func (c *census) put(h *heldSeat) {
	id := seatID(h.peer)
	old := c.seats[id]
	if old != nil && old.peer != h.peer || old == nil && len(c.seats) >= maxSeats || (old == nil || old.via != h.via) && c.via[h.via] >= maxToldSeats {
		return
	}
	c.drop(id)
	c.stale = true
	c.seats[id] = h
	c.via[h.via]++
}

func (c *census) drop(id uint64) {
	h := c.seats[id]
	if h == nil {
		return
	}
	c.stale = true
	delete(c.seats, id)
	if c.via[h.via]--; c.via[h.via] <= 0 {
		delete(c.via, h.via)
	}
}

// hear takes what a child tells and reports whether the shape of the tree has changed.
func (c *census) hear(now time.Time, from peer.ID, list []*wire.Seat) (changed bool) {
	via := seatID(from)
	if !c.kids[via] {
		return false
	}
	for _, w := range list[:min(len(list), maxSeatsMsg)] {
		id, err := peer.IDFromBytes(w.GetPeer())
		if err != nil {
			continue
		}
		key := seatID(id)
		own := key == via
		if key == 0 || key == c.self || !own && (c.kids[key] || w.Parent == c.self) || w.Parent == key {
			continue // of its own children and itself this peer knows better
		}
		old := c.seats[key]
		if w.Gone {
			// Who moved may be told of by the new parent before the old one misses him.
			if !own && old != nil && old.via == via && old.parent == w.Parent {
				c.drop(key)
				changed = true
			}
			continue
		}
		h := &heldSeat{via: via, at: now, seat: seat{
			peer: id, parent: w.Parent, backup: w.Backup, kind: tree.ChildKind(w.Kind), slots: min(w.Slots, 1<<16), free: min(w.Free, 1<<16),
			audience: min(w.Audience, 1<<24), below: min(w.Below, 1<<24), delayMs: min(w.DelayMs, 1<<20), repairing: w.Repairing,
		}}
		if own {
			h.parent, h.kind = c.self, tree.Ordinary
			if old != nil {
				h.kind = old.kind
			}
		}
		if old != nil {
			h.loose = old.loose
		}
		if old != nil && old.via == via && old.seat == h.seat {
			old.at = now
			continue
		}
		changed = changed || old == nil || !old.sameShape(h.seat)
		c.put(h)
	}
	return changed
}

// below returns the seats that a way leads down to, level by level; in a level who feeds most comes first. Seats that no way has led
// to for a while, and such that are told of no longer, are forgotten.
func (c *census) below(now time.Time) []*heldSeat {
	children := make(map[uint64][]*heldSeat, len(c.seats))
	for id, h := range c.seats {
		if now.Sub(h.at) > seatLife && !c.kids[id] {
			c.drop(id)
			continue
		}
		children[h.parent] = append(children[h.parent], h)
	}
	out := make([]*heldSeat, 0, len(c.seats))
	reached := make(map[uint64]bool, len(c.seats))
	for level := children[c.self]; len(level) > 0; {
		slices.SortFunc(level, func(a, b *heldSeat) int {
			return cmp.Or(cmp.Compare(b.below, a.below), cmp.Compare(a.peer, b.peer))
		})
		out = append(out, level...)
		var next []*heldSeat
		for _, h := range level {
			id := seatID(h.peer)
			reached[id] = true
			next = append(next, children[id]...)
		}
		level = next // a ring is not reached from here
	}
	for id, h := range c.seats {
		switch {
		case reached[id]:
			h.loose = time.Time{}
		case h.loose.IsZero():
			h.loose = now
		case now.Sub(h.loose) > seatLoose:
			c.drop(id)
		}
	}
	return out
}

// report returns what the parent is to be told now: nil for nothing, or nothing yet.
func (c *census) report(now time.Time, parent uint64, own seat) []*wire.Seat {
	if c.filled.IsZero() {
		c.filled = now
	}
	c.octets = min(c.octets+censusRate*now.Sub(c.filled).Seconds(), censusBurst)
	c.filled = now
	if parent != c.parent {
		c.parent = parent
		clear(c.told)
		c.stale = true
	}
	if !c.stale && own.sameShape(c.own) && now.Before(c.look) {
		return nil
	}
	room := min(int(c.octets-baseOctets)/seatOctets, maxSeatsMsg)
	if room <= 0 {
		return nil
	}
	below := c.below(now)
	c.own, c.stale, c.look = own, false, now.Add(censusLook)
	seats := make([]seat, 1, 1+min(len(below), maxToldSeats-1))
	seats[0] = own
	for _, h := range below[:min(len(below), maxToldSeats-1)] {
		seats = append(seats, h.seat)
	}
	var gone, list []*wire.Seat
	known := make(map[uint64]bool, len(seats))
	for _, s := range seats {
		known[seatID(s.peer)] = true
	}
	for _, id := range sortedKeys(c.told) {
		if old := c.told[id]; !known[id] {
			gone = append(gone, &wire.Seat{Peer: []byte(old.peer), Parent: old.parent, Gone: true})
		}
	}
	for _, w := range gone[:min(len(gone), room)] {
		delete(c.told, seatID(peer.ID(w.Peer)))
		list = append(list, w)
	}
	for _, shape := range []bool{true, false} { // mere numbers come last
		for _, s := range seats {
			id := seatID(s.peer)
			old, told := c.told[id]
			changed := !told || !old.sameShape(s)
			due := changed || now.Sub(old.at) >= seatAgain || !old.alike(s) && now.Sub(old.at) >= numberGap
			if len(list) < room && changed == shape && due {
				list = append(list, s.wire())
				c.told[id] = toldSeat{seat: s, at: now}
			}
		}
	}
	if len(list) == room {
		c.stale = true // more may be waiting
	}
	if len(list) > 0 {
		c.octets -= float64(baseOctets + seatOctets*len(list))
	}
	return list
}

func (s seat) wire() *wire.Seat {
	return &wire.Seat{
		Peer: []byte(s.peer), Parent: s.parent, Backup: s.backup, Kind: wire.ChildKind(s.kind), Slots: s.slots, Free: s.free,
		Audience: s.audience, Below: s.below, DelayMs: s.delayMs, Repairing: s.repairing,
	}
}
