package store

import (
	"errors"
	"fmt"
)

// ErrClosed is returned by methods of a closed Store.
var ErrClosed = errors.New("store: closed")

// LockedError says that another process runs on the data folder.
type LockedError struct {
	PID int // 0 if it could not be read
}

func (e *LockedError) Error() string {
	who := ""
	if e.PID > 0 {
		who = fmt.Sprintf(" (process %d)", e.PID)
	}
	return "castd is already running on this data folder" + who + ": stop it, or use another --data-dir"
}

// DamagedError says that a file of the data folder cannot be used, and what to do.
type DamagedError struct {
	Path   string
	Reason string
	Remedy string
}

func (e *DamagedError) Error() string {
	return fmt.Sprintf("%s is damaged (%s): %s", e.Path, e.Reason, e.Remedy)
}
