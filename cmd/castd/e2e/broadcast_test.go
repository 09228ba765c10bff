package e2e_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestChain sends a file through five peers, each of which may feed one other: what the last one writes is what was sent.
func TestChain(t *testing.T) {
	file := clip(t, "clip.webm", 6)
	o := origin(t, "--max-children", "1")
	var last *process
	out := inTemp(t, "copy.webm")
	for i := 1; i <= 4; i++ {
		flags := []string{"--max-children", "1", "--until-end"}
		if i == 4 {
			flags = append(flags, "--out", out)
		}
		last = audience(t, fmt.Sprintf("listener %d", i), o, flags...)
	}
	if d := last.wait("parent", 1, is("joined")).number("depth"); d < 2 {
		t.Errorf("the last one is at depth %v: this is no chain", d)
	}
	if _, errs, code := castd(t, "publish", "lobby", file, "--data-dir", o.dir, "--json"); code != 0 {
		t.Fatalf("publish ended with %d: %s", code, errs)
	}
	if code := last.exit(); code != 0 {
		t.Fatalf("listen ended with %d", code)
	}
	same(t, out, file, "v")
	same(t, out, file, "a")
	decodes(t, out)
	for _, kind := range []string{"audio", "video"} {
		last.wait(kind+" that begins", 1, is("stream", "kind", kind, "state", "live"))
		last.wait(kind+" that ends", 1, is("stream", "kind", kind, "state", "ended"))
	}
	if gaps := last.seen(is("gap")); len(gaps) > 0 {
		t.Logf("there were gaps: %v", gaps)
	}
}

// TestPublishFromItsOwnPeer: who publishes from another data folder of the owner's user is a peer like any other.
func TestPublishFromItsOwnPeer(t *testing.T) {
	file := clip(t, "clip.ogg", 3)
	o := origin(t)
	key := inTemp(t, "me.key")
	if _, errs, code := castd(t, "id", "export", key, "--data-dir", o.dir); code != 0 {
		t.Fatalf("export: %d %s", code, errs)
	}
	out := inTemp(t, "copy.ogg")
	l := audience(t, "listener", o, "--until-end", "--out", out)
	dir := folder(t)
	if _, errs, code := castd(t, "id", "import", key, "--data-dir", dir); code != 0 {
		t.Fatalf("import: %d %s", code, errs)
	}
	p := spawn(t, "publisher", dir, append([]string{"publish", "lobby", file, "--bootstrap", o.address()}, free(dir)...)...)
	if code := p.exit(); code != 0 {
		t.Fatalf("publish ended with %d", code)
	}
	if code := l.exit(); code != 0 {
		t.Fatalf("listen ended with %d", code)
	}
	same(t, out, file, "a")
}

// TestListenToStandardOutput writes Ogg to a pipe, and events to standard error.
func TestListenToStandardOutput(t *testing.T) {
	file := clip(t, "clip.ogg", 3)
	o := origin(t)
	dir := folder(t)
	cmd := exec.Command(binary(), append([]string{"listen", "lobby", "--bootstrap", o.address(), "--until-end", "--out", "-"}, free(dir)...)...)
	cmd.Env = environment()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	o.wait("listener", 1, is("peer"))
	if _, errs, code := castd(t, "publish", "lobby", file, "--data-dir", o.dir); code != 0 {
		t.Fatalf("publish ended with %d: %s", code, errs)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	if !strings.Contains(stderr.String(), `{"event":"ready"`) {
		t.Errorf("no ready line on standard error: %s", stderr.String())
	}
	path := inTemp(t, "pipe.ogg")
	if err := os.WriteFile(path, stdout.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	same(t, path, file, "a")
}

// TestCutFile: what a damaged file holds before the damage arrives, and the error tells file, place and reason.
func TestCutFile(t *testing.T) {
	whole := clip(t, "clip.webm", 4)
	data, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	cut := inTemp(t, "cut.webm")
	if err := os.WriteFile(cut, data[:len(data)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	o := origin(t)
	out := inTemp(t, "copy.webm")
	l := audience(t, "listener", o, "--until-end", "--out", out)
	_, errs, code := castd(t, "publish", "lobby", cut, "--data-dir", o.dir)
	if code != 1 || !strings.Contains(errs, cut) || !strings.Contains(errs, "at byte ") {
		t.Errorf("exit code %d: %s", code, errs)
	}
	if code := l.exit(); code != 0 {
		t.Errorf("listen ended with %d", code)
	}
	got, want := packets(t, out, "v"), packets(t, whole, "v")
	if len(got) < len(want)/3 || len(got) >= len(want) {
		t.Errorf("%d of %d pictures arrived", len(got), len(want))
	}
}
