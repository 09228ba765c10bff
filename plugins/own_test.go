//go:build linux

package plugins

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/wire"
	"github.com/castd/castd/plugins/recording"
)

// record has a host record its room.
func (h *testHost) record(dir string, tracks bool) (folder string) {
	h.t.Helper()
	folder = "lobby/2026-01-02_03-04-05"
	text, err := json.Marshal(recording.Options{Folder: folder, Tracks: tracks})
	if err != nil {
		h.t.Fatal(err)
	}
	room := string(h.service.media.ID())
	if err := errors.Join(h.Values(recording.Name).Put(recording.Key(room), text), h.NeedOwn(recording.Name, room, true)); err != nil {
		h.t.Fatal(err)
	}
	return filepath.Join(dir, folder)
}

// newOwnHost is a testHost with the plugin that records as its own.
func newOwnHost(t testing.TB) (h *testHost, dir string) {
	h = newTestHost(t)
	dir = t.TempDir()
	o := Own{Description: recording.Describe(), Arg: "be-" + recording.Name, Folder: dir}
	h.own = append(h.own, &ownPlugin{Own: o, host: h.Host, rooms: make(map[string]bool)})
	return h, dir
}

// TestOwnPlugin starts this program as a plugin of its own when it is needed, restarts it, and ends it.
func TestOwnPlugin(t *testing.T) {
	h, dir := newOwnHost(t)
	room := string(h.service.media.ID())
	if err := h.NeedOwn(recording.Name, room, true); err == nil {
		t.Error("it can be started before the host")
	}
	h.start()
	if all, err := h.Status(); err != nil || len(all) > 0 || h.OwnRuns(recording.Name) {
		t.Errorf("it runs before it is needed: %v, %v", all, err)
	}
	go h.service.media.play(t.Context())
	folder := h.record(dir, false)
	s := h.running(recording.Name)
	segments := func(n int) func() bool {
		return func() bool {
			text, err := os.ReadFile(filepath.Join(folder, recording.ManifestName))
			if err != nil {
				return false
			}
			m, err := recording.ParseManifest(text)
			return err == nil && len(m.Segments) >= n
		}
	}
	waitFor(t, "a file", segments(1))
	if err := syscall.Kill(s.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "another file after it was killed", segments(2))
	if err := h.NeedOwn(recording.Name, room, false); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(folder, recording.ManifestName))
	if err != nil || !strings.Contains(string(text), `"state": "ended"`) || !strings.Contains(string(text), `"reason": "crash"`) {
		t.Errorf("manifest %s, %v", text, err)
	}
	if h.OwnRuns(recording.Name) || h.service.media.listeners() != 0 {
		t.Error("it runs although it is not needed any more")
	}
	if err := h.NeedOwn("nothing", room, true); err == nil {
		t.Error("there is a plugin of any name")
	}
}

func waitFor(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("there is not %s", what)
		}
	}
}

// TestRecordingCost records 100 streams of sound at once, to one file and to one each, and holds what both processes take. Processor time is
// counted, which a busy machine stretches a little.
func TestRecordingCost(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes seconds")
	}
	const tracks = 100
	h, dir := newOwnHost(t)
	media := &manyMedia{testMedia: h.service.media}
	for i := range tracks {
		media.streams = append(media.streams, &engine.StreamState{ID: wire.StreamID(i + 1), Kind: wire.KindAudio, Codec: "opus", ClockRate: 48000, Live: true})
	}
	if err := h.Start(&manyService{h.service, media}, func(engine.Event) {}); err != nil {
		t.Fatal(err)
	}
	folder := h.record(dir, true)
	pid := h.running(recording.Name).PID
	waitFor(t, "a listener", func() bool { return media.listeners() > 0 })
	sink := media.sinks[0].sink
	p := &engine.Packet{Payload: make([]byte, 100)}
	p.Payload[0] = 31 << 3
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	number := uint64(0)
	seconds := func(n int) {
		for range 50 * n {
			<-tick.C
			for _, st := range media.streams {
				p.Stream, p.Header = st, wire.Header{Kind: wire.KindAudio, Number: number, Timestamp: uint32(number * 960), Level: 30}
				sink.WritePacket(p)
			}
			number++
		}
	}
	seconds(3)
	var before, after syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &before)
	plugin, began, length := processTime(t, pid), time.Now(), 5
	seconds(length)
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &after)
	wall := time.Since(began)
	host := time.Duration(after.Utime.Nano() - before.Utime.Nano() + after.Stime.Nano() - before.Stime.Nano())
	plugin = processTime(t, pid) - plugin
	share := func(d time.Duration) float64 { return 100 * d.Seconds() / float64(length) / tracks }
	t.Logf("%d tracks for %v: %.3f %% of a core for each on castd's side, %.3f %% in the recorder; dropped %d", tracks, wall, share(host), share(plugin), h.running(recording.Name).Dropped)
	if all := share(host) + share(plugin); all > 0.9 { // 0.3 is wanted of a machine with nothing else to do
		t.Errorf("%.2f %% of a core for each track", all)
	}
	if err := h.NeedOwn(recording.Name, string(h.service.media.ID()), false); err != nil {
		t.Fatal(err)
	}
	all, _ := filepath.Glob(filepath.Join(folder, "tracks", "*.ogg"))
	if len(all) != tracks {
		t.Errorf("%d files of tracks", len(all))
	}
}
