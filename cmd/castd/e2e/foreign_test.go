package e2e_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestTranscode: a file that rooms do not carry is named with the command that converts it, and sent with --transcode.
func TestTranscode(t *testing.T) {
	o := origin(t)
	file := encoded(t, filepath.Join(t.TempDir(), "a talk.mp4"), "3", "-c:v", "libx264", "-bf", "2", "-pix_fmt", "yuv420p", "-c:a", "aac")
	_, errs, code := castd(t, "publish", "lobby", file, "--data-dir", o.dir)
	for _, part := range []string{"MP4 file with H264 with B-frames and AAC", "ffmpeg -i '" + file + "' -map", "a talk.webm'", "--transcode"} {
		if !strings.Contains(errs, part) {
			t.Errorf("the message lacks %q: %s", part, errs)
		}
	}
	if code != 1 || strings.Count(strings.TrimSpace(errs), "\n") != 0 {
		t.Errorf("exit code %d: %s", code, errs)
	}

	out := inTemp(t, "copy.webm")
	l := audience(t, "listener", o, "--until-end", "--out", out)
	if _, errs, code := castd(t, "publish", "lobby", file, "--transcode", "--data-dir", o.dir, "--json"); code != 0 || strings.Contains(errs, "\x1b") {
		t.Fatalf("publish ended with %d: %q", code, errs)
	}
	if code := l.exit(); code != 0 {
		t.Fatalf("listen ended with %d", code)
	}
	decodes(t, out)
	if v, a := len(packets(t, out, "v")), len(packets(t, out, "a")); v < 43 || v > 46 || a < 148 || a > 153 {
		t.Errorf("%d pictures and %d packets of sound arrived, want about 45 and 150", v, a)
	}
}

// TestTranscodeFails: without ffmpeg, and with a file that ffmpeg cannot read either, one sentence says so.
func TestTranscodeFails(t *testing.T) {
	o := origin(t)
	broken := inTemp(t, "broken.mp4")
	if err := os.WriteFile(broken, []byte("\x00\x00\x00\x14ftypisom\x00\x00\x02\x00isom\x00\x00\x00\x10mdat12345678"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, errs, code := castd(t, "publish", "lobby", broken, "--transcode", "--data-dir", o.dir, "--log-level", "error")
	if code != 1 || !strings.Contains(errs, "ffmpeg could not convert "+broken+": ") || strings.Count(strings.TrimSpace(errs), "\n") != 0 {
		t.Errorf("exit code %d: %s", code, errs)
	}
	text := inTemp(t, "notes.txt")
	if err := os.WriteFile(text, []byte("Hello, this is a text.\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, errs, code := castd(t, "publish", "lobby", text, "--data-dir", o.dir); code != 1 || !strings.Contains(errs, `begins with "Hello, t"`) {
		t.Errorf("exit code %d: %s", code, errs)
	}
	t.Setenv("PATH", t.TempDir())
	if _, errs, code := castd(t, "publish", "lobby", broken, "--transcode", "--data-dir", o.dir); code != 1 || !strings.Contains(errs, "install the package ffmpeg") {
		t.Errorf("exit code %d: %s", code, errs)
	}
}

// TestTranscodeStops: an interrupt in the middle ends everything at once, ffmpeg too. The sound never ends, and comes in by a pipe.
func TestTranscodeStops(t *testing.T) {
	tool(t, "ffmpeg")
	o := origin(t)
	source := exec.Command("ffmpeg", "-v", "quiet", "-f", "lavfi", "-i", "sine", "-c:a", "libmp3lame", "-f", "mp3", "pipe:1")
	cmd := exec.Command(binary(), "publish", "lobby", "-", "--transcode", "--data-dir", o.dir)
	cmd.Env = environment()
	pipe, err := source.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdin = pipe
	if err := source.Start(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = source.Process.Kill(); _ = source.Wait() })
	o.wait("sound", 1, is("stream", "kind", "audio", "state", "live"))
	ffmpegs := children(t, cmd.Process.Pid)
	if len(ffmpegs) != 1 {
		t.Fatalf("castd has the children %v", ffmpegs)
	}
	begin := time.Now()
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("castd ended with %v", err)
	}
	if took := time.Since(begin); took > 30*time.Second {
		t.Errorf("the end took %v", took)
	}
	if stat, err := os.ReadFile(filepath.Join(ffmpegs[0], "stat")); err == nil {
		t.Errorf("ffmpeg still runs: %s", stat)
	}
	o.wait("the end of the sound", 1, is("stream", "kind", "audio", "state", "ended"))
}

// children returns the folders in /proc of a process's children.
func children(t *testing.T, pid int) (found []string) {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range all {
		stat, err := os.ReadFile(filepath.Join(dir, "stat"))
		if err != nil {
			continue // it has ended
		}
		_, rest, _ := strings.Cut(string(stat), ") ") // behind the name
		if fields := strings.Fields(rest); len(fields) > 1 && fields[1] == strconv.Itoa(pid) {
			found = append(found, dir)
		}
	}
	return found
}

// TestDemo: the clip needs no file, and its rounds follow each other without a gap.
func TestDemo(t *testing.T) {
	o := origin(t)
	out := inTemp(t, "demo.webm")
	l := audience(t, "listener", o, "--for", "7500ms", "--out", out)
	p := spawn(t, "demo", "", "publish", "lobby", "--demo", "--data-dir", o.dir, "--json")
	if code := l.exit(); code != 0 {
		t.Fatalf("listen ended with %d", code)
	}
	if code, took := p.stop(); code != 0 || took > 30*time.Second {
		t.Errorf("publish ended with %d after %v", code, took)
	}
	decodes(t, out)
	for track, widest := range map[string]float64{"a": 0.025, "v": 0.075} {
		frames := decoded(t, out, track)
		if last := frames[len(frames)-1].at; last < 5.5 {
			t.Errorf("track %s ends at %.1f s", track, last)
		}
		for i := 1; i < len(frames); i++ {
			if d := frames[i].at - frames[i-1].at; d > widest {
				t.Errorf("track %s has a gap of %.3f s at %.1f s", track, d, frames[i].at)
			}
		}
	}
	if _, errs, code := castd(t, "publish", "lobby", "file.ogg", "--demo", "--data-dir", o.dir); code != 2 || !strings.Contains(errs, "file.ogg") {
		t.Errorf("exit code %d: %s", code, errs)
	}
	if _, errs, code := castd(t, "publish", "lobby", "--data-dir", o.dir); code != 2 || !strings.Contains(errs, "--demo") {
		t.Errorf("exit code %d: %s", code, errs)
	}
}

// TestProgress: on a terminal, one line is rewritten; elsewhere there is none (TestTranscode).
func TestProgress(t *testing.T) {
	tool(t, "script")
	o := origin(t)
	file := encoded(t, inTemp(t, "clip.ogg"), "3", "-vn") // of which only the end tells how long it is
	terminal := func(args ...string) *exec.Cmd {
		cmd := exec.Command("script", "-qec", binary()+" "+strings.Join(args, " "), "/dev/null")
		cmd.Env = environment()
		return cmd
	}
	dir := folder(t)
	flags := strings.Fields(strings.ReplaceAll(strings.Join(free(dir), " "), " --json", ""))
	listen := terminal(append([]string{"listen", "lobby", "--bootstrap", o.address(), "--until-end", "--out", inTemp(t, "out.ogg")}, flags...)...)
	var heard strings.Builder
	listen.Stdout = &heard
	if err := listen.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listen.Process.Kill() })
	o.wait("listener", 1, is("peer"))
	told, err := terminal("publish", "lobby", file, "--data-dir", o.dir).CombinedOutput()
	if err != nil {
		t.Fatalf("publish: %v\n%s", err, told)
	}
	if err := listen.Wait(); err != nil {
		t.Fatalf("listen: %v\n%s", err, heard.String())
	}
	for what, c := range map[string]struct{ text, part string }{
		"publish tells time and receivers": {string(told), "0:01 of 0:03  "},
		"publish counts receivers":         {string(told), "  1 receiver  0.0 % lost"},
		"publish rewrites its line":        {string(told), "\r\x1b[K0:0"},
		"listen tells streams and losses":  {heard.String(), "  1 stream  0 lost"},
		"listen rewrites its line":         {heard.String(), "\r\x1b[K0:0"},
	} {
		if !strings.Contains(c.text, c.part) {
			t.Errorf("%s: no %q in %q", what, c.part, c.text)
		}
	}
}
