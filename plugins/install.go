package plugins

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/castd/castd/plugins/sdk"
	"github.com/castd/castd/plugins/sdk/protocol"
)

// maxProgram bounds the size of a plugin, in octets.
const maxProgram = 1 << 30

// Change says what the operator wants of a plugin.
type Change struct {
	// Grant adds permissions, Revoke takes some back.
	Grant, Revoke []string
	// Rooms replaces the rooms that the plugin may see; nil leaves them, and an empty list means all.
	Rooms []string
	// WhenDown is WhenDownDeny or WhenDownAllow; "" leaves it.
	WhenDown string
	// Set changes settings, as KEY=VALUE; KEY= goes back to the default.
	Set []string
}

// apply changes p, or says what is wrong.
func (c *Change) apply(p *Installed) error {
	for _, g := range slices.Concat(c.Grant, c.Revoke) {
		if slices.Contains(p.Permissions, g) {
			continue
		}
		if len(p.Permissions) == 0 {
			return badRequest("the plugin %s asks for no permissions, so that %.40q cannot be granted", p.Name, g)
		}
		return badRequest("the plugin %s does not ask for %.40q, but for %s", p.Name, g, strings.Join(p.Permissions, ", "))
	}
	granted := make(map[string]bool)
	for _, g := range slices.Concat(p.Granted, c.Grant) {
		granted[g] = true
	}
	for _, g := range c.Revoke {
		delete(granted, g)
	}
	p.Granted = nil
	for _, name := range sdk.Permissions() { // in the order in which people are shown them
		if granted[name] && slices.Contains(p.Permissions, name) {
			p.Granted = append(p.Granted, name)
		}
	}
	if c.Rooms != nil {
		p.Rooms = slices.Clone(c.Rooms)
	}
	switch c.WhenDown {
	case "":
	case WhenDownDeny, WhenDownAllow:
		if !slices.Contains(p.Capabilities, sdk.CapabilityPolicy) {
			return badRequest("the plugin %s decides nothing, so that nothing hangs on whether it is down", p.Name)
		}
		p.WhenDown = c.WhenDown
	default:
		return badRequest("%.40q says not what counts while the plugin is down: write deny or allow", c.WhenDown)
	}
	settings := maps.Clone(p.Settings)
	if settings == nil {
		settings = make(map[string]any)
	}
	for _, kv := range c.Set {
		key, value, ok := strings.Cut(kv, "=")
		if !ok {
			return badRequest("%.40q sets nothing: write it as KEY=VALUE", kv)
		}
		s, known := p.Config[key]
		if !known {
			return badRequest("the plugin %s has no setting %.40q%s", p.Name, key, settingsHint(p.Config))
		}
		if value == "" {
			delete(settings, key)
			continue
		}
		v, err := parseSetting(s.Type, value)
		if err != nil {
			return badRequest("the setting %s of the plugin %s cannot be %.40q: %v", key, p.Name, value, err)
		}
		settings[key] = v
	}
	p.Settings = settings
	return nil
}

func settingsHint(c map[string]sdk.Setting) string {
	if len(c) == 0 {
		return ": it has none"
	}
	return ": it has " + strings.Join(slices.Sorted(maps.Keys(c)), ", ")
}

func parseSetting(kind, value string) (any, error) {
	switch kind {
	case "number":
		f, err := strconv.ParseFloat(value, 64)
		if err != nil || f != f || f-f != 0 {
			return nil, errors.New("write a number")
		}
		return f, nil
	case "bool":
		b, err := strconv.ParseBool(value)
		if err != nil {
			return nil, errors.New("write true or false")
		}
		return b, nil
	case "duration":
		if _, err := time.ParseDuration(value); err != nil {
			return nil, errors.New("write a duration like 1.5s")
		}
	}
	return value, nil
}

// configuration returns the JSON that the plugin is configured with.
func (p *Installed) configuration() ([]byte, error) {
	all := make(map[string]any)
	for key, s := range p.Config {
		if s.Default != nil {
			all[key] = s.Default
		}
		if v, ok := p.Settings[key]; ok {
			all[key] = v
		}
		if _, ok := all[key]; !ok && s.Required {
			return nil, badPlugin("the plugin %s needs the setting %s: type castd plugin enable %s --set %s=VALUE", p.Name, key, p.Name, key)
		}
	}
	text, err := json.Marshal(all)
	if err != nil {
		return nil, fmt.Errorf("encode configuration of %s: %w", p.Name, err)
	}
	return text, nil
}

// compatible says whether this castd can talk to the plugin.
func compatible(name, version string, protocols []int) error {
	if slices.Contains(protocols, protocol.Version) {
		return nil
	}
	if slices.Min(protocols) > protocol.Version {
		return badPlugin("the plugin %s %s speaks version %d of the protocol, and this castd version %d: install a newer castd, or an older version of the plugin", name, version, slices.Min(protocols), protocol.Version)
	}
	return badPlugin("the plugin %s %s speaks version %d of the protocol, and this castd version %d: install a newer version of the plugin", name, version, slices.Max(protocols), protocol.Version)
}

// Install copies a program into the folder, pins its checksum, and enables it. sum is the SHA-256 that it must have; "" for any. A plugin
// that is there already is replaced, and keeps what was granted and set as far as the new version asks for it.
func (s *Store) Install(ctx context.Context, path, sum string, c Change) (Installed, error) {
	if err := checkProgram(path); err != nil {
		return Installed{}, err
	}
	if err := s.make(); err != nil {
		return Installed{}, err
	}
	dir, err := os.MkdirTemp(s.dir, ".incoming-")
	if err != nil {
		return Installed{}, fmt.Errorf("make room for the plugin: %w", err)
	}
	defer os.RemoveAll(dir)
	incoming := filepath.Join(dir, filepath.Base(path)) // some programs look at their names
	got, err := copyProgram(path, incoming)
	if err != nil {
		return Installed{}, err
	}
	if sum != "" && !strings.EqualFold(sum, got) {
		return Installed{}, badPlugin("%s has the SHA-256 %s, and not %.80s: it is damaged or not what you wanted; get it again", path, got, sum)
	}
	d, err := Describe(ctx, incoming, path)
	if err != nil {
		return Installed{}, err
	}
	absolute, err := filepath.Abs(path)
	if err != nil {
		absolute = path
	}
	p := Installed{Description: *d, SHA256: got, Source: absolute, Time: time.Now().UTC().Format(time.RFC3339), Enabled: true}
	err = s.change(func(list []Installed) ([]Installed, error) {
		i := slices.IndexFunc(list, func(o Installed) bool { return o.Name == p.Name })
		if i >= 0 {
			p.keep(&list[i])
		}
		if err := c.apply(&p); err != nil {
			return nil, err
		}
		if err := os.Rename(incoming, s.program(p.Name)); err != nil {
			return nil, fmt.Errorf("install %s: %w", p.Name, err)
		}
		if i >= 0 {
			list[i] = p
			return list, nil
		}
		return append(list, p), nil
	})
	return p, err
}

// keep takes over what was granted and set of an earlier version.
func (p *Installed) keep(old *Installed) {
	for _, g := range old.Granted {
		if slices.Contains(p.Permissions, g) {
			p.Granted = append(p.Granted, g)
		}
	}
	p.Rooms, p.WhenDown = old.Rooms, old.WhenDown
	for key, v := range old.Settings {
		if s, ok := p.Config[key]; ok && s.Type == old.Config[key].Type {
			if p.Settings == nil {
				p.Settings = make(map[string]any)
			}
			p.Settings[key] = v
		}
	}
}

// checkProgram says whether a file may be a plugin, before it is executed.
func checkProgram(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return badPlugin("there is no file %s: check the path", path)
	case err != nil:
		return badPlugin("%s cannot be read: %v", path, err)
	case !info.Mode().IsRegular():
		return badPlugin("%s is no file: name the plugin's program", path)
	case info.Size() > maxProgram:
		return badPlugin("%s has more than %d MiB, which is too much for a plugin", path, maxProgram>>20)
	case !executable(info):
		return badPlugin("%s is not executable: type chmod +x %s", path, path)
	}
	return nil
}

// copyProgram copies a program to a path that must not exist, and returns the SHA-256 of what it has written.
func copyProgram(from, to string) (sum string, err error) {
	in, err := os.Open(from)
	if err != nil {
		return "", badPlugin("%s cannot be read: %v", from, err)
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o500)
	if err != nil {
		return "", fmt.Errorf("copy plugin: %w", err)
	}
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(out, h), io.LimitReader(in, maxProgram+1))
	if err := errors.Join(err, out.Close()); err != nil {
		return "", fmt.Errorf("copy plugin: %w", err)
	}
	if n > maxProgram {
		return "", badPlugin("%s has more than %d MiB, which is too much for a plugin", from, maxProgram>>20)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// nameOf returns the plugin that a file is named after, "" where it is not named so. castd-plugin-NAME may be followed by _v1.2.3 and more.
func nameOf(path string) string {
	name, ok := strings.CutPrefix(strings.TrimSuffix(filepath.Base(path), ".exe"), filePrefix)
	if !ok {
		return ""
	}
	name, _, _ = strings.Cut(name, "_")
	return name
}

// Enable lets a plugin run, after changes.
func (s *Store) Enable(name string, c Change) (Installed, error) {
	var out Installed
	err := s.changeOne(name, func(p *Installed) error {
		if err := c.apply(p); err != nil {
			return err
		}
		if _, err := p.configuration(); err != nil {
			return err
		}
		p.Enabled = true
		out = *p
		return nil
	})
	return out, err
}

// Disable keeps a plugin from running.
func (s *Store) Disable(name string) error {
	return s.changeOne(name, func(p *Installed) error {
		p.Enabled = false
		return nil
	})
}

// Remove forgets a plugin and deletes its program, and with purge also its folder and what it kept.
func (s *Store) Remove(name string, purge bool) error {
	if s.Empty() {
		return noPlugin(name)
	}
	return s.change(func(list []Installed) ([]Installed, error) {
		left := slices.DeleteFunc(list, func(p Installed) bool { return p.Name == name })
		if len(left) == len(list) {
			return nil, noPlugin(name)
		}
		if err := os.Remove(s.program(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("remove %s: %w", name, err)
		}
		if purge {
			if err := os.RemoveAll(s.state(name)); err != nil {
				return nil, fmt.Errorf("remove what %s kept: %w", name, err)
			}
		}
		return left, nil
	})
}

// Verify compares an installed plugin with what was pinned.
func (s *Store) Verify(p *Installed) error {
	path := s.program(p.Name)
	if err := checkInstalled(p, path); err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return badPlugin("%s cannot be read: %v", path, err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return fmt.Errorf("read %s: %w", p.Name, err)
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != p.SHA256 {
		return wrongSum(p, got)
	}
	return compatible(p.Name, p.Version, p.Protocols)
}

// checkInstalled says whether the program of a plugin is there, without reading it.
func checkInstalled(p *Installed, path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return badPlugin("the program of the plugin %s is gone: install it again with castd plugin install PATH, or type castd plugin remove %s", p.Name, p.Name)
	case err != nil:
		return fmt.Errorf("read %s: %w", p.Name, err)
	case !info.Mode().IsRegular():
		return badPlugin("%s is no file any more: install the plugin again with castd plugin install PATH", path)
	case !executable(info):
		return badPlugin("%s is not executable: type chmod 500 %s", path, path)
	}
	return nil
}

func wrongSum(p *Installed, got string) error {
	return badPlugin("the program of the plugin %s is not what was installed: its SHA-256 is %.12s..., and %.12s... was pinned; if you changed it, type castd plugin install PATH again", p.Name, got, p.SHA256)
}
