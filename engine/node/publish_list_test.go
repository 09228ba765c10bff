package node

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/codec"
	"github.com/castd/castd/engine/container"
	"github.com/castd/castd/engine/wire"
)

// A playlist goes on behind files that are cut, unfit or no media at all, at its beginning as well; what was good of them is sent.
func TestPublishSkips(t *testing.T) {
	file := testFile(t, time.Second)
	audio := func(packets int, name string) []byte {
		var b bytes.Buffer
		if name != "" {
			w, err := container.NewMatroskaWriter(&b, false, []container.Track{{ID: 1, Kind: wire.KindAudio, Codec: name, Channels: 2}})
			if err != nil {
				t.Fatal(err)
			}
			for i := range packets {
				if err := w.WriteFrame(&container.Frame{Track: 1, Time: time.Duration(i) * 20 * time.Millisecond, Data: opus(rand.New(rand.NewPCG(1, 1)), 30), Key: true}); err != nil {
					t.Fatal(err)
				}
			}
		}
		return b.Bytes()
	}
	good := audio(50, codec.Opus)
	list := [][]byte{
		[]byte("Hello, this is a text."), nil, file, // no media, nothing, and then the first
		good,                // other tracks than the first
		file[:len(file)-40], // cut
		file,
	}
	synctest.Test(t, func(t *testing.T) {
		m := newFakeMedia()
		m.Subscribe(listener{}, engine.SinkOptions{})
		var skipped []string
		next := func() (io.Reader, error) {
			if list = list[1:]; len(list) == 0 {
				return nil, io.EOF
			}
			return bytes.NewReader(list[0]), nil
		}
		err := PublishFile(t.Context(), m, bytes.NewReader(list[0]), PublishOptions{Next: next, Skip: func(err error) bool {
			skipped = append(skipped, err.Error())
			return true
		}})
		if err != nil {
			t.Fatal(err)
		}
		for i, part := range []string{"no media file", "empty", "same kinds of tracks", "at byte"} {
			if i >= len(skipped) || !strings.Contains(skipped[i], part) {
				t.Errorf("skipped %q, want %q as number %d", skipped, part, i)
			}
		}
		packets := m.packets[audioLabel]
		if len(packets) != 50+49+50 || len(m.configs) != 1 {
			t.Fatalf("%d packets from %d slots", len(packets), len(m.configs))
		}
		for i, p := range packets {
			if p.Sequence != int64(i) {
				t.Fatalf("packet %d has the number %d", i, p.Sequence)
			}
		}
		if span := packets[len(packets)-1].Timestamp - packets[0].Timestamp; span < 148*960 || span > 150*960 {
			t.Errorf("they take %d samples", span)
		}
	})
}

// H264 whose times go back has B-frames, which only shows on the way.
func TestPublishFindsBFrames(t *testing.T) {
	var b bytes.Buffer
	private := []byte{1, 0x64, 0, 10, 0xff, 0xe1, 0, 9, 0x67, 0x64, 0, 0x0a, 0xac, 0xd9, 0x42, 0x84, 0x7e, 1, 0, 4, 0x68, 0xeb, 0xe3, 0xcb}
	w, err := container.NewMatroskaWriter(&b, false, []container.Track{{ID: 1, Kind: wire.KindVideo, Codec: codec.H264, Width: 64, Height: 48, Private: private}})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 60 {
		at := time.Duration(i) * 40 * time.Millisecond
		if i == 50 {
			at -= 60 * time.Millisecond
		}
		frame := []byte{0, 0, 0, 3, 0x41, 0x9a, byte(i)}
		if i == 0 {
			frame = []byte{0, 0, 0, 3, 0x65, 0x88, 0x80}
		}
		if err := w.WriteFrame(&container.Frame{Track: 1, Time: at, Data: frame, Key: i == 0}); err != nil {
			t.Fatal(err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		m := newFakeMedia()
		m.Subscribe(listener{}, engine.SinkOptions{})
		err := PublishFile(t.Context(), m, &b, PublishOptions{Source: "moved.mkv"})
		var bad *UnplayableError
		if !errors.As(err, &bad) || !strings.Contains(err.Error(), "moved.mkv holds H264 with B-frames") {
			t.Errorf("error %v", err)
		}
		if n := len(m.packets[videoLabel]); n != 51 { // the first frame has its parameter sets before it
			t.Errorf("%d packets were sent", n)
		}
	})
}
