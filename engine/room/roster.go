package room

import (
	"bytes"
	"cmp"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/castd/castd/engine/wire"
)

// Bounds of a roster.
const (
	MaxSlots   = 64 // live at one time
	MaxStreams = 8  // of a slot
	// maxEnded is how many slots that ended are remembered, so that an old announce does not bring one back.
	maxEnded = 256
)

// Errors of Roster.Apply, for control flow.
var (
	ErrAnnounce   = errors.New("room: malformed announce")
	ErrNotAllowed = errors.New("room: announce's publisher has no right to send")
	ErrStale      = errors.New("room: a newer announce of this slot is known")
	ErrFull       = errors.New("room: stage is full")
)

// Stream is one stream of a slot. Values are immutable.
type Stream struct {
	ID          wire.StreamID
	Slot        string
	Label       string
	Kind        wire.Kind
	Codec       string
	ClockRate   uint32 // Hz
	Channels    uint32
	Fmtp        string
	Incarnation uint16
	Generation  uint32 // of the room's media key
	Rekeys      []Rekey
	First       uint64 // first number of this incarnation
	Participant string
	Name        string // of the participant, clean for display
	Device      ed25519.PublicKey
	Record      wire.StreamID // the slot's record stream
	RecordFirst uint64        // first number of the record stream since the slot became live
	StartedMs   int64         // Unix time at which the slot became live
	Live        bool
}

// Rekey says which generation of the media key the packets of an incarnation are sealed under.
type Rekey struct {
	Incarnation uint16
	Generation  uint32
}

// equal compares all fields but Device, which the ids are derived from.
func (s *Stream) equal(o *Stream) bool {
	return s.ID == o.ID && s.Slot == o.Slot && s.Label == o.Label && s.Kind == o.Kind && s.Codec == o.Codec &&
		s.ClockRate == o.ClockRate && s.Channels == o.Channels && s.Fmtp == o.Fmtp && s.Incarnation == o.Incarnation &&
		s.Generation == o.Generation && s.First == o.First && s.Participant == o.Participant && s.Name == o.Name &&
		s.Record == o.Record && s.StartedMs == o.StartedMs && s.Live == o.Live && slices.Equal(s.Rekeys, o.Rekeys)
}

// Change is what an announce changed. Streams are sorted by id.
type Change struct {
	Added, Updated, Ended []*Stream
}

// Empty reports whether nothing changed.
func (c Change) Empty() bool { return len(c.Added)+len(c.Updated)+len(c.Ended) == 0 }

// slot is what is known of one slot, live or ended.
type slot struct {
	record   wire.StreamID
	device   ed25519.PublicKey
	sequence uint64    // of the newest announce
	expires  time.Time // of the announces of this slot, the latest
	live     bool
	streams  []*Stream
	envelope []byte
	who      Standing
	chain    *wire.Chain // the right to send
}

// Roster is who is on a room's stage: the newest announce of each slot. It is a plain value that belongs to one goroutine.
type Roster struct {
	record *Record
	access *Access
	slots  map[wire.StreamID]*slot // by record stream
}

// NewRoster returns an empty roster of a room.
func NewRoster(r *Record) *Roster {
	return &Roster{record: r, slots: make(map[wire.StreamID]*slot)}
}

// SetRecord takes a newer record of the room. Slots that are there stay until their next announce.
func (r *Roster) SetRecord(rec *Record) { r.record = rec }

// SetAccess takes a newer access list, and what the record is now: slots whose publishers may not send any more end at once.
func (r *Roster) SetAccess(a *Access, now time.Time) Change {
	r.access = a
	var c Change
	for _, s := range r.sorted() {
		if !s.live || r.allowed(s.who, s.chain, s.streams, now) == nil {
			continue
		}
		d := difference(s.streams, nil)
		c.Ended = append(c.Ended, d.Ended...)
		s.live, s.streams, s.envelope = false, nil, nil
	}
	sortStreams(c.Ended)
	return c
}

// ApplyEnvelope opens an Announce's envelope and applies it. The envelope is kept for Announces.
func (r *Roster) ApplyEnvelope(env []byte, now time.Time) (Change, error) {
	m, err := wire.OpenEnvelope(env, now)
	if err != nil {
		return Change{}, err
	}
	c, s, err := r.apply(m, now)
	if err == nil {
		s.envelope = bytes.Clone(env)
	}
	return c, err
}

// Apply takes an Announce that wire.OpenEnvelope has opened. It returns what changed; nothing for an announce that says again
// what is known; ErrStale for one that is older than what is known of its slot.
func (r *Roster) Apply(m *wire.Message, now time.Time) (Change, error) {
	c, _, err := r.apply(m, now)
	return c, err
}

func (r *Roster) apply(m *wire.Message, now time.Time) (Change, *slot, error) {
	a, streams, err := r.check(m)
	if err != nil {
		return Change{}, nil, err
	}
	old := r.slots[wire.StreamID(a.Record)]
	if old != nil && m.Sequence <= old.sequence {
		if m.Sequence == old.sequence {
			return Change{}, old, nil
		}
		return Change{}, nil, ErrStale
	}
	// Rights are checked after staleness, because the signatures of a chain cost more than all the rest. To end what is known
	// takes no right but the device's own key.
	who := Standing{Participant: a.Participant, User: m.User, Self: a.Participant == wire.ParticipantID(m.User)}
	if old == nil || !a.Ended {
		if err := r.allowed(who, a.Chain, streams, now); err != nil {
			return Change{}, nil, err
		}
	}
	if a.Ended {
		streams = nil
	} else if (old == nil || !old.live) && r.live() >= MaxSlots {
		return Change{}, nil, ErrFull
	}
	s := &slot{
		record: wire.StreamID(a.Record), device: m.Device, sequence: m.Sequence, expires: m.Expires, live: !a.Ended,
		streams: streams, who: who, chain: a.Chain,
	}
	var before []*Stream
	if old != nil {
		before = old.streams
		if old.expires.After(s.expires) {
			s.expires = old.expires
		}
	}
	r.slots[s.record] = s
	r.forget()
	return difference(before, streams), s, nil
}

// Expire ends the slots whose announces have all expired: their publisher is gone without a word.
func (r *Roster) Expire(now time.Time) Change {
	var c Change
	for _, s := range r.sorted() {
		if !now.After(s.expires.Add(wire.Leeway)) {
			continue
		}
		d := difference(s.streams, nil)
		c.Ended = append(c.Ended, d.Ended...)
		delete(r.slots, s.record)
	}
	sortStreams(c.Ended)
	return c
}

// Streams returns the live streams, sorted by the time their slot began and then by id.
func (r *Roster) Streams() []*Stream {
	var all []*Stream
	for _, s := range r.slots {
		all = append(all, s.streams...)
	}
	slices.SortFunc(all, func(a, b *Stream) int {
		return cmp.Or(cmp.Compare(a.StartedMs, b.StartedMs), cmp.Compare(a.ID, b.ID))
	})
	return all
}

// Stream returns a live stream, nil if there is none of this id.
func (r *Roster) Stream(id wire.StreamID) *Stream {
	for _, s := range r.slots {
		for _, st := range s.streams {
			if st.ID == id {
				return st
			}
		}
	}
	return nil
}

// Publisher returns the device whose slot has the record stream, also of one that has just ended.
func (r *Roster) Publisher(record wire.StreamID) (device ed25519.PublicKey, ok bool) {
	s := r.slots[record]
	if s == nil {
		return nil, false
	}
	return s.device, true
}

// Announces returns the envelopes of the live slots that came through ApplyEnvelope, sorted by record stream: what a newcomer
// needs.
func (r *Roster) Announces() [][]byte {
	var out [][]byte
	for _, s := range r.sorted() {
		if s.live && s.envelope != nil {
			out = append(out, s.envelope)
		}
	}
	return out
}

// allowed checks the right to send. Who hosts the room sends the mix of its conference whatever was said of him.
func (r *Roster) allowed(who Standing, chain *wire.Chain, streams []*Stream, now time.Time) error {
	p := Policy{Record: r.record, Access: r.access}
	rights, err := p.Check(who.User, chain, now)
	want := Speak
	for _, s := range streams {
		if s.Kind == wire.KindVideo {
			want |= Video
		}
	}
	hosts := who.Self && (r.record.IsOwner(who.User) || r.record.IsDelegate(who.User))
	switch {
	case !hosts && p.PutOut(who, now):
		return fmt.Errorf("%w: %w", ErrNotAllowed, ErrPutOut)
	case !hosts && p.Muted(who, now):
		return fmt.Errorf("%w: %w", ErrNotAllowed, ErrMuted)
	case rights.Has(want):
		return nil
	case err != nil:
		return fmt.Errorf("%w: %w", ErrNotAllowed, err)
	}
	return fmt.Errorf("%w: rights are %v, needed is %v", ErrNotAllowed, rights, want)
}

func (r *Roster) live() (n int) {
	for _, s := range r.slots {
		if s.live {
			n++
		}
	}
	return n
}

// forget drops the ended slots that expire first, beyond maxEnded.
func (r *Roster) forget() {
	if len(r.slots) <= maxEnded {
		return
	}
	var ended []*slot
	for _, s := range r.sorted() {
		if !s.live {
			ended = append(ended, s)
		}
	}
	slices.SortStableFunc(ended, func(a, b *slot) int { return a.expires.Compare(b.expires) })
	for _, s := range ended[:max(0, len(ended)-maxEnded)] {
		delete(r.slots, s.record)
	}
}

func (r *Roster) sorted() []*slot {
	all := make([]*slot, 0, len(r.slots))
	for _, s := range r.slots {
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b *slot) int { return cmp.Compare(a.record, b.record) })
	return all
}

// difference compares a slot's streams before and after an announce, both sorted by id.
func difference(before, after []*Stream) Change {
	var c Change
	find := func(in []*Stream, id wire.StreamID) *Stream {
		for _, s := range in {
			if s.ID == id {
				return s
			}
		}
		return nil
	}
	for _, s := range after {
		if old := find(before, s.ID); old == nil {
			c.Added = append(c.Added, s)
		} else if !old.equal(s) {
			c.Updated = append(c.Updated, s)
		}
	}
	for _, s := range before {
		if find(after, s.ID) == nil {
			ended := *s
			ended.Live = false
			c.Ended = append(c.Ended, &ended)
		}
	}
	return c
}

func sortStreams(s []*Stream) {
	slices.SortFunc(s, func(a, b *Stream) int { return cmp.Compare(a.ID, b.ID) })
}
