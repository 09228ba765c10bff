package e2e_test

import (
	"os"
	"strings"
	"testing"
	"time"
)

// TestThroughTheRunningPeer listens and publishes by the socket of the data folder's peer, in two other processes.
func TestThroughTheRunningPeer(t *testing.T) {
	file := clip(t, "clip.webm", 3)
	o := origin(t)
	out := inTemp(t, "copy.mkv")
	l := spawn(t, "listen", "", "listen", "lobby", "--data-dir", o.dir, "--json", "--out", out, "--until-end")
	if peer := l.ready().text("peer"); peer != o.ready().text("peer") {
		t.Errorf("another peer listens: %s", peer)
	}
	time.Sleep(time.Second) // the ready line comes before the recording; processes have no fake clock
	if _, errs, code := castd(t, "publish", "lobby", file, "--data-dir", o.dir); code != 0 {
		t.Fatalf("publish ended with %d: %s", code, errs)
	}
	if code := l.exit(); code != 0 {
		t.Fatalf("listen ended with %d", code)
	}
	same(t, out, file, "a")
	same(t, out, file, "v")
	if _, errs, code := castd(t, "publish", "attic", file, "--data-dir", o.dir, "--wait", "500ms"); code != 3 {
		t.Errorf("publish to a room that is not there: %d %s", code, errs)
	}
}

// TestLoop sends a file again and again until it is stopped; its slot stays the same.
func TestLoop(t *testing.T) {
	file := clip(t, "clip.ogg", 1)
	o := origin(t)
	out := inTemp(t, "copy.ogg")
	l := audience(t, "listener", o, "--out", out, "--until-end")
	p := spawn(t, "publish", "", "publish", "lobby", file, "--loop", "--data-dir", o.dir, "--json")
	l.wait("audio", 1, is("stream", "kind", "audio", "state", "live"))
	time.Sleep(3500 * time.Millisecond) // three rounds and a half
	if code, took := p.stop(); code != 0 || took > 3*time.Second {
		t.Errorf("publish ended with %d after %v", code, took)
	}
	if code := l.exit(); code != 0 {
		t.Errorf("listen ended with %d", code)
	}
	got, round := packets(t, out, "a"), packets(t, file, "a")
	if len(got) < 2*len(round) {
		t.Fatalf("%d packets of rounds of %d", len(got), len(round))
	}
	for i, sum := range got {
		if sum != round[i%len(round)] {
			t.Fatalf("packet %d is not that of the file", i)
		}
	}
	if n := len(l.seen(is("stream", "state", "live"))); n != 1 {
		t.Errorf("%d streams began", n)
	}
}

// TestFullDisk: a recording that finds no room says so once; the peer goes on, and its exit code tells.
func TestFullDisk(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("there is no /dev/full here")
	}
	file := clip(t, "clip.ogg", 3)
	o := origin(t)
	out := inTemp(t, "full.ogg")
	if err := os.Symlink("/dev/full", out); err != nil {
		t.Fatal(err)
	}
	l := audience(t, "listener", o, "--out", out, "--until-end")
	if _, errs, code := castd(t, "publish", "lobby", file, "--data-dir", o.dir); code != 0 {
		t.Fatalf("publish ended with %d: %s", code, errs)
	}
	if code := l.exit(); code != 1 || !strings.Contains(l.stderr(), "full") {
		t.Errorf("listen ended with %d", code)
	}
	if n := len(l.seen(is("error", "code", "disk_full"))); n != 1 {
		t.Errorf("told %d times", n)
	}
	l.wait("the end", 1, is("stream", "state", "ended"))
}
