package e2e_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// tool skips a test on a machine that lacks a program; in CI it must be there.
func tool(t *testing.T, name string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		if os.Getenv("CI") == "" {
			t.Skipf("%s is not installed; make test installs it", name)
		}
		t.Fatal(err)
	}
}

// clip makes a media file of test pictures and a tone: VP8 with a key frame each second, and Opus.
func clip(t *testing.T, name string, seconds int) string {
	t.Helper()
	tool(t, "ffmpeg")
	path := filepath.Join(t.TempDir(), name)
	args := []string{"-v", "error", "-f", "lavfi", "-i", "sine=frequency=440", "-f", "lavfi", "-i", "testsrc2=size=320x240:rate=25",
		"-t", fmt.Sprint(seconds), "-c:a", "libopus", "-b:a", "48k"}
	if strings.HasSuffix(name, ".ogg") {
		args = append(args, "-map", "0:a")
	} else {
		args = append(args, "-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-b:v", "400k", "-g", "25")
	}
	if out, err := exec.Command("ffmpeg", append(args, path)...).CombinedOutput(); err != nil {
		t.Fatalf("ffmpeg: %v\n%s", err, out)
	}
	return path
}

// packets returns the MD5 sums of the packets of a file's track, "a" or "v", in order, as ffprobe reads them.
func packets(t *testing.T, path, track string) []string {
	t.Helper()
	tool(t, "ffprobe")
	out, err := exec.Command("ffprobe", "-v", "error", "-select_streams", track+":0", "-show_packets", "-show_data_hash", "md5",
		"-show_entries", "packet=data_hash", "-of", "csv=p=0", path).Output()
	if err != nil {
		t.Fatalf("ffprobe %s: %v", path, err)
	}
	// What ffprobe says of side data besides is no packet.
	return regexp.MustCompile(`MD5:[0-9a-f]{32}`).FindAllString(string(out), -1)
}

// decodes checks that ffmpeg can decode all of a file.
func decodes(t *testing.T, path string) {
	t.Helper()
	if out, err := exec.Command("ffmpeg", "-v", "error", "-xerror", "-i", path, "-f", "null", "-").CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("ffmpeg cannot decode %s: %v\n%s", path, err, out)
	}
}

// same compares the packets of two files.
func same(t *testing.T, got, want, track string) {
	t.Helper()
	g, w := packets(t, got, track), packets(t, want, track)
	if len(g) != len(w) {
		t.Errorf("track %s has %d packets, want %d", track, len(g), len(w))
		return
	}
	for i := range g {
		if g[i] != w[i] {
			t.Errorf("track %s: packet %d differs", track, i)
			return
		}
	}
	if len(g) == 0 {
		t.Errorf("track %s is empty", track)
	}
}
