package container

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"syscall"
)

// File is a recording on disk. It does not buffer: what a writer of this package hands over is a page or a block, and is
// safe from the end of this process at once. Sync, called about once a second from any goroutine, makes it safe from the end
// of the machine too; it may take long, and does not hold up Write.
//
// When a write fails, because the disk is full for example, the file is cut back to what was whole, and the error returned. The
// writers of this package go on after errors: once there is room again, so does the recording, with a gap. What to do until then,
// and how often to tell, is for the caller; Lost counts.
type File struct {
	f *os.File // constant

	mu     sync.Mutex // guards what follows
	size   int64
	synced int64
	lost   int64
	closed bool
}

// Create makes a file, or empties one that is there, and makes its name durable.
func Create(path string) (*File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("create recording: %w", err)
	}
	// Not every file system can sync a folder, and the recording is worth having without.
	if dir, err := os.Open(filepath.Dir(path)); err == nil {
		_ = dir.Sync()
		_ = dir.Close()
	}
	return &File{f: f}, nil
}

// Write appends b as a whole or not at all.
func (f *File) Write(b []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.f.Write(b)
	if err != nil {
		f.lost += int64(len(b))
		f.cutBack(n)
		return 0, err
	}
	f.size += int64(n)
	return n, nil
}

// Rewrite writes b over what was written at an offset before. It must be within the first 4,096 octets, which are whole at any instant.
func (f *File) Rewrite(b []byte, at int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if at+int64(len(b)) > min(f.size, growingHead) {
		return fmt.Errorf("rewrite recording: %d octets at %d of %d", len(b), at, f.size)
	}
	if _, err := f.f.WriteAt(b, at); err != nil {
		return fmt.Errorf("rewrite recording: %w", err)
	}
	f.synced = min(f.synced, at)
	return nil
}

// cutBack removes n octets of a write that failed. Where truncating fails too, the next write goes over them; a pipe has no way back.
func (f *File) cutBack(n int) {
	if n == 0 {
		return
	}
	_ = f.f.Truncate(f.size)
	_, _ = f.f.Seek(f.size, io.SeekStart)
}

// Sync writes to the disk what has not been since the last call. What cannot be synced, like a pipe, is not.
func (f *File) Sync() error {
	f.mu.Lock()
	size, due := f.size, f.size != f.synced && !f.closed
	f.mu.Unlock()
	if !due {
		return nil
	}
	err := f.f.Sync()
	if err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, syscall.ENOTSUP) {
		return fmt.Errorf("sync recording: %w", err)
	}
	f.mu.Lock()
	f.synced = max(f.synced, size)
	f.mu.Unlock()
	return nil
}

// Size returns how many octets have been written.
func (f *File) Size() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.size
}

// Lost returns how many octets could not be written.
func (f *File) Lost() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.lost
}

// Close syncs and closes; it must not be called while another goroutine is in Sync. Further calls do nothing.
func (f *File) Close() error {
	err := f.Sync()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil
	}
	f.closed = true
	if e := f.f.Close(); err == nil && e != nil {
		err = fmt.Errorf("close recording: %w", e)
	}
	return err
}
