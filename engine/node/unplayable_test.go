package node

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/codec"
	"github.com/castd/castd/engine/container"
	"github.com/castd/castd/engine/wire"
)

func TestUnplayableCommand(t *testing.T) {
	const vp8 = "-c:v libvpx -deadline realtime -cpu-used 5 -b:v 1500k -g 60"
	video := func(name string) container.Track {
		return container.Track{Kind: wire.KindVideo, Codec: name, Width: 640}
	}
	audio := func(name string, channels uint32) container.Track {
		return container.Track{Kind: wire.KindAudio, Codec: name, Channels: channels}
	}
	wide, moved := video("hevc"), video(codec.H264)
	wide.Width, moved.Reordered = 3840, true
	for _, c := range []struct {
		bad  UnplayableError
		says string
		want string
	}{
		{
			UnplayableError{Source: "talk.mp4", Container: "MP4", Tracks: []container.Track{video(codec.H264), audio("aac", 2)}},
			"talk.mp4 is an MP4 file with H264 and AAC, which castd cannot send as it is",
			"ffmpeg -i talk.mp4 -map 0:V:0 -map 0:a:0 -c:v copy -c:a libopus -b:a 96k talk.mkv",
		},
		{
			UnplayableError{Source: "my talk.mov", Container: "MOV", Tracks: []container.Track{wide, audio("pcm", 6)}},
			"my talk.mov is a MOV file with HEVC (H265) and PCM",
			"ffmpeg -i 'my talk.mov' -map 0:V:0 -map 0:a:0 " + vp8 + " -vf scale=1280:-2 -c:a libopus -b:a 96k -ac 2 'my talk.webm'",
		},
		{
			UnplayableError{Source: "it's.mkv", Tracks: []container.Track{moved, audio(codec.Opus, 2)}},
			"it's.mkv holds H264 with B-frames and Opus, and rooms carry",
			`ffmpeg -i 'it'\''s.mkv' -map 0:V:0 -map 0:a:0 ` + vp8 + ` -c:a copy 'it'\''s.webm'`,
		},
		{
			UnplayableError{Source: "a.webm", Tracks: []container.Track{video(codec.VP9), audio("vorbis", 1)}},
			"a.webm holds VP9 and Vorbis",
			"ffmpeg -i a.webm -map 0:V:0 -map 0:a:0 -c:v copy -c:a libopus -b:a 96k a-castd.webm",
		},
		{
			UnplayableError{Source: "-song.mp3", Container: "MP3", Tracks: []container.Track{audio("mp3", 0)}},
			"-song.mp3 is an MP3 file with MP3",
			"ffmpeg -i ./-song.mp3 -map 0:a:0 -c:a libopus -b:a 96k -ac 2 ./-song.ogg",
		},
		{
			UnplayableError{Source: "live.ts", Container: "MPEG transport stream", Tracks: []container.Track{video(codec.H264), audio("aac", 0)}},
			"live.ts is an MPEG transport stream file with H264 and AAC",
			"ffmpeg -i live.ts -map 0:V:0 -map 0:a:0 " + vp8 + " -c:a libopus -b:a 96k -ac 2 live.webm",
		},
		{
			UnplayableError{Source: "12:00.mpg", Container: "MPEG program stream"},
			"12:00.mpg is an MPEG program stream file, which castd cannot send",
			"ffmpeg -i ./12:00.mpg -map '0:V:0?' -map '0:a:0?' " + vp8 + " -c:a libopus -b:a 96k -ac 2 ./12:00.webm",
		},
		{
			UnplayableError{Unknown: `"Hello"`},
			`the file is no media file that castd knows, it begins with "Hello": if ffmpeg can read it`,
			"ffmpeg -i IN -map '0:V:0?' -map '0:a:0?' " + vp8 + " -c:a libopus -b:a 96k -ac 2 OUT.webm",
		},
	} {
		if got := c.bad.Command(); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.bad.Source, got, c.want)
		}
		if got := c.bad.Error(); !strings.HasPrefix(got, c.says) || !strings.HasSuffix(got, "  "+c.want) {
			t.Errorf("says %s", got)
		}
		var user *engine.UserError
		if !errors.As(error(&c.bad), &user) || user.Code != engine.CodeBadMedia || user.Message != c.bad.Error() {
			t.Errorf("is no error for people")
		}
	}
}

func TestShellQuote(t *testing.T) {
	for _, c := range []struct {
		in      string
		windows bool
		want    string
	}{
		{"a-b_c.d/e:1", false, "a-b_c.d/e:1"},
		{"", false, "''"},
		{"a b", false, "'a b'"},
		{"$(rm *)", false, "'$(rm *)'"},
		{"'", false, `''\'''`},
		{"ü", false, "'ü'"},
		{`C:\a b`, true, `"C:\a b"`},
		{`C:\a`, true, `C:\a`},
	} {
		if got := shellQuote(c.in, c.windows); got != c.want {
			t.Errorf("%q: %s, want %s", c.in, got, c.want)
		}
	}
}

// The commands do what they promise: a shell runs them, and what comes out can be sent.
func TestCommandsMakePlayableFiles(t *testing.T) {
	if _, err := exec.LookPath("ffmpeg"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	dir := t.TempDir()
	for name, args := range map[string][]string{
		"it's a talk.mp4": {"-map", "0:v", "-map", "1:a", "-c:v", "libx264", "-bf", "0", "-pix_fmt", "yuv420p", "-c:a", "aac"},
		"frames.mkv":      {"-map", "0:v", "-map", "1:a", "-c:v", "libx264", "-pix_fmt", "yuv420p", "-c:a", "libopus"},
		"vorbis.webm":     {"-map", "0:v", "-map", "1:a", "-c:v", "libvpx", "-c:a", "libvorbis"},
		"-12:00.mp3":      {"-map", "1:a"},
		"program.mpg":     {"-map", "0:v", "-c:v", "mpeg2video"},
		"surround.wav":    {"-map", "1:a", "-ac", "6"},
		"old.avi":         {"-map", "0:v", "-map", "1:a", "-c:v", "mpeg4", "-c:a", "libmp3lame"},
	} {
		t.Run(name, func(t *testing.T) {
			in := []string{"-v", "error", "-f", "lavfi", "-i", "testsrc=size=160x120:rate=25:duration=1", "-f", "lavfi", "-i", "sine=duration=1:sample_rate=48000"}
			if out, err := exec.Command("ffmpeg", append(append(in, args...), filepath.Join(dir, name))...).CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			f, err := os.Open(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			var bad *UnplayableError
			if err := CheckFile(f, name); !errors.As(err, &bad) {
				t.Fatalf("error %v", err)
			}
			command := strings.Replace(bad.Command(), "ffmpeg ", "ffmpeg -nostdin -v error -y ", 1)
			cmd := exec.Command("sh", "-c", command)
			cmd.Dir = dir
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%s: %v\n%s", command, err, out)
			}
			// What is new in the folder is the output.
			_, ending := bad.Conversion()
			made := strings.TrimSuffix(name, filepath.Ext(name)) + ending
			if made == name {
				made = strings.TrimSuffix(name, ending) + "-castd" + ending
			}
			g, err := os.Open(filepath.Join(dir, made))
			if err != nil {
				t.Fatal(err)
			}
			defer g.Close()
			if err := CheckFile(struct{ io.Reader }{g}, made); err != nil {
				t.Errorf("%s made what cannot be sent: %v", command, err)
			}
		})
	}
}
