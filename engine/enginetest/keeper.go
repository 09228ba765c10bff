package enginetest

import (
	"errors"
	"maps"
	"slices"
	"sync"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/wire"
)

// Keeper is an engine.Keeper in memory.
type Keeper struct {
	mu       sync.Mutex
	counters map[string]uint64
	rooms    []engine.SavedRoom
	invites  []engine.SavedInvite
	full     bool
	refused  int
}

var errFull = errors.New("enginetest: disk is full")

// NewKeeper returns an empty one.
func NewKeeper() *Keeper { return &Keeper{counters: make(map[string]uint64)} }

// Clone returns a Keeper with what this one has now: the disk of a peer that is killed.
func (k *Keeper) Clone() *Keeper {
	k.mu.Lock()
	defer k.mu.Unlock()
	return &Keeper{counters: maps.Clone(k.counters), rooms: slices.Clone(k.rooms), invites: slices.Clone(k.invites)}
}

// Reserve implements engine.Keeper.
func (k *Keeper) Reserve(key string, n uint64) (uint64, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.full {
		k.refused++
		return 0, errFull
	}
	first := k.counters[key]
	k.counters[key] = first + n
	return first, nil
}

// SavedRooms implements engine.Keeper.
func (k *Keeper) SavedRooms() []engine.SavedRoom {
	k.mu.Lock()
	defer k.mu.Unlock()
	return append([]engine.SavedRoom(nil), k.rooms...)
}

// SaveRoom implements engine.Keeper.
func (k *Keeper) SaveRoom(r engine.SavedRoom) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.full {
		return errFull
	}
	for i := range k.rooms {
		if k.rooms[i].ID == r.ID {
			k.rooms[i] = r
			return nil
		}
	}
	k.rooms = append(k.rooms, r)
	return nil
}

// SavedInvites implements engine.Keeper.
func (k *Keeper) SavedInvites(id wire.RoomID) []engine.SavedInvite {
	k.mu.Lock()
	defer k.mu.Unlock()
	var out []engine.SavedInvite
	for _, i := range k.invites {
		if i.Room == id {
			i.Used = slices.Clone(i.Used)
			out = append(out, i)
		}
	}
	return out
}

// SaveInvite implements engine.Keeper.
func (k *Keeper) SaveInvite(i engine.SavedInvite) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.full {
		return errFull
	}
	k.invites = append(k.invites, i)
	return nil
}

// UseInvite implements engine.Keeper.
func (k *Keeper) UseInvite(id wire.RoomID, invite, who string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.full {
		return errFull
	}
	for n := range k.invites {
		i := &k.invites[n]
		switch {
		case i.Room != id || i.ID != invite:
			continue
		case slices.Contains(i.Used, who):
			return nil
		case i.Uses > 0 && len(i.Used) >= int(i.Uses):
			return engine.ErrSpent
		}
		i.Used = append(slices.Clone(i.Used), who)
		return nil
	}
	return engine.ErrNoInvite
}

// Skip makes all counters jump ahead, as they do after a crash.
func (k *Keeper) Skip(n uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for key := range k.counters {
		k.counters[key] += n
	}
}

// Full makes everything that would be written fail, as on a full disk, or work again. It returns how many numbers were asked
// for in vain so far.
func (k *Keeper) Full(full bool) (refused int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.full = full
	return k.refused
}
