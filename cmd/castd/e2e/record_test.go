//go:build linux

package e2e_test

import (
	"encoding/json"
	"flag"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

var recordKills = flag.Int("record-kills", 20, "random instants at which the recorder, or castd, is killed")

// recordingFile is a file of a manifest.
type recordingFile struct {
	File     string    `json:"file"`
	Started  time.Time `json:"started"`
	Duration int64     `json:"duration_ms"`
	Reason   string    `json:"reason"`
}

// manifest is manifest.json of the newest recording of the room lobby.
type manifest struct {
	State    string          `json:"state"`
	Started  time.Time       `json:"started"`
	Problem  string          `json:"problem"`
	Segments []recordingFile `json:"segments"`
	Tracks   []recordingFile `json:"tracks"`
	Events   []event         `json:"events"`
	folder   string
}

// resumed returns when a recorder went on last.
func (m *manifest) resumed() (at time.Time) {
	for _, e := range m.Events {
		if e.text("event") == "resumed" {
			at = m.Started.Add(time.Duration(e.number("ms")) * time.Millisecond)
		}
	}
	return at
}

func readManifest(t *testing.T, dir string) manifest {
	t.Helper()
	all, _ := filepath.Glob(filepath.Join(dir, "recordings/lobby/*/manifest.json"))
	if len(all) == 0 {
		t.Fatal("there is no manifest")
	}
	slices.Sort(all)
	path := all[len(all)-1]
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	m := manifest{folder: filepath.Dir(path)}
	if err := json.Unmarshal(text, &m); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return m
}

// lastPacket returns when the last packet of a file begins, from its beginning; ffprobe must have nothing to say.
func lastPacket(t *testing.T, path string) time.Duration {
	t.Helper()
	out, err := exec.Command("ffprobe", "-v", "error", "-show_entries", "packet=pts_time", "-of", "csv=p=0", path).CombinedOutput()
	if err != nil {
		t.Errorf("ffprobe %s: %v\n%s", path, err, out)
	}
	last := 0.0
	for line := range strings.Lines(string(out)) {
		if line = strings.Trim(line, ", \n"); line == "" {
			continue
		}
		at, err := strconv.ParseFloat(line, 64)
		if err != nil {
			t.Errorf("ffprobe %s says %q", path, line)
			continue
		}
		last = max(last, at)
	}
	return time.Duration(last * float64(time.Second))
}

// TestRecord records sound and pictures, to one file and to files of tracks.
func TestRecord(t *testing.T) {
	t.Parallel()
	tool(t, "ffmpeg")
	tool(t, "ffprobe")
	o := origin(t)
	if s := record(t, 1, o.dir, "stop"); !strings.Contains(s, "not being recorded") {
		t.Errorf("stop of nothing: %s", s)
	}
	if s := record(t, 3, o.dir, "start", "nowhere"); !strings.Contains(s, "room") {
		t.Errorf("start of no room: %s", s)
	}
	if s := record(t, 0, o.dir, "list"); !strings.Contains(s, "Nothing was recorded") {
		t.Errorf("list of nothing: %s", s)
	}
	spawn(t, "publisher", o.dir, "publish", "lobby", "--demo", "--loop", "--data-dir", o.dir, "--json")
	o.wait("streams", 2, is("stream", "state", "live"))
	record(t, 0, o.dir, "start", "lobby", "--tracks")
	if s := record(t, 1, o.dir, "start"); !strings.Contains(s, "castd record stop") {
		t.Errorf("start again: %s", s)
	}
	o.wait("that it is recorded", 1, is("recording", "state", "live"))
	until(t, "something is recorded", func() bool { m := readManifest(t, o.dir); return len(m.Segments) > 0 && m.Segments[0].Duration > 3000 })
	if e := pluginList(t, o.dir); e.text("name") != "recording" || e.text("state") != "running" {
		t.Errorf("plugin list: %v", e)
	}
	record(t, 0, o.dir, "stop")
	o.wait("that it is recorded no longer", 1, is("recording", "state", "ended"))
	m := readManifest(t, o.dir)
	if m.State != "ended" || len(m.Segments) != 1 || m.Segments[0].File != "room.mkv" || m.Segments[0].Reason != "stopped" || len(m.Tracks) != 2 {
		t.Errorf("manifest %+v", m)
	}
	path := filepath.Join(m.folder, "room.mkv")
	decodes(t, path)
	for _, track := range []string{"a", "v"} {
		if n := len(packets(t, path, track)); n < 50 {
			t.Errorf("%d packets of %s", n, track)
		}
	}
	for _, f := range m.Tracks {
		decodes(t, filepath.Join(m.folder, f.File))
	}
	if s := record(t, 0, o.dir, "list", "--json"); !strings.Contains(s, `"state":"ended"`) || !strings.Contains(s, `"tracks/001-`) {
		t.Errorf("list: %s", s)
	}
	if out, _, _ := castd(t, "plugin", "list", "--data-dir", o.dir); !strings.Contains(out, "No plugin is installed") {
		t.Errorf("the recorder runs on: %s", out)
	}
	validate(t, m)
}

// validate has another program than ffmpeg look at sound, where it is installed.
func validate(t *testing.T, m manifest) {
	t.Helper()
	if _, err := exec.LookPath("oggz-validate"); err != nil {
		return
	}
	for _, f := range append(slices.Clone(m.Segments), m.Tracks...) {
		if !strings.HasSuffix(f.File, ".ogg") {
			continue
		}
		// One that was cut has no last page.
		out, err := exec.Command("oggz-validate", "--partial", filepath.Join(m.folder, f.File)).CombinedOutput()
		if err != nil {
			t.Errorf("oggz-validate says of %s: %v\n%s", f.File, err, out)
		}
	}
}

// TestRecordKilled kills the recorder and castd at random instants: every file can be read as it is, and less than a second is missing.
func TestRecordKilled(t *testing.T) {
	t.Parallel()
	tool(t, "ffmpeg")
	tool(t, "ffprobe")
	var worst, back time.Duration
	checked := 0
	check := func(m manifest, f recordingFile, killed time.Time) {
		t.Helper()
		path := filepath.Join(m.folder, f.File)
		decodes(t, path)
		lost := killed.Sub(f.Started.Add(lastPacket(t, path)))
		worst = max(worst, lost)
		checked++
		if lost > time.Second {
			t.Errorf("%s: the last %v are missing", f.File, lost)
		}
	}
	o := origin(t)
	dir := o.dir
	for n := 0; n < *recordKills; n += 2 {
		if n > 0 {
			o = spawn(t, "origin", dir, append([]string{"start", "--room", "lobby", "--http", "off"}, free(dir)...)...)
			o.ready()
		}
		clip := []string{"--demo"}
		if n/2%2 == 1 {
			clip = []string{tone(t)}
		}
		publisher := spawn(t, "publisher", dir, append(append([]string{"publish", "lobby"}, clip...), "--loop", "--data-dir", dir, "--json")...)
		o.wait("a stream", 1, is("stream", "state", "live"))
		record(t, 0, dir, "start")
		until(t, "something is recorded", func() bool { m := readManifest(t, dir); return len(m.Segments) > 0 && m.Segments[0].Duration > 0 })
		time.Sleep(time.Duration(rand.IntN(2000)) * time.Millisecond)
		pid := int(pluginList(t, dir).number("pid"))
		killed := time.Now()
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		until(t, "it goes on in another file", func() bool { m := readManifest(t, dir); return len(m.Segments) > 1 && m.Segments[1].Duration > 0 })
		m := readManifest(t, dir)
		back = max(back, m.resumed().Sub(killed))
		check(m, m.Segments[0], killed)
		time.Sleep(time.Duration(rand.IntN(2000)) * time.Millisecond)
		killed = time.Now()
		o.kill()
		m = readManifest(t, dir)
		check(m, m.Segments[len(m.Segments)-1], killed)
		validate(t, m)
		publisher.exit()
		// It would go on with the next start.
		o = spawn(t, "origin", dir, append([]string{"start", "--room", "lobby", "--http", "off"}, free(dir)...)...)
		o.ready()
		o.wait("that it is recorded again", 1, is("recording", "state", "live"))
		if n+2 >= *recordKills { // but once it does
			spawn(t, "publisher", dir, "publish", "lobby", "--demo", "--loop", "--data-dir", dir, "--json")
			until(t, "it goes on after castd was killed", func() bool {
				now := readManifest(t, dir)
				return now.folder == m.folder && len(now.Segments) > len(m.Segments) && now.Segments[len(m.Segments)].Duration > 0
			})
		}
		record(t, 0, dir, "stop")
		if now := readManifest(t, dir); now.State != "ended" || now.folder != m.folder {
			t.Errorf("stopped after castd was killed: %+v", now)
		}
		o.stop()
	}
	t.Logf("%d files of %d kills: at most %v are missing at their ends; the recorder was back after %v at most", checked, *recordKills, worst, back)
	if back > 20*time.Second { // two seconds are wanted of a machine with nothing else to do
		t.Errorf("back after %v", back)
	}
}

// TestRecordHangs stops the recorder: it is ended and started again, and the room notices nothing.
func TestRecordHangs(t *testing.T) {
	t.Parallel()
	tool(t, "ffmpeg")
	o := origin(t)
	viewer := launch(t, "viewer", "listen", "lobby", "--bootstrap", o.address())
	spawn(t, "publisher", o.dir, "publish", "lobby", "--demo", "--loop", "--data-dir", o.dir, "--json")
	o.wait("a stream", 1, is("stream", "state", "live"))
	record(t, 0, o.dir, "start")
	until(t, "something is recorded", func() bool { m := readManifest(t, o.dir); return len(m.Segments) > 0 && m.Segments[0].Duration > 1000 })
	pid := int(pluginList(t, o.dir).number("pid"))
	stopped := time.Now()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	until(t, "it goes on in another file", func() bool { m := readManifest(t, o.dir); return len(m.Segments) > 1 && m.Segments[1].Duration > 0 })
	record(t, 0, o.dir, "stop")
	m := readManifest(t, o.dir)
	for _, f := range m.Segments {
		decodes(t, filepath.Join(m.folder, f.File))
	}
	back := m.resumed().Sub(stopped)
	t.Logf("back after %v", back)
	if back > 20*time.Second { // two seconds are wanted of a machine with nothing else to do
		t.Errorf("back after %v", back)
	}
	unhurt(t, viewer)
}

// unhurt holds that a viewer lost nothing. How late packets were is only shown: that depends on what else the machine does.
func unhurt(t *testing.T, viewer *process) {
	t.Helper()
	longest := 0.0
	for _, gap := range viewer.seen(is("gap")) {
		longest = max(longest, gap.number("ms"))
		if gap.number("lost") > 0 {
			t.Errorf("the room noticed: %v", gap)
		}
	}
	t.Logf("the longest gap of a viewer: %v ms", longest)
}

// tone makes a file of sound.
func tone(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tone.ogg")
	out, err := exec.Command("ffmpeg", "-v", "error", "-f", "lavfi", "-i", "sine=frequency=440:duration=10", "-c:a", "libopus", "-b:a", "48k", path).CombinedOutput()
	if err != nil {
		t.Fatalf("ffmpeg: %v\n%s", err, out)
	}
	return path
}

// TestRecordDiskFull has the disk of the recordings full for a while: the room notices nothing, and it goes on by itself.
func TestRecordDiskFull(t *testing.T) {
	t.Parallel()
	tool(t, "ffmpeg")
	o := origin(t)
	disk := filepath.Join(o.dir, "recordings")
	if err := os.Mkdir(disk, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=6m"); err != nil {
		t.Skipf("no file system can be mounted here: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(disk, syscall.MNT_DETACH) })
	viewer := launch(t, "viewer", "listen", "lobby", "--bootstrap", o.address(), "--stats", "1s")
	spawn(t, "publisher", o.dir, "publish", "lobby", "--demo", "--loop", "--data-dir", o.dir, "--json")
	o.wait("a stream", 1, is("stream", "state", "live"))
	record(t, 0, o.dir, "start")
	until(t, "something is recorded", func() bool { m := readManifest(t, o.dir); return len(m.Segments) > 0 && m.Segments[0].Duration > 1000 })
	ballast := filepath.Join(disk, "ballast")
	f, err := os.Create(ballast)
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	full := time.Now()
	f.Close()
	o.wait("that the disk is full", 1, func(e event) bool {
		return e.text("event") == "plugin" && strings.Contains(e.text("message"), "disk is full")
	})
	told := time.Since(full)
	time.Sleep(3 * time.Second)
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	until(t, "it goes on in another file", func() bool { m := readManifest(t, o.dir); return len(m.Segments) > 1 && m.Segments[1].Duration > 1000 })
	record(t, 0, o.dir, "stop")
	m := readManifest(t, o.dir)
	if len(m.Segments) < 2 || m.Segments[0].Reason != "disk" || m.Problem != "" {
		t.Errorf("manifest %+v", m)
	}
	for _, f := range m.Segments {
		decodes(t, filepath.Join(m.folder, f.File))
	}
	unhurt(t, viewer)
	t.Logf("told after %v", told)
	if told > 10*time.Second {
		t.Errorf("told after %v", told)
	}
}
