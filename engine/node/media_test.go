package node

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/codec"
	"github.com/castd/castd/engine/container"
	"github.com/castd/castd/engine/wire"
)

const testRoom = wire.RoomID("aaaaaaaaaaaaaaaaaaaaaaaaaa")

// fakeMedia is a room whose publications go straight to its sinks, as with a perfect network.
type fakeMedia struct {
	refuse error // what Publish answers
	nobody bool  // Receivers tells none

	mu      sync.Mutex // guards what follows; also makes calls of sinks come one at a time
	sinks   []*fakeSub
	streams []*engine.StreamState
	open    int
	packets map[string][]engine.MediaPacket // by label, with payloads of their own
	clocks  map[string][]fakeClock
	at      map[string][]time.Time // when the packets came
	configs []engine.SlotConfig
	device  string // of what is published next
	asked   []wire.StreamID
	noClock bool
}

type fakeClock struct {
	timestamp uint32
	wallUs    int64
}

type fakeSub struct {
	m    *fakeMedia
	sink engine.Sink
}

func newFakeMedia() *fakeMedia {
	return &fakeMedia{packets: map[string][]engine.MediaPacket{}, clocks: map[string][]fakeClock{}, at: map[string][]time.Time{}, device: "device"}
}

func (m *fakeMedia) ID() wire.RoomID            { return testRoom }
func (m *fakeMedia) Mode() string               { return "broadcast" }
func (m *fakeMedia) GuestSlot() (func(), error) { return func() {}, nil }
func (m *fakeMedia) Streams() []*engine.StreamState {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.streams)
}

func (s *fakeSub) Seek(id wire.StreamID) { s.Refresh(id) }

func (s *fakeSub) Refresh(id wire.StreamID) {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	s.m.asked = append(s.m.asked, id)
}

// sent returns how many packets of a label were written.
func (m *fakeMedia) sent(label string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.packets[label])
}

// keysAsked returns how many key frames were asked for.
func (m *fakeMedia) keysAsked() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.asked)
}

func (s *fakeSub) Close() {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	s.m.sinks = slices.DeleteFunc(s.m.sinks, func(o *fakeSub) bool { return o == s })
}

func (m *fakeMedia) Subscribe(s engine.Sink, _ engine.SinkOptions) (engine.Subscription, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	sub := &fakeSub{m, s}
	m.sinks = append(m.sinks, sub)
	s.Streams(slices.Clone(m.streams))
	return sub, nil
}

func (m *fakeMedia) announceLocked() {
	for _, s := range m.sinks {
		s.sink.Streams(slices.Clone(m.streams))
	}
}

func (m *fakeMedia) Publish(_ context.Context, c engine.SlotConfig) (engine.Publication, error) {
	if m.refuse != nil {
		return nil, m.refuse
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.open++
	m.configs = append(m.configs, c)
	p := &fakePub{m: m, streams: map[string]*engine.StreamState{}, done: make(chan struct{})}
	for i, s := range c.Streams {
		state := &engine.StreamState{
			ID: wire.StreamID(m.open*10 + i), Slot: c.Slot, Label: s.Label, Kind: s.Kind, Codec: s.Codec, ClockRate: s.ClockRate,
			Channels: s.Channels, Device: m.device, StartedMs: time.Now().UnixMilli(), Live: true,
		}
		p.streams[s.Label] = state
		m.streams = append(m.streams, state)
	}
	m.announceLocked()
	return p, nil
}

type fakePub struct {
	m       *fakeMedia
	streams map[string]*engine.StreamState
	done    chan struct{}
	once    sync.Once
}

func (p *fakePub) Write(label string, k *engine.MediaPacket) error {
	m := p.m
	m.mu.Lock()
	defer m.mu.Unlock()
	own := *k
	own.Payload = bytes.Clone(k.Payload)
	m.packets[label] = append(m.packets[label], own)
	m.at[label] = append(m.at[label], time.Now())
	s := p.streams[label]
	out := engine.Packet{
		Stream:  s,
		Header:  wire.Header{Kind: s.Kind, Marker: k.Marker, Stream: s.ID, Number: uint64(1000 + k.Sequence), Timestamp: k.Timestamp + 77},
		Payload: k.Payload,
	}
	if c := m.clocks[label]; len(c) > 0 && !m.noClock {
		last := c[len(c)-1]
		out.WallUs = last.wallUs + int64(int32(k.Timestamp-last.timestamp))*1e6/int64(s.ClockRate)
	}
	for _, sub := range m.sinks {
		sub.sink.WritePacket(&out)
	}
	return nil
}

func (p *fakePub) Clock(label string, timestamp uint32, wallUs int64) {
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	p.m.clocks[label] = append(p.m.clocks[label], fakeClock{timestamp, wallUs})
}

func (p *fakePub) Receivers() int {
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	if p.m.nobody {
		return 0
	}
	return len(p.m.sinks)
}

func (p *fakePub) Feedback() engine.Feedback { return engine.Feedback{} }
func (p *fakePub) Done() <-chan struct{}     { return p.done }
func (p *fakePub) Err() error                { return nil }

func (p *fakePub) Close() error { return p.End() }

func (p *fakePub) End() error {
	p.once.Do(func() {
		close(p.done)
		p.m.mu.Lock()
		defer p.m.mu.Unlock()
		for i, s := range p.m.streams {
			for _, own := range p.streams {
				if s.ID == own.ID {
					ended := *s
					ended.Live, ended.EndedAt = false, time.Now()
					p.m.streams[i] = &ended
				}
			}
		}
		p.m.announceLocked()
	})
	return nil
}

// vp8 makes a frame that looks like VP8 as far as anybody here looks; opus a packet of 20 ms.
func vp8(r *rand.Rand, key bool, size int) []byte {
	b := make([]byte, max(size, 12))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	b[0] = b[0]&0xe0 | 0x10 // shown, version 0
	if key {
		copy(b[3:], []byte{0x9d, 0x01, 0x2a, 64, 0, 48, 0})
	} else {
		b[0] |= 1
	}
	return b
}

func opus(r *rand.Rand, size int) []byte {
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	b[0] = 31<<3 | 4 // CELT, 20 ms, stereo, one frame
	return b
}

// testFile makes a WebM file of VP8 at 25 frames a second, a key frame each second, and Opus. Its times begin at one second.
func testFile(t testing.TB, length time.Duration) []byte {
	t.Helper()
	r := rand.New(rand.NewPCG(1, uint64(length)))
	var b bytes.Buffer
	w, err := container.NewMatroskaWriter(&b, true, []container.Track{
		{ID: 1, Kind: wire.KindVideo, Codec: codec.VP8, Width: 64, Height: 48},
		{ID: 2, Kind: wire.KindAudio, Codec: codec.Opus, ClockRate: 48000, Channels: 2, PreSkip: 312},
	})
	if err != nil {
		t.Fatal(err)
	}
	for at := time.Duration(0); at < length; at += 20 * time.Millisecond {
		if at%(40*time.Millisecond) == 0 {
			key := at%time.Second == 0
			size := 100 + r.IntN(3000)
			if key {
				size = 60000
			}
			err = errors.Join(err, w.WriteFrame(&container.Frame{Track: 1, Time: time.Second + at, Key: key, Data: vp8(r, key, size)}))
		}
		err = errors.Join(err, w.WriteFrame(&container.Frame{Track: 2, Time: time.Second + at, Key: true, Data: opus(r, 50+r.IntN(100))}))
	}
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// framesOf reads a file; it may be cut.
func framesOf(t testing.TB, file []byte) (tracks []container.Track, frames map[wire.Kind][]container.Frame) {
	t.Helper()
	d, err := container.Open(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[int]wire.Kind{}
	for _, k := range d.Tracks() {
		kinds[k.ID] = k.Kind
	}
	frames = map[wire.Kind][]container.Frame{}
	for {
		f, err := d.Next()
		if err == io.EOF {
			return d.Tracks(), frames
		}
		if err != nil {
			t.Fatal(err)
		}
		frames[kinds[f.Track]] = append(frames[kinds[f.Track]], *f)
	}
}

// sameFrames compares data, and times from the first frame of the first list's on.
func sameFrames(t *testing.T, kind wire.Kind, got, want []container.Frame, slack time.Duration) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%v: %d frames, want %d", kind, len(got), len(want))
	}
	for i := range got {
		if !bytes.Equal(got[i].Data, want[i].Data) {
			t.Fatalf("%v: frame %d differs", kind, i)
		}
		a, b := got[i].Time-got[0].Time, want[i].Time-want[0].Time
		if d := a - b; d > slack || d < -slack {
			t.Fatalf("%v: frame %d at %v, want %v", kind, i, a, b)
		}
	}
}
