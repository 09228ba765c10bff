package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/castd/castd/engine/wire"
)

// Store is an open and locked data folder.
type Store struct {
	dir      string // absolute
	lock     *os.File
	crashes  []time.Time
	write    func(path string, data []byte) error // writeFile; tests make it fail
	counters *counters

	done   chan struct{} // closed by Close: ends the keeper
	keeper sync.WaitGroup

	mu      sync.Mutex // guards what follows, also while files are written
	id      Identity
	rooms   map[wire.RoomID]Room
	peers   map[string]Peer
	invites []Invite
	closed  bool
}

// Open locks the data folder and reads it; what is missing is made, so that any folder that can be written to will do.
// Errors for people: *LockedError, *DamagedError.
func Open(dir string) (*Store, error) { return open(dir, writeFile) }

func open(dir string, write func(string, []byte) error) (s *Store, err error) {
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, fmt.Errorf("find data folder: %w", err)
	}
	if err := os.MkdirAll(dir, dirMode); err != nil {
		return nil, fmt.Errorf("make data folder: %w", err)
	}
	lock, crashes, err := lockDir(dir, time.Now())
	if err != nil {
		return nil, err
	}
	s = &Store{dir: dir, lock: lock, crashes: crashes, write: write, done: make(chan struct{})}
	defer func() {
		if err != nil {
			_ = lock.Close()
			s = nil
		}
	}()
	removeTemporary(dir)
	_, err = os.Stat(filepath.Join(dir, deviceKeyName))
	if err != nil && !missing(err) {
		return nil, fmt.Errorf("read data folder: %w", err)
	}
	// The counters come before the device key, so that a key without counters tells of a loss.
	if s.counters, err = openCounters(dir, err == nil, write, time.Now); err != nil {
		return nil, err
	}
	if err = s.makeIdentity(); err != nil {
		return nil, err
	}
	if err = s.loadRooms(); err != nil {
		return nil, err
	}
	if err = s.loadPeers(); err != nil {
		return nil, err
	}
	if err = s.loadInvites(); err != nil {
		return nil, err
	}
	s.keeper.Go(func() { s.counters.keep(s.done) })
	return s, nil
}

// Dir returns the folder's absolute path.
func (s *Store) Dir() string { return s.dir }

// Crashes returns when, within ten minutes before Open, a process was started that found that the one before it had ended without
// closing the folder; Open itself counts.
func (s *Store) Crashes() []time.Time { return slices.Clone(s.crashes) }

// Close writes down the counters, ends the keeper and unlocks the folder. It may be called more than once.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.mu.Unlock()
	close(s.done)
	s.keeper.Wait()
	return errors.Join(s.counters.close(), unlock(s.lock, s.crashes))
}

// DefaultDir returns the data folder of who names none: $XDG_DATA_HOME/castd, else where the system keeps programs' data.
func DefaultDir() (string, error) {
	if x := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(x) {
		return filepath.Join(x, "castd"), nil
	}
	var base string
	var err error
	switch runtime.GOOS {
	case "windows":
		base, err = os.UserCacheDir() // %LocalAppData%: keys of a machine do not roam
	case "darwin", "ios", "plan9":
		base, err = os.UserConfigDir()
	default:
		if base, err = os.UserHomeDir(); err == nil {
			base = filepath.Join(base, ".local", "share")
		}
	}
	if err != nil {
		return "", fmt.Errorf("find data folder: %w: name one with --data-dir", err)
	}
	return filepath.Join(base, "castd"), nil
}
