package store

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// A process that ends without closing the folder is remembered for ten minutes by those after it, and one that closes it is not.
func TestCrashes(t *testing.T) {
	dir := t.TempDir()
	now := time.Unix(1_800_000_000, 0)
	start := func(after time.Duration, want ...time.Duration) (*os.File, []time.Time) {
		t.Helper()
		f, got, err := lockDir(dir, now.Add(after))
		if err != nil {
			t.Fatal(err)
		}
		var ago []time.Duration
		for _, at := range got {
			ago = append(ago, at.Sub(now))
		}
		if !slices.Equal(ago, want) {
			t.Errorf("after %v: crashes at %v, want %v", after, ago, want)
		}
		return f, got
	}
	f, crashes := start(0)
	if err := unlock(f, crashes); err != nil {
		t.Fatal(err)
	}
	f, _ = start(time.Minute)
	f.Close() // as the end of the process does
	f, _ = start(2*time.Minute, 2*time.Minute)
	f.Close()
	f, crashes = start(3*time.Minute, 2*time.Minute, 3*time.Minute)
	if _, _, err := lockDir(dir, now); !isLocked(err, os.Getpid()) {
		t.Errorf("a second process gets %v", err)
	}
	if err := unlock(f, crashes); err != nil {
		t.Fatal(err)
	}
	f, crashes = start(4*time.Minute, 2*time.Minute, 3*time.Minute)
	if err := unlock(f, crashes); err != nil {
		t.Fatal(err)
	}
	f, crashes = start(12*time.Minute+time.Second, 3*time.Minute)
	if err := unlock(f, crashes); err != nil {
		t.Fatal(err)
	}
	f, _ = start(time.Hour)
	f.Close()
}

func isLocked(err error, pid int) bool {
	var l *LockedError
	return errors.As(err, &l) && l.PID == pid
}

// Who crashes in a loop leaves a bounded file, and what is no note says nothing.
func TestCrashesAreBounded(t *testing.T) {
	dir := t.TempDir()
	now := time.Unix(1_800_000_000, 0)
	for i := range 3 * maxCrashes {
		f, crashes, err := lockDir(dir, now.Add(time.Duration(i)*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		if want := min(i, maxCrashes); len(crashes) != want {
			t.Fatalf("start %d: %d crashes, want %d", i, len(crashes), want)
		}
		f.Close()
	}
	for _, text := range []string{"", "\n\n", "nonsense\nmore\n", "-1\n-5\n", strings.Repeat("9", 400) + "\n" + strings.Repeat("8", 90)} {
		if err := os.WriteFile(filepath.Join(dir, lockName), []byte(text), fileMode); err != nil {
			t.Fatal(err)
		}
		f, crashes, err := lockDir(dir, now)
		if err != nil || len(crashes) > 0 {
			t.Errorf("%.20q: %v, %v", text, crashes, err)
		}
		f.Close()
	}
}

func FuzzDecodeNote(f *testing.F) {
	f.Add("123\n1800000000\n")
	f.Add("0\n")
	f.Add("\x00\n-1\n99999999999999999999\n")
	f.Fuzz(func(t *testing.T, text string) {
		n := decodeNote(text)
		if n.pid < 0 || len(n.crashes) > maxCrashes {
			t.Fatalf("%+v", n)
		}
	})
}
