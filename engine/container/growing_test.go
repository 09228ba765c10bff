package container

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/castd/castd/engine/codec"
	"github.com/castd/castd/engine/wire"
)

// TestGrowingMatroska adds tracks to a file that is being written, until it has no room.
func TestGrowingMatroska(t *testing.T) {
	path := filepath.Join(t.TempDir(), "room.mkv")
	f, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	audio := Track{ID: 1, Kind: wire.KindAudio, Codec: codec.Opus, Channels: 2, PreSkip: 312}
	w, err := NewGrowingMatroska(f, f.Rewrite, []Track{audio})
	if err != nil {
		t.Fatal(err)
	}
	frame := func(track int, at time.Duration) {
		t.Helper()
		if err := w.WriteFrame(&Frame{Track: track, Time: at, Data: []byte{31 << 3, byte(track)}, Key: true}); err != nil {
			t.Fatal(err)
		}
	}
	frame(1, 0)
	n := 1
	for ; ; n++ {
		audio.ID = n + 1
		err := w.AddTrack(audio)
		if errors.Is(err, ErrTracks) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		frame(n+1, time.Duration(n)*20*time.Millisecond)
	}
	if n < 20 {
		t.Errorf("there is room for %d tracks", n)
	}
	frame(1, time.Second)
	if err := w.WriteFrame(&Frame{Track: audio.ID, Time: time.Second, Data: []byte{31 << 3}}); err == nil {
		t.Error("a track without room can be written to")
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	d, err := Open(bytes.NewReader(text))
	if err != nil || len(d.Tracks()) != n {
		t.Fatalf("%d tracks, want %d: %v", len(d.Tracks()), n, err)
	}
	for i := range n + 1 {
		got, err := d.Next()
		if err != nil || i < n && got.Track != i+1 {
			t.Fatalf("frame %d: %+v, %v", i, got, err)
		}
	}
}
