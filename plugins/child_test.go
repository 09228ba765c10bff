package plugins

import (
	"io"
	"strings"
	"testing"
	"time"
)

// TestLastWords: how a process ended is told with what it printed at last, also where that is read a little later.
func TestLastWords(t *testing.T) {
	said := &tail{}
	dir := t.TempDir()
	c := &child{program: "/bin/sh", args: []string{"-c", "echo no licence >&2; exit 3"}, env: environment(dir, dir), dir: dir, stderr: said}
	if err := c.launch(); err != nil {
		t.Fatal(err)
	}
	<-c.exited
	go func() {
		time.Sleep(20 * time.Millisecond)
		_, _ = io.Copy(io.Discard, c.err)
	}()
	if s := c.ending() + said.quote(); !strings.Contains(s, "no licence") {
		t.Errorf("it ended with %s", s)
	}
}
