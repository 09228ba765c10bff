package node

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/codec"
	"github.com/castd/castd/engine/container"
	"github.com/castd/castd/engine/wire"
)

// listener keeps a fake room from being empty.
type listener struct{}

func (listener) Streams([]*engine.StreamState) {}
func (listener) WritePacket(*engine.Packet)    {}

func TestPublishPacesByTimestamps(t *testing.T) {
	file := testFile(t, 3*time.Second)
	synctest.Test(t, func(t *testing.T) {
		m := newFakeMedia()
		m.Subscribe(listener{}, engine.SinkOptions{})
		begin := time.Now()
		if err := PublishFile(t.Context(), m, bytes.NewReader(file), PublishOptions{}); err != nil {
			t.Fatal(err)
		}
		audio, video := m.packets[audioLabel], m.packets[videoLabel]
		if len(audio) != 150 {
			t.Fatalf("%d audio packets, want 150", len(audio))
		}
		for i, p := range audio {
			if p.Sequence != int64(i) || p.Timestamp != audio[0].Timestamp+uint32(i*960) {
				t.Fatalf("audio packet %d: sequence %d, timestamp %d", i, p.Sequence, p.Timestamp-audio[0].Timestamp)
			}
			if late := m.at[audioLabel][i].Sub(begin) - time.Duration(i)*20*time.Millisecond; late < 0 || late > 100*time.Millisecond {
				t.Fatalf("audio packet %d is %v late", i, late)
			}
		}
		frames := 0
		for i, p := range video {
			if p.Sequence != int64(i) || p.Timestamp != video[0].Timestamp+uint32(frames*3600) {
				t.Fatalf("video packet %d: sequence %d, timestamp %d", i, p.Sequence, p.Timestamp-video[0].Timestamp)
			}
			if p.Marker {
				frames++
			}
		}
		if frames != 75 {
			t.Fatalf("%d pictures, want 75", frames)
		}
		// Both tracks' clocks say the same of the wall, and the wall is now.
		a, v := m.clocks[audioLabel], m.clocks[videoLabel]
		if len(a) < 3 || len(v) < 3 {
			t.Fatalf("%d and %d clock records", len(a), len(v))
		}
		zero := func(c fakeClock, rate int64) int64 { return c.wallUs - int64(c.timestamp)*1e6/rate }
		for i := range a {
			if d := zero(a[i], 48000) - zero(v[0], 90000); d < -1 || d > 1 {
				t.Errorf("audio's clock record %d is %d us off the video's", i, d)
			}
		}
		if d := a[0].wallUs - begin.UnixMicro(); d < 0 || d > 1000 {
			t.Errorf("the clock begins %d us after the start", d)
		}
	})
}

func TestPublishDescribesItsStreams(t *testing.T) {
	file := testFile(t, 100*time.Millisecond)
	synctest.Test(t, func(t *testing.T) {
		m := newFakeMedia()
		if err := PublishFile(t.Context(), m, bytes.NewReader(file), PublishOptions{Slot: "b", Name: "Ann"}); err != nil {
			t.Fatal(err)
		}
		c := m.configs[0]
		if c.Slot != "b" || c.Name != "Ann" || len(c.Streams) != 2 {
			t.Fatalf("slot %+v", c)
		}
		video, audio := c.Streams[0], c.Streams[1]
		if video.Label != "video" || video.Kind != wire.KindVideo || video.Codec != "vp8" || video.ClockRate != 90000 {
			t.Errorf("video %+v", video)
		}
		if audio.Label != "audio" || audio.Codec != "opus" || audio.ClockRate != 48000 || audio.Channels != 2 || !strings.Contains(audio.Fmtp, "stereo=1") {
			t.Errorf("audio %+v", audio)
		}
	})
}

func TestPublishWaitsForAReceiver(t *testing.T) {
	file := testFile(t, 100*time.Millisecond)
	tests := []struct {
		name   string
		after  time.Duration // a receiver comes; 0 never
		begins time.Duration
	}{
		{"nobody comes", 0, 3 * time.Second},
		{"somebody comes", 1200 * time.Millisecond, 1200 * time.Millisecond},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newFakeMedia()
				begin := time.Now()
				if tt.after > 0 {
					time.AfterFunc(tt.after, func() { m.Subscribe(listener{}, engine.SinkOptions{}) })
				}
				var states []string
				o := PublishOptions{Progress: func(p Progress) { states = append(states, p.State) }}
				if err := PublishFile(t.Context(), m, bytes.NewReader(file), o); err != nil {
					t.Fatal(err)
				}
				if d := m.at[audioLabel][0].Sub(begin); d < tt.begins || d > tt.begins+50*time.Millisecond {
					t.Errorf("began after %v, want %v", d, tt.begins)
				}
				if got := strings.Join(states, " "); got != "waiting sending draining" {
					t.Errorf("states %s", got)
				}
				if d := time.Since(m.at[audioLabel][len(m.at[audioLabel])-1]); d > 3*time.Second {
					t.Errorf("drained for %v", d)
				}
			})
		})
	}
}

func TestPublishErrors(t *testing.T) {
	file := testFile(t, time.Second)
	denied := engine.NewUserError(engine.CodeNotAllowed, "you may not send")
	tests := []struct {
		name   string
		file   []byte
		refuse error
		code   string
		want   []string
		audio  int // packets that were sent all the same
	}{
		{"cut", file[:len(file)-40], nil, engine.CodeBadMedia, []string{"clip.webm: at byte "}, 49},
		{"no media", []byte("Hello, this is a text."), nil, engine.CodeBadMedia, []string{"clip.webm", "no media file", "ffmpeg -i clip.webm"}, 0},
		{"empty", nil, nil, engine.CodeBadMedia, []string{"clip.webm", "empty"}, 0},
		{"refused", file, denied, engine.CodeNotAllowed, []string{"you may not send"}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newFakeMedia()
				m.refuse = tt.refuse
				m.Subscribe(listener{}, engine.SinkOptions{})
				err := PublishFile(t.Context(), m, bytes.NewReader(tt.file), PublishOptions{Source: "clip.webm"})
				var user *engine.UserError
				if !errors.As(err, &user) || user.Code != tt.code {
					t.Fatalf("error %v", err)
				}
				for _, w := range tt.want {
					if !strings.Contains(user.Message, w) {
						t.Errorf("message %q lacks %q", user.Message, w)
					}
				}
				if n := len(m.packets[audioLabel]); n != tt.audio {
					t.Errorf("%d audio packets were sent, want %d", n, tt.audio)
				}
			})
		})
	}
}

func TestPublishEndsWithItsContext(t *testing.T) {
	file := testFile(t, time.Minute)
	stop := errors.New("stop")
	synctest.Test(t, func(t *testing.T) {
		m := newFakeMedia()
		m.Subscribe(listener{}, engine.SinkOptions{})
		ctx, cancel := context.WithCancelCause(t.Context())
		begin := time.Now()
		time.AfterFunc(5*time.Second, func() { cancel(stop) })
		if err := PublishFile(ctx, m, bytes.NewReader(file), PublishOptions{}); !errors.Is(err, stop) {
			t.Fatalf("error %v", err)
		}
		if d := time.Since(begin); d != 5*time.Second {
			t.Errorf("ended after %v", d)
		}
		if m.streams[0].Live {
			t.Error("the slot is still open")
		}
	})
}

// stalled is input that ends a while after it stopped coming.
type stalled struct {
	io.Reader
	release chan struct{}
}

func (s *stalled) Read(b []byte) (int, error) {
	n, err := s.Reader.Read(b)
	if err == io.EOF {
		<-s.release
	}
	return n, err
}

func TestPublishDoesNotWaitForStalledInput(t *testing.T) {
	file := testFile(t, time.Second)
	synctest.Test(t, func(t *testing.T) {
		m := newFakeMedia()
		in := &stalled{bytes.NewReader(file[:len(file)/2]), make(chan struct{})}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := PublishFile(ctx, m, in, PublishOptions{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("error %v", err)
		}
		close(in.release)
	})
}

func TestPublishAgainGoesOn(t *testing.T) {
	file := testFile(t, time.Second)
	synctest.Test(t, func(t *testing.T) {
		m := newFakeMedia()
		m.Subscribe(listener{}, engine.SinkOptions{})
		rounds := 1
		again := func() (io.Reader, error) {
			if rounds++; rounds > 3 {
				return nil, errors.New("enough")
			}
			return bytes.NewReader(file), nil
		}
		err := PublishFile(t.Context(), m, bytes.NewReader(file), PublishOptions{Next: again})
		if err == nil || !strings.Contains(err.Error(), "enough") {
			t.Fatalf("error %v", err)
		}
		audio := m.packets[audioLabel]
		if len(audio) != 150 {
			t.Fatalf("%d audio packets, want 150", len(audio))
		}
		for i, p := range audio {
			if p.Sequence != int64(i) || p.Timestamp-audio[0].Timestamp != uint32(i*960) {
				t.Fatalf("audio packet %d: sequence %d, timestamp %d", i, p.Sequence, p.Timestamp)
			}
		}
		if len(m.configs) != 1 {
			t.Errorf("the slot was opened %d times", len(m.configs))
		}
	})
}

func TestTicks(t *testing.T) {
	tests := []struct {
		at   time.Duration
		rate uint32
		want int64
	}{
		{0, 90000, 0},
		{time.Second, 90000, 90000},
		{33 * time.Millisecond, 90000, 2970},
		{33366666, 90000, 3003},
		{20 * time.Millisecond, 48000, 960},
		{-20 * time.Millisecond, 48000, -960},
		{-1, 48000, 0},
		{100 * time.Hour, 90000, 32400000000},
	}
	for _, tt := range tests {
		if got := ticks(tt.at, tt.rate); got != tt.want {
			t.Errorf("ticks(%v, %d) = %d, want %d", tt.at, tt.rate, got, tt.want)
		}
	}
	for n := int64(-100000); n < 100000; n += 7 {
		for _, rate := range []uint32{8000, 48000, 90000} {
			if got := ticks(container.ClockTime(n, rate), rate); got != n {
				t.Fatalf("%d units of %d Hz became %d", n, rate, got)
			}
		}
	}
}

func TestOpusClock(t *testing.T) {
	const ms = time.Millisecond
	tests := []struct {
		name string
		at   []time.Duration // of packets of 20 ms
		want []int64
	}{
		{"rounded to milliseconds", []time.Duration{0, 21 * ms, 39 * ms, 61 * ms}, []int64{0, 960, 1920, 2880}},
		{"begins late", []time.Duration{7 * ms, 27 * ms}, []int64{336, 1296}},
		{"one packet missing", []time.Duration{0, 40 * ms, 60 * ms}, []int64{0, 1920, 2880}},
		{"missing, rounded", []time.Duration{0, 41 * ms, 61 * ms}, []int64{0, 1920, 2880}},
		{"a pause", []time.Duration{0, 1000 * ms}, []int64{0, 48000}},
		{"goes back", []time.Duration{100 * ms, 20 * ms}, []int64{4800, 5760}},
	}
	for _, tt := range tests {
		var c opusClock
		for i, at := range tt.at {
			if got := c.next(at, 960); got != tt.want[i] {
				t.Errorf("%s: packet %d at %d, want %d", tt.name, i, got, tt.want[i])
			}
		}
	}
}

func TestChooseTracks(t *testing.T) {
	tracks := []container.Track{
		{ID: 1, Kind: wire.KindAudio, Codec: "vorbis", Channels: 2},
		{ID: 2, Kind: wire.KindVideo, Codec: codec.H264},
		{ID: 3, Kind: wire.KindAudio, Codec: codec.Opus, Channels: 6},
		{ID: 4, Kind: wire.KindAudio, Codec: codec.Opus, Channels: 1},
		{ID: 5, Kind: wire.KindVideo, Codec: codec.VP8},
	}
	chosen, err := chooseTracks(tracks)
	if err != nil || len(chosen) != 2 || chosen[0].ID != 2 || chosen[1].ID != 4 {
		t.Errorf("chose %+v (%v)", chosen, err)
	}
	for _, rest := range [][]container.Track{nil, tracks[:1], tracks[:2], tracks[2:3], {{Kind: wire.KindVideo, Codec: codec.H264, Reordered: true}}} {
		var bad *UnplayableError
		if chosen, err := chooseTracks(rest); !errors.As(err, &bad) {
			t.Errorf("of %+v chose %+v (%v)", rest, chosen, err)
		}
	}
}
