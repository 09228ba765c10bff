//go:build linux

package plugins

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/castd/castd/engine"
)

// patience is how long tests wait for what should come at once: the machine may be busy.
const patience = 60 * time.Second

// programFile links this program under the name of a plugin.
func programFile(t testing.TB, name string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), filePrefix+name)
	if err := os.Link(self, path); err != nil { // another file system
		if _, err := copyProgram(self, path); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

// testHost runs plugins in a folder of its own.
type testHost struct {
	*Host
	t       testing.TB
	service *testService
	logs    *lockedBuffer
	notices chan engine.Event
}

type lockedBuffer struct {
	mu sync.Mutex
	strings.Builder
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Builder.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Builder.String()
}

func newTestHost(t testing.TB) *testHost {
	h := &testHost{t: t, service: newTestService(), logs: &lockedBuffer{}, notices: make(chan engine.Event, 100)}
	h.Host = NewHost(Config{
		Store: OpenStore(t.TempDir()), Version: "test", Log: slog.New(slog.NewTextHandler(io.MultiWriter(h.logs), &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		h.Close(ctx)
		if t.Failed() {
			t.Logf("log:\n%s", h.logs)
		}
	})
	return h
}

func (h *testHost) install(name string, c Change) {
	h.t.Helper()
	if _, err := h.store.Install(h.t.Context(), programFile(h.t, name), "", c); err != nil {
		h.t.Fatal(err)
	}
}

func (h *testHost) start() {
	h.t.Helper()
	if err := h.Start(h.service, func(ev engine.Event) { h.notices <- ev }); err != nil {
		h.t.Fatal(err)
	}
}

// wait waits until a plugin's status is as wanted.
func (h *testHost) wait(name, what string, ok func(Status) bool) Status {
	h.t.Helper()
	var last Status
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		all, err := h.Status()
		if err != nil {
			h.t.Fatal(err)
		}
		for _, s := range all {
			if last = s; s.Name == name && ok(s) {
				return s
			}
		}
	}
	h.t.Fatalf("the plugin %s is not %s: %+v", name, what, last)
	return last
}

func (h *testHost) running(name string) Status {
	h.t.Helper()
	return h.wait(name, StateRunning, func(s Status) bool { return s.State == StateRunning })
}

// said waits until the plugin has said a line that begins so, and returns all that it said.
func (h *testHost) said(name, prefix string) string {
	h.t.Helper()
	var text []byte
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		text, _ = os.ReadFile(filepath.Join(h.store.folder(name), "log"))
		if strings.Contains("\n"+string(text), "\n"+prefix) {
			return string(text)
		}
	}
	h.t.Fatalf("the plugin never said %q:\n%s", prefix, text)
	return ""
}

func TestSink(t *testing.T) {
	h := newTestHost(t)
	h.install("good", Change{Grant: []string{"rooms", "audio"}})
	h.start()
	h.running("good")
	go h.service.media.play(t.Context())
	h.service.events <- engine.Event{Event: "peer", Room: string(h.service.media.ID())}
	h.said("good", "attend lobby broadcast")
	h.said("good", "stream 1 audio opus live true")
	h.said("good", "event peer")
	text := h.said("good", "packet 1 50 48000 100")
	if strings.Contains(text, "packet 2") {
		t.Error("it gets pictures that were not granted")
	}
	if s := h.wait("good", "told what it lacks", func(s Status) bool { return s.Problem != "" }); !strings.Contains(s.Problem, "--grant video") {
		t.Errorf("problem %q", s.Problem)
	}
	for _, want := range []string{"printed after the handshake", "plugin: configured"} {
		if !strings.Contains(h.logs.String(), want) {
			t.Errorf("the log has no %q", want)
		}
	}
	if err := h.store.Disable("good"); err != nil {
		t.Fatal(err)
	}
	if err := h.Reload(); err != nil {
		t.Fatal(err)
	}
	text = h.said("good", "stopped")
	if !strings.Contains(text, "packets: true") {
		t.Errorf("it did not leave the room in order:\n%s", text)
	}
	if n := h.service.media.listeners(); n != 0 {
		t.Errorf("%d sinks are left", n)
	}
	if left, err := os.ReadDir(h.store.runDir()); err != nil || len(left) > 0 {
		t.Errorf("left in the folder of copies: %v %v", left, err)
	}
}

func TestSlowPluginLosesBatches(t *testing.T) {
	h := newTestHost(t)
	h.install("slow", Change{Grant: []string{"rooms", "audio", "video"}, Set: []string{"do=slow"}})
	h.start()
	h.running("slow")
	go h.service.media.play(t.Context())
	h.said("slow", "gap ")
	s := h.running("slow")
	if s.Dropped == 0 {
		t.Errorf("status %+v", s)
	}
	if late := time.Duration(h.service.media.late.Load()); late > 200*time.Millisecond {
		t.Errorf("the room waited for %v", late)
	}
}

func TestRestart(t *testing.T) {
	h := newTestHost(t)
	h.install("killed", Change{Grant: []string{"rooms", "audio", "video"}})
	h.start()
	first := h.running("killed")
	go h.service.media.play(t.Context())
	h.said("killed", "packet ")
	if err := syscall.Kill(first.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	h.wait("killed", "running again", func(s Status) bool { return s.State == StateRunning && s.PID != first.PID })
	t.Logf("runs again after %v", time.Since(began))
	h.said("killed", "configured epoch 1")
	if s := h.running("killed"); s.Restarts != 1 {
		t.Errorf("status %+v", s)
	}
}

func TestHungPluginIsEnded(t *testing.T) {
	h := newTestHost(t)
	h.install("hung", Change{Grant: []string{"rooms", "audio"}, Set: []string{"do=hang"}})
	h.start()
	first := h.running("hung")
	go h.service.media.play(t.Context())
	began := time.Now()
	h.wait("hung", "running again", func(s Status) bool { return s.State == StateRunning && s.PID != first.PID })
	t.Logf("runs again after %v", time.Since(began))
	if s := h.wait("hung", "restarted", func(s Status) bool { return s.Restarts > 0 }); s.Restarts == 0 {
		t.Errorf("status %+v", s)
	}
}

func TestLeakingPluginIsEnded(t *testing.T) {
	h := newTestHost(t)
	h.install("leaking", Change{Set: []string{"do=eat"}})
	h.start()
	s := h.wait("leaking", "ended", func(s Status) bool { return s.Restarts > 0 && s.Problem != "" })
	if !strings.Contains(s.Problem, "memory") {
		t.Errorf("problem %q", s.Problem)
	}
}

func TestBreaker(t *testing.T) {
	h := newTestHost(t)
	h.install("raw-dying", Change{})
	h.start()
	s := h.wait("raw-dying", StateFailed, func(s Status) bool { return s.State == StateFailed })
	if s.Restarts != breakerRuns || !strings.Contains(s.Problem, "no licence") || !strings.Contains(s.Problem, "castd plugin enable raw-dying") {
		t.Errorf("status %+v", s)
	}
	if ev := <-h.notices; ev.Event != "error" || ev.Message != s.Problem {
		t.Errorf("event %+v", ev)
	}
}

// TestBadPlugins holds the sentence for each way in which a plugin does not start.
func TestBadPlugins(t *testing.T) {
	tests := []struct {
		name   string
		change Change
		want   []string
	}{
		{"raw-silent", Change{}, []string{"did not answer within", "castd plugin run"}},
		{"raw-noise", Change{}, []string{`printed "starting up, please wait" on standard output`, "standard error"}},
		{"raw-old", Change{}, []string{"another version of the protocol"}},
		{"raw-netrpc", Change{}, []string{"net/rpc", "gRPC"}},
		{"raw-garbage", Change{}, []string{"raw-garbage does not say what it is", "castd plugin test"}},
		{"raw-goodbye", Change{}, []string{"raw-goodbye does not say what it is", "castd plugin test"}},
		{"picky", Change{Set: []string{"do=refuse"}}, []string{"refuses its configuration", "write something else", "castd plugin enable picky --set"}},
		{"swapped", Change{}, []string{"is not what was installed", "castd plugin install"}},
		{"gone", Change{}, []string{"is gone", "castd plugin remove gone"}},
		{"rigid", Change{}, []string{"not executable", "chmod"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := newTestHost(t)
			h.startTime = 3 * time.Second
			h.install(tt.name, tt.change)
			path := h.store.program(tt.name)
			switch tt.name {
			case "swapped":
				os.Remove(path)
				if err := os.WriteFile(path, []byte("#!/bin/sh\n"), 0o700); err != nil {
					t.Fatal(err)
				}
			case "gone":
				os.Remove(path)
			case "rigid":
				os.Chmod(path, 0o400)
			}
			h.start()
			s := h.wait(tt.name, "in trouble", func(s Status) bool { return s.Problem != "" })
			for _, w := range tt.want {
				if !strings.Contains(s.Problem, w) {
					t.Errorf("problem %q has no %q", s.Problem, w)
				}
			}
			if strings.Contains(s.Problem, "\n") {
				t.Errorf("problem %q has several lines", s.Problem)
			}
		})
	}
}

func TestInstallRefuses(t *testing.T) {
	script := func(text string, mode os.FileMode) func(t *testing.T) string {
		return func(t *testing.T) string {
			path := filepath.Join(t.TempDir(), "castd-plugin-x")
			if err := os.WriteFile(path, []byte(text), mode); err != nil {
				t.Fatal(err)
			}
			return path
		}
	}
	program := func(name string) func(t *testing.T) string {
		return func(t *testing.T) string { return programFile(t, name) }
	}
	tests := []struct {
		name   string
		path   func(t *testing.T) string
		sum    string
		change Change
		want   []string
	}{
		{"missing", func(*testing.T) string { return "/nowhere/castd-plugin-x" }, "", Change{}, []string{"there is no file"}},
		{"folder", func(t *testing.T) string { return t.TempDir() }, "", Change{}, []string{"is no file"}},
		{"not executable", script("#!/bin/sh\n", 0o600), "", Change{}, []string{"not executable", "chmod +x"}},
		{"wrong checksum", program("good"), strings.Repeat("0", 64), Change{}, []string{"SHA-256", "get it again"}},
		{"no program", script("\x7fELF nothing", 0o700), "", Change{}, []string{"no program for this machine"}},
		{"no interpreter", script("#!/nowhere/node\n", 0o700), "", Change{}, []string{"interpreter"}},
		{"never answers", program("mute-describe"), "", Change{}, []string{"did not describe itself", "is it a plugin"}},
		{"garbage", program("garbage-describe"), "", Change{}, []string{`printed "hello world"`}},
		{"fails", program("failing-describe"), "", Change{}, []string{"exit status 3", "cannot open the codec"}},
		{"broken JSON", script("#!/bin/sh\necho '{\"name\": 3}'\n", 0o700), "", Change{}, []string{"not the JSON that is wanted"}},
		{"newer", program("raw-newer"), "", Change{}, []string{"version 7 of the protocol", "newer castd"}},
		{"another name", program("raw-name"), "", Change{}, []string{`says that it is "other"`, "rename"}},
		{"version", program("raw-version"), "", Change{}, []string{"version", "1.2.3"}},
		{"unknown permission", program("raw-permission"), "", Change{}, []string{`permission "everything"`}},
		{"grants too much", program("raw-plain"), "", Change{Grant: []string{"audio"}}, []string{"asks for no permissions"}},
		{"grants what is not asked", program("good"), "", Change{Grant: []string{"sudo"}}, []string{"does not ask for", "rooms, audio"}},
		{"unknown setting", program("good"), "", Change{Set: []string{"colour=red"}}, []string{"no setting", "count, deep, delay, do"}},
		{"bad setting", program("good"), "", Change{Set: []string{"count=many"}}, []string{"write a number"}},
		{"no value", program("good"), "", Change{Set: []string{"count"}}, []string{"KEY=VALUE"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := OpenStore(t.TempDir())
			_, err := s.Install(t.Context(), tt.path(t), tt.sum, tt.change)
			user, ok := errors.AsType[*engine.UserError](err)
			if !ok {
				t.Fatalf("error %v", err)
			}
			for _, w := range tt.want {
				if !strings.Contains(user.Message, w) {
					t.Errorf("message %q has no %q", user.Message, w)
				}
			}
			list, err := s.List()
			if err != nil || len(list) > 0 {
				t.Errorf("installed: %v %v", list, err)
			}
			left, _ := filepath.Glob(filepath.Join(s.dir, ".incoming*"))
			if len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// TestUngranted has a plugin try what it was not granted.
func TestUngranted(t *testing.T) {
	h := newTestHost(t)
	h.install("nosy", Change{Set: []string{"do=try"}})
	h.start()
	text := h.said("nosy", "kill:")
	t.Logf("confined by %s:\n%s", strings.Join(Confinement(), ", "), text)
	for _, what := range []string{"rooms", "notify", "publish"} {
		if !strings.Contains(text, what+": the plugin nosy wants") {
			t.Errorf("%s is not refused", what)
		}
	}
	for _, want := range []string{"put: <nil>", "get value true: <nil>", "keys [key]: <nil>", "put large: rpc error"} {
		if !strings.Contains(text, want) {
			t.Errorf("there is no %q", want)
		}
	}
	if landlockVersion() > 0 {
		for _, what := range []string{"shadow", "home", "write"} {
			if !strings.Contains(text, what+": ") || strings.Contains(text, what+": <nil>") {
				t.Errorf("%s is not refused", what)
			}
		}
	}
	// Where castd may make no namespaces there is a network.
	if isolated := strings.Contains(text, "interfaces 1:"); isolated && strings.Contains(text, "udp: <nil>") {
		t.Error("UDP is not refused")
	} else if landlockVersion() >= 6 && strings.Contains(text, "kill: <nil>") {
		t.Error("signals to castd are not refused")
	}
	var pid, variables int
	if _, err := fmt.Sscanf(text, "configured epoch 0 pid %d env %d", &pid, &variables); err != nil || variables > 20 {
		t.Errorf("%d variables, %v", variables, err)
	}
	s := h.running("nosy")
	if !strings.Contains(s.Problem, "castd plugin enable nosy --grant rooms") {
		t.Errorf("problem %q", s.Problem)
	}
}

func TestSource(t *testing.T) {
	h := newTestHost(t)
	h.install("robot", Change{Grant: []string{"rooms", "send"}, Set: []string{"do=send"}})
	h.start()
	n := 0
	for p := range h.service.media.written {
		if p.Sequence != int64(n) || p.Timestamp != uint32(n*960) || p.Level != 19 || len(p.Payload) != 3 {
			t.Errorf("packet %d: %+v", n, p)
		}
		n++
	}
	if n == 0 {
		t.Error("nothing came")
	}
	h.said("robot", "sent")
}

func TestStopMayTakeLongerThanGoPluginWaits(t *testing.T) {
	h := newTestHost(t)
	h.install("tidy", Change{Grant: []string{"rooms"}, Set: []string{"do=quiet", "delay=3s"}})
	h.start()
	h.running("tidy")
	h.said("tidy", "attend")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	h.Close(ctx)
	h.said("tidy", "stopped")
}

func TestUnwell(t *testing.T) {
	h := newTestHost(t)
	h.install("unwell", Change{Set: []string{"do=unwell"}})
	h.start()
	s := h.wait("unwell", "unwell", func(s Status) bool { return strings.Contains(s.Problem, "nearly full") })
	if s.State != StateRunning {
		t.Errorf("status %+v", s)
	}
}

func TestSamples(t *testing.T) {
	h := newTestHost(t)
	h.install("listener", Change{Grant: []string{"rooms", "audio"}, Set: []string{"do=samples"}})
	h.start()
	h.running("listener")
	go h.service.media.play(t.Context())
	h.said("listener", "packet 1 50 48000 1920")
}

func TestConformance(t *testing.T) {
	for name, want := range map[string][]string{"good": nil, "raw-dying": {"starts, and finishes in time", "answers health and metrics", "starts again after kill -9"}} {
		var failed []string
		_, err := Test(t.Context(), programFile(t, name), Change{}, slog.New(slog.DiscardHandler), func(c Check) {
			t.Logf("%s: %s: %v %s %s %v", name, c.Name, c.OK, c.Problem, c.Skipped, c.Took)
			if !c.OK {
				failed = append(failed, c.Name)
				if c.Problem == "" {
					t.Errorf("%s: no problem is told", c.Name)
				}
			}
		})
		if err != nil {
			t.Error(err)
		}
		for _, w := range want {
			if !slices.Contains(failed, w) {
				t.Errorf("%s passes %q", name, w)
			}
		}
		if len(want) == 0 && len(failed) > 0 && !slices.Equal(failed, []string{"answers health and metrics"}) {
			t.Errorf("%s fails %v", name, failed)
		}
	}
}
