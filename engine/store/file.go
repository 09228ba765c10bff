package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

const (
	dirMode  = 0o700
	fileMode = 0o600
	// maxFile bounds what is read of any file of the folder, in octets.
	maxFile    = 16 << 20
	tempPrefix = ".castd-tmp-"
)

// writeFile replaces a file at once: whoever reads it, also after a crash, finds the old content or the new one.
func writeFile(path string, data []byte) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, tempPrefix+"*") // mode 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err == nil {
		err = syncDir(dir)
	} else {
		_ = os.Remove(f.Name())
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	return nil
}

// syncDir makes a rename last. Windows has no such call and needs none.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// readFile reads a file of bounded size. A missing file is fs.ErrNotExist.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", filepath.Base(path), err)
	}
	if len(b) > maxFile {
		return nil, fmt.Errorf("read %s: larger than %d octets", filepath.Base(path), maxFile)
	}
	return b, nil
}

// readSecret is readFile for files that nobody else may read; it takes away what rights others have.
func readSecret(path string) ([]byte, error) {
	if info, err := os.Stat(path); err == nil && runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		if err := os.Chmod(path, fileMode); err != nil {
			return nil, fmt.Errorf("protect %s: %w", filepath.Base(path), err)
		}
	}
	return readFile(path)
}

func missing(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// removeTemporary removes what a crash in the middle of writeFile left.
func removeTemporary(dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), tempPrefix) {
			_ = os.Remove(filepath.Join(dir, e.Name()))
		}
	}
}
