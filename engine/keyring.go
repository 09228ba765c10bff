package engine

import (
	"slices"
	"time"

	"github.com/castd/castd/engine/seal"
	"github.com/castd/castd/engine/wire"
)

// Media keys of a room
//
// A public room has one key, generation 0, which follows from its id. A private room's keys are random; its owner, or a delegate,
// makes a new one whenever he shuts somebody out. A new key is handed down the tree at once, and each publisher seals with it
// keyDelay later, when the others have it. What was sealed before is opened for oldKeyLife more.

const (
	keyDelay   = 300 * time.Millisecond
	oldKeyLife = 10 * time.Second
)

// keyring is the media keys that this peer holds of a room. Values are immutable; the room's goroutine makes new ones.
type keyring struct {
	current uint32    // generation of the newest key that is held
	keys    []ringKey // newest first
}

type ringKey struct {
	seal.RoomKey
	until  time.Time // zero for the current one
	gossip *seal.GossipKey
}

// publicRing is the keyring of a public room.
func publicRing(id wire.RoomID) *keyring {
	return &keyring{keys: []ringKey{{RoomKey: seal.PublicRoomKey(id)}}}
}

// get returns the key of a generation, nil if it is not held.
func (k *keyring) get(generation uint32) *ringKey {
	for i := range k.keys {
		if k.keys[i].Generation == generation {
			return &k.keys[i]
		}
	}
	return nil
}

// newest returns the key to seal with, nil where there is none yet.
func (k *keyring) newest() *ringKey { return k.get(k.current) }

// accepts reports whether packets of a generation may be taken: their key is held, or is still to come.
func (k *keyring) accepts(generation uint32) bool {
	return k.get(generation) != nil || generation > k.current && (len(k.keys) == 0 || k.current > 0)
}

// with returns the keyring with one more key of a private room. The newest is the current one; others have until oldKeyLife
// from now. A key of a generation that is there already takes its place: of two that were made at the same time one holds.
func (k *keyring) with(id wire.RoomID, key seal.RoomKey, now time.Time) (*keyring, error) {
	g, err := seal.NewGossipKey(id, key)
	if err != nil {
		return nil, err
	}
	next := &keyring{current: max(k.current, key.Generation)}
	for _, o := range append(slices.Clone(k.keys), ringKey{RoomKey: key, gossip: g}) {
		if o.Generation == key.Generation && o.Key != key.Key {
			continue
		}
		if next.get(o.Generation) != nil {
			continue
		}
		if o.Generation != next.current && o.until.IsZero() {
			o.until = now.Add(oldKeyLife)
		}
		next.keys = append(next.keys, o)
	}
	slices.SortFunc(next.keys, func(a, b ringKey) int { return int(int64(b.Generation) - int64(a.Generation)) })
	return next, nil
}

// without returns the keyring without the keys whose time is over, itself if there are none.
func (k *keyring) without(now time.Time) *keyring {
	over := func(o ringKey) bool { return !o.until.IsZero() && !now.Before(o.until) }
	if !slices.ContainsFunc(k.keys, over) {
		return k
	}
	return &keyring{current: k.current, keys: slices.DeleteFunc(slices.Clone(k.keys), over)}
}

// before returns the newest key that is not the current one, nil if there is none.
func (k *keyring) before() *ringKey {
	for i := range k.keys {
		if k.keys[i].Generation < k.current {
			return &k.keys[i]
		}
	}
	return nil
}

// streamKey says which generation the packets of an incarnation of a stream are sealed under.
type streamKey struct {
	incarnation uint16
	generation  uint32
}

// generation returns the generation of the packets of an incarnation.
func (s *stream) generation(incarnation uint16) (uint32, bool) {
	for _, k := range *s.keys.Load() {
		if k.incarnation == incarnation {
			return k.generation, true
		}
	}
	return 0, false
}

// opens reports whether a packet of the incarnation may be taken: it is one that the publisher told of, and its key is not one
// that this peer has thrown away.
func (s *stream) opens(incarnation uint16) bool {
	g, ok := s.generation(incarnation)
	return ok && s.room.ring.Load().accepts(g)
}
