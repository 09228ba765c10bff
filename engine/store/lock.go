package store

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

const lockName = "castd.lock"

// errHeld is what lockFile returns when another open file holds the lock.
var errHeld = errors.New("lock is held")

// lockDir locks the folder for this process and notes the process id. Closing the file unlocks; so does the end of the process.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, fileMode)
	if err != nil {
		return nil, fmt.Errorf("lock data folder: %w", err)
	}
	if err := lockFile(f); err != nil {
		pid := readPID(f)
		_ = f.Close()
		if errors.Is(err, errHeld) {
			return nil, &LockedError{PID: pid}
		}
		return nil, fmt.Errorf("lock data folder: %w", err)
	}
	// The id is for people; a disk too full to hold it is no reason not to run.
	if err := f.Truncate(0); err == nil {
		_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	return f, nil
}

func readPID(f *os.File) int {
	b, err := io.ReadAll(io.LimitReader(io.NewSectionReader(f, 0, 32), 32))
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || pid < 0 {
		return 0
	}
	return pid
}
