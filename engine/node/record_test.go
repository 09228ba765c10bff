package node

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/codec"
	"github.com/castd/castd/engine/wire"
)

// startRecord runs Record beside the bubble's main goroutine. The result comes when it ends.
func startRecord(ctx context.Context, m engine.Media, w io.Writer, o RecordOptions) <-chan error {
	done := make(chan error, 1)
	go func() { done <- Record(ctx, m, w, o) }()
	synctest.Wait()
	return done
}

func TestRecordKeepsWhatWasPublished(t *testing.T) {
	file := testFile(t, 5*time.Second)
	_, source := framesOf(t, file)
	tests := []struct {
		format  Format
		noClock bool
		kinds   []wire.Kind
	}{
		{FormatMatroska, false, []wire.Kind{wire.KindVideo, wire.KindAudio}},
		{FormatWebM, false, []wire.Kind{wire.KindVideo, wire.KindAudio}},
		{FormatWebM, true, []wire.Kind{wire.KindVideo, wire.KindAudio}},
		{FormatOgg, false, []wire.Kind{wire.KindAudio}},
		{FormatIVF, false, []wire.Kind{wire.KindVideo}},
	}
	for _, tt := range tests {
		t.Run(string(tt.format), func(t *testing.T) {
			var out bytes.Buffer
			synctest.Test(t, func(t *testing.T) {
				m := newFakeMedia()
				m.noClock = tt.noClock
				done := startRecord(t.Context(), m, &out, RecordOptions{Format: tt.format, UntilEnd: true})
				if err := PublishFile(t.Context(), m, bytes.NewReader(file), PublishOptions{}); err != nil {
					t.Fatal(err)
				}
				if err := <-done; err != nil {
					t.Fatal(err)
				}
			})
			tracks, got := framesOf(t, out.Bytes())
			if len(tracks) != len(tt.kinds) {
				t.Fatalf("tracks %+v", tracks)
			}
			for _, k := range tt.kinds {
				sameFrames(t, k, got[k], source[k], 2*time.Millisecond)
			}
			if tt.format == FormatOgg {
				return
			}
			if tracks[0].Width != 64 || tracks[0].Height != 48 {
				t.Errorf("picture of %dx%d", tracks[0].Width, tracks[0].Height)
			}
			if tt.format == FormatIVF {
				return
			}
			if d := got[wire.KindAudio][0].Time - got[wire.KindVideo][0].Time; d < -10*time.Millisecond || d > 10*time.Millisecond {
				t.Errorf("audio begins %v after video", d)
			}
		})
	}
}

func TestRecordEnds(t *testing.T) {
	file := testFile(t, 10*time.Second)
	synctest.Test(t, func(t *testing.T) {
		m := newFakeMedia()
		var out bytes.Buffer
		begin := time.Now()
		done := startRecord(t.Context(), m, &out, RecordOptions{Format: FormatOgg, For: 4 * time.Second})
		go PublishFile(t.Context(), m, bytes.NewReader(file), PublishOptions{})
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if d := time.Since(begin); d != 4*time.Second {
			t.Errorf("ended after %v", d)
		}
		_, got := framesOf(t, out.Bytes())
		if n := len(got[wire.KindAudio]); n < 195 || n > 201 {
			t.Errorf("%d packets in 4 s", n)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		m := newFakeMedia()
		ctx, cancel := context.WithCancel(t.Context())
		done := startRecord(ctx, m, io.Discard, RecordOptions{Format: FormatNone})
		cancel()
		if err := <-done; err != nil {
			t.Errorf("stopped with %v", err)
		}
		if len(m.sinks) != 0 {
			t.Error("is still in the audience")
		}
	})
}

func TestRecordRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var user *engine.UserError
		if err := Record(t.Context(), newFakeMedia(), io.Discard, RecordOptions{Format: "mp3"}); !errors.As(err, &user) {
			t.Errorf("format mp3: %v", err)
		}
		m := newFakeMedia()
		done := startRecord(t.Context(), m, io.Discard, RecordOptions{Format: FormatWebM})
		pub, _ := m.Publish(t.Context(), engine.SlotConfig{Streams: []engine.StreamConfig{
			{Label: "video", Kind: wire.KindVideo, Codec: codec.H264, ClockRate: 90000}}})
		pub.Write("video", &engine.MediaPacket{Payload: []byte{0x65, 1, 2, 3}, Marker: true})
		if err := <-done; !errors.As(err, &user) || !strings.Contains(user.Message, ".mkv") {
			t.Errorf("H264 in WebM: %v", err)
		}
	})
}

// fullDisk fails for a while, as container.File does: nothing of a failed write stays.
type fullDisk struct {
	bytes.Buffer
	full  atomic.Bool
	syncs int
}

var errFull = errors.New("disk is full")

func (f *fullDisk) Write(b []byte) (int, error) {
	if f.full.Load() {
		return 0, errFull
	}
	return f.Buffer.Write(b)
}

func (f *fullDisk) Sync() error { f.syncs++; return nil }

func TestRecordGoesOnAfterAFullDisk(t *testing.T) {
	file := testFile(t, 9*time.Second)
	for _, format := range []Format{FormatOgg, FormatMatroska} {
		var disk fullDisk
		synctest.Test(t, func(t *testing.T) {
			m := newFakeMedia()
			told := 0
			done := startRecord(t.Context(), m, &disk, RecordOptions{Format: format, UntilEnd: true, Failed: func(err error) {
				if !errors.Is(err, errFull) {
					t.Errorf("told of %v", err)
				}
				told++
			}})
			go func() {
				time.Sleep(3 * time.Second)
				disk.full.Store(true)
				time.Sleep(3 * time.Second)
				disk.full.Store(false)
			}()
			if err := PublishFile(t.Context(), m, bytes.NewReader(file), PublishOptions{}); err != nil {
				t.Fatal(err)
			}
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			if told != 1 {
				t.Errorf("%s: told %d times", format, told)
			}
		})
		if disk.syncs < 5 {
			t.Errorf("%s: synced %d times in 9 s", format, disk.syncs)
		}
		_, got := framesOf(t, disk.Bytes())
		audio := got[wire.KindAudio]
		if last := audio[len(audio)-1].Time - audio[0].Time; last < 8500*time.Millisecond || last > 9*time.Second {
			t.Errorf("%s: the recording of 9 s ends at %v", format, last)
		}
	}
}

// TestRecordPrefixes cuts a recording where its writes end: what the process had written at any instant must be playable.
func TestRecordPrefixes(t *testing.T) {
	file := testFile(t, 4*time.Second)
	var cuts cutting
	synctest.Test(t, func(t *testing.T) {
		m := newFakeMedia()
		done := startRecord(t.Context(), m, &cuts, RecordOptions{Format: FormatWebM, UntilEnd: true})
		if err := PublishFile(t.Context(), m, bytes.NewReader(file), PublishOptions{}); err != nil {
			t.Fatal(err)
		}
		<-done
	})
	if len(cuts.at) < 50 {
		t.Fatalf("%d writes", len(cuts.at))
	}
	for i, n := range cuts.at[1:] { // after the header
		_, got := framesOf(t, cuts.Bytes()[:n])
		if frames := len(got[wire.KindAudio]) + len(got[wire.KindVideo]); frames != i+1 {
			t.Fatalf("%d frames after %d writes", frames, i)
		}
	}
}

type cutting struct {
	bytes.Buffer
	at []int
}

func (c *cutting) Write(b []byte) (int, error) {
	c.Buffer.Write(b)
	c.at = append(c.at, c.Len())
	return len(b), nil
}

func TestRecordGoesOnWithTheNextSlot(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	var out bytes.Buffer
	synctest.Test(t, func(t *testing.T) {
		m := newFakeMedia()
		done := startRecord(t.Context(), m, &out, RecordOptions{Format: FormatOgg, UntilEnd: true})
		send := func(slot string, packets int) engine.Publication {
			pub, _ := m.Publish(t.Context(), engine.SlotConfig{Slot: slot, Streams: []engine.StreamConfig{
				{Label: "audio", Kind: wire.KindAudio, Codec: codec.Opus, ClockRate: 48000, Channels: 2}}})
			start := uint32(r.Uint32())
			m.clocks["audio"] = []fakeClock{{start, time.Now().UnixMicro()}}
			for i := range packets {
				pub.Write("audio", &engine.MediaPacket{Sequence: int64(i), Timestamp: start + uint32(i*960), Payload: opus(r, 40)})
				time.Sleep(20 * time.Millisecond)
			}
			return pub
		}
		first := send("a", 100)
		second := send("b", 50) // beside it: not recorded
		first.Close()
		third := send("b", 50) // a new slot of the same name
		second.Close()
		third.Close()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	})
	_, got := framesOf(t, out.Bytes())
	audio := got[wire.KindAudio]
	// 2 s of a, 1 s that nobody recorded, 1 s of b.
	if last := audio[len(audio)-1].Time - audio[0].Time; last < 3900*time.Millisecond || last > 4*time.Second {
		t.Errorf("the recording ends at %v", last)
	}
}

func TestRecorderAsksForAKeyFrame(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	var out bytes.Buffer
	synctest.Test(t, func(t *testing.T) {
		m := newFakeMedia()
		done := startRecord(t.Context(), m, &out, RecordOptions{Format: FormatMatroska, For: 4 * time.Second})
		p, err := codec.NewPacketizer(codec.VP8, 0, nil)
		if err != nil {
			t.Fatal(err)
		}
		pub, _ := m.Publish(t.Context(), engine.SlotConfig{Streams: []engine.StreamConfig{
			{Label: "video", Kind: wire.KindVideo, Codec: codec.VP8, ClockRate: 90000}}})
		sequence := int64(0)
		for i := range 75 {
			payloads, _ := p.Packetize(vp8(r, m.keysAsked() > 0, 500), false)
			for _, b := range payloads {
				pub.Write("video", &engine.MediaPacket{Sequence: sequence, Timestamp: uint32(i * 3600), Marker: b.Marker, Payload: b.Data})
				sequence++
			}
			time.Sleep(40 * time.Millisecond)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if n := m.keysAsked(); n != 1 {
			t.Errorf("asked %d times", n)
		}
	})
	if _, got := framesOf(t, out.Bytes()); len(got[wire.KindVideo]) < 50 {
		t.Errorf("%d frames", len(got[wire.KindVideo]))
	}
}

func TestSinkNeverBlocks(t *testing.T) {
	s := newRecordSink(2)
	p := &engine.Packet{Stream: &engine.StreamState{}, Payload: []byte{1}}
	for range 5 {
		s.WritePacket(p)
		s.Streams(nil)
	}
	if s.dropped.Load() != 3 {
		t.Errorf("dropped %d", s.dropped.Load())
	}
}
