package store

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/castd/castd/engine/wire"
)

// Bounds of rooms.json.
const (
	// MaxRooms is how many rooms are kept; of rooms that are not one's own, those seen longest ago go first.
	MaxRooms  = 500
	maxVia    = 16
	maxChain  = 4096 // octets
	maxKeys   = 8
	keySize   = 16 // octets
	roomsName = "rooms.json"
)

// Room is a room of this user's, or one that this peer has met.
type Room struct {
	ID       wire.RoomID `json:"room"`
	Name     string      `json:"name"`             // in lower case
	Record   []byte      `json:"record,omitempty"` // envelope of the newest room record
	Chain    []byte      `json:"chain,omitempty"`  // wire.Chain: this user's rights
	Access   []byte      `json:"access,omitempty"` // envelope of the newest access list
	Keys     []RoomKey   `json:"keys,omitempty"`   // media keys of a private room, newest first
	Via      []string    `json:"via,omitempty"`    // multiaddrs of the invite link
	LastSeen time.Time   `json:"last_seen"`
	Own      bool        `json:"-"` // whether the id follows from this user's key
}

// RoomKey is a media key of a private room.
type RoomKey struct {
	Generation uint32 `json:"generation"`
	Key        []byte `json:"key"`
}

type roomsFile struct {
	Version int    `json:"version"`
	Rooms   []Room `json:"rooms"`
}

func decodeRooms(data []byte) ([]Room, error) {
	var f roomsFile
	if err := json.Unmarshal(data, &f); err != nil {
		return nil, err
	}
	return checkList(f.Version, f.Rooms, MaxRooms, "rooms", checkRoom)
}

func checkRoom(r *Room) error {
	name, err := wire.NormalRoomName(r.Name)
	switch {
	case !wire.ValidRoomID(string(r.ID)):
		return errors.New("a room has no valid id")
	case err != nil || name != r.Name:
		return errors.New("a room has no valid name")
	case len(r.Record) > wire.MaxEnvelope || len(r.Access) > wire.MaxEnvelope || len(r.Chain) > maxChain || len(r.Via) > maxVia || len(r.Keys) > maxKeys:
		return fmt.Errorf("too much is kept of room %s", r.ID)
	}
	for _, k := range r.Keys {
		if len(k.Key) != keySize {
			return fmt.Errorf("a key of room %s is not whole", r.ID)
		}
	}
	return nil
}

func (s *Store) loadRooms() error {
	s.rooms = make(map[wire.RoomID]Room)
	path := filepath.Join(s.dir, roomsName)
	b, err := readSecret(path)
	if missing(err) {
		return nil
	}
	if err != nil {
		return err
	}
	rooms, err := decodeRooms(b)
	if err != nil {
		return &DamagedError{
			Path: path, Reason: err.Error(),
			Remedy: "put back a copy, or delete it: rooms of your own keep their ids, others are found again by their invite links",
		}
	}
	for _, r := range rooms {
		s.rooms[r.ID] = r
	}
	return nil
}

// Rooms returns all rooms, sorted by name, one's own first, then those seen last.
func (s *Store) Rooms() []Room {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sortedRoomsLocked()
}

// RoomsNamed returns the rooms of a name, one's own first, then those seen last.
func (s *Store) RoomsNamed(name string) []Room {
	all := s.Rooms()
	return slices.DeleteFunc(all, func(r Room) bool { return r.Name != name })
}

// Room returns the room of an id.
func (s *Store) Room(id wire.RoomID) (r Room, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok = s.rooms[id]
	r.Own = s.ownLocked(r)
	return r, ok
}

// PutRoom keeps a room, in the place of what was kept of it.
func (s *Store) PutRoom(r Room) error {
	if err := checkRoom(&r); err != nil {
		return fmt.Errorf("keep room: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	r.LastSeen = r.LastSeen.UTC().Round(0)
	s.rooms[r.ID] = r
	for len(s.rooms) > MaxRooms && s.forgetRoomLocked() {
	}
	return s.saveRoomsLocked()
}

// ForgetRoom removes a room. Numbers used in it stay used.
func (s *Store) ForgetRoom(id wire.RoomID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	if _, ok := s.rooms[id]; !ok {
		return nil
	}
	delete(s.rooms, id)
	return s.saveRoomsLocked()
}

// forgetRoomLocked drops the room that was seen longest ago, own ones only where there are no others.
func (s *Store) forgetRoomLocked() bool {
	oldest := slices.MinFunc(s.sortedRoomsLocked(), func(a, b Room) int {
		if a.Own != b.Own {
			return cmp.Compare(own(a), own(b))
		}
		return cmp.Or(a.LastSeen.Compare(b.LastSeen), cmp.Compare(a.ID, b.ID))
	})
	delete(s.rooms, oldest.ID)
	return true
}

func (s *Store) saveRoomsLocked() error {
	b, err := json.MarshalIndent(roomsFile{Version: 1, Rooms: s.sortedRoomsLocked()}, "", " ")
	if err != nil {
		return fmt.Errorf("encode rooms: %w", err)
	}
	return s.write(filepath.Join(s.dir, roomsName), append(b, '\n'))
}

func (s *Store) sortedRoomsLocked() []Room {
	all := make([]Room, 0, len(s.rooms))
	for _, r := range s.rooms {
		r.Own = s.ownLocked(r)
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b Room) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(own(b), own(a)), b.LastSeen.Compare(a.LastSeen), cmp.Compare(a.ID, b.ID))
	})
	return all
}

func (s *Store) ownLocked(r Room) bool {
	return r.ID != "" && wire.NewRoomID(public(s.id.User), r.Name) == r.ID
}

func own(r Room) int {
	if r.Own {
		return 1
	}
	return 0
}
