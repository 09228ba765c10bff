package store

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	made := func(t *testing.T) string {
		dir := t.TempDir()
		s, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return dir
	}
	for _, tt := range []struct {
		name   string
		change func(t *testing.T, dir string) string // returns the folder to check
		want   string                                // in the only finding; "": none
		fatal  bool
	}{
		{"running", func(_ *testing.T, dir string) string { return dir }, "", false},
		{"not there", func(_ *testing.T, dir string) string { return filepath.Join(dir, "a", "b") }, "", false},
		{"file", func(_ *testing.T, dir string) string { return filepath.Join(dir, deviceKeyName) }, "names a folder", true},
		{"below a file", func(_ *testing.T, dir string) string { return filepath.Join(dir, deviceKeyName, "x") }, "--data-dir", true},
		{"open key", func(t *testing.T, dir string) string {
			if err := os.Chmod(filepath.Join(dir, userKeyName), 0o644); err != nil {
				t.Fatal(err)
			}
			return dir
		}, "chmod 600", false},
		{"empty key", func(t *testing.T, dir string) string {
			if err := os.Truncate(filepath.Join(dir, userKeyName), 0); err != nil {
				t.Fatal(err)
			}
			return dir
		}, "empty", true},
		{"open folder", func(t *testing.T, dir string) string {
			if err := os.Chmod(dir, 0o777); err != nil {
				t.Fatal(err)
			}
			return dir
		}, "chmod 700", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if runtime.GOOS == "windows" && strings.Contains(tt.want, "chmod") {
				t.Skip("rights are not in the mode here")
			}
			got := Check(tt.change(t, made(t)))
			switch {
			case tt.want == "":
				if len(got) != 0 {
					t.Errorf("%+v", got)
				}
			case len(got) != 1 || !strings.Contains(got[0].Message, tt.want) || got[0].Fatal != tt.fatal:
				t.Errorf("%+v, want %q", got, tt.want)
			}
		})
	}
	// What was checked is left as it was.
	dir := made(t)
	before, _ := os.ReadDir(dir)
	Check(dir)
	if after, _ := os.ReadDir(dir); len(after) != len(before) {
		t.Errorf("%d files became %d", len(before), len(after))
	}
}
