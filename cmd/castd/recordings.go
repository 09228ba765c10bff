package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/node"
	"github.com/castd/castd/engine/wire"
	"github.com/castd/castd/plugins"
	"github.com/castd/castd/plugins/recording"
)

// recordingArg is what castd is started with to become the plugin that records.
const recordingArg = "plugin-recording"

// archive records rooms by the plugin that is part of castd. That a room is recorded is kept on disk, so that it goes on after a crash; the
// plugin does the rest.
type archive struct {
	// constant
	host *plugins.Host
	dir  string
	log  *slog.Logger

	mu     sync.Mutex // guards what follows; not held while anything is waited for
	svc    engine.Service
	active map[wire.RoomID]*recorded
	closed bool
	work   sync.WaitGroup
	ctx    context.Context
	cancel context.CancelFunc
}

// recorded is a room that is being recorded.
type recorded struct {
	options recording.Options
	cancel  context.CancelFunc // ends the announcements
	ending  bool
}

var _ engine.Archive = (*archive)(nil)

// ownRecording is the plugin as the host needs it.
func ownRecording(dataDir string) plugins.Own {
	return plugins.Own{Description: recording.Describe(), Arg: recordingArg, Folder: recordingsDir(dataDir)}
}

func recordingsDir(dataDir string) string { return filepath.Join(dataDir, "recordings") }

func newArchive(h *plugins.Host, dataDir string, log *slog.Logger) *archive {
	a := &archive{host: h, dir: recordingsDir(dataDir), log: log, active: make(map[wire.RoomID]*recorded)}
	a.ctx, a.cancel = context.WithCancel(context.Background())
	return a
}

// kept is what is on disk of a recording that goes on.
type kept struct {
	recording.Options
	Quiet bool `json:"quiet,omitempty"`
}

// start goes on with what a crash has interrupted, as soon as its rooms are there.
func (a *archive) start(svc engine.Service) {
	a.mu.Lock()
	a.svc = svc
	a.mu.Unlock()
	if _, err := os.Stat(a.dir); errors.Is(err, fs.ErrNotExist) {
		return // nothing was ever recorded
	}
	values := a.host.Values(recording.Name)
	keys, err := values.Keys()
	if err != nil {
		a.log.Warn("what was being recorded is not known", "err", err)
		return
	}
	waiting := make(map[wire.RoomID]kept)
	for _, key := range keys {
		id, ok := strings.CutPrefix(key, recording.Key(""))
		if !ok {
			continue
		}
		text, _, err := values.Get(key)
		if err != nil {
			continue
		}
		var k kept
		if json.Unmarshal(text, &k) != nil || k.Check() != nil {
			_ = values.Delete(key) // nobody can go on with it
			continue
		}
		waiting[wire.RoomID(id)] = k
	}
	if len(waiting) > 0 {
		a.work.Go(func() { a.resume(waiting) })
	}
}

// resumeEvery is how often it is looked whether a room is there again.
const resumeEvery = 200 * time.Millisecond

func (a *archive) resume(waiting map[wire.RoomID]kept) {
	tick := time.NewTicker(resumeEvery)
	defer tick.Stop()
	for len(waiting) > 0 {
		for id, k := range waiting {
			m, err := a.svc.Find(string(id))
			if err != nil {
				continue
			}
			delete(waiting, id)
			if err := a.begin(a.ctx, m, k); err != nil {
				a.log.Warn("a recording that was interrupted does not go on", "room", id, "err", err)
				continue
			}
			a.log.Info("a recording that was interrupted goes on", "room", id, "folder", k.Folder)
		}
		select {
		case <-tick.C:
		case <-a.ctx.Done():
			return
		}
	}
}

// StartRecording implements engine.Archive.
func (a *archive) StartRecording(ctx context.Context, id wire.RoomID, spec engine.RecordSpec) (engine.RecordedInfo, error) {
	var none engine.RecordedInfo
	m, err := a.svc.Find(string(id))
	if err != nil {
		return none, err
	}
	info, err := a.svc.RoomInfo(id)
	if err != nil {
		return none, err
	}
	if r, ok := m.(interface{ MayRecord() error }); ok {
		if err := r.MayRecord(); err != nil {
			return none, err
		}
	}
	a.clear(id)
	k := kept{Quiet: spec.Quiet, Options: recording.Options{
		Tracks: spec.Tracks, Segment: spec.Segment, SegmentSize: spec.SegmentSize, Keep: spec.Keep, KeepSize: spec.KeepSize,
	}}
	if k.Folder, err = a.folder(info.Name); err != nil {
		return none, err
	}
	if err := k.Check(); err != nil {
		return none, engine.NewUserError(engine.CodeBadMedia, err.Error())
	}
	if err := a.begin(ctx, m, k); err != nil {
		_ = os.Remove(filepath.Join(a.dir, k.Folder)) // where nothing was written
		return none, err
	}
	return a.started(ctx, id, k.Folder)
}

// clear forgets a recording that has ended by itself, as this peer had left its room.
func (a *archive) clear(id wire.RoomID) {
	a.mu.Lock()
	r := a.active[id]
	a.mu.Unlock()
	if r == nil {
		return
	}
	if info, err := a.read(r.options.Folder); err == nil && info.State == recording.StateEnded {
		if _, ok := a.end(id); ok {
			a.forget(id)
		}
	}
}

// folder makes the folder of a new recording.
func (a *archive) folder(room string) (string, error) {
	parent := filepath.Join(a.dir, room)
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return "", a.diskError(err)
	}
	at := time.Now().Format(recording.FolderTime)
	for n := 1; ; n++ {
		name := at
		if n > 1 {
			name = fmt.Sprintf("%s-%d", at, n)
		}
		err := os.Mkdir(filepath.Join(parent, name), 0o700)
		if errors.Is(err, fs.ErrExist) && n < 100 {
			continue
		}
		if err == nil {
			err = a.probe(filepath.Join(parent, name))
		}
		if err != nil {
			return "", a.diskError(err)
		}
		return room + "/" + name, nil
	}
}

// leastRoom is how much room there must be to begin a recording, in octets.
const leastRoom = 1 << 20

// probe finds out whether the folder can be written to.
func (a *archive) probe(folder string) error {
	path := filepath.Join(folder, ".space")
	err := os.WriteFile(path, make([]byte, leastRoom), 0o600)
	_ = os.Remove(path)
	if err != nil {
		_ = os.Remove(folder)
	}
	return err
}

// diskError says why nothing can be recorded.
func (a *archive) diskError(err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return engine.NewUserError(engine.CodeDisk, fmt.Sprintf("there is no room on the disk of %s: delete something, and try again", a.dir))
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return engine.NewUserError(engine.CodeDisk, fmt.Sprintf("castd may not write to %s: change its permissions, or name another folder with --data-dir", a.dir))
	case errors.Is(err, syscall.ENOTDIR), errors.Is(err, fs.ErrExist):
		return engine.NewUserError(engine.CodeDisk, fmt.Sprintf("%s is no folder: move away what is in its place", a.dir))
	}
	return engine.NewUserError(engine.CodeDisk, fmt.Sprintf("%s cannot be written: %v", a.dir, err))
}

// begin has a room recorded.
func (a *archive) begin(ctx context.Context, m engine.Media, k kept) error {
	id := m.ID()
	own, cancel := context.WithCancel(a.ctx)
	r := &recorded{options: k.Options, cancel: cancel}
	a.mu.Lock()
	if was := a.active[id]; was != nil || a.closed {
		a.mu.Unlock()
		cancel()
		if was == nil {
			return engine.ErrClosed
		}
		return engine.NewUserError(engine.CodeRecorded, fmt.Sprintf("this room is being recorded already, to %s: end that with castd record stop", filepath.Join(a.dir, was.options.Folder)))
	}
	a.active[id] = r
	a.mu.Unlock()
	err := a.launch(ctx, m, &k)
	if err != nil {
		cancel()
		a.forget(id)
		return err
	}
	if _, ok := m.(engine.Announcer); ok && m.Mode() == "conference" && !k.Quiet {
		a.work.Go(func() { a.announce(own, m) })
	}
	return nil
}

func (a *archive) launch(ctx context.Context, m engine.Media, k *kept) error {
	text, err := json.Marshal(k)
	if err != nil {
		return fmt.Errorf("encode recording: %w", err)
	}
	if err := a.host.Values(recording.Name).Put(recording.Key(string(m.ID())), text); err != nil {
		return a.diskError(err)
	}
	if r, ok := m.(engine.Recorder); ok { // they are told before anything is written
		if err := r.Recording(ctx, true); err != nil {
			return fmt.Errorf("tell the room of the recording: %w", err)
		}
	}
	return a.host.NeedOwn(recording.Name, string(m.ID()), true)
}

// forget takes back what begin and launch have done, but for the files.
func (a *archive) forget(id wire.RoomID) {
	if err := a.host.Values(recording.Name).Delete(recording.Key(string(id))); err != nil {
		a.log.Warn("that a recording has ended cannot be written down", "err", err)
	}
	if m, err := a.svc.Find(string(id)); err == nil {
		if r, ok := m.(engine.Recorder); ok {
			ctx, cancel := context.WithTimeout(context.Background(), queryTime)
			defer cancel()
			_ = r.Recording(ctx, false) // a room that has ended needs no word
		}
	}
	a.mu.Lock()
	delete(a.active, id)
	a.mu.Unlock()
}

const (
	// startedTime is how long the plugin may take to begin, and endedTime to finish.
	startedTime = 15 * time.Second
	endedTime   = 9 * time.Second
	// lookTime is how often it is looked what it has written.
	lookTime = 20 * time.Millisecond
)

// started waits until the plugin records.
func (a *archive) started(ctx context.Context, id wire.RoomID, folder string) (engine.RecordedInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, startedTime)
	defer cancel()
	info, err := a.await(ctx, folder, func(i *engine.RecordedInfo) bool { return i.State != "" })
	if err == nil {
		return info, nil
	}
	problem := "see castd's log"
	if all, err := a.host.Status(); err == nil {
		for _, s := range all {
			if s.Name == recording.Name && s.Problem != "" {
				problem = s.Problem
			}
		}
	}
	a.end(id)
	return info, engine.NewUserError(engine.CodeTimeout, "the recorder does not begin: "+problem)
}

// await waits until a recording is as wanted.
func (a *archive) await(ctx context.Context, folder string, ok func(*engine.RecordedInfo) bool) (engine.RecordedInfo, error) {
	tick := time.NewTicker(lookTime)
	defer tick.Stop()
	for {
		info, err := a.read(folder)
		if err == nil && ok(&info) {
			return info, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return info, ctx.Err()
		}
	}
}

// end ends a recording, if it is one, and returns where it is.
func (a *archive) end(id wire.RoomID) (folder string, ok bool) {
	a.mu.Lock()
	r := a.active[id]
	if r == nil || r.ending {
		a.mu.Unlock()
		return "", false
	}
	r.ending = true
	a.mu.Unlock()
	r.cancel()
	// What a crash would go on with is forgotten first.
	if err := a.host.Values(recording.Name).Delete(recording.Key(string(id))); err != nil {
		a.log.Warn("that a recording has ended cannot be written down", "err", err)
	}
	if err := a.host.NeedOwn(recording.Name, string(id), false); err != nil {
		a.log.Debug("the recorder is not there", "err", err)
	}
	return r.options.Folder, true
}

// StopRecording implements engine.Archive.
func (a *archive) StopRecording(ctx context.Context, id wire.RoomID) (engine.RecordedInfo, error) {
	folder, ok := a.end(id)
	if !ok {
		return engine.RecordedInfo{}, engine.NewUserError(engine.CodeNotRecorded, "this room is not being recorded: castd record list shows what was")
	}
	defer a.forget(id)
	ctx, cancel := context.WithTimeout(ctx, endedTime)
	defer cancel()
	info, err := a.await(ctx, folder, func(i *engine.RecordedInfo) bool {
		return i.State == recording.StateEnded || !a.host.OwnRuns(recording.Name)
	})
	if info.State != recording.StateRecording {
		return info, err
	}
	// The recorder was not there to end it: what it has written is usable all the same.
	if err := recording.End(filepath.Join(a.dir, folder), time.Now()); err != nil {
		return info, a.diskError(err)
	}
	return a.read(folder)
}

// Recordings implements engine.Archive.
func (a *archive) Recordings(room string) ([]engine.RecordedInfo, error) {
	going := make(map[string]bool)
	a.mu.Lock()
	for _, r := range a.active {
		going[r.options.Folder] = true
	}
	a.mu.Unlock()
	return listRecordings(a.dir, room, going)
}

// listRecordings reads what there is; going are the folders of those that go on.
func listRecordings(dir, room string, going map[string]bool) ([]engine.RecordedInfo, error) {
	manifests, err := filepath.Glob(filepath.Join(escapeGlob(dir), "*", "*", recording.ManifestName))
	if err != nil {
		return nil, fmt.Errorf("list recordings: %w", err)
	}
	var all []engine.RecordedInfo
	for _, path := range manifests {
		folder := filepath.Dir(path)
		info, err := readRecording(folder)
		if err != nil || room != "" && info.Room != room && !strings.EqualFold(info.Name, room) {
			continue
		}
		relative := filepath.Base(filepath.Dir(folder)) + "/" + filepath.Base(folder)
		if info.State == recording.StateRecording && !going[relative] {
			info.State = recording.StateInterrupted
		}
		all = append(all, info)
	}
	slices.SortFunc(all, func(x, y engine.RecordedInfo) int { return strings.Compare(y.Started, x.Started) })
	return all, nil
}

// escapeGlob has filepath.Glob take a path as it is.
func escapeGlob(path string) string {
	return strings.NewReplacer("*", "[*]", "?", "[?]", "[", "[[]").Replace(path)
}

func (a *archive) read(folder string) (engine.RecordedInfo, error) {
	return readRecording(filepath.Join(a.dir, folder))
}

// readRecording reads a recording's manifest.
func readRecording(folder string) (engine.RecordedInfo, error) {
	var info engine.RecordedInfo
	text, err := os.ReadFile(filepath.Join(folder, recording.ManifestName))
	if err != nil {
		return info, fmt.Errorf("read recording: %w", err)
	}
	m, err := recording.ParseManifest(text)
	if err != nil {
		return info, err
	}
	info = engine.RecordedInfo{
		Room: m.Room, Name: m.Name, Folder: folder, State: m.State, Started: m.Started, Ended: m.Ended, DurationMs: m.Duration, Bytes: m.Bytes,
		Files: []string{}, Problem: m.Problem,
	}
	for _, s := range slices.Concat(m.Segments, m.Tracks) {
		info.Files = append(info.Files, s.File)
	}
	return info, nil
}

// close ends all recordings in order: nothing is to go on with at the next start. The host ends the plugin.
func (a *archive) close() {
	a.cancel()
	a.mu.Lock()
	a.closed = true
	var all []wire.RoomID
	for id := range a.active {
		all = append(all, id)
	}
	a.mu.Unlock()
	for _, id := range all {
		if err := a.host.Values(recording.Name).Delete(recording.Key(string(id))); err != nil {
			a.log.Warn("that a recording has ended cannot be written down", "err", err)
		}
	}
	a.work.Wait()
}

// consentClip says "This call is being recorded", after two tones.
//
//go:embed consent.ogg
var consentClip []byte

// Limits of announcements.
const (
	// announceEvery is how often it is looked who has come.
	announceEvery = 500 * time.Millisecond
	// announceAll is how many newcomers at a time are told together, so that none waits for long.
	announceAll = 4
	// announceTime bounds an announcement.
	announceTime = 15 * time.Second
)

// announce tells all in a conference that it is recorded, and who comes later alone, until ctx ends.
func (a *archive) announce(ctx context.Context, m engine.Media) {
	told := make(map[string]bool)
	tick := time.NewTicker(announceEvery)
	defer tick.Stop()
	for {
		info, err := a.svc.RoomInfo(m.ID())
		if err != nil {
			return // the room has ended
		}
		there := make(map[string]bool)
		var fresh []string
		for _, p := range info.Participants {
			if there[p.Participant] = true; !told[p.Participant] && !p.Waiting {
				fresh = append(fresh, p.Participant)
			}
		}
		for id := range told {
			if !there[id] {
				delete(told, id) // who comes again hears it again
			}
		}
		to := fresh
		if len(told) == 0 && len(fresh) > 0 || len(fresh) > announceAll {
			to = []string{""}
		}
		for _, who := range to {
			one, cancel := context.WithTimeout(ctx, announceTime)
			err := node.AnnounceFile(one, m, who, bytes.NewReader(consentClip), nil)
			cancel()
			if user, ok := errors.AsType[*engine.UserError](err); ok && user.Code == engine.CodeNotAllowed {
				a.log.Info("nobody hears that the room is recorded, since this peer's user does not moderate it; everybody sees it", "room", m.ID())
				return
			}
			if err != nil {
				a.log.Debug("an announcement was not heard, and is tried again", "room", m.ID(), "err", err)
				continue
			}
			if who != "" {
				told[who] = true
				continue
			}
			for _, id := range fresh {
				told[id] = true
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
