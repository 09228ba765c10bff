package engine

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/castd/castd/engine/relay"
	"github.com/castd/castd/engine/seal"
	"github.com/castd/castd/engine/wire"
)

// Playout at a leaf
//
// A packet is delivered once a manifest has confirmed it and all before it have been delivered, skipped or given up. Packets
// published at this peer are confirmed from the start. How long is waited:
//
//   - for a missing packet as long as repair still asks for it, and no longer than missingPatience after a later one came; nothing of
//     its picture is confirmed before;
//   - for the manifest of a packet that is there, unverifiedPatience, and missingPatience since one has vouched for a later packet: a
//     publisher sends manifests ten times a second and relays repair them first, so what has none by then is forged. While nothing
//     later is vouched for, waiting holds up nothing: what came last before a peer above died gets its manifest from whoever feeds next.
//
// Nothing unconfirmed is ever delivered.

const (
	missingPatience    = 500 * time.Millisecond
	unverifiedPatience = 1500 * time.Millisecond
	leafPoll           = 10 * time.Millisecond // while something is awaited that nobody tells of
	// youngPart is the part of a second that a stream may have gone on for while somebody who plays it begins at its beginning.
	youngPart = 5
	// keyPatience is how long playout waits for the media key that a packet was sealed with.
	keyPatience = time.Second
)

// leaf delivers a room's media to its sinks. One goroutine calls them all; it lives as long as the room and sleeps while
// there is no sink.
type leaf struct {
	room    *Room
	wakeup  chan struct{} // capacity 1
	calls   chan func()   // for the goroutine, capacity 64: attaching and detaching wait for room
	done    chan struct{} // closed when the goroutine has ended
	active  atomic.Int32  // sinks
	watched atomic.Int32  // sinks that are guests
	changed atomic.Bool   // the room's streams changed
	// Counters.
	delivered, missed, unverified, unsealed atomic.Uint64

	// owned by the goroutine
	subs    []*subscription
	cursors map[wire.StreamID]*cursor
	openers map[openerOf]*seal.Opener
	buf     []byte
	open    []byte
	mix     splice[Packet] // of a conference
	mixed   Packet         // the one that comes out of it
}

// cursor is the position of playout in one stream.
type cursor struct {
	s         *stream
	next      uint64
	started   bool
	backlogTo uint64    // numbers up to here were old when playout began
	blocked   time.Time // since when next has been awaited; zero if it is not
	passed    time.Time // since when something later has been vouched for, and next has not; zero if nothing has
}

func newLeaf(r *Room) *leaf {
	return &leaf{
		room: r, wakeup: make(chan struct{}, 1), calls: make(chan func(), 64), done: make(chan struct{}), cursors: make(map[wire.StreamID]*cursor), openers: make(map[openerOf]*seal.Opener),
		buf: make([]byte, wire.MaxPacket), open: make([]byte, 0, wire.MaxPacket), mix: splice[Packet]{copy: copyPacket},
	}
}

// notify tells that there may be something to deliver. It never blocks.
func (l *leaf) notify() {
	if l.active.Load() == 0 {
		return
	}
	select {
	case l.wakeup <- struct{}{}:
	default:
	}
}

func (l *leaf) restream() {
	l.changed.Store(true)
	l.notify()
}

func (l *leaf) guests() int { return int(l.watched.Load()) }

func (l *leaf) run(ctx context.Context) {
	defer close(l.done)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case f := <-l.calls:
			f()
		case <-l.wakeup:
		case <-timer.C:
		}
		if len(l.subs) == 0 {
			clear(l.cursors)
			clear(l.openers)
			continue
		}
		if l.changed.Swap(false) {
			l.tellStreams()
			l.forget()
		}
		if l.drainAll(time.Now()) {
			timer.Reset(leafPoll)
		}
	}
}

// forget ends playout of the streams that are no more, or began anew: of those, what was confirmed to the end is still delivered.
func (l *leaf) forget() {
	index := *l.room.e.streams.Load()
	for id, c := range l.cursors {
		if index[id] == c.s {
			continue
		}
		if c.started && index[id] != nil {
			l.drain(c, time.Now())
		}
		delete(l.cursors, id)
	}
	for o := range l.openers {
		if index[o.s.id] != o.s {
			delete(l.openers, o)
		}
	}
}

func (l *leaf) tellStreams() {
	states := *l.room.states.Load()
	for _, s := range l.subs {
		s.sink.Streams(states)
	}
}

// attach adds a sink: it hears of the streams, then of the current groups of pictures, then of all that follows.
func (l *leaf) attach(s *subscription) {
	now := time.Now()
	if len(l.subs) > 0 {
		l.drainAll(now) // so that what is live begins at the same place for everyone
	}
	l.subs = append(l.subs, s)
	s.sink.Streams(*l.room.states.Load())
	for _, st := range *l.room.media.Load() {
		c := l.cursors[st.id]
		if c == nil || c.s != st || !c.started {
			continue // playout of it begins with this sink, backlog and all
		}
		if s.opts.Backlog && st.kind == wire.KindVideo {
			l.replay(s, c)
		}
	}
	for _, st := range *l.room.media.Load() {
		if st.kind == wire.KindVideo {
			st.wish(now)
		}
	}
	l.notify()
}

// replay delivers the current group of pictures to one sink, up to where playout is.
func (l *leaf) replay(s *subscription, c *cursor) {
	if s.opts.Select != nil && !s.opts.Select(c.s.state.Load()) {
		return
	}
	first, _, ok := c.s.store.Group()
	if !ok || first >= c.next {
		return
	}
	live, _ := c.s.store.Timestamp(c.next - 1)
	for n := first; n < c.next; n++ {
		if size, state := c.s.store.Get(n, l.buf); state == relay.StateConfirmed {
			l.deliver(c.s, l.buf[:size], true, live, s)
		}
	}
}

// drainAll delivers what can be delivered and reports whether something is awaited that only time will tell.
func (l *leaf) drainAll(now time.Time) (waiting bool) {
	for _, s := range *l.room.media.Load() {
		c := l.cursors[s.id]
		if c == nil || c.s != s {
			if (*l.room.e.streams.Load())[s.id] != s {
				continue // another has just taken its place, and the list is about to say so: it was played to the end
			}
			c = &cursor{s: s}
			l.cursors[s.id] = c
		}
		if !c.started && !c.start() {
			continue
		}
		waiting = l.drain(c, now) || waiting
	}
	return waiting
}

// start sets where playout of a stream begins: with the stream if it is new, else with the group of pictures, or with what
// comes now.
func (c *cursor) start() bool {
	highest, ok := c.s.store.Highest()
	if !ok {
		return false
	}
	lowest, _ := c.s.store.Lowest()
	first := c.s.state.Load().First
	switch {
	case c.s.room.young(c.s) && first <= highest && highest-first < 2048:
		c.next = max(first, min(lowest, highest))
		if lowest > first && c.s.awaits(first) {
			c.next = first
		}
		// Whoever was there when it began has seen next to nothing of it yet; who has come since is told what is old.
		if old, ok := c.s.store.Timestamp(lowest); ok {
			if newest, ok := c.s.store.Timestamp(highest); ok && int32(newest-old) > int32(c.s.state.Load().ClockRate/youngPart) {
				c.backlogTo = max(highest, c.s.backlogTo.Load())
			}
		}
	case c.s.kind == wire.KindVideo:
		group, _, ok := c.s.store.Group()
		if !ok {
			return false // nothing can be decoded yet
		}
		c.next, c.backlogTo = group, max(highest, c.s.backlogTo.Load())
	default:
		c.next = highest
		if to := c.s.backlogTo.Load(); to > highest {
			return false // still in the past
		}
	}
	c.started = true
	return true
}

// awaits reports whether the number may come yet: it is being asked for, or what came above it is so new that it has not been looked
// at what is missing.
func (s *stream) awaits(number uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.local && (s.repair.Missing(number) || !s.repair.Expected(number))
}

// repairing reports whether the number is still being asked for.
func (s *stream) repairing(number uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.repair.Missing(number)
}

// drain delivers from one stream as far as it goes.
func (l *leaf) drain(c *cursor, now time.Time) (waiting bool) {
	s := c.s
	for {
		size, state := s.store.Get(c.next, l.buf)
		switch state {
		case relay.StateConfirmed:
			if l.keyless(s, l.buf[:size]) && c.wait(now) < keyPatience {
				return true
			}
			backlog := c.next <= c.backlogTo
			live := uint32(0)
			if backlog {
				highest, _ := s.store.Highest()
				live, _ = s.store.Timestamp(highest)
			}
			l.deliver(s, l.buf[:size], backlog, live, nil)
			c.advance(c.next + 1)
			continue
		case relay.StateSkipped:
			c.advance(c.next + 1)
			continue
		case relay.StateGone:
			lowest, ok := s.store.Lowest()
			if !ok || lowest <= c.next {
				return false
			}
			l.missed.Add(lowest - c.next)
			c.advance(lowest)
			continue
		case relay.StateUnconfirmed:
			waited := c.wait(now)
			if lacks, ok := s.store.Lacks(c.next); ok { // of a picture that is vouched for
				if highest, ok := s.store.Highest(); !ok || lacks > highest {
					c.blocked = time.Time{}
					return false // the rest of it is on its way
				}
				if waited < missingPatience && (waited < leafPoll || s.local || s.repairing(lacks)) {
					return true
				}
				l.missed.Add(1)
				blocked := c.blocked
				c.advance(c.next + 1)
				if again, ok := s.store.Lacks(c.next); ok && again == lacks {
					c.blocked = blocked // one picture, one wait
				}
				continue
			}
			vouched, ok := s.store.Vouched()
			if !ok || vouched <= c.next {
				return false // the manifest will tell
			}
			if c.passed.IsZero() {
				c.passed = now
			}
			if waited < unverifiedPatience || now.Sub(c.passed) < missingPatience {
				return true
			}
			l.unverified.Add(1)
			blocked, passed := c.blocked, c.passed
			c.advance(c.next + 1)
			if c.next < vouched && s.store.State(c.next) == relay.StateUnconfirmed {
				c.blocked, c.passed = blocked, passed // one manifest missing, one wait
			}
			continue
		}
		// Absent.
		highest, ok := s.store.Highest()
		if !ok || c.next > highest {
			c.blocked = time.Time{}
			return false
		}
		if waited := c.wait(now); waited < missingPatience && (waited < leafPoll || s.local || s.repairing(c.next)) {
			return true
		}
		l.missed.Add(1)
		blocked := c.blocked
		c.advance(c.next + 1)
		if s.store.State(c.next) == relay.StateAbsent {
			c.blocked = blocked // one hole, one wait
		}
	}
}

func (c *cursor) advance(to uint64) { c.next, c.blocked, c.passed = to, time.Time{}, time.Time{} }

func (c *cursor) wait(now time.Time) time.Duration {
	if c.blocked.IsZero() {
		c.blocked = now
	}
	return now.Sub(c.blocked)
}

// deliver opens a confirmed packet and gives it to one sink, or to all.
func (l *leaf) deliver(s *stream, pkt []byte, backlog bool, live uint32, only *subscription) {
	h, n, err := wire.ParseHeader(pkt)
	if err != nil {
		l.unsealed.Add(1)
		return
	}
	opener := l.opener(s, h.Incarnation)
	if opener == nil {
		l.unsealed.Add(1)
		return
	}
	payload, err := opener.Open(l.open[:0], pkt, n, h.Number)
	if err != nil {
		l.unsealed.Add(1)
		return
	}
	state := s.state.Load()
	p := Packet{Stream: state, Header: h, Payload: payload, Backlog: backlog, LiveTimestamp: live, WallUs: s.wallUs(h.Timestamp)}
	l.delivered.Add(1)
	switch {
	case only != nil:
		only.sink.WritePacket(&p)
	case mixed(l.room.record.Load(), state):
		l.deliverMix(s, &p)
	default:
		l.hand(&p)
	}
}

// hand gives a packet to all sinks that want it.
func (l *leaf) hand(p *Packet) {
	for _, sub := range l.subs {
		// A player has no use for old sound: it would play on that much later.
		old := p.Backlog && (!sub.opts.Backlog || sub.opts.Guest && p.Stream.Kind == wire.KindAudio)
		if old || sub.opts.Select != nil && !sub.opts.Select(p.Stream) {
			continue
		}
		sub.sink.WritePacket(p)
	}
}
