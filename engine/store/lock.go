package store

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

const lockName = "castd.lock"

// errHeld is what lockFile returns when another open file holds the lock.
var errHeld = errors.New("lock is held")

const (
	// crashesFor is how long the end of a process is remembered that did not close the folder, and maxCrashes how many of them.
	crashesFor = 10 * time.Minute
	maxCrashes = 16
	// maxLock bounds what is read of the lock file, in octets.
	maxLock = 512
)

// lockNote is what the lock file says: the id of the process that has the folder open, 0 after it has closed it; and a line each with
// the times, in Unix seconds, at which somebody found that the one before had not.
type lockNote struct {
	pid     int
	crashes []time.Time
}

// lockDir locks the folder for this process and notes the process id. Closing the file unlocks; so does the end of the process.
// crashes are the starts, within the last ten minutes, this one included, before which a process had ended without closing the folder.
func lockDir(dir string, now time.Time) (f *os.File, crashes []time.Time, err error) {
	f, err = os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, fileMode)
	if err != nil {
		return nil, nil, fmt.Errorf("lock data folder: %w", err)
	}
	if err := lockFile(f); err != nil {
		pid := readNote(f).pid
		_ = f.Close()
		if errors.Is(err, errHeld) {
			return nil, nil, &LockedError{PID: pid}
		}
		return nil, nil, fmt.Errorf("lock data folder: %w", err)
	}
	n := readNote(f)
	n.crashes = slices.DeleteFunc(n.crashes, func(at time.Time) bool { return now.Sub(at) > crashesFor || at.After(now) })
	if n.pid != 0 {
		n.crashes = append(n.crashes, now)
	}
	n.crashes = n.crashes[max(0, len(n.crashes)-maxCrashes):]
	n.pid = os.Getpid()
	writeNote(f, n)
	return f, n.crashes, nil
}

// unlock notes that the folder has been closed, and unlocks it.
func unlock(f *os.File, crashes []time.Time) error {
	writeNote(f, lockNote{crashes: crashes})
	return f.Close()
}

// writeNote writes the lock file anew. A disk too full to hold it is no reason not to run.
func writeNote(f *os.File, n lockNote) {
	text := strconv.Itoa(n.pid) + "\n"
	for _, at := range n.crashes {
		text += strconv.FormatInt(at.Unix(), 10) + "\n"
	}
	if err := f.Truncate(0); err == nil {
		_, _ = f.WriteAt([]byte(text), 0)
	}
}

// readNote reads what the lock file says. What cannot be read says nothing.
func readNote(f *os.File) lockNote {
	b, err := io.ReadAll(io.NewSectionReader(f, 0, maxLock))
	if err != nil {
		return lockNote{}
	}
	return decodeNote(string(b))
}

func decodeNote(text string) lockNote {
	var n lockNote
	first, rest, _ := strings.Cut(text, "\n")
	if pid, err := strconv.Atoi(strings.TrimSpace(first)); err == nil && pid > 0 {
		n.pid = pid
	}
	for line := range strings.Lines(rest) {
		if at, err := strconv.ParseInt(strings.TrimSpace(line), 10, 64); err == nil && at > 0 && len(n.crashes) < maxCrashes {
			n.crashes = append(n.crashes, time.Unix(at, 0))
		}
	}
	return n
}
