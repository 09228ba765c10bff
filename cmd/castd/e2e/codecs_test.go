package e2e_test

import (
	"fmt"
	"math"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// encodings are the files that rooms carry, one of each codec in each container, as ffmpeg makes them.
var encodings = []struct {
	name string // the file's; its stem is the room's
	out  string // the kind of file that a listener writes
	args []string
}{
	{"opus.ogg", ".ogg", []string{"-vn"}},
	{"opus.mka", ".mka", []string{"-vn"}},
	{"vp8.webm", ".webm", []string{"-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8"}},
	{"vp8.ivf", ".ivf", []string{"-an", "-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8"}},
	{"vp9.webm", ".webm", []string{"-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8"}},
	{"vp9.ivf", ".mkv", []string{"-an", "-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8"}},
	{"vp9.mkv", ".webm", []string{"-c:v", "libvpx-vp9", "-cpu-used", "5", "-lag-in-frames", "12", "-auto-alt-ref", "1"}}, // superframes
	{"av1.webm", ".webm", []string{"-c:v", "libaom-av1", "-usage", "realtime", "-cpu-used", "8"}},
	{"av1.mkv", ".mkv", []string{"-c:v", "libaom-av1", "-cpu-used", "8", "-lag-in-frames", "4"}}, // hidden frames
	{"av1.ivf", ".ivf", []string{"-an", "-c:v", "libaom-av1", "-usage", "realtime", "-cpu-used", "8"}},
	{"h264.mkv", ".mkv", []string{"-c:v", "libx264", "-profile:v", "baseline", "-preset", "veryfast", "-pix_fmt", "yuv420p"}},
	{"h264high.mkv", ".mkv", []string{"-c:v", "libx264", "-profile:v", "high", "-bf", "0", "-preset", "veryfast", "-pix_fmt", "yuv420p"}},
}

// encoded makes a file of test pictures, a key frame each second, and a tone.
func encoded(t *testing.T, path, seconds string, args ...string) string {
	t.Helper()
	tool(t, "ffmpeg")
	all := []string{"-v", "error", "-f", "lavfi", "-i", "testsrc2=size=160x120:rate=15", "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000",
		"-t", seconds, "-c:a", "libopus", "-b:a", "32k", "-g", "15"}
	if out, err := exec.Command("ffmpeg", append(append(all, args...), "-y", path)...).CombinedOutput(); err != nil {
		t.Fatalf("ffmpeg: %v\n%s", err, out)
	}
	return path
}

// decodedFrame is a decoded picture, or the decoded sound of a packet.
type decodedFrame struct {
	at  float64 // seconds
	sum string
}

// decoded returns the checksums and times of what ffmpeg decodes of a file's track, "v" or "a". Opus is compared as packets, since
// what a decoder makes of the first of them depends on the pre-skip.
func decoded(t *testing.T, path, track string) (frames []decodedFrame) {
	t.Helper()
	args := []string{"-v", "error", "-i", path, "-map", "0:" + track, "-fps_mode", "passthrough", "-enc_time_base", "1:1000"}
	if track == "a" {
		args = []string{"-v", "error", "-i", path, "-map", "0:a", "-c", "copy"}
	}
	out, err := exec.Command("ffmpeg", append(args, "-f", "framemd5", "-")...).Output()
	if err != nil {
		t.Fatalf("ffmpeg %s: %v", path, err)
	}
	base := 1.0
	for line := range strings.Lines(string(out)) {
		if rest, ok := strings.CutPrefix(line, "#tb 0: "); ok {
			var num, den float64
			if _, err := fmt.Sscanf(rest, "%f/%f", &num, &den); err != nil {
				t.Fatalf("time base %q", rest)
			}
			base = num / den
		}
		if fields := strings.Split(line, ","); len(fields) >= 6 && line[0] != '#' {
			at, err := strconv.ParseFloat(strings.TrimSpace(fields[2]), 64)
			if err != nil {
				t.Fatalf("line %q", line)
			}
			frames = append(frames, decodedFrame{at * base, strings.TrimSpace(fields[5])})
		}
	}
	return frames
}

// equal checks that two files decode to the same, at the same distances in time.
func equal(t *testing.T, got, want, track string) {
	t.Helper()
	match(t, decoded(t, got, track), decoded(t, want, track), track, 0.005)
}

// recordedEqual is equal of a recording, which has silence where a publisher could not run for a while, and whose tracks may be apart by
// 40 ms.
func recordedEqual(t *testing.T, got, want, track string) {
	t.Helper()
	g, w := decoded(t, got, track), decoded(t, want, track)
	if track == "a" && len(g) > len(w) {
		t.Logf("track a: %d packets of silence", len(g)-len(w))
		g = slices.DeleteFunc(g, func(f decodedFrame) bool {
			return !slices.ContainsFunc(w, func(of decodedFrame) bool { return of.sum == f.sum })
		})
	}
	match(t, g, w, track, 0.04)
}

// match checks that frames are the same, with distances in time that differ by so many seconds at most.
func match(t *testing.T, g, w []decodedFrame, track string, within float64) {
	t.Helper()
	if len(g) != len(w) || len(g) == 0 {
		t.Errorf("track %s has %d frames, want %d", track, len(g), len(w))
		return
	}
	shift := 0.0
	for i := range g {
		if g[i].sum != w[i].sum {
			t.Errorf("track %s: frame %d differs", track, i)
			return
		}
		off := (g[i].at - g[0].at) - (w[i].at - w[0].at)
		if off-shift > 0.45 { // a publisher that could not run for half a second moves the rest of the file
			t.Logf("track %s: %.3f s late from frame %d on", track, off, i)
			shift = off
		}
		if math.Abs(off-shift) > within {
			t.Errorf("track %s: frame %d is at %.3f s, want %.3f s", track, i, g[i].at-g[0].at, w[i].at-w[0].at)
			return
		}
	}
}

// TestCodecs sends a file of each codec in each container through a relay to a listener who writes it down: what arrives decodes
// to the same pictures and packets. One that joins late gets everything from a key frame on, and one that is killed leaves a file
// that is playable. What the hub records of it meanwhile is the same as well.
func TestCodecs(t *testing.T) {
	var flags []string
	for _, e := range encodings {
		flags = append(flags, "--room", strings.ReplaceAll(e.name, ".", "-"))
	}
	o := launch(t, "origin", append([]string{"start", "--http", "off"}, flags...)...)
	o.ready()
	dir := t.TempDir()
	// The media's time passes whatever the machine does: more at once than -parallel allows.
	var work sync.WaitGroup
	turn := make(chan struct{}, 4)
	for _, e := range encodings {
		test := func(t *testing.T) {
			room := strings.ReplaceAll(e.name, ".", "-")
			file := encoded(t, filepath.Join(dir, e.name), "3", e.args...)
			out := func(who string) string { return filepath.Join(dir, room+"-"+who+e.out) }
			whole := spawn(t, "whole", "", listening(t, room, o, "--until-end", "--out", out("whole"))...)
			killed := spawn(t, "killed", "", listening(t, room, o, "--out", out("killed"))...)
			whole.wait("parent", 1, is("joined"))
			killed.wait("parent", 1, is("joined"))
			record(t, 0, o.dir, "start", room)
			p := spawn(t, "publish", o.dir, "publish", room, file, "--data-dir", o.dir, "--json")
			whole.wait("a stream", 1, is("stream", "state", "live"))
			time.Sleep(1200 * time.Millisecond)
			late := spawn(t, "late", "", listening(t, room, o, "--until-end", "--out", out("late"))...)
			late.wait("parent", 1, is("joined"))
			time.Sleep(500 * time.Millisecond)
			killed.kill()
			if code := p.exit(); code != 0 {
				t.Fatalf("publish ended with %d: %s", code, p.stderr())
			}
			for _, l := range []*process{whole, late} {
				if code := l.exit(); code != 0 {
					t.Fatalf("%s ended with %d: %s", l.name, code, l.stderr())
				}
			}
			for _, who := range []string{"whole", "late", "killed"} {
				decodes(t, out(who))
			}
			record(t, 0, o.dir, "stop", room)
			recorded, _ := filepath.Glob(filepath.Join(o.dir, "recordings", room, "*", "*.[om][gk][gv]"))
			if len(recorded) != 1 {
				t.Fatalf("it was recorded to %q", recorded)
			}
			decodes(t, recorded[0])
			tracks := "av"
			if strings.Contains(strings.Join(e.args, " "), "-vn") {
				tracks = "a"
			} else if strings.Contains(strings.Join(e.args, " "), "-an") {
				tracks = "v"
			}
			for _, track := range strings.Split(tracks, "") {
				equal(t, out("whole"), file, track)
				recordedEqual(t, recorded[0], file, track)
				all := decoded(t, file, track)
				part(t, "late", decoded(t, out("late"), track), all, true)
				part(t, "killed", decoded(t, out("killed"), track), all, false)
			}
		}
		work.Go(func() {
			turn <- struct{}{}
			defer func() { <-turn }()
			t.Run(e.name, test)
		})
	}
	work.Wait()
}

// part checks that frames are some of all without a hole, up to the last of all where it says so.
func part(t *testing.T, who string, frames, all []decodedFrame, end bool) {
	t.Helper()
	if len(frames) < len(all)/10 {
		t.Errorf("%s has %d of %d frames", who, len(frames), len(all))
		return
	}
	begin := 0
	for begin < len(all) && all[begin].sum != frames[0].sum {
		begin++
	}
	if begin+len(frames) > len(all) || end && begin+len(frames) != len(all) {
		t.Errorf("%s has %d frames from the %dth on, of %d", who, len(frames), begin, len(all))
		return
	}
	for i := range frames {
		if frames[i].sum != all[begin+i].sum {
			t.Errorf("%s: frame %d of %d differs", who, i, len(frames))
			return
		}
	}
}

// listening are the arguments of a listener with a data folder of its own that begins with the given peer.
func listening(t *testing.T, room string, first *process, flags ...string) []string {
	t.Helper()
	return append(append([]string{"listen", room, "--bootstrap", first.address()}, flags...), free(folder(t))...)
}
