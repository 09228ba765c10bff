package store

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

const (
	socketName     = "castd.sock"
	socketPathName = "castd.sock.path"
	// maxSocketPath is below what the address of a Unix socket takes on any system (104 octets on BSD and macOS, 108 on Linux).
	maxSocketPath = 100
)

// SocketPath returns where the control socket belongs: castd.sock in the data folder; if that is too long for an address, a
// path in $XDG_RUNTIME_DIR or else in a private folder under the temporary one, which it writes to castd.sock.path. The
// caller removes a stale socket there and makes the new one with mode 0600.
func (s *Store) SocketPath() (string, error) {
	note := filepath.Join(s.dir, socketPathName)
	path := filepath.Join(s.dir, socketName)
	if len(path) <= maxSocketPath {
		if err := os.Remove(note); err != nil && !missing(err) {
			return "", fmt.Errorf("place control socket: %w", err)
		}
		return path, nil
	}
	sum := sha256.Sum256([]byte(s.dir))
	name := "castd-" + hex.EncodeToString(sum[:8]) + ".sock"
	dir := os.Getenv("XDG_RUNTIME_DIR")
	if path = filepath.Join(dir, name); dir == "" || len(path) > maxSocketPath {
		dir = filepath.Join(os.TempDir(), "castd-"+strconv.Itoa(os.Getuid()))
		if path = filepath.Join(dir, name); len(path) > maxSocketPath {
			return "", errors.New("place control socket: the paths of the data folder and of the temporary folder are too long: use a --data-dir with a shorter path")
		}
		if err := privateDir(dir); err != nil {
			return "", fmt.Errorf("place control socket: %w", err)
		}
	}
	if err := s.write(note, []byte(path+"\n")); err != nil {
		return "", err
	}
	return path, nil
}

// privateDir makes a folder that nobody else can look into, or checks that there is one.
func privateDir(dir string) error {
	if err := os.Mkdir(dir, dirMode); err == nil || !errors.Is(err, os.ErrExist) {
		return err
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() || info.Mode().Perm()&0o077 != 0 || !ownedBySelf(info) {
		return fmt.Errorf("%s is not a private folder of this user: remove it", dir)
	}
	return nil
}

// FindSocket returns where the control socket of whoever runs on a data folder should be. It does not lock the folder.
func FindSocket(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("find control socket: %w", err)
	}
	path := filepath.Join(dir, socketName)
	if len(path) <= maxSocketPath {
		return path, nil
	}
	b, err := readFile(filepath.Join(dir, socketPathName))
	if missing(err) {
		return path, nil // nobody has run here
	}
	if err != nil {
		return "", fmt.Errorf("find control socket: %w", err)
	}
	noted := strings.TrimSpace(string(b))
	if !filepath.IsAbs(noted) || len(noted) > maxSocketPath {
		return "", &DamagedError{
			Path: filepath.Join(dir, socketPathName), Reason: "it does not hold a path",
			Remedy: "start castd again on this data folder",
		}
	}
	return noted, nil
}
