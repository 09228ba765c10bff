//go:build linux

package plugins

import (
	"context"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestTalkativePlugin: who says more than castd takes, without end or in messages without bounds, costs the room nothing, and castd little
// memory; all else of it goes on.
func TestTalkativePlugin(t *testing.T) {
	h := newTestHost(t)
	h.install("flooding", Change{Grant: []string{"rooms", "audio", "send"}, Set: []string{"do=flood"}})
	h.install("huge", Change{Grant: []string{"rooms", "audio", "send"}, Set: []string{"do=huge"}})
	h.start()
	h.running("flooding")
	h.running("huge")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	go h.service.media.play(ctx)
	h.said("flooding", "packet 1 ")
	began := time.Now()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	counters := h.supervisors()[0].counters
	s := h.wait("flooding", "refused", func(Status) bool { return counters.refused.Load() > 3*messagesASecond })
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapInuse) - int64(before.HeapInuse); grown > 64<<20 {
		t.Errorf("memory has grown by %d MiB", grown>>20)
	}
	if s.Restarts > 0 {
		t.Errorf("it was ended: %+v", s)
	}
	refused := counters.refused.Load()
	seconds := uint64(time.Since(began)/time.Second) + 10
	t.Logf("%d packets were refused within %d s", refused, seconds)
	if refused > seconds*messagesASecond {
		t.Errorf("%d packets were refused within %d s", refused, seconds)
	}
	if late := time.Duration(h.service.media.late.Load()); late > 200*time.Millisecond {
		t.Errorf("the room waited for %v", late)
	}
	if !strings.Contains(h.logs.String(), "larger than max") {
		t.Error("of the messages that are too long nothing is said")
	}
}

// TestRoomIsNeverLate: while plugins are killed, stopped, leak and flood, what the room gives to the others is not late, and each is back soon.
func TestRoomIsNeverLate(t *testing.T) {
	h := newTestHost(t)
	all := []string{"rooms", "audio", "video", "send"}
	h.install("good", Change{Grant: all, Set: []string{"do=count"}})
	h.install("killed", Change{Grant: all, Set: []string{"do=count"}})
	h.install("stopped", Change{Grant: all, Set: []string{"do=count"}})
	h.install("leaking", Change{Grant: all, Set: []string{"do=eat"}})
	h.install("flooding", Change{Grant: all, Set: []string{"do=flood"}})
	h.start()
	h.running("good")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	go h.service.media.play(ctx)
	h.wait("good", "given packets", func(s Status) bool { return s.Packets > 50 })
	back := map[string][]time.Duration{}
	for range 3 {
		for name, signal := range map[string]syscall.Signal{"killed": syscall.SIGKILL, "stopped": syscall.SIGSTOP} {
			first := h.running(name)
			began := time.Now()
			if err := syscall.Kill(first.PID, signal); err != nil {
				t.Fatal(err)
			}
			h.wait(name, "running again", func(s Status) bool { return s.State == StateRunning && s.PID != first.PID })
			back[name] = append(back[name], time.Since(began).Round(time.Millisecond))
		}
	}
	h.wait("leaking", "ended", func(s Status) bool { return s.Restarts > 0 })
	if good := h.running("good"); good.Restarts > 0 {
		t.Errorf("one that is well is ended: %+v", good)
	}
	late := time.Duration(h.service.media.late.Load())
	t.Logf("back after %v; the longest that the room waited is %v", back, late)
	if late > 200*time.Millisecond {
		t.Errorf("the room waited for %v", late)
	}
}

// TestNetworkIsNotKept: where there can be no namespace, that a plugin has the network is said.
func TestNetworkIsNotKept(t *testing.T) {
	h := newTestHost(t)
	h.shared = true
	h.install("good", Change{})
	h.install("trusted", Change{Grant: []string{"network"}})
	h.start()
	s := h.running("good")
	if !strings.Contains(s.Hint, "without having been granted the network") || !strings.Contains(s.Hint, "sysctl") || slices.Contains(s.Confinement, "no network") {
		t.Errorf("status %+v", s)
	}
	if s := h.running("trusted"); s.Hint != "" {
		t.Errorf("status %+v", s)
	}
}
