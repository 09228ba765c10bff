package recording

import (
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// kept is a recording that has ended, as retention sees it.
type kept struct {
	folder string // its name, which begins with when it began
	ended  time.Time
	bytes  int64
}

// expired returns which of the ended recordings of a room go: those older than keep, and of the rest the oldest while all have more than
// size octets; 0 is no limit.
func expired(all []kept, now time.Time, keep time.Duration, size int64) []kept {
	all = slices.Clone(all)
	slices.SortFunc(all, func(a, b kept) int { return strings.Compare(b.folder, a.folder) }) // the newest first
	var out []kept
	total := int64(0)
	for _, k := range all {
		total += k.bytes
		if keep > 0 && now.Sub(k.ended) > keep || size > 0 && total > size {
			out = append(out, k)
		}
	}
	return out
}

// prune deletes what the options do not keep, of the same room. What goes on or cannot be read stays.
func prune(dir string, o Options) {
	if o.Keep == 0 && o.KeepSize == 0 {
		return
	}
	room := filepath.Join(dir, filepath.Dir(o.Folder))
	entries, err := os.ReadDir(room)
	if err != nil {
		return
	}
	var all []kept
	for _, e := range entries {
		if !e.IsDir() || !timePattern.MatchString(e.Name()) || e.Name() == filepath.Base(o.Folder) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(room, e.Name(), ManifestName))
		if err != nil {
			continue
		}
		m, err := ParseManifest(text)
		if err != nil || m.State != StateEnded {
			continue
		}
		ended, err := time.Parse(timeFormat, m.Ended)
		if err != nil {
			continue
		}
		all = append(all, kept{e.Name(), ended, m.Bytes})
	}
	for _, k := range expired(all, time.Now(), o.Keep, o.KeepSize) {
		if err := os.RemoveAll(filepath.Join(room, k.folder)); err != nil {
			slog.Warn("an old recording could not be deleted", "folder", k.folder, "err", err)
			continue
		}
		slog.Info("an old recording was deleted", "folder", k.folder)
	}
}
