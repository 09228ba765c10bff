package container

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/castd/castd/engine/wire"
)

// Files of other containers, and of other codecs in those that castd reads, are named for what they are, whatever their name.
func TestForeignFiles(t *testing.T) {
	needFFmpeg(t)
	x264 := []string{"-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p"}
	with := func(list []string, more ...string) []string { return append(append([]string{}, list...), more...) }
	av := []string{"-map", "0:v", "-map", "1:a"}
	for _, c := range []struct {
		name      string
		args      []string
		container string
		holds     string
	}{
		{"fast.mp4", with(av, with(x264, "-bf", "0", "-c:a", "aac", "-movflags", "faststart")...), "MP4", "H264 and AAC"},
		{"last.mp4", with(av, with(x264, "-bf", "0", "-c:a", "aac")...), "MP4", "H264 and AAC"},
		{"fragments.mp4", with(av, with(x264, "-bf", "0", "-c:a", "libopus", "-movflags", "frag_keyframe+empty_moov")...), "MP4", "H264 and Opus"},
		{"bframes.mp4", []string{"-map", "0:v", "-c:v", "libx264", "-pix_fmt", "yuv420p"}, "MP4", "H264 with B-frames"},
		{"baseline.mp4", []string{"-map", "0:v", "-c:v", "libx264", "-profile:v", "baseline", "-pix_fmt", "yuv420p"}, "MP4", "H264"},
		{"hevc.mp4", []string{"-map", "0:v", "-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none"}, "MP4", "HEVC (H265)"},
		{"vp9.mp4", []string{"-map", "0:v", "-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8"}, "MP4", "VP9"},
		{"mp3.mp4", []string{"-map", "1:a", "-c:a", "libmp3lame"}, "MP4", "MP3"},
		{"mpeg4.mp4", []string{"-map", "0:v", "-c:v", "mpeg4"}, "MP4", "MPEG-4 video"},
		{"sound.m4a", []string{"-map", "1:a", "-c:a", "aac"}, "M4A", "AAC"},
		{"pcm.mov", with(av, "-c:v", "mjpeg", "-pix_fmt", "yuvj420p", "-c:a", "pcm_s16le"), "MOV", "MJPEG and PCM"},
		{"flash.flv", with(av, with(x264, "-c:a", "aac")...), "FLV", "H264 and AAC"},
		{"stream.ts", with(av, with(x264, "-c:a", "aac")...), "MPEG transport stream", "H264 and AAC"},
		{"hevc.ts", with(av, "-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none", "-c:a", "ac3"), "MPEG transport stream", "HEVC (H265) and AC-3"},
		{"program.mpg", with(av, "-c:v", "mpeg2video", "-c:a", "mp2"), "MPEG program stream", ""},
		{"sound.wav", []string{"-map", "1:a"}, "WAV", "PCM"},
		{"picture.avi", with(av, "-c:v", "mpeg4", "-c:a", "libmp3lame"), "AVI", "MPEG-4 video and MP3"},
		{"sound.mp3", []string{"-map", "1:a"}, "MP3", "MP3"},
		{"untagged.mp3", []string{"-map", "1:a", "-write_id3v2", "0", "-write_xing", "0"}, "MP3", "MP3"},
		{"sound.aac", []string{"-map", "1:a"}, "AAC", "AAC"},
		{"sound.ac3", []string{"-map", "1:a"}, "AC-3", "AC-3"},
		{"sound.flac", []string{"-map", "1:a"}, "FLAC", "FLAC"},
		{"sound.aiff", []string{"-map", "1:a"}, "AIFF", "PCM"},
		{"vorbis.ogg", []string{"-map", "1:a", "-c:a", "libvorbis"}, "Ogg", "Vorbis"},
		{"theora.ogv", with(av, "-c:v", "libtheora", "-c:a", "libvorbis"), "Ogg", "Theora and Vorbis"},
		{"windows.asf", []string{"-map", "1:a"}, "Windows Media", ""},
		{"bare.h264", with([]string{"-map", "0:v"}, x264...), "bare H264", "H264"},
		{"bare.hevc", []string{"-map", "0:v", "-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none"}, "bare HEVC", "HEVC (H265)"},
		// These are read, and their tracks named.
		{"aac.mkv", with(av, with(x264, "-bf", "0", "-c:a", "aac")...), "", "H264 and AAC"},
		{"bframes.mkv", with(av, "-c:v", "libx264", "-pix_fmt", "yuv420p", "-c:a", "libopus"), "", "H264 with B-frames and Opus"},
		{"vorbis.webm", with(av, "-c:v", "libvpx", "-c:a", "libvorbis"), "", "VP8 and Vorbis"},
		{"hevc.mkv", with(av, "-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none", "-c:a", "flac"), "", "HEVC (H265) and FLAC"},
		{"pcm.mka", []string{"-map", "1:a", "-c:a", "pcm_s16le"}, "", "PCM"},
		{"surround.mka", []string{"-map", "1:a", "-c:a", "libopus", "-ac", "6"}, "", "Opus of 6 channels"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			path := makeMedia(t, c.name, c.args...)
			f, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			// Once from a file, which can be sought in, and once from a pipe.
			for _, r := range []io.Reader{f, struct{ io.Reader }{f}} {
				if _, err := f.Seek(0, io.SeekStart); err != nil {
					t.Fatal(err)
				}
				d, err := Open(r)
				var foreign *ForeignError
				switch {
				case c.container == "" && err != nil:
					t.Errorf("%v", err)
				case c.container == "":
					if got := Contents(d.Tracks()); got != c.holds {
						t.Errorf("holds %s, want %s", got, c.holds)
					}
				case !errors.As(err, &foreign):
					t.Errorf("error %v", err)
				case foreign.Container != c.container || Contents(foreign.Tracks) != c.holds:
					t.Errorf("%s that holds %s, want %s that holds %s", foreign.Container, Contents(foreign.Tracks), c.container, c.holds)
				}
			}
		})
	}
}

// Without ffmpeg: what cannot be made with it, and what is cut or damaged.
func TestRecognize(t *testing.T) {
	for _, c := range []struct {
		name, file, want string
	}{
		{"caf", "caff\x00\x01", "CAF"},
		{"amr", "#!AMR\n", "AMR: AMR"},
		{"y4m", "YUV4MPEG2 W2 H2\n", "Y4M: raw video"},
		{"cut mp4", "\x00\x00\x00\x18ftypqt  ", "MP4"},
		{"mp4 to the end", "\x00\x00\x00\x10ftypM4A \x00\x00\x00\x00\x00\x00\x00\x00mdat", "M4A"},
		{"mp4 with a box of impossible size", "\x00\x00\x00\x10ftypisom\x00\x00\x00\x00\x00\x00\x00\x03moov", "MP4"},
		{"mp4 with a wide box beyond 63 bits", "\x00\x00\x00\x10ftypisom\x00\x00\x00\x00\x00\x00\x00\x01mdat\xff\xff\xff\xff\xff\xff\xff\xff", "MP4"},
		{"wav without a format", "RIFF\x00\x00\x00\x00WAVEdata\x00\x00\x00\x00", "WAV"},
		{"cut flv", "FLV\x01\x05\x00\x00\x00\x09", "FLV"},
		{"flv with an extended codec", "FLV\x01\x01\x00\x00\x00\x09\x00\x00\x00\x00\x09\x00\x00\x05\x00\x00\x00\x00\x00\x00\x00\x90hvc1\x00\x00\x00\x10", "FLV: HEVC (H265)"},
		{"ts without tables", strings.Repeat("\x47"+strings.Repeat("\xff", 187), 3), "MPEG transport stream"},
		{"text", "Lorem ipsum dolor", ""},
		{"gif", "GIF89a\x01\x00", ""},
	} {
		_, err := Open(strings.NewReader(c.file))
		var foreign *ForeignError
		got := ""
		if errors.As(err, &foreign) {
			if got = foreign.Container; len(foreign.Tracks) > 0 {
				got += ": " + Contents(foreign.Tracks)
			}
		}
		if got != c.want {
			t.Errorf("%s: %q (%v), want %q", c.name, got, err, c.want)
		}
	}
}

// Composition offsets that are all the same shift the picture and do not reorder it.
func TestCompositionOffsets(t *testing.T) {
	offsets := func(v ...uint32) []byte {
		b := binary.BigEndian.AppendUint32(make([]byte, 4), uint32(len(v)))
		for _, o := range v {
			b = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(b, 1), o)
		}
		return b
	}
	for _, c := range []struct {
		body []byte
		want bool
	}{{nil, false}, {offsets(), false}, {offsets(1024), false}, {offsets(1024, 1024), false}, {offsets(1024, 0), true}} {
		if got := reordersComposition(c.body); got != c.want {
			t.Errorf("% x: %v", c.body, got)
		}
	}
}

// foreignSeeds are beginnings of files from which a fuzzer finds its way into each of the readers.
func foreignSeeds() [][]byte {
	box := func(kind string, body ...[]byte) []byte {
		b := bytes.Join(body, nil)
		return append(append(binary.BigEndian.AppendUint32(nil, uint32(8+len(b))), kind...), b...)
	}
	entry := append(make([]byte, 78), box("avcC", []byte{1, 66, 0, 10, 0xff, 0xe1, 0, 7, 0x67, 0x42, 0xc0, 0x0a, 0xd9, 0x0a, 0x35, 1, 0, 2, 0x68, 0xce})...)
	sound := append(make([]byte, 28), box("esds", []byte{0, 0, 0, 0, 3, 25, 0, 1, 0, 4, 17, 0x40, 0x15})...)
	track := func(handler, format string, entry []byte) []byte {
		return box("trak", box("mdia", box("hdlr", make([]byte, 8), []byte(handler), make([]byte, 12)),
			box("minf", box("stbl", box("stsd", []byte{0, 0, 0, 0, 0, 0, 0, 1}, box(format, entry)), box("ctts", make([]byte, 24))))))
	}
	movie := append(box("ftyp", []byte("isom\x00\x00\x02\x00")), box("moov", track("vide", "avc1", entry), track("soun", "mp4a", sound))...)
	pat := append([]byte("\x47\x40\x00\x10\x00\x00\xb0\x0d\x00\x01\xc1\x00\x00\x00\x01\xf0\x00"), bytes.Repeat([]byte{0xff}, 171)...)
	pmt := append([]byte("\x47\x50\x00\x10\x00\x02\xb0\x17\x00\x01\xc1\x00\x00\xe1\x00\xf0\x00\x1b\xe1\x00\xf0\x00\x0f\xe1\x01\xf0\x00"), bytes.Repeat([]byte{0xff}, 161)...)
	return [][]byte{
		movie,
		append(append(append([]byte{}, pat...), pmt...), pat...),
		[]byte("FLV\x01\x05\x00\x00\x00\x09\x00\x00\x00\x00\x08\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\xaf\x00\x00\x00\x00\x0d\x09\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x17\x00"),
		[]byte("RIFF\x24\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x02\x00"),
		[]byte("RIFF\x24\x00\x00\x00AVI LIST\x40\x00\x00\x00hdrlLIST\x30\x00\x00\x00strlstrh\x04\x00\x00\x00vidsstrf\x14\x00\x00\x00\x28\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00XVID"),
		[]byte("ID3\x04\x00\x00\x00\x00\x00\x00\xff\xfb\x90\x00"),
		[]byte("\xff\xf1\x50\x80\x02\x1f\xfc"),
		[]byte("\x00\x00\x00\x01\x67\x42\xc0\x0a"),
		[]byte("\x00\x00\x00\x01\x40\x01\x0c\x01"),
	}
}

// The seeds lead where they should.
func TestForeignSeeds(t *testing.T) {
	want := []string{"H264 and AAC", "H264 and AAC", "AAC and H264", "PCM", "MPEG-4 video", "MP3", "AAC", "H264", "HEVC (H265)"}
	for i, file := range foreignSeeds() {
		_, err := Open(bytes.NewReader(file))
		var foreign *ForeignError
		if !errors.As(err, &foreign) || Contents(foreign.Tracks) != want[i] {
			t.Errorf("seed %d: %v, want %s", i, err, want[i])
		}
	}
	t1 := Track{Kind: wire.KindAudio, Codec: "A_STRANGE"}
	if got := t1.Title(); got != `"A_STRANGE"` {
		t.Errorf("title %s", got)
	}
}
