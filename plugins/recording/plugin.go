package recording

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"time"

	"github.com/castd/castd/plugins/sdk"
)

// Serve runs the plugin, and ends the process.
func Serve() { sdk.Serve(new(plugin)) }

// Describe says what the plugin is, for castd, which starts itself as it.
func Describe() sdk.Description { return new(plugin).Describe() }

// plugin is what castd attends rooms with: as long as it does, they are recorded.
type plugin struct {
	host   *sdk.Host
	folder string

	mu       sync.Mutex // guards what follows
	problems map[string]string
	segments uint64
	lost     uint64
	dropped  uint64
}

// Describe implements sdk.Plugin.
func (p *plugin) Describe() sdk.Description {
	return sdk.Description{
		Name: Name, Version: "1.0.0", Summary: "Records rooms",
		Permissions: []string{sdk.PermissionRooms, sdk.PermissionAudio, sdk.PermissionVideo, sdk.PermissionChat, sdk.PermissionNotify},
	}
}

// Configure implements sdk.Configurer.
func (p *plugin) Configure(_ context.Context, c *sdk.Config) error {
	p.host, p.folder, p.problems = c.Host, c.Folder, make(map[string]string)
	return nil
}

// Health implements sdk.HealthChecker.
func (p *plugin) Health(context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, id := range sortedKeys(p.problems) {
		return errors.New(p.problems[id])
	}
	return nil
}

// Metrics implements sdk.Measurer.
func (p *plugin) Metrics(context.Context) []sdk.Metric {
	p.mu.Lock()
	defer p.mu.Unlock()
	return []sdk.Metric{
		{Name: "segments_total", Help: "Files begun.", Value: float64(p.segments)},
		{Name: "lost_packets_total", Help: "Packets that never came.", Value: float64(p.lost)},
		{Name: "late_packets_total", Help: "Packets that came too late, or while the disk did not keep up.", Value: float64(p.dropped)},
	}
}

const (
	tickEvery = 100 * time.Millisecond
	// drainTime is how long a recording that ends waits for the disk.
	drainTime = 8 * time.Second
)

// Attend implements sdk.Sink: it records the room.
func (p *plugin) Attend(ctx context.Context, room *sdk.Room) error {
	text, found, err := p.host.Get(ctx, Key(room.ID))
	if err != nil {
		return err
	}
	if !found {
		return nil // it is not to be recorded any more
	}
	o, err := ParseOptions(text)
	if err != nil {
		return err
	}
	before := readManifest(filepath.Join(p.folder, o.Folder, ManifestName))
	if before != nil && before.State == StateEnded {
		return nil
	}
	sp := newSpool(systemDisk{p.folder}, time.Now)
	defer sp.close()
	s := newSession(&room.RoomInfo, o, before, sp, rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())), time.Now())
	segments, tracks := numbers(filepath.Join(p.folder, o.Folder))
	s.number, s.trackNumber = max(s.number, segments), max(s.trackNumber, tracks)
	want := sdk.Want{Audio: sdk.Opus, Video: sdk.RTP, Backlog: true, Talking: true, Chat: true}
	if o.Tracks {
		want.Voices = sdk.Opus
	}
	s.refresh = func() {
		if err := room.Want(want); err != nil {
			slog.Debug("key frames cannot be asked for", "err", err)
		}
	}
	s.notify = func(text string) { p.tell(ctx, room.ID, s.problem, text) }
	if err := room.Want(want); err != nil {
		return err
	}
	slog.Info("recording", "room", room.Name, "folder", o.Folder, "resumed", before != nil)
	go prune(p.folder, o)
	err = p.record(room, s)
	s.finish(time.Now())
	p.drain(s)
	p.tell(context.WithoutCancel(ctx), room.ID, "", "")
	slog.Info("recorded", "room", room.Name, "folder", o.Folder, "lost", s.manifest.Lost, "dropped", s.manifest.Dropped)
	prune(p.folder, o)
	return err
}

// record feeds the session until castd leaves the room.
func (p *plugin) record(room *sdk.Room, s *session) error {
	type next struct {
		batch *sdk.Batch
		err   error
	}
	batches, taken := make(chan next), make(chan struct{})
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		for {
			b, err := room.Next()
			select {
			case batches <- next{b, err}:
			case <-ended:
				return
			}
			if err != nil {
				return
			}
			<-taken
		}
	}()
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	for {
		select {
		case n := <-batches:
			if errors.Is(n.err, io.EOF) {
				return nil
			}
			if n.err != nil {
				return n.err
			}
			s.batch(n.batch)
			taken <- struct{}{}
		case now := <-tick.C:
			s.tick(now)
			p.count(s)
		}
	}
}

// count adds up what the session has counted.
func (p *plugin) count(s *session) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.segments += uint64(s.number) - s.told.segments
	p.lost += s.manifest.Lost - s.told.lost
	p.dropped += s.manifest.Dropped - s.told.dropped
	s.told.segments, s.told.lost, s.told.dropped = uint64(s.number), s.manifest.Lost, s.manifest.Dropped
}

// drain waits until all is on the disk, and has the manifest say so.
func (p *plugin) drain(s *session) {
	for end := time.Now().Add(drainTime); !s.finished() && time.Now().Before(end); {
		time.Sleep(5 * time.Millisecond)
	}
	s.writeManifest(time.Now(), true)
	s.spool.close()
	select {
	case <-s.spool.done:
	case <-time.After(drainTime):
	}
}

// tell notes what is wrong with the recording of a room, "" for nothing, and shows a text to the operator.
func (p *plugin) tell(ctx context.Context, room, problem, text string) {
	p.mu.Lock()
	if problem == "" {
		delete(p.problems, room)
	} else {
		p.problems[room] = problem
	}
	p.mu.Unlock()
	if text == "" {
		return
	}
	go func() { // castd may be slow to answer, and media comes
		if err := p.host.Notify(ctx, room, text); err != nil {
			slog.Warn("a notice could not be shown", "notice", text, "err", err)
		}
	}()
}

// readManifest reads the manifest of a recording that was interrupted; nil where there is none that can be read.
func readManifest(path string) *Manifest {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	m, err := ParseManifest(text)
	if err != nil {
		slog.Warn("a manifest cannot be read, and another one is begun", "err", err)
		_ = os.Rename(path, path+fmt.Sprintf(".damaged-%d", time.Now().Unix()))
		return nil
	}
	return m
}

// End has the manifest of a recording that was interrupted say that it has ended, when nobody goes on with it.
func End(folder string, now time.Time) error {
	path := filepath.Join(folder, ManifestName)
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("end recording: %w", err)
	}
	m, err := ParseManifest(text)
	if err != nil {
		return err
	}
	m.crashed()
	m.State, m.Ended, m.Problem = StateEnded, stamp(now), ""
	if text, err = json.MarshalIndent(m, "", " "); err != nil {
		return fmt.Errorf("end recording: %w", err)
	}
	return systemDisk{folder}.replace(ManifestName, append(text, '\n'))
}

var (
	segmentPattern = regexp.MustCompile(`^(mix|room)(?:-([0-9]{3,}))?\.(ogg|mkv)$`)
	trackPattern   = regexp.MustCompile(`^([0-9]{3,})-[a-z0-9]+\.(ogg|mkv)$`)
)

// numbers returns the highest numbers of files that are there: none is written over.
func numbers(folder string) (segments, tracks int) {
	entries, _ := os.ReadDir(folder) // where there is none yet there is nothing
	for _, e := range entries {
		if m := segmentPattern.FindStringSubmatch(e.Name()); m != nil {
			n := 1
			if m[2] != "" {
				n, _ = strconv.Atoi(m[2]) // digits
			}
			segments = max(segments, n)
		}
	}
	entries, _ = os.ReadDir(filepath.Join(folder, "tracks"))
	for _, e := range entries {
		if m := trackPattern.FindStringSubmatch(e.Name()); m != nil {
			n, _ := strconv.Atoi(m[1])
			tracks = max(tracks, n)
		}
	}
	return segments, tracks
}
