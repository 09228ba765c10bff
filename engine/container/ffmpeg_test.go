package container

import (
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/castd/castd/engine/wire"
)

// needFFmpeg skips the test where ffmpeg is missing, save in continuous integration, which has it.
func needFFmpeg(t testing.TB) {
	t.Helper()
	for _, tool := range []string{"ffmpeg", "ffprobe"} {
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("CI") != "" {
				t.Fatal(err)
			}
			t.Skip(err)
		}
	}
}

func run(t testing.TB, tool string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(tool, append([]string{"-v", "error", "-nostdin"}, args...)...)
	if tool == "ffprobe" {
		cmd.Args = append(cmd.Args[:3], args...)
	}
	out, err := cmd.Output()
	if err != nil {
		var failed *exec.ExitError
		if errors.As(err, &failed) {
			t.Fatalf("%s %v: %v\n%s", tool, args, err, failed.Stderr)
		}
		t.Fatal(err)
	}
	return out
}

// makeMedia makes a file of two seconds of a test picture and tone.
func makeMedia(t testing.TB, name string, args ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	in := []string{
		"-f", "lavfi", "-i", "testsrc=size=160x120:rate=15:duration=2", "-f", "lavfi", "-i", "sine=frequency=440:duration=2:sample_rate=48000",
	}
	run(t, "ffmpeg", append(append(in, args...), "-y", path)...)
	return path
}

// probed is a packet as ffprobe sees it.
type probed struct {
	Stream int
	Time   time.Duration
	Key    bool
	Sum    string
}

func probe(t testing.TB, path string) []probed {
	t.Helper()
	var out struct {
		Packets []struct {
			Stream int    `json:"stream_index"`
			Time   string `json:"pts_time"`
			Flags  string `json:"flags"`
			Hash   string `json:"data_hash"`
		}
	}
	if err := json.Unmarshal(run(t, "ffprobe", "-show_packets", "-show_data_hash", "md5", "-of", "json", path), &out); err != nil {
		t.Fatal(err)
	}
	var list []probed
	for _, p := range out.Packets {
		seconds, _ := strconv.ParseFloat(p.Time, 64)
		list = append(list, probed{p.Stream, time.Duration(seconds * 1e9), p.Flags[0] == 'K', p.Hash[len("MD5:"):]})
	}
	return list
}

func sum(b []byte) string {
	s := md5.Sum(b)
	return hex.EncodeToString(s[:])
}

// readAll returns all frames, and the error that ended them.
func readAll(d Demuxer) (frames []*Frame, err error) {
	for {
		f, err := d.Next()
		if err != nil {
			return frames, err
		}
		frames = append(frames, f)
	}
}

func open(t testing.TB, path string) (Demuxer, []*Frame) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	d, err := Open(f)
	if err != nil {
		t.Fatal(err)
	}
	frames, err := readAll(d)
	if err != io.EOF {
		t.Fatalf("%s: %v", filepath.Base(path), err)
	}
	return d, frames
}

// encoders make each kind of file that castd promises to read.
var encoders = []struct {
	name string
	args []string
}{
	{"opus.ogg", []string{"-map", "1:a", "-c:a", "libopus", "-b:a", "24k"}},
	{"opus60.ogg", []string{"-map", "1:a", "-c:a", "libopus", "-b:a", "64k", "-frame_duration", "60", "-page_duration", "5000000"}},
	{"vp8.webm", []string{"-map", "0:v", "-map", "1:a", "-c:v", "libvpx", "-g", "15", "-c:a", "libopus"}},
	{"live.webm", []string{"-map", "0:v", "-map", "1:a", "-c:v", "libvpx", "-c:a", "libopus", "-f", "webm", "-live", "1"}},
	{"vp9.webm", []string{"-map", "0:v", "-map", "1:a", "-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-g", "15", "-c:a", "libopus"}},
	{"h264.mkv", []string{"-map", "0:v", "-map", "1:a", "-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-pix_fmt", "yuv420p", "-g", "15", "-c:a", "libopus"}},
	{"high.mkv", []string{"-map", "0:v", "-c:v", "libx264", "-preset", "fast", "-bf", "0", "-s", "162x122", "-pix_fmt", "yuv420p", "-g", "15"}},
	{"av1.mkv", []string{"-map", "0:v", "-map", "1:a", "-c:v", "libaom-av1", "-usage", "realtime", "-cpu-used", "8", "-g", "15", "-c:a", "libopus"}},
	{"vp8.ivf", []string{"-map", "0:v", "-c:v", "libvpx", "-g", "15"}},
	{"vp9.ivf", []string{"-map", "0:v", "-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-g", "15"}},
	{"subtitles.mkv", []string{"-i", "SRT", "-map", "0:v", "-map", "1:a", "-map", "2:s", "-c:v", "libvpx", "-c:a", "libopus", "-c:s", "srt"}},
}

func encode(t testing.TB, name string, args []string) string {
	t.Helper()
	for i, a := range args {
		if a == "SRT" {
			srt := filepath.Join(t.TempDir(), "s.srt")
			if err := os.WriteFile(srt, []byte("1\n00:00:00,500 --> 00:00:01,500\nhello\n\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			args = append(append(append([]string{}, args[:i]...), srt), args[i+1:]...)
		}
	}
	return makeMedia(t, name, args...)
}

// What we read is what ffprobe reads: the same octets, key frames, and times. And a file that goes through packets into a
// recording, as it would over the network, gives the same frames at the same times.
func TestRealFiles(t *testing.T) {
	needFFmpeg(t)
	for _, c := range encoders {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			path := encode(t, c.name, c.args)
			d, frames := open(t, path)
			compareWithProbe(t, path, d.Tracks(), frames)
			throughPackets(t, path, d.Tracks(), frames)
			checkDamaged(t, path, frames)
		})
	}
}

// AV1 in IVF has temporal delimiters, which do not travel: no round trip gives its octets again (cmd/castd/e2e compares pictures).
func TestAV1InIVF(t *testing.T) {
	needFFmpeg(t)
	path := makeMedia(t, "av1.ivf", "-map", "0:v", "-c:v", "libaom-av1", "-usage", "realtime", "-cpu-used", "8", "-g", "15")
	d, frames := open(t, path)
	compareWithProbe(t, path, d.Tracks(), frames)
	checkDamaged(t, path, frames)
}

func compareWithProbe(t *testing.T, path string, tracks []Track, frames []*Frame) {
	t.Helper()
	var want []probed
	for _, p := range probe(t, path) {
		if p.Stream < len(tracks) {
			want = append(want, p)
		}
	}
	if len(frames) != len(want) || len(frames) < 25 {
		t.Fatalf("%d frames, ffprobe has %d", len(frames), len(want))
	}
	index := map[int]int{}
	for i, track := range tracks {
		index[track.ID] = i
	}
	first := map[int]time.Duration{}
	for i, f := range frames {
		w := want[i]
		if _, ok := first[w.Stream]; !ok {
			first[w.Stream] = f.Time - w.Time // the pre-skip, which ffprobe subtracts
		}
		if index[f.Track] != w.Stream || sum(f.Data) != w.Sum || f.Key != w.Key {
			t.Fatalf("frame %d: track %d, %d octets, key %v; ffprobe says %+v", i, f.Track, len(f.Data), f.Key, w)
		}
		if shift := f.Time - w.Time - first[w.Stream]; shift.Abs() > time.Millisecond {
			t.Fatalf("frame %d: at %v, ffprobe says %v", i, f.Time, w.Time)
		}
	}
	for _, track := range tracks {
		switch {
		case track.Kind == wire.KindAudio && (track.Codec != "opus" || track.ClockRate != 48000 || track.Channels != 1 || track.PreSkip != 312):
			t.Errorf("track %+v", track)
		case track.Kind == wire.KindVideo && (track.Width < 160 || track.Height < 120 || track.ClockRate != 90000):
			t.Errorf("track %+v", track)
		}
	}
}
