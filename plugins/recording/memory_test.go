package recording

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/castd/castd/engine/codec"
	"github.com/castd/castd/engine/container"
	"github.com/castd/castd/engine/wire"
	"github.com/castd/castd/plugins/sdk"
)

// memory is a disk in memory that can be full, and slow.
type memory struct {
	mu     sync.Mutex
	files  map[string]*memoryFile
	full   bool
	stuck  chan struct{} // writes wait until it is closed; nil: they do not
	writes int
}

type memoryFile struct {
	disk *memory
	data []byte
}

func newMemory() *memory { return &memory{files: make(map[string]*memoryFile)} }

func (m *memory) wait() error {
	m.mu.Lock()
	stuck := m.stuck
	m.mu.Unlock()
	if stuck != nil {
		<-stuck
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.writes++
	if m.full {
		return syscall.ENOSPC
	}
	return nil
}

func (m *memory) set(full bool, stuck chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.full, m.stuck = full, stuck
}

func (m *memory) create(path string) (diskFile, error) {
	if err := m.wait(); err != nil {
		return nil, err
	}
	f := &memoryFile{disk: m}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.files[path] != nil {
		return nil, errors.New("written over: " + path)
	}
	m.files[path] = f
	return f, nil
}

func (m *memory) replace(path string, text []byte) error {
	if err := m.wait(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.files[path] = &memoryFile{disk: m, data: bytes.Clone(text)}
	return nil
}

func (m *memory) remove(path string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.files, path)
	return nil
}

func (m *memory) read(path string) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	if f := m.files[path]; f != nil {
		return bytes.Clone(f.data)
	}
	return nil
}

func (f *memoryFile) Write(b []byte) (int, error) {
	if err := f.disk.wait(); err != nil {
		return 0, err
	}
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	f.data = append(f.data, b...)
	return len(b), nil
}

func (f *memoryFile) Rewrite(b []byte, at int64) error {
	if err := f.disk.wait(); err != nil {
		return err
	}
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	copy(f.data[at:], b)
	return nil
}

func (f *memoryFile) Sync() error  { return nil }
func (f *memoryFile) Close() error { return nil }

const testFolder = "lobby/2026-01-02_03-04-05"

var testStart = time.UnixMilli(1_700_000_000_000)

// stage is a room in which tests make media, on a clock of its own.
type stage struct {
	t       *testing.T
	now     time.Time
	disk    *memory
	spool   *spool
	session *session
	streams []sdk.Stream
	sources map[uint32]*source
	random  *rand.Rand
	notices []string
	clock   atomic.Int64 // now, for the spool
}

// source sends a stream. What its frames hold tells when they were made.
type source struct {
	track     uint32
	video     bool
	number    uint64
	frames    int
	first     uint32 // timestamp
	packets   *codec.Packetizer
	clockPPM  float64       // of its timestamps, from its wall clock
	wallOff   time.Duration // of its wall clock, from the stage's
	wallPPM   float64
	noWall    bool
	keyEvery  int
	delayMost time.Duration
}

func newStage(t *testing.T, o Options, before *Manifest) *stage {
	t.Helper()
	s := &stage{t: t, now: testStart, disk: newMemory(), sources: make(map[uint32]*source), random: rand.New(rand.NewPCG(7, 7))}
	s.clock.Store(s.now.UnixMicro())
	s.spool = newSpool(s.disk, func() time.Time { return time.UnixMicro(s.clock.Load()) })
	t.Cleanup(s.spool.close)
	o.Folder = testFolder
	s.begin(o, before)
	return s
}

func (s *stage) begin(o Options, before *Manifest) {
	o.Folder = testFolder
	s.session = newSession(&sdk.RoomInfo{ID: "room", Name: "lobby", Mode: "broadcast"}, o, before, s.spool, s.random, s.now)
	s.session.notify = func(text string) { s.notices = append(s.notices, text) }
}

// add adds a stream that is live from now on.
func (s *stage) add(track uint32, codecName, slot string) *source {
	st := sdk.Stream{Track: track, ID: slot + codecName, Slot: slot, Label: "audio", Kind: "audio", Codec: codecName, ClockRate: 48000, Channels: 1, Participant: "p" + slot, Name: "N" + slot, Live: true}
	src := &source{track: track, first: s.random.Uint32(), keyEvery: 50}
	if codecName != codec.Opus {
		st.Label, st.Kind, st.ClockRate, src.video = "video", "video", 90000, true
		p, err := codec.NewPacketizer(codecName, 0, nil)
		if err != nil {
			s.t.Fatal(err)
		}
		src.packets = p
	}
	s.streams = append(s.streams, st)
	s.sources[track] = src
	s.tell()
	return src
}

func (s *stage) tell() {
	s.session.batch(&sdk.Batch{Time: s.now, Streams: append([]sdk.Stream(nil), s.streams...)})
}

// end has a stream end.
func (s *stage) end(track uint32) {
	for i := range s.streams {
		if s.streams[i].Track == track {
			s.streams[i].Live = false
		}
	}
	s.tell()
}

// make makes the next frame of a source, of a moment, as packets that come after the delay.
func (s *stage) make(src *source, at time.Time) []sdk.Packet {
	rate := 48000.0
	if src.video {
		rate = 90000
	}
	since := at.Sub(testStart).Seconds()
	base := sdk.Packet{Track: src.track, Timestamp: src.first + uint32(int64(since*rate*(1+(src.clockPPM+src.wallPPM)/1e6)+0.5)), ArrivedUs: s.now.UnixMicro()}
	if !src.noWall {
		base.WallUs = at.Add(src.wallOff).UnixMicro() + int64(since*src.wallPPM)
	}
	mark := make([]byte, 8)
	for i := range mark {
		mark[i] = byte(at.Sub(testStart).Microseconds() >> (8 * i))
	}
	var all []sdk.Packet
	if !src.video {
		p := base
		p.Payload = append([]byte{31 << 3}, mark...) // CELT, 20 ms, one frame
		all = append(all, p)
	} else {
		frame := make([]byte, 60)
		frame[0] = 0x10
		if src.frames%src.keyEvery == 0 {
			copy(frame[3:], []byte{0x9d, 0x01, 0x2a, 64, 0, 48, 0})
		} else {
			frame[0] |= 1
		}
		copy(frame[20:], mark)
		payloads, err := src.packets.Packetize(frame, false)
		if err != nil {
			s.t.Fatal(err)
		}
		for _, pl := range payloads {
			p := base
			p.Payload, p.Marker = bytes.Clone(pl.Data), pl.Marker
			all = append(all, p)
		}
	}
	src.frames++
	for i := range all {
		src.number++
		all[i].Number = src.number
	}
	return all
}

// run sends all sources for a time, without loss: sound each 20 ms, pictures each 40.
func (s *stage) run(d time.Duration) {
	for end := s.now.Add(d); s.now.Before(end); s.now = s.now.Add(20 * time.Millisecond) {
		s.clock.Store(s.now.UnixMicro())
		b := sdk.Batch{Time: s.now}
		for i := range s.streams {
			src := s.sources[s.streams[i].Track]
			if s.streams[i].Live && (!src.video || s.now.Sub(testStart)%(40*time.Millisecond) == 0) {
				b.Packets = append(b.Packets, s.make(src, s.now)...)
			}
		}
		s.session.batch(&b)
		s.settle()
	}
}

// idle lets time pass in which nothing comes.
func (s *stage) idle(d time.Duration) {
	for end := s.now.Add(d); s.now.Before(end); s.now = s.now.Add(100 * time.Millisecond) {
		s.session.tick(s.now)
		s.settle()
	}
}

// settle waits until the disk has done what it was asked to, if it is not stuck.
func (s *stage) settle() {
	for end := time.Now().Add(time.Minute); time.Now().Before(end); {
		s.spool.mu.Lock()
		idle := s.spool.pending == 0
		s.spool.mu.Unlock()
		s.disk.mu.Lock()
		stuck := s.disk.stuck != nil
		s.disk.mu.Unlock()
		if idle || stuck {
			return
		}
		runtime.Gosched()
	}
	s.t.Fatal("the spool does not come to an end")
}

// finish ends the recording and returns its manifest.
func (s *stage) finish() *Manifest {
	s.t.Helper()
	s.session.finish(s.now)
	s.settle()
	s.session.writeManifest(s.now, true)
	s.settle()
	return s.manifest()
}

func (s *stage) manifest() *Manifest {
	s.t.Helper()
	m, err := ParseManifest(s.disk.read(testFolder + "/" + ManifestName))
	if err != nil {
		s.t.Fatal(err)
	}
	return m
}

// written is a frame of a file: when it was made, and where it is in the file.
type written struct {
	made, at time.Duration
	long     time.Duration // of sound
	track    int
	kind     wire.Kind
	silence  bool
}

// frames reads a file.
func (s *stage) frames(name string) ([]container.Track, []written) {
	s.t.Helper()
	d, err := container.Open(bytes.NewReader(s.disk.read(testFolder + "/" + name)))
	if err != nil {
		s.t.Fatalf("%s: %v", name, err)
	}
	kinds := make(map[int]wire.Kind)
	for _, tr := range d.Tracks() {
		kinds[tr.ID] = tr.Kind
	}
	var all []written
	for {
		f, err := d.Next()
		if errors.Is(err, io.EOF) {
			return d.Tracks(), all
		}
		if err != nil {
			s.t.Fatalf("%s: %v", name, err)
		}
		w := written{at: f.Time, track: f.Track, kind: kinds[f.Track]}
		mark := f.Data[min(1, len(f.Data)):]
		if w.kind == wire.KindVideo {
			mark = f.Data[20:]
		} else if w.long = codec.OpusDuration(f.Data); len(mark) < 8 {
			w.silence = true
			all = append(all, w)
			continue
		}
		us := int64(0)
		for i := range 8 {
			us |= int64(mark[i]) << (8 * i)
		}
		w.made = time.Duration(us) * time.Microsecond
		all = append(all, w)
	}
}
