package plugins

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/castd/castd/plugins/sdk"
)

// Installed is a plugin as plugins.lock has it.
type Installed struct {
	sdk.Description
	// SHA256 is the checksum of the program in hexadecimal digits. Nothing else is executed.
	SHA256 string `json:"sha256"`
	// Source is where it was installed from, and Time when, as RFC 3339.
	Source string `json:"source,omitempty"`
	Time   string `json:"installed,omitempty"`
	// Enabled plugins run with castd start.
	Enabled bool `json:"enabled"`
	// Granted are the permissions that the operator gave, of those that the plugin asks for.
	Granted []string `json:"granted,omitempty"`
	// Rooms are names or ids of the rooms that the plugin may see; empty means all.
	Rooms []string `json:"rooms,omitempty"`
	// WhenDown is what counts where a plugin that decides does not answer: WhenDownDeny, which "" is too, or WhenDownAllow.
	WhenDown string `json:"when_down,omitempty"`
	// Settings are what the operator set, by key.
	Settings map[string]any `json:"settings,omitempty"`
	// own is what it is a part of castd as; nil for what was installed.
	own *ownPlugin
	// attached is what its author has started, for castd plugin run; nil otherwise. No file can hold it.
	attached *sdk.Attachment
}

// lockFile is plugins.lock.
type lockFile struct {
	Version int         `json:"version"`
	Plugins []Installed `json:"plugins"`
}

const (
	lockVersion = 1
	maxLockFile = 8 << 20
	maxPlugins  = 64
)

var sumPattern = regexp.MustCompile(`^[0-9a-f]{64}$`)

// parseLock reads plugins.lock. Its errors do not name the file.
func parseLock(text []byte) ([]Installed, error) {
	var f lockFile
	if err := json.Unmarshal(text, &f); err != nil {
		return nil, fmt.Errorf("it is not the JSON that castd writes (%w)", err)
	}
	if f.Version != lockVersion {
		return nil, fmt.Errorf("it is of version %d, and this castd knows version %d", f.Version, lockVersion)
	}
	if len(f.Plugins) > maxPlugins {
		return nil, fmt.Errorf("it has more than %d plugins", maxPlugins)
	}
	seen := make(map[string]bool)
	for i := range f.Plugins {
		p := &f.Plugins[i]
		switch {
		case !sdk.ValidName(p.Name):
			return nil, fmt.Errorf("it has a plugin of the name %.40q", p.Name)
		case seen[p.Name]:
			return nil, fmt.Errorf("it has the plugin %s twice", p.Name)
		case !sumPattern.MatchString(p.SHA256):
			return nil, fmt.Errorf("the plugin %s has no SHA-256 of 64 digits", p.Name)
		case len(p.Protocols) == 0:
			return nil, fmt.Errorf("the plugin %s speaks no version of the protocol", p.Name)
		}
		for _, g := range p.Granted {
			if !slices.Contains(p.Permissions, g) {
				return nil, fmt.Errorf("the plugin %s was granted %.40q, which it does not ask for", p.Name, g)
			}
		}
		seen[p.Name] = true
	}
	return f.Plugins, nil
}

// Store is the folder of plugins. Its methods are safe for concurrent use, also by several processes. Errors are for people.
type Store struct{ dir string }

// OpenStore returns the folder of a data folder. It makes nothing until something is installed.
func OpenStore(dataDir string) *Store { return &Store{dir: filepath.Join(dataDir, "plugins")} }

const (
	filePrefix = "castd-plugin-"
	lockName   = "plugins.lock"
)

func (s *Store) program(name string) string { return filepath.Join(s.dir, filePrefix+name) }
func (s *Store) state(name string) string   { return filepath.Join(s.dir, "state", name) }

// folder is the plugin's own.
func (s *Store) folder(name string) string { return filepath.Join(s.state(name), "files") }

// Folder returns the path of a plugin's own folder.
func (s *Store) Folder(name string) string { return s.folder(name) }

// Empty reports whether no plugin is installed. It costs one system call.
func (s *Store) Empty() bool {
	_, err := os.Lstat(filepath.Join(s.dir, lockName))
	return errors.Is(err, fs.ErrNotExist)
}

// List returns what is installed, by name.
func (s *Store) List() ([]Installed, error) {
	path := filepath.Join(s.dir, lockName)
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read plugins: %w", err)
	case !info.Mode().IsRegular() || info.Size() > maxLockFile:
		return nil, badPlugin("%s is no file of castd's: move it away and install the plugins again", path)
	}
	if err := s.private(); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read plugins: %w", err)
	}
	list, err := parseLock(text)
	if err != nil {
		return nil, badPlugin("%s is damaged, %v: mend it, or move it away and install the plugins again", path, err)
	}
	slices.SortFunc(list, func(a, b Installed) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

// Find returns an installed plugin.
func (s *Store) Find(name string) (Installed, error) {
	list, err := s.List()
	if err != nil {
		return Installed{}, err
	}
	for _, p := range list {
		if p.Name == name {
			return p, nil
		}
	}
	return Installed{}, noPlugin(name)
}

// private refuses a folder that others could put programs into.
func (s *Store) private() error {
	info, err := os.Lstat(s.dir)
	switch {
	case err != nil:
		return fmt.Errorf("read plugins: %w", err)
	case info.Mode()&fs.ModeSymlink != 0:
		return badPlugin("the folder of plugins %s is a symbolic link: make it a real folder, so that nobody can exchange it", s.dir)
	case !info.IsDir():
		return badPlugin("%s is no folder: move it away", s.dir)
	case writableByOthers(info):
		return badPlugin("others may write to the folder of plugins %s, and could exchange them: type chmod 700 %s", s.dir, s.dir)
	}
	return nil
}

// make makes the folder.
func (s *Store) make() error {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return fmt.Errorf("make folder of plugins: %w", err)
	}
	return s.private()
}

// change replaces the list by what f makes of it, while no other process does.
func (s *Store) change(f func([]Installed) ([]Installed, error)) error {
	if err := s.make(); err != nil {
		return err
	}
	unlock, err := lockFolder(s.dir)
	if err != nil {
		return fmt.Errorf("lock folder of plugins: %w", err)
	}
	defer unlock()
	list, err := s.List()
	if err != nil {
		return err
	}
	if list, err = f(list); err != nil {
		return err
	}
	if len(list) > maxPlugins {
		return badRequest("there cannot be more than %d plugins: remove one with castd plugin remove NAME", maxPlugins)
	}
	text, err := json.MarshalIndent(lockFile{lockVersion, list}, "", "  ")
	if err != nil {
		return fmt.Errorf("write plugins: %w", err)
	}
	return writeFile(filepath.Join(s.dir, lockName), append(text, '\n'))
}

// changeOne replaces a plugin by what f makes of it.
func (s *Store) changeOne(name string, f func(*Installed) error) error {
	if s.Empty() {
		return noPlugin(name)
	}
	return s.change(func(list []Installed) ([]Installed, error) {
		for i := range list {
			if list[i].Name == name {
				return list, f(&list[i])
			}
		}
		return nil, noPlugin(name)
	})
}

// writeFile replaces a file, which is whole at any instant, readable by its owner only.
func writeFile(path string, data []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	defer func() {
		if err != nil {
			_ = f.Close()
			_ = os.Remove(f.Name())
			err = fmt.Errorf("write %s: %w", filepath.Base(path), err)
		}
	}()
	if _, err = f.Write(data); err != nil {
		return err
	}
	if err = f.Sync(); err != nil {
		return err
	}
	if err = f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
