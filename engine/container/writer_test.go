package container

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/castd/castd/engine/codec"
	"github.com/castd/castd/engine/wire"
)

const ms = time.Millisecond

func oggFrames(t *testing.T, file []byte) []*Frame {
	t.Helper()
	d, err := Open(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	frames, err := readAll(d)
	if err != io.EOF {
		t.Fatal(err)
	}
	return frames
}

// Gaps are filled with packets that ask for concealment, so that what follows stays at its time.
func TestOggGaps(t *testing.T) {
	for _, c := range []struct {
		name string
		toc  byte
		gap  time.Duration
		fill string // what is between the two packets
	}{
		{"none", 0x78, 0, ""},
		{"one frame", 0x78, 20 * ms, "20ms 78"},
		{"three frames", 0x78, 60 * ms, "20ms 7b03"},
		{"more than a packet takes", 0x78, 260 * ms, "20ms 7b06, 140ms 7b06, 260ms 78"},
		{"half a hybrid frame", 0x78, 10 * ms, "20ms 70"},
		{"a quarter, becomes CELT", 0x78, 5 * ms, "20ms e8"},
		{"silk, stereo", 0x0c, 30 * ms, "20ms 0c, 40ms 04"},
		{"silk, smallest", 0x48, 2500 * time.Microsecond, "20ms a0"},
		{"celt", 0xf8, 22500 * time.Microsecond, "20ms f8, 40ms e0"},
		{"too small to tell", 0x78, 2 * ms, ""},
	} {
		var b bytes.Buffer
		o, err := NewOggWriter(&b, 1, 312, 1)
		if err != nil {
			t.Fatal(err)
		}
		const start = 5 * time.Hour // any clock will do
		data := []byte{c.toc, 1, 2, 3}
		length := codec.OpusDuration(data)
		for _, at := range []time.Duration{0, length + c.gap, 2*length + c.gap} {
			if err := o.WritePacket(data, start+at); err != nil {
				t.Fatal(err)
			}
		}
		if err := o.Close(); err != nil {
			t.Fatal(err)
		}
		frames := oggFrames(t, b.Bytes())
		if got := stream(frames[1 : len(frames)-2]); got != c.fill {
			t.Errorf("%s: %s, want %s", c.name, got, c.fill)
		}
		if off := frames[len(frames)-1].Time - 2*length - c.gap; off.Abs() >= 2500*time.Microsecond {
			t.Errorf("%s: %v off", c.name, off)
		}
	}
	o, _ := NewOggWriter(io.Discard, 1, 312, 1)
	_ = o.WritePacket([]byte{0x78, 1}, 0)
	if err := o.WritePacket([]byte{0x78, 1}, 25*time.Hour); err == nil {
		t.Error("a gap of a day")
	}
	if err := o.WritePacket([]byte{0x78, 1}, 20*ms); err != nil {
		t.Error("no way on after a wrong time:", err)
	}
}

// Decoders take the filled gaps: the sound is as long as the recording was.
func TestFFmpegPlaysGaps(t *testing.T) {
	needFFmpeg(t)
	path := filepath.Join(t.TempDir(), "gap.ogg")
	_, frames := open(t, encode(t, encoders[0].name, encoders[0].args))
	f, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	o, err := NewOggWriter(f, 1, 312, 1)
	if err != nil {
		t.Fatal(err)
	}
	for i, frame := range frames {
		if i%10 < 3 || i > 30 && i < 70 {
			continue
		}
		if err := o.WritePacket(frame.Data, frame.Time); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(o.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
	pcm := run(t, "ffmpeg", "-xerror", "-i", path, "-f", "s16le", "-ar", "48000", "-ac", "1", "-")
	// The first three packets are before the first that was written.
	if got, want := len(pcm)/2, (len(frames)-3)*960-312; got < want-2000 || got > want+2000 {
		t.Errorf("%d samples, want %d", got, want)
	}
}

// flaky is a disk that is full for some writes.
type flaky struct {
	bytes.Buffer
	fail func(call int) bool
	call int
}

func (f *flaky) Write(b []byte) (int, error) {
	f.call++
	if f.fail(f.call) {
		return 0, syscall.ENOSPC
	}
	return f.Buffer.Write(b)
}

func TestRecordingGoesOnAfterFullDisk(t *testing.T) {
	t.Run("ogg", func(t *testing.T) {
		w := &flaky{fail: func(call int) bool { return call >= 5 && call < 8 }}
		o, err := NewOggWriter(w, 1, 312, 1)
		if err != nil {
			t.Fatal(err)
		}
		failed := 0
		for i := range 500 {
			err := o.WritePacket([]byte{0x78, byte(i), byte(i >> 8)}, time.Duration(i)*20*ms)
			if err != nil {
				failed++
				if !errors.Is(err, syscall.ENOSPC) {
					t.Fatal(err)
				}
			}
		}
		if err := o.Close(); err != nil {
			t.Fatal(err)
		}
		if failed != 3 {
			t.Errorf("%d calls failed", failed)
		}
		media := 0
		for _, f := range oggFrames(t, w.Bytes()) {
			if len(f.Data) == 3 {
				media++
				if n := int(f.Data[1]) + int(f.Data[2])<<8; f.Time != time.Duration(n)*20*ms {
					t.Fatalf("packet %d is at %v", n, f.Time)
				}
			}
		}
		if media < 400 || media == 500 {
			t.Errorf("%d packets of 500", media)
		}
	})
	t.Run("matroska", func(t *testing.T) {
		w := &flaky{fail: func(call int) bool { return call >= 52 && call < 60 }}
		m, err := NewMatroskaWriter(w, true, []Track{{ID: 1, Kind: wire.KindAudio, Codec: codec.Opus}})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 200 {
			_ = m.WriteFrame(&Frame{Track: 1, Time: time.Duration(i) * 20 * ms, Data: []byte{0x78, byte(i)}, Key: true})
		}
		frames := mustRead(t, w.Bytes())
		if len(frames) != 192 {
			t.Errorf("%d frames", len(frames))
		}
		for _, f := range frames {
			if f.Time != time.Duration(f.Data[1])*20*ms {
				t.Fatalf("frame %d is at %v", f.Data[1], f.Time)
			}
		}
	})
}

func TestMatroskaWriterTimes(t *testing.T) {
	var b bytes.Buffer
	m, err := NewMatroskaWriter(&b, false, []Track{
		{ID: 3, Kind: wire.KindAudio, Codec: codec.Opus}, {ID: 4, Kind: wire.KindVideo, Codec: codec.VP8, Width: 640, Height: 480},
	})
	if err != nil {
		t.Fatal(err)
	}
	times := []time.Duration{0, 500 * ms, 499 * ms, 40 * time.Second, 3 * time.Second, 100 * time.Hour, 0, 1500 * time.Microsecond}
	for i, at := range times {
		if err := m.WriteFrame(&Frame{Track: 3 + i%2, Time: at, Data: []byte{0x78, byte(i)}, Key: i == 5}); err != nil {
			t.Fatal(err)
		}
	}
	d, err := Open(&b)
	if err != nil {
		t.Fatal(err)
	}
	if v := d.Tracks()[1]; v.Width != 640 || v.Height != 480 || v.Codec != codec.VP8 {
		t.Errorf("%+v", v)
	}
	frames, err := readAll(d)
	if err != io.EOF || len(frames) != len(times) {
		t.Fatalf("%d frames: %v", len(frames), err)
	}
	for i, f := range frames {
		if want := times[i].Round(ms); f.Time != want {
			t.Errorf("frame %d at %v, want %v", i, f.Time, want)
		}
	}
	for _, f := range []*Frame{{Track: 9}, {Track: 3, Time: -1}, {Track: 3, Data: make([]byte, MaxFrame)}} {
		if m.WriteFrame(f) == nil {
			t.Errorf("wrote %d octets to track %d at %v", len(f.Data), f.Track, f.Time)
		}
	}
}

func TestWritersRefuse(t *testing.T) {
	audio := Track{ID: 1, Kind: wire.KindAudio, Codec: codec.Opus}
	for name, tracks := range map[string][]Track{
		"none": nil, "twice": {audio, audio}, "h264 in webm": {{Kind: wire.KindVideo, Codec: codec.H264}}, "red": {{Codec: codec.RED}},
	} {
		if _, err := NewMatroskaWriter(io.Discard, true, tracks); err == nil {
			t.Error(name)
		}
	}
	if _, err := NewOggWriter(io.Discard, 3, 0, 0); err == nil {
		t.Error("Ogg of three channels")
	}
	o, _ := NewOggWriter(io.Discard, 1, 0, 0)
	for name, packet := range map[string][]byte{"empty": nil, "malformed": {3}, "large": make([]byte, 70000)} {
		if o.WritePacket(packet, 0) == nil {
			t.Error(name)
		}
	}
	if err := errors.Join(o.Close(), o.Close()); err != nil {
		t.Error(err)
	}
}

func TestOggChainAndJoin(t *testing.T) {
	link := func(serial uint32, n int) []byte {
		var b bytes.Buffer
		o, _ := NewOggWriter(&b, 1, 312, serial)
		for i := range n {
			_ = o.WritePacket([]byte{0x78, byte(serial), byte(i)}, time.Duration(i)*20*ms)
		}
		_ = o.Close()
		return b.Bytes()
	}
	first := link(1, 30)
	frames := oggFrames(t, append(bytes.Clone(first), link(2, 2)...))
	if got := stream(frames[29:]); got != "580ms 78011d, 600ms 780200, 620ms 780201" {
		t.Errorf("chain: %s", got)
	}
	// The first link has lost its last page, whose packets begin at 500 ms.
	last := bytes.LastIndex(first, []byte("OggS"))
	frames = oggFrames(t, append(bytes.Clone(first[:last]), link(2, 1)...))
	if got := stream(frames[24:]); got != "480ms 780118, 500ms 780200" {
		t.Errorf("chain after a cut: %s", got)
	}
}

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a")
	if err := os.WriteFile(path, []byte("something longer that was there"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := f.Write([]byte("abc")); err != nil {
			t.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			t.Fatal(err)
		}
	}
	if f.Size() != 9 || f.Lost() != 0 {
		t.Errorf("%d written, %d lost", f.Size(), f.Lost())
	}
	if err := errors.Join(f.Close(), f.Close(), f.Sync()); err != nil {
		t.Error(err)
	}
	if got, _ := os.ReadFile(path); string(got) != "abcabcabc" {
		t.Errorf("%q", got)
	}
	if _, err := Create(filepath.Join(path, "b")); err == nil {
		t.Error("made a file inside a file")
	}
	full, err := Create("/dev/full")
	if err != nil {
		t.Skip(err)
	}
	defer full.Close()
	for range 2 {
		if _, err := full.Write([]byte("abc")); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("full disk: %v", err)
		}
	}
	if full.Size() != 0 || full.Lost() != 6 {
		t.Errorf("full disk: %d written, %d lost", full.Size(), full.Lost())
	}
}

// The sample conversions are inverse to each other, up to the longest file.
func TestSamples(t *testing.T) {
	for _, n := range []int64{0, 1, 2, 119, 120, 47999, 48000, 48001, 1 << 40, maxPosition} {
		if got := samples(duration(n)); got != n {
			t.Errorf("%d samples became %d by way of %v", n, got, duration(n))
		}
	}
}

func TestFFprobeReadsWebM(t *testing.T) {
	needFFmpeg(t)
	file, _ := recording(t, 3, false)
	path := filepath.Join(t.TempDir(), "a.webm")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	out := run(t, "ffprobe", "-show_entries", "format=format_name:stream=codec_name,channels,initial_padding", "-of", "csv", path)
	if s := string(out); !strings.Contains(s, "opus,2") || !strings.Contains(s, "webm") {
		t.Error(s)
	}
	for i, p := range probe(t, path) {
		if want := sum([]byte{0x7c, byte(i), byte(i >> 8)}); p.Sum != want {
			t.Fatalf("packet %s differs", strconv.Itoa(i))
		}
	}
}
