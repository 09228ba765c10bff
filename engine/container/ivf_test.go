package container

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/castd/castd/engine/codec"
	"github.com/castd/castd/engine/wire"
)

// ivf makes an IVF file of frames at 25 a second.
func ivf(name string, frames [][]byte) []byte {
	b := append([]byte("DKIF\x00\x00\x20\x00"), name...)
	b = append(b, 160, 0, 120, 0, 25, 0, 0, 0, 1, 0, 0, 0, byte(len(frames)), 0, 0, 0, 0, 0, 0, 0)
	for i, f := range frames {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(f)))
		b = append(binary.LittleEndian.AppendUint64(b, uint64(i)), f...)
	}
	return b
}

// H264 comes out of IVF, where it has start codes, as it comes out of Matroska. What ffmpeg makes of the former's frames, as a
// Matroska file, is the same picture for picture.
func TestIVFH264(t *testing.T) {
	needFFmpeg(t)
	path := makeMedia(t, "bare.h264", "-map", "0:v", "-c:v", "libx264", "-profile:v", "baseline", "-pix_fmt", "yuv420p", "-g", "15", "-x264-params", "aud=1")
	bare, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var frames [][]byte
	for _, part := range bytes.Split(bare, []byte{0, 0, 0, 1, 9})[1:] { // at delimiters
		frames = append(frames, append([]byte{0, 0, 0, 1, 9}, part...))
	}
	d, err := Open(bytes.NewReader(ivf("H264", frames)))
	if err != nil {
		t.Fatal(err)
	}
	track := d.Tracks()[0]
	if track.Codec != codec.H264 || len(track.Private) < 7 || track.Reordered || track.Duration != 1200*time.Millisecond {
		t.Fatalf("track %+v", track)
	}
	got, err := readAll(d)
	if err != io.EOF || len(got) != 30 {
		t.Fatalf("%d frames: %v", len(got), err)
	}
	copied := filepath.Join(t.TempDir(), "copy.mkv")
	f, err := os.Create(copied)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w, err := NewMatroskaWriter(f, false, []Track{track})
	if err != nil {
		t.Fatal(err)
	}
	for i, frame := range got {
		if frame.Key != (i%15 == 0) || frame.Time != time.Duration(i)*40*time.Millisecond {
			t.Errorf("frame %d: key %v at %v", i, frame.Key, frame.Time)
		}
		if err := w.WriteFrame(frame); err != nil {
			t.Fatal(err)
		}
	}
	pictures := func(path string) []byte {
		return run(t, "ffmpeg", "-xerror", "-i", path, "-map", "0:v", "-f", "rawvideo", "-pix_fmt", "gray", "-fps_mode", "passthrough", "-")
	}
	if a, b := pictures(copied), pictures(path); !bytes.Equal(a, b) || len(a) != 30*160*120 {
		t.Errorf("%d octets of pictures, want the same %d", len(a), len(b))
	}
}

func TestIVFH264Errors(t *testing.T) {
	key := []byte{0, 0, 0, 1, 0x67, 0x42, 0xc0, 0x0a, 0xd9, 0x0a, 0x35, 0, 0, 0, 1, 0x68, 0xce, 0x38, 0x80, 0, 0, 0, 1, 0x65, 0x88, 0x84, 0x10}
	for _, c := range []struct {
		name   string
		frames [][]byte
		good   int // frames before the error
	}{
		{"no frame", nil, 0},
		{"no start codes", [][]byte{{1, 2, 3}}, 0},
		{"no parameter sets", [][]byte{{0, 0, 1, 0x65, 0x88}}, 0},
		{"no start codes later", [][]byte{key, {1, 2, 3}}, 1},
	} {
		d, err := Open(bytes.NewReader(ivf("H264", c.frames)))
		good := 0
		if err == nil {
			var frames []*Frame
			frames, err = readAll(d)
			good = len(frames)
		}
		var bad *FormatError
		if !errors.As(err, &bad) || bad.Offset < 0 || good != c.good {
			t.Errorf("%s: %d frames, then %v", c.name, good, err)
		}
	}
}

// What is written is read again, at every prefix of whole frames; AV1 gets its delimiters.
func TestIVFWriter(t *testing.T) {
	for name, frame := range map[string][]byte{codec.VP8: {0x10, 1, 2}, codec.VP9: {0x82, 1, 2}, codec.AV1: {0x32, 1, 0x40}} {
		var b bytes.Buffer
		w, err := NewIVFWriter(&b, Track{Kind: wire.KindVideo, Codec: name, Width: 160, Height: 120})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 5 {
			if err := w.WriteFrame(&Frame{Time: time.Duration(i) * 40 * time.Millisecond, Data: append(frame, byte(i))}); err != nil {
				t.Fatal(err)
			}
			d, err := Open(bytes.NewReader(b.Bytes()))
			if err != nil {
				t.Fatal(err)
			}
			frames, err := readAll(d)
			if err != io.EOF || len(frames) != i+1 {
				t.Fatalf("%s: %d frames of %d: %v", name, len(frames), i+1, err)
			}
			want := append(bytes.Clone(frame), byte(i))
			if name == codec.AV1 {
				want = append([]byte{0x12, 0}, want...)
			}
			if f := frames[i]; !bytes.Equal(f.Data, want) || f.Time != time.Duration(i)*40*time.Millisecond {
				t.Errorf("%s: frame %d is % x at %v", name, i, f.Data, f.Time)
			}
			if track := d.Tracks()[0]; track.Codec != name || track.Width != 160 || track.Height != 120 || track.Duration != 0 {
				t.Errorf("track %+v", track)
			}
		}
		for _, bad := range []Frame{{Time: -1, Data: frame}, {}, {Data: make([]byte, MaxFrame)}} {
			if err := w.WriteFrame(&bad); err == nil {
				t.Errorf("%s: a frame of %d octets at %v was written", name, len(bad.Data), bad.Time)
			}
		}
	}
	for _, track := range []Track{{Kind: wire.KindVideo, Codec: codec.H264}, {Kind: wire.KindAudio, Codec: codec.Opus}} {
		if _, err := NewIVFWriter(io.Discard, track); err == nil {
			t.Errorf("IVF of %s", track.Codec)
		}
	}
}
