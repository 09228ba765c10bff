package engine

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/proto"

	"github.com/castd/castd/engine/room"
	"github.com/castd/castd/engine/seal"
	"github.com/castd/castd/engine/wire"
)

// Lives and times of access lists and keys.
const (
	accessLife = 365 * 24 * time.Hour // of an envelope; the host signs it anew after half of that
	// pushTime is how long a key that was announced may take to come by itself, before it is asked for.
	pushTime  = 250 * time.Millisecond
	fetchGap  = time.Second
	fetchMost = 8 // peers asked at once
	unreadGap = 5 * time.Second
)

// accessChange says what the next access list has that the present one has not.
type accessChange struct {
	revoked []room.Revocation // instead of the present ones; nil: these
	rulings []room.Ruling     // likewise
	before  time.Time
	sameKey bool // nobody is shut out
}

// rotateLoop signs a new access list, with a new media key where the room is private and somebody is shut out. Both are on disk before anybody hears of
// them: what was revoked stays revoked, whatever happens to this process.
func (r *Room) rotateLoop(c accessChange, now time.Time) error {
	old := r.access.Load()
	spec := room.AccessSpec{Number: 1, Made: now, Expires: now.Add(accessLife), Before: c.before, Revoked: c.revoked, Rulings: c.rulings}
	generation := uint32(now.Unix())
	if old != nil {
		spec.Number, generation = old.Number+1, max(generation, old.Generation+1)
		if spec.Before.IsZero() {
			spec.Before = old.Before
		}
		if spec.Revoked == nil {
			spec.Revoked, _ = old.Merge(nil, now)
		}
		if spec.Rulings == nil {
			spec.Rulings, _ = room.MergeRulings(old, nil, now)
		}
	}
	var low [2]byte
	if _, err := rand.Read(low[:]); err != nil {
		return fmt.Errorf("number access list: %w", err)
	}
	// Above the lists of a device of the owner that has not been heard of, and seldom the same.
	spec.Number = max(spec.Number, uint64(now.UnixMilli())<<10|uint64(binary.BigEndian.Uint16(low[:])&1023))
	ring := r.ring.Load()
	switch {
	case c.sameKey && old != nil:
		spec.Generation, spec.Commitment = old.Generation, old.Commitment
	case r.private:
		key := seal.RoomKey{Generation: max(generation, ring.current+1)}
		if _, err := rand.Read(key.Key[:]); err != nil {
			return fmt.Errorf("make media key: %w", err)
		}
		var err error
		if ring, err = ring.with(r.id, key, now); err != nil {
			return err
		}
		spec.Generation, spec.Commitment = key.Generation, key.Commitment(r.id)
	}
	a, err := room.NewAccess(r.e.signer, r.record.Load(), spec)
	if err != nil {
		return fmt.Errorf("sign access list: %w", err)
	}
	if err := r.e.keeper.SaveRoom(r.saved(a, ring)); err != nil {
		return fmt.Errorf("keep access list: %w", err)
	}
	r.ring.Store(ring)
	r.setAccessLoop(a, now)
	r.turnLoop(now)
	r.pushLoop()
	r.broadcastLoop(a.Envelope, true)
	return nil
}

// turnLoop has this peer's publications go over to the newest key.
func (r *Room) turnLoop(now time.Time) {
	key := r.ring.Load().newest()
	if key == nil {
		return
	}
	for _, name := range sortedKeys(r.pubs) {
		if err := r.rekeyLoop(r.pubs[name], key.RoomKey, now); err != nil {
			r.e.log.Error("publication cannot change its key", "err", err)
		}
	}
	r.leaf.restream() // what waited for the key
}

// keysMessage returns what somebody who may be in the room is handed.
func (r *Room) keysMessage() *wire.Keys {
	a := r.access.Load()
	m := &wire.Keys{Record: r.record.Load().Envelope}
	if a == nil {
		return m
	}
	m.Access = a.Envelope
	if !r.private {
		return m
	}
	ring := r.ring.Load()
	for _, k := range []*ringKey{ring.get(a.Generation), ring.before()} {
		if k != nil && r.holdsKey(a) {
			m.Keys = append(m.Keys, &wire.MediaKey{Generation: k.Generation, Key: append([]byte(nil), k.Key[:]...)})
		}
	}
	return m
}

// keysLoop takes what keysMessage made at another peer. The list is signed, and commits to the current key; nothing else counts.
func (r *Room) keysLoop(m *wire.Keys, now time.Time) {
	if rec, err := room.VerifyRecord(m.GetRecord(), now); err == nil && rec.ID == r.id {
		r.recordLoop(rec)
	}
	news := len(m.GetAccess()) > 0 && r.accessLoop(m.Access, now)
	a := r.access.Load()
	if a == nil || r.leaving {
		return
	}
	ring := r.ring.Load()
	for _, k := range m.Keys[:min(len(m.Keys), 4)] {
		if len(k.GetKey()) != seal.RoomKeySize || !r.private || k.Generation > a.Generation {
			continue
		}
		key := seal.RoomKey{Generation: k.Generation, Key: [seal.RoomKeySize]byte(k.Key)}
		if k.Generation == a.Generation && string(key.Commitment(r.id)) != string(a.Commitment) {
			r.e.metrics.wrongKeys.Add(1)
			continue
		}
		if have := ring.get(k.Generation); have != nil && (k.Generation < a.Generation || have.Key == key.Key) {
			continue
		}
		if k.Generation == 0 || k.Generation < a.Generation && ring.current >= a.Generation {
			continue // who has the current key has been told of the one before, or needs it no more
		}
		next, err := ring.with(r.id, key, now)
		if err != nil {
			r.e.log.Error("cannot take media key", "err", err)
			continue
		}
		news = news || k.Generation == a.Generation
		ring = next
	}
	if !news {
		return
	}
	was := r.ring.Load().newest()
	turned := ring.newest() != nil && (was == nil || was.RoomKey != ring.newest().RoomKey)
	r.ring.Store(ring)
	if turned {
		r.lacking.Store(0)
		r.turnLoop(now)
	}
	r.pushLoop()
	r.saveLoop()
}

// pushLoop hands the newest list and key on: down the tree, to publishers on this hub's stage, and to the hub where another
// of the owner's peers made them. All of these have shown their right; a parent has not, and asks by itself.
func (r *Room) pushLoop() {
	if r.access.Load() == nil {
		return
	}
	l := r.links.Load()
	to := make(map[peer.ID]bool)
	for id := range l.children {
		to[id] = true
	}
	for id := range l.stage {
		to[id] = true
	}
	if b := r.beacon.Load(); b != nil && !l.place.Origin && b.hub != r.e.self && mayHost(r.record.Load(), r.e.userKey()) {
		to[b.hub] = true // beaconLoop has seen that its user may be the hub
	}
	delete(to, r.e.self)
	m := r.keysMessage()
	for _, id := range sortedKeys(to) {
		if b := r.beacon.Load(); r.grants[id] == nil && (b == nil || b.hub != id) {
			continue
		}
		r.sendKeysLoop(id, m)
	}
}

func (r *Room) sendKeysLoop(id peer.ID, m *wire.Keys) {
	env, err := r.e.seal(r.id, wire.Type_KEYS, m)
	if err != nil {
		r.e.log.Error("cannot encode keys", "err", err)
		return
	}
	r.sending.Add(1)
	r.done.Go(func() {
		defer r.sending.Add(-1)
		ctx, cancel := context.WithTimeout(r.ctx, 3*time.Second)
		defer cancel()
		if err := r.e.control.Send(ctx, id, env); err != nil && r.ctx.Err() == nil {
			r.e.log.Debug("cannot hand on keys", "peer", id, "err", err) // he asks when he notices
		}
	})
}

// lacks notes that there is a newer key than this peer holds. It is safe for concurrent use, and does not block.
func (r *Room) lacks(generation uint32) {
	for {
		have := r.lacking.Load()
		if generation <= have || generation <= r.ring.Load().current && r.ring.Load().newest() != nil {
			return
		}
		if r.lacking.CompareAndSwap(have, generation) {
			break
		}
	}
	time.AfterFunc(pushTime, func() {
		if r.ctx.Err() == nil {
			r.tell(func() { r.fetchLoop(time.Now()) })
		}
	})
}

// holdsKey reports whether this peer has the media key that a list commits to.
func (r *Room) holdsKey(a *room.Access) bool {
	k := r.ring.Load().get(a.Generation)
	return k != nil && string(k.Commitment(r.id)) == string(a.Commitment)
}

// behindLoop reports whether there is a list or a key that this peer has not got.
func (r *Room) behindLoop() bool {
	a := r.access.Load()
	if r.private && (a == nil || !r.holdsKey(a)) {
		return true
	}
	b := r.beacon.Load()
	switch {
	case b == nil || b.hub == r.e.self || b.access == 0:
		return false
	case a == nil || b.access > a.Number:
		return true
	}
	return b.access == a.Number && b.hash != string(a.Hash()) // two that were signed at the same time
}

// fetchLoop asks for what this peer lacks: its parent and backup, the hub, and, every other time, whoever is in reach.
func (r *Room) fetchLoop(now time.Time) {
	if r.leaving || now.Sub(r.fetched) < fetchGap {
		return
	}
	l := r.links.Load()
	a, b := r.access.Load(), r.beacon.Load()
	hubBehind := b != nil && a != nil && b.hub != r.e.self && b.access < a.Number && !l.place.Origin && mayHost(r.record.Load(), r.e.userKey())
	if hubBehind {
		r.sendKeysLoop(b.hub, r.keysMessage()) // this peer's user may tell it
		if !r.unread.Load() {
			r.fetched = now
			return
		}
	}
	switch {
	case r.behindLoop():
	case (hubBehind || now.Sub(r.fetched) >= unreadGap) && r.unread.Swap(false):
		// Ask everybody. Where the hub seems to be behind, its beacons since may be sealed under a key that this peer has not got.
		r.fetches |= 1
	default:
		return
	}
	r.fetched = now
	r.fetches++
	asked := make(map[peer.ID]bool)
	ask := func(id peer.ID) {
		if id != "" && id != r.e.self && !asked[id] && len(asked) < fetchMost {
			asked[id] = true
			r.askPeerLoop(id)
		}
	}
	ask(l.primary)
	ask(l.backup)
	ask(l.hub)
	if b != nil {
		ask(b.hub)
	}
	if len(asked) == 0 || r.fetches%2 == 0 {
		for _, id := range r.e.control.Connected() {
			ask(id)
		}
	}
}

// hostKeysLoop sees to it that the hub of a private room has a key, and a list that holds for long enough.
func (r *Room) hostKeysLoop(now time.Time) {
	a := r.access.Load()
	fresh := a != nil && now.Sub(a.Made) < accessLife/2
	if fresh && (!r.private || r.holdsKey(a)) || a == nil && !r.private {
		return
	}
	if err := r.rotateLoop(accessChange{}, now); err != nil {
		r.e.log.Error("cannot make a key for the room", "err", err)
		r.endLoop(NewUserError("disk", fmt.Sprintf("room %q cannot be opened because its key cannot be kept: see that the data folder can be written to", r.Name())))
	}
}

// saved returns the room as the Keeper keeps it.
func (r *Room) saved(a *room.Access, ring *keyring) SavedRoom {
	rec := r.record.Load()
	s := SavedRoom{Name: rec.Name, ID: rec.ID, Record: rec.Envelope, Chain: encodeChain(r.chain.Load())}
	if a != nil {
		s.Access = a.Envelope
	}
	if r.private {
		for _, k := range ring.keys {
			s.Keys = append(s.Keys, k.RoomKey)
		}
	}
	return s
}

// saveLoop keeps the room for the next start.
func (r *Room) saveLoop() { r.e.save(r.saved(r.access.Load(), r.ring.Load())) }

// restore returns the list and the keys that were kept of a room; what does not hold is left out.
func restore(s SavedRoom, rec *room.Record, now time.Time) (a *room.Access, ring *keyring) {
	if !rec.Private {
		ring = publicRing(rec.ID)
	} else {
		ring = &keyring{}
	}
	a, err := room.VerifyAccess(s.Access, rec, now)
	if err != nil || len(s.Access) == 0 {
		return nil, ring
	}
	if !rec.Private {
		return a, ring
	}
	for _, k := range s.Keys {
		if k.Generation == 0 || k.Generation == a.Generation && string(k.Commitment(rec.ID)) != string(a.Commitment) {
			continue
		}
		if next, err := ring.with(rec.ID, k, now); err == nil {
			ring = next
		}
	}
	return a, ring
}

// decodeChain reads what encodeChain wrote, nil for none.
func decodeChain(b []byte) *wire.Chain {
	c := &wire.Chain{}
	if len(b) == 0 || proto.Unmarshal(b, c) != nil {
		return nil
	}
	return c
}
