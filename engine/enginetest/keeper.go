package enginetest

import (
	"errors"
	"maps"
	"slices"
	"sync"

	"github.com/castd/castd/engine"
)

// Keeper is an engine.Keeper in memory.
type Keeper struct {
	mu       sync.Mutex
	counters map[string]uint64
	rooms    []engine.SavedRoom
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
	return &Keeper{counters: maps.Clone(k.counters), rooms: slices.Clone(k.rooms)}
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
