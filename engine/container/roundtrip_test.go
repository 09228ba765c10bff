package container

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/castd/castd/engine/codec"
	"github.com/castd/castd/engine/wire"
)

func throughPackets(t *testing.T, path string, tracks []Track, frames []*Frame) {
	t.Helper()
	record := filepath.Join(t.TempDir(), "out.mkv")
	f, err := Create(record)
	if err != nil {
		t.Fatal(err)
	}
	writeThroughPackets(t, f, slices.Clone(tracks), frames)
	if err := f.Sync(); err != nil {
		t.Error(err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	_, again := open(t, record)
	if len(again) != len(frames) {
		t.Fatalf("%d frames, want %d", len(again), len(frames))
	}
	h264 := tracks[0].Codec == codec.H264
	for i, a := range again {
		w := frames[i]
		same := bytes.Equal(a.Data, w.Data) || h264 && a.Track == 1 && bytes.HasSuffix(a.Data, w.Data[len(w.Data)/2:])
		if !same || a.Key != w.Key || (a.Time-w.Time).Abs() > time.Millisecond {
			t.Fatalf("frame %d: %d octets at %v, want %d at %v", i, len(a.Data), a.Time, len(w.Data), w.Time)
		}
	}
	run(t, "ffmpeg", "-xerror", "-i", record, "-f", "null", "-")
	want, got := decoded(t, path), decoded(t, record)
	for i, track := range tracks {
		n := len(want[i])
		if track.Kind == wire.KindAudio {
			n -= 2 // a file may tell to trim its end, packets cannot
		}
		if len(got[i]) < n || !slices.Equal(got[i][:n], want[i][:n]) {
			t.Errorf("stream %d of the recording decodes to something else: %d frames, want %d", i, len(got[i]), len(want[i]))
		}
	}
}

// decoded returns digests of all pictures and sounds of a file.
func decoded(t *testing.T, path string) (streams [2][]string) {
	t.Helper()
	args := []string{"-i", path, "-map", "0:v?", "-map", "0:a?", "-fps_mode", "passthrough", "-f", "framemd5", "-"}
	for line := range strings.Lines(string(run(t, "ffmpeg", args...))) {
		fields := strings.Split(strings.TrimSpace(line), ",")
		if len(fields) != 6 || strings.HasPrefix(line, "#") {
			continue
		}
		i := int(fields[0][0] - '0')
		streams[i] = append(streams[i], fields[5])
	}
	return streams
}

func writeThroughPackets(t *testing.T, w io.Writer, tracks []Track, frames []*Frame) {
	t.Helper()
	packetizers, depacketizers := map[int]*codec.Packetizer{}, map[int]*codec.Depacketizer{}
	for i := range tracks {
		track := &tracks[i]
		p, err := codec.NewPacketizer(track.Codec, 0, track.Private)
		if err != nil {
			t.Fatal(err)
		}
		d, err := codec.NewDepacketizer(track.Codec)
		if err != nil {
			t.Fatal(err)
		}
		packetizers[track.ID], depacketizers[track.ID] = p, d
	}
	var m *MatroskaWriter
	var held []*Frame
	described := 0
	for _, f := range frames {
		payloads, err := packetizers[f.Track].Packetize(f.Data, f.Discardable)
		if err != nil {
			t.Fatal(err)
		}
		for _, payload := range payloads {
			data, key, ok := depacketizers[f.Track].Push(payload.Data, uint32(f.Time/time.Millisecond), payload.Marker, false)
			if ok {
				held = append(held, &Frame{Track: f.Track, Time: f.Time, Data: bytes.Clone(data), Key: key, Discardable: f.Discardable})
				described += describeTrack(t, tracks, f.Track, data)
			}
		}
		if described < len(tracks) {
			continue
		}
		if m == nil {
			if m, err = NewMatroskaWriter(w, false, tracks); err != nil {
				t.Fatal(err)
			}
		}
		for _, h := range held {
			if err := m.WriteFrame(h); err != nil {
				t.Fatal(err)
			}
		}
		held = held[:0]
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
}

// describeTrack fills in what a receiver can know of a track from its first frame, and forgets what the file said.
func describeTrack(t *testing.T, tracks []Track, id int, first []byte) int {
	t.Helper()
	for i := range tracks {
		track := &tracks[i]
		if track.ID != id || track.Duration < 0 {
			continue
		}
		track.Duration = -1 // done
		if track.Kind == wire.KindVideo {
			w, h, ok := codec.Dimensions(track.Codec, first)
			if !ok || w != track.Width || h != track.Height {
				t.Errorf("%s: picture of %dx%d, want %dx%d", track.Codec, w, h, track.Width, track.Height)
			}
		}
		private := codec.DecoderConfig(track.Codec, first)
		if track.Codec == codec.H264 && !bytes.Equal(private, track.Private) {
			t.Errorf("H264 configuration %x, want %x", private, track.Private)
		}
		if track.Codec == codec.AV1 && len(track.Private) >= 4 && (len(private) < 4 || !bytes.Equal(private[:3], track.Private[:3]) || !bytes.Equal(private[4:], track.Private[4:])) {
			t.Errorf("AV1 configuration %x, want %x", private, track.Private)
		}
		track.Private = private
		return 1
	}
	return 0
}

// recording makes a file of n seconds of Opus and a little VP8, with the place in the file after each call of the writer.
func recording(t testing.TB, n int, video bool) (file []byte, ends []int) {
	t.Helper()
	var b bytes.Buffer
	tracks := []Track{{ID: 7, Kind: wire.KindAudio, Codec: codec.Opus, Channels: 2, PreSkip: 312}}
	if video {
		tracks = append(tracks, Track{ID: 9, Kind: wire.KindVideo, Codec: codec.VP8, Width: 64, Height: 48})
	}
	m, err := NewMatroskaWriter(&b, true, tracks)
	if err != nil {
		t.Fatal(err)
	}
	for i := range n * 50 {
		at := time.Duration(i) * 20 * time.Millisecond
		if video && i%4 == 0 {
			data := []byte{1, 2, byte(i)}
			if i%200 == 0 {
				data[0] = 0
			}
			if err := m.WriteFrame(&Frame{Track: 9, Time: at, Data: data, Key: i%200 == 0, Discardable: i%8 == 4}); err != nil {
				t.Fatal(err)
			}
			ends = append(ends, b.Len())
		}
		if err := m.WriteFrame(&Frame{Track: 7, Time: at, Data: []byte{0x7c, byte(i), byte(i >> 8)}, Key: true}); err != nil {
			t.Fatal(err)
		}
		ends = append(ends, b.Len())
	}
	return b.Bytes(), ends
}

// Each prefix of a recording has all blocks that were written whole.
func TestMatroskaPrefixes(t *testing.T) {
	file, ends := recording(t, 5, true)
	whole := 0
	for n := range len(file) + 1 {
		for whole < len(ends) && ends[whole] <= n {
			whole++
		}
		d, err := Open(bytes.NewReader(file[:n]))
		if whole == 0 && err != nil {
			continue
		}
		if err != nil {
			t.Fatalf("prefix of %d octets: %v", n, err)
		}
		frames, err := readAll(d)
		if len(frames) != whole {
			t.Fatalf("prefix of %d octets: %d frames, want %d", n, len(frames), whole)
		}
		if clean := whole > 0 && ends[whole-1] == n; clean != (err == io.EOF) && whole > 0 {
			if clean || !endsInHead(file[:n], ends[whole-1]) {
				t.Fatalf("prefix of %d octets: %v", n, err)
			}
		}
	}
	for i, f := range mustRead(t, file) {
		if f.Track == 2 && (f.Key != (f.Data[0] == 0) || f.Discardable != (int(f.Time/(20*time.Millisecond))%8 == 4)) {
			t.Fatalf("frame %d: %+v", i, f)
		}
	}
}

// endsInHead reports whether a prefix ends with a Cluster's head and timestamp, where a cut cannot be told from an end.
func endsInHead(prefix []byte, after int) bool {
	rest := prefix[after:]
	return len(rest) >= 12 && bytes.HasPrefix(rest, []byte{0x1f, 0x43, 0xb6, 0x75}) && (len(rest) == 12 || len(rest) == 14+int(rest[13]&0x7f))
}

func mustRead(t *testing.T, file []byte) []*Frame {
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

// Each prefix of an Ogg file is readable up to less than a second before its end, and ffmpeg takes it too.
func TestPrefixesOfRealMedia(t *testing.T) {
	needFFmpeg(t)
	_, audio := open(t, encode(t, encoders[0].name, encoders[0].args))
	var b bytes.Buffer
	var written []int // octets after each packet
	o, err := NewOggWriter(&b, 1, 312, 99)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range audio {
		if err := o.WritePacket(f.Data, f.Time); err != nil {
			t.Fatal(err)
		}
		written = append(written, b.Len())
	}
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	file := b.Bytes()
	for n := written[0]; n <= len(file); n++ {
		d, err := Open(bytes.NewReader(file[:n]))
		if err != nil {
			t.Fatalf("prefix of %d octets: %v", n, err)
		}
		frames, err := readAll(d)
		// A process that is killed has written n octets at the latest when it takes this packet.
		reached := time.Duration(0)
		for i := range audio {
			if written[i] <= n {
				reached = audio[i].Time
			}
		}
		end := time.Duration(0)
		for i, f := range frames {
			if !bytes.Equal(f.Data, audio[i].Data) || f.Time != audio[i].Time {
				t.Fatalf("prefix of %d octets: packet %d is another", n, i)
			}
			end = f.Time + f.Duration
		}
		if n < len(file) && reached-end >= time.Second {
			t.Fatalf("prefix of %d octets ends at %v, recording was at %v: %v", n, end, reached, err)
		}
	}
	whole, _ := Open(bytes.NewReader(file))
	if frames, err := readAll(whole); len(frames) != len(audio) || err != io.EOF {
		t.Errorf("%d packets, want %d: %v", len(frames), len(audio), err)
	}
	for _, n := range []int{len(file), len(file) / 2, len(file)/3 + 1} {
		path := filepath.Join(t.TempDir(), "cut.ogg")
		if err := os.WriteFile(path, file[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		args := []string{"-i", path, "-f", "null", "-"}
		if n == len(file) {
			args = append([]string{"-xerror"}, args...)
		}
		run(t, "ffmpeg", args...)
	}

	d, video := open(t, encode(t, "vp8.webm", []string{"-map", "0:v", "-map", "1:a", "-c:v", "libvpx", "-g", "15", "-c:a", "libopus"}))
	b.Reset()
	m, err := NewMatroskaWriter(&b, true, d.Tracks())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range video {
		if err := m.WriteFrame(f); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range []int{b.Len(), b.Len() / 2, b.Len() / 3} {
		path := filepath.Join(t.TempDir(), "cut.webm")
		if err := os.WriteFile(path, b.Bytes()[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		if got := len(probe(t, path)); n == b.Len() && got != len(video) || got < len(video)*n/b.Len()/2 {
			t.Errorf("%d of %d octets: ffprobe sees %d packets of %d", n, b.Len(), got, len(video))
		}
	}
}
