package store

import (
	"cmp"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/castd/castd/engine/wire"
)

// Bounds of invites.json.
const (
	// MaxInvites is how many invites are kept; those that ended longest ago go first, and those that hold never.
	MaxInvites  = 1000
	maxInviteID = 32
	maxUsed     = 1000 // people who are remembered to have used one invite
	maxAllUsed  = 100_000
	maxWho      = 64
	invitesName = "invites.json"
)

// Errors of invites, for control flow.
var (
	ErrNoInvite    = errors.New("store: no such invite")
	ErrSpent       = errors.New("store: invite has been used as often as it may be")
	ErrInvitesFull = errors.New("store: too many invites")
)

// Invite is an invite that this peer made, of a peer or of a guest. Neither has its secret here.
type Invite struct {
	ID      string      `json:"invite"`
	Room    wire.RoomID `json:"room"`
	Guest   bool        `json:"guest,omitempty"`
	Token   []byte      `json:"token,omitempty"` // of a guest: SHA-256 of the bearer token
	Rights  uint32      `json:"rights"`
	Made    time.Time   `json:"made"`
	Expires time.Time   `json:"expires,omitzero"`
	Uses    uint32      `json:"uses,omitempty"` // 0: any number
	Used    []string    `json:"used,omitempty"` // by whom
	Revoked time.Time   `json:"revoked,omitzero"`
}

// over reports whether the invite can do nothing any more.
func (i *Invite) over(now time.Time) bool {
	return !i.Revoked.IsZero() || !i.Expires.IsZero() && now.After(i.Expires)
}

type invitesFile struct {
	Version int      `json:"version"`
	Invites []Invite `json:"invites"`
}

func decodeInvites(data []byte) ([]Invite, error) {
	var f invitesFile
	if err := json.Unmarshal(data, &f); err != nil {
		return nil, err
	}
	seen := make(map[string]bool)
	return checkList(f.Version, f.Invites, MaxInvites, "invites", func(i *Invite) error {
		if seen[i.ID] {
			return errors.New("an invite is there twice")
		}
		seen[i.ID] = true
		return checkInvite(i)
	})
}

func checkInvite(i *Invite) error {
	switch {
	case !wire.ValidRoomID(string(i.Room)):
		return errors.New("an invite has no valid room")
	case i.ID == "" || len(i.ID) > maxInviteID:
		return errors.New("an invite has no valid id")
	case i.Guest && len(i.Token) != 32 || !i.Guest && len(i.Token) != 0:
		return errors.New("an invite's token is not a hash")
	case len(i.Used) > maxUsed:
		return fmt.Errorf("invite %s has %d users", i.ID, len(i.Used))
	}
	return nil
}

func (s *Store) loadInvites() error {
	path := filepath.Join(s.dir, invitesName)
	b, err := readSecret(path)
	if missing(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if s.invites, err = decodeInvites(b); err != nil {
		return &DamagedError{
			Path: path, Reason: err.Error(),
			Remedy: "put back a copy, or delete it: counted invites and guests' links then end, and new ones can be made",
		}
	}
	return nil
}

// Invites returns all invites, in the order in which they were made.
func (s *Store) Invites() []Invite {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := slices.Clone(s.invites)
	for i := range out {
		out[i].Used = slices.Clone(out[i].Used)
	}
	return out
}

// PutInvite keeps a new invite. It is on disk when PutInvite returns.
func (s *Store) PutInvite(i Invite, now time.Time) error {
	if err := checkInvite(&i); err != nil {
		return fmt.Errorf("keep invite: %w", err)
	}
	i.Made, i.Expires = i.Made.UTC().Round(0), i.Expires.UTC().Round(0)
	return s.changeInvites(func(all []Invite) ([]Invite, error) {
		if slices.ContainsFunc(all, func(o Invite) bool { return o.ID == i.ID }) {
			return nil, errors.New("keep invite: there is one of this id")
		}
		if len(all) >= MaxInvites {
			old := slices.IndexFunc(all, func(o Invite) bool { return o.over(now) })
			if old < 0 {
				return nil, ErrInvitesFull
			}
			all = slices.Delete(all, old, old+1)
		}
		return append(all, i), nil
	})
}

// UseInvite counts a use by somebody, unless he has used it before: of an invite with one use, exactly one of many who race for it
// gets it, and that is on disk before he is told.
func (s *Store) UseInvite(room wire.RoomID, id, who string) error {
	if who == "" || len(who) > maxWho {
		return errors.New("use invite: nobody does")
	}
	return s.changeInvites(func(all []Invite) ([]Invite, error) {
		n := slices.IndexFunc(all, func(o Invite) bool { return o.ID == id && o.Room == room })
		if n < 0 || !all[n].Revoked.IsZero() {
			return nil, ErrNoInvite
		}
		i := &all[n]
		switch {
		case slices.Contains(i.Used, who):
			return nil, nil
		case i.Uses > 0 && len(i.Used) >= int(min(i.Uses, maxUsed)):
			return nil, ErrSpent
		case i.Uses == 0 && len(i.Used) >= maxUsed:
			return nil, nil // the first are enough to know
		}
		total := 0
		for _, o := range all {
			total += len(o.Used)
		}
		if total >= maxAllUsed {
			return nil, ErrInvitesFull
		}
		i.Used = append(slices.Clone(i.Used), who)
		return all, nil
	})
}

// RevokeInvite ends an invite of this peer's.
func (s *Store) RevokeInvite(room wire.RoomID, id string, at time.Time) error {
	return s.changeInvites(func(all []Invite) ([]Invite, error) {
		n := slices.IndexFunc(all, func(o Invite) bool { return o.ID == id && o.Room == room })
		if n < 0 {
			return nil, ErrNoInvite
		}
		if !all[n].Revoked.IsZero() {
			return nil, nil
		}
		all[n].Revoked = at.UTC().Round(0)
		return all, nil
	})
}

// GuestInvite returns the guest's invite of a token's SHA-256. All are compared, each in constant time.
func (s *Store) GuestInvite(token [32]byte) (Invite, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := -1
	for n := range s.invites {
		if i := &s.invites[n]; i.Guest && subtle.ConstantTimeCompare(i.Token, token[:]) == 1 {
			found = n
		}
	}
	if found < 0 {
		return Invite{}, false
	}
	out := s.invites[found]
	out.Used = slices.Clone(out.Used)
	return out, true
}

// changeInvites writes what change returns, nil for no change, and keeps it once it is on disk. change gets a copy.
func (s *Store) changeInvites(change func([]Invite) ([]Invite, error)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	next, err := change(slices.Clone(s.invites))
	if err != nil || next == nil {
		return err
	}
	slices.SortStableFunc(next, func(a, b Invite) int { return cmp.Or(a.Made.Compare(b.Made), cmp.Compare(a.ID, b.ID)) })
	b, err := json.MarshalIndent(invitesFile{Version: 1, Invites: next}, "", " ")
	if err != nil {
		return fmt.Errorf("encode invites: %w", err)
	}
	if err := s.write(filepath.Join(s.dir, invitesName), append(b, '\n')); err != nil {
		return err
	}
	s.invites = next
	return nil
}
