package store

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// After a kill at any instant the folder opens, and no number is given twice or below an earlier one.
func TestKilledProcessNeverGoesBack(t *testing.T) {
	dir := t.TempDir()
	var next, sequence uint64 // first that may be given
	for round := range 20 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), helperVariable+"="+dir)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		kill := 1 + round*37 // lines after which the process dies: within one reserve, and after several
		n := 0
		for lines.Scan() {
			var first, seq uint64
			if c, err := fmt.Sscanf(lines.Text(), "%d %d", &first, &seq); c != 2 || err != nil {
				break // the last line may be torn
			}
			if first < next {
				t.Fatalf("round %d: got %d again, next was %d", round, first, next)
			}
			if seq < sequence {
				t.Fatalf("round %d: sequence %d after %d", round, seq, sequence-1)
			}
			next, sequence = first+1000, seq+1
			if n++; n == kill {
				_ = cmd.Process.Kill()
			}
		}
		_ = cmd.Wait()
		if n < kill {
			t.Fatalf("round %d: the process ended after %d lines", round, n)
		}
	}
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	first, err := s.Reserve("stream", 1)
	if err != nil || first < next {
		t.Fatalf("Reserve = %d, %v; want at least %d", first, err, next)
	}
	if first > next+1000*(Ahead+3) {
		t.Errorf("a crash skipped from %d to %d: more than a reserve", next, first)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	left, err := filepath.Glob(filepath.Join(dir, tempPrefix+"*"))
	if err != nil || len(left) > 0 {
		t.Errorf("temporary files are left: %v %v", left, err)
	}
}

// A second process is refused, and told who has the folder.
func TestSecondProcessIsRefused(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), helperVariable+"="+dir)
	out, err := cmd.CombinedOutput()
	if err == nil {
		t.Fatal("a second process opened the folder")
	}
	want := fmt.Sprintf("castd is already running on this data folder (process %d): stop it, or use another --data-dir", os.Getpid())
	if got := strings.TrimSpace(string(out)); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}
