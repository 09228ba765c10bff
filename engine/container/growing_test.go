package container

import (
	"bufio"
	"bytes"
	"encoding/binary"
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

// TestIndex finds the index of a file that was finished, and what it tells of: with it a player knows the length, and goes to the middle
// without reading all before.
func TestIndex(t *testing.T) {
	path := filepath.Join(t.TempDir(), "room.mkv")
	f, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w, err := NewGrowingMatroska(f, f.Rewrite, []Track{{ID: 1, Kind: wire.KindAudio, Codec: codec.Opus, Channels: 2, PreSkip: 312}})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.AddTrack(Track{ID: 2, Kind: wire.KindVideo, Codec: codec.VP8, Width: 320, Height: 180}); err != nil {
		t.Fatal(err)
	}
	for at := time.Duration(0); at < time.Minute; at += 20 * time.Millisecond {
		err := w.WriteFrame(&Frame{Track: 1, Time: at, Duration: 20 * time.Millisecond, Data: []byte{31 << 3}, Key: true})
		if at%(40*time.Millisecond) == 0 {
			err = errors.Join(err, w.WriteFrame(&Frame{Track: 2, Time: at, Data: []byte{0x10, 2, 0, 0x9d, 1, 0x2a, 64, 1, 180, 0}, Key: at%(3*time.Second) == 0}))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	d, err := Open(bytes.NewReader(text))
	if err != nil || d.Tracks()[0].Duration != time.Minute {
		t.Fatalf("it lasts %v: %v", d.Tracks()[0].Duration, err)
	}
	frames := 0
	for ; err == nil; frames++ {
		_, err = d.Next()
	}
	if frames != 3000+1500+1 {
		t.Errorf("%d frames, then %v", frames, err)
	}
	from := bytes.Index(text, appendID(nil, idSegment)) + 12
	points := func(id uint32, place uint64) {
		if !bytes.HasPrefix(text[from+int(place):], appendID(nil, id)) {
			t.Errorf("no element %x at %d", id, place)
		}
	}
	inside := func(b []byte, each func(id uint32, v []byte)) {
		if err := children(b, 0, func(id uint32, v []byte, _ int64) error { each(id, v); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	var cues []byte
	content := func(place uint64) []byte { // of the element there
		s := &source{r: bufio.NewReader(bytes.NewReader(text[from+int(place):]))}
		e, err := s.element()
		if err != nil {
			t.Fatal(err)
		}
		return text[from+int(place)+int(s.offset):][:e.size]
	}
	seeks := 0
	inside(content(0), func(id uint32, v []byte) {
		var what uint32
		inside(v, func(id uint32, v []byte) {
			if id == idSeekID {
				what = binary.BigEndian.Uint32(v)
				return
			}
			points(what, number(v))
			if seeks++; what == idCues {
				cues = content(number(v))
			}
		})
	})
	count := 0
	inside(cues, func(_ uint32, v []byte) {
		at := uint64(count * 3000)
		count++
		inside(v, func(id uint32, v []byte) {
			if id == idCueTime {
				if number(v) != at {
					t.Errorf("a place at %d ms, want %d", number(v), at)
				}
				return
			}
			inside(v, func(id uint32, v []byte) {
				if id == idCueClusterPosition {
					points(idCluster, number(v))
				}
			})
		})
	})
	if seeks != 3 || count != 20 {
		t.Errorf("%d places of elements, %d to begin at", seeks, count)
	}
}
