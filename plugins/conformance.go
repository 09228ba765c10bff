package plugins

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/wire"
	"github.com/castd/castd/plugins/sdk"
	"github.com/castd/castd/plugins/sdk/protocol"
)

// Check is what the conformance kit found out.
type Check struct {
	Name    string        `json:"check"`
	OK      bool          `json:"ok"`
	Problem string        `json:"problem,omitempty"` // and what to change in the plugin
	Skipped string        `json:"skipped,omitempty"` // why it was not looked at
	Took    time.Duration `json:"-"`
}

// Times of the kit. A plugin has several times as long as when castd runs it: the machine may be busy.
const (
	kitHealth = 5 * time.Second
	kitLeave  = 5 * time.Second
	kitStop   = 15 * time.Second
	kitOrphan = 10 * time.Second
)

// kit runs a plugin through everything that castd may do to it.
type kit struct {
	store     *Store
	plugin    Installed
	log       *slog.Logger
	report    func(Check)
	failed    int
	startTime time.Duration
}

// Test runs the program at path through the conformance kit, with the settings of change, and reports each check. It grants what the
// plugin asks for. It returns how many checks failed; its error says that nothing could be checked.
func Test(ctx context.Context, path string, change Change, log *slog.Logger, report func(Check)) (failed int, err error) {
	dir, err := os.MkdirTemp("", "castd-plugin-test-")
	if err != nil {
		return 0, fmt.Errorf("make room for the plugin: %w", err)
	}
	defer os.RemoveAll(dir)
	k := &kit{store: OpenStore(dir), log: log, report: report, startTime: startTime}
	var ok bool
	k.check("describes itself", func() error {
		p, err := k.store.Install(ctx, path, "", change)
		if err != nil {
			return err
		}
		if p, err = k.store.Enable(p.Name, Change{Grant: p.Permissions}); err != nil {
			return err
		}
		k.plugin, ok = p, true
		return nil
	})
	if !ok {
		return k.failed, nil
	}
	k.check("is named after itself", func() error {
		if nameOf(path) == "" {
			return fmt.Errorf("the file is %s: name it %s%s", filepath.Base(path), filePrefix, k.plugin.Name)
		}
		return nil
	})
	k.check("starts, and finishes in time", func() error { return k.with(ctx, nil, k.finish) })
	k.check("answers health and metrics", func() error { return k.with(ctx, nil, k.healthAndMetrics) })
	k.attends(ctx)
	k.check("does without what it was not granted", func() error { return k.ungranted(ctx) })
	k.check("starts again after kill -9", func() error { return k.killed(ctx) })
	k.check("ends when castd is gone", func() error { return k.orphaned(ctx) })
	k.check("meets a castd of another version", func() error { return k.skewed(ctx) })
	return k.failed, ctx.Err()
}

// check runs one check and reports it.
func (k *kit) check(name string, f func() error) {
	began := time.Now()
	err := f()
	c := Check{Name: name, OK: err == nil, Took: time.Since(began)}
	if err != nil {
		k.failed++
		c.Problem = sentence(err)
	}
	k.report(c)
}

// spec is how the plugin is launched.
func (k *kit) spec(s engine.Service, refused func(string)) *launchSpec {
	service := newHostService(k.plugin.Name, k.plugin.Granted)
	service.allowed, service.engine, service.emit = func(engine.RoomInfo) bool { return true }, s, func(engine.Event) {}
	service.log, service.refused = k.log, refused
	service.values = &values{path: filepath.Join(k.store.state(k.plugin.Name), "values.json"), log: k.log}
	return &launchSpec{
		plugin: k.plugin, program: k.store.program(k.plugin.Name), folder: k.store.folder(k.plugin.Name), runDir: k.store.runDir(), castd: "test",
		log: k.log, service: service, limit: k.startTime,
	}
}

// with launches the plugin for f.
func (k *kit) with(ctx context.Context, change func(*launchSpec), f func(context.Context, *process) error) error {
	spec := k.spec(newKitService(), func(string) {})
	if change != nil {
		change(spec)
	}
	p, err := launch(ctx, spec)
	if err != nil {
		return err
	}
	defer p.kill()
	return f(ctx, p)
}

// finish ends the plugin in order.
func (k *kit) finish(ctx context.Context, p *process) error {
	ctx, cancel := context.WithTimeout(ctx, kitStop)
	defer cancel()
	if _, err := p.base.Shutdown(ctx, &protocol.ShutdownRequest{DeadlineMs: kitStop.Milliseconds()}); err != nil {
		return fmt.Errorf("Shutdown fails: %s", callError(err))
	}
	done := make(chan struct{})
	go func() {
		p.client.Kill() // which waits 2 s for it to end by itself
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
		return fmt.Errorf("it does not end within %v of Shutdown", kitStop)
	}
	if code := p.child.code(); code > 0 {
		return fmt.Errorf("it ends with %s after Shutdown: end with exit code 0", p.child.ending())
	}
	return nil
}

func (k *kit) healthAndMetrics(ctx context.Context, p *process) error {
	for range 5 {
		if err := k.healthy(ctx, p); err != nil {
			return err
		}
	}
	m, err := p.base.Metrics(ctx, &protocol.MetricsRequest{})
	if err != nil {
		return fmt.Errorf("Metrics fails: %s", callError(err))
	}
	for _, m := range m.Metrics {
		if !metricPattern.MatchString(m.Name) {
			return fmt.Errorf("the metric %.80q has no name that castd can show: use lower-case letters, digits and _", m.Name)
		}
	}
	return nil
}

func (k *kit) healthy(ctx context.Context, p *process) error {
	ctx, cancel := context.WithTimeout(ctx, kitHealth)
	defer cancel()
	if _, err := p.base.Health(ctx, &protocol.HealthRequest{}); err != nil {
		return fmt.Errorf("Health fails: %s%s", callError(err), p.errors.quote())
	}
	return nil
}

// attends checks what plugins do that take part in rooms.
func (k *kit) attends(ctx context.Context) {
	names := []string{"takes media and events of a room", "survives more than it can take", "skips what it does not know"}
	if !slices.Contains(k.plugin.Capabilities, sdk.CapabilitySink) && !slices.Contains(k.plugin.Capabilities, sdk.CapabilitySource) {
		for _, n := range names {
			k.report(Check{Name: n, OK: true, Skipped: "it is no sink"})
		}
		return
	}
	k.check(names[0], func() error { return k.room(ctx, 100, 2, nil) })
	k.check(names[1], func() error { return k.room(ctx, 2000, 200, nil) })
	k.check(names[2], func() error {
		unknown := protowire.AppendString(protowire.AppendTag(nil, 999, protowire.BytesType), "what a newer castd says")
		return k.room(ctx, 20, 2, unknown)
	})
}

// room has the plugin attend a room with so many rounds of packets of each stream, 20 ms apart where these are few.
func (k *kit) room(ctx context.Context, rounds, streams int, unknown []byte) error {
	s := newKitService()
	s.room.streams = kitStreams(streams)
	spec := k.spec(s, func(string) {})
	p, err := launch(ctx, spec)
	if err != nil {
		return err
	}
	defer p.kill()
	a := newAttendance(s.room, s.info(), spec.service, new(counters), k.log, new(buffers))
	info := s.info()
	a.look(&info)
	attending, leave := context.WithCancel(ctx)
	defer leave()
	end, cut := context.WithCancel(ctx)
	defer cut()
	ended := make(chan error, 1)
	go func() { ended <- a.run(attending, end, p.conn) }()
	a.tell(&protocol.Event{Time: engine.EventTime(time.Now()), Event: "something_new", Json: []byte(`{"event":"something_new"}`)})
	if unknown != nil {
		a.mu.Lock()
		a.out.open.bytes, a.out.open.packets, a.out.open.begun = slices.Clone(unknown), 1, time.Now()
		a.mu.Unlock()
		a.wakeUp()
	}
	pace := 20 * time.Millisecond
	if streams > 10 {
		pace = time.Millisecond
	}
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for n := range rounds {
		select {
		case err := <-ended:
			if err == nil {
				return nil // it is not interested
			}
			return fmt.Errorf("Attend fails: %s%s", callError(err), p.errors.quote())
		case <-p.exited():
			return fmt.Errorf("it ended with %s%s", p.child.ending(), p.errors.quote())
		case <-tick.C:
			s.room.write(uint64(n))
		}
	}
	if err := k.healthy(ctx, p); err != nil {
		return err
	}
	leave()
	select {
	case err := <-ended:
		if err != nil {
			return fmt.Errorf("Attend fails at the end of the room: %s%s", callError(err), p.errors.quote())
		}
		return nil
	case <-time.After(kitLeave):
		return fmt.Errorf("Attend does not return within %v of the end of the room: return when the stream has ended", kitLeave)
	}
}

// ungranted starts the plugin without permissions.
func (k *kit) ungranted(ctx context.Context) error {
	spec := k.spec(newKitService(), func(string) {})
	spec.plugin.Granted, spec.service.granted = nil, nil
	p, err := launch(ctx, spec)
	if err != nil {
		return fmt.Errorf("without permissions it does not start: %s", sentence(err))
	}
	defer p.kill()
	select {
	case <-p.exited():
		return fmt.Errorf("without permissions it ended with %s%s", p.child.ending(), p.errors.quote())
	case <-time.After(time.Second):
	}
	return k.healthy(ctx, p)
}

func (k *kit) killed(ctx context.Context) error {
	err := k.with(ctx, nil, func(_ context.Context, p *process) error {
		p.child.kill()
		<-p.exited()
		return nil
	})
	if err != nil {
		return err
	}
	return k.with(ctx, nil, k.healthy)
}

// orphaned tells the plugin of a parent that is none.
func (k *kit) orphaned(ctx context.Context) error {
	orphan := func(l *launchSpec) { l.parent = 1 }
	if os.Getppid() == 1 {
		orphan = func(l *launchSpec) { l.parent = os.Getpid() + 1 }
	}
	launched := false
	err := k.with(ctx, orphan, func(ctx context.Context, p *process) error {
		launched = true
		select {
		case <-p.exited():
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(kitOrphan):
			return fmt.Errorf("it goes on: look every second whether the parent's process id is still %s, and end when it is not", protocol.EnvParent)
		}
	})
	if !launched && ctx.Err() == nil {
		return nil // it has ended while it was started, as it did not in the other checks
	}
	return err
}

// skewed offers the plugin versions of the protocol that it cannot know.
func (k *kit) skewed(ctx context.Context) error {
	err := k.with(ctx, func(l *launchSpec) { l.version = 999 }, func(context.Context, *process) error {
		return errors.New("it says that it speaks version 999 of the protocol: its handshake must name a version that it knows")
	})
	if err != nil && strings.Contains(err.Error(), "another version of the protocol") {
		return nil
	}
	if err != nil && strings.Contains(err.Error(), endedAtOnce) {
		return nil // that is an answer, too
	}
	return err
}

// kitService is an engine with one room, for tests of plugins.
type kitService struct {
	engine.Service
	room *kitRoom
}

func newKitService() *kitService { return &kitService{room: &kitRoom{streams: kitStreams(2)}} }

func (s *kitService) info() engine.RoomInfo {
	return engine.RoomInfo{Room: string(s.room.ID()), Name: "test", Mode: "broadcast", Streams: []engine.StreamInfo{}, Participants: []engine.ParticipantInfo{}}
}
func (s *kitService) Rooms() []engine.RoomInfo { return []engine.RoomInfo{s.info()} }
func (s *kitService) RoomInfo(id wire.RoomID) (engine.RoomInfo, error) {
	if id != s.room.ID() {
		return engine.RoomInfo{}, engine.ErrNoRoom
	}
	return s.info(), nil
}
func (s *kitService) Find(string) (engine.Media, error) { return s.room, nil }

// kitRoom is a room whose streams are written by hand. What is sent into it is lost.
type kitRoom struct {
	streams []*engine.StreamState

	mu    sync.Mutex // guards what follows
	sinks map[*kitSubscription]bool
}

// kitStreams are so many streams, every other one of pictures.
func kitStreams(n int) []*engine.StreamState {
	var out []*engine.StreamState
	for i := range n {
		s := &engine.StreamState{
			ID: wire.StreamID(i + 1), Slot: fmt.Sprintf("slot%d", i/2), Label: "audio", Kind: wire.KindAudio, Codec: "opus", ClockRate: 48000, Channels: 2,
			Participant: "testtesttesttest", Name: "Ann", Live: true,
		}
		if i%2 == 1 {
			s.Label, s.Kind, s.Codec, s.ClockRate, s.Channels = "video", wire.KindVideo, "vp8", 90000, 0
		}
		out = append(out, s)
	}
	return out
}

func (r *kitRoom) ID() wire.RoomID                { return "testtesttesttesttesttestte" }
func (r *kitRoom) Mode() string                   { return "broadcast" }
func (r *kitRoom) Streams() []*engine.StreamState { return r.streams }
func (r *kitRoom) GuestSlot() (func(), error)     { return nil, engine.ErrClosed }

type kitSubscription struct {
	room *kitRoom
	sink engine.Sink
	opts engine.SinkOptions
}

func (s *kitSubscription) Refresh(wire.StreamID) {}
func (s *kitSubscription) Seek(wire.StreamID)    {}
func (s *kitSubscription) Close() {
	s.room.mu.Lock()
	defer s.room.mu.Unlock()
	delete(s.room.sinks, s)
}

func (r *kitRoom) Subscribe(s engine.Sink, o engine.SinkOptions) (engine.Subscription, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sinks == nil {
		r.sinks = make(map[*kitSubscription]bool)
	}
	sub := &kitSubscription{r, s, o}
	r.sinks[sub] = true
	s.Streams(r.streams)
	return sub, nil
}

// write gives a packet of each stream to all sinks: Opus silence, and pictures that show nothing.
func (r *kitRoom) write(number uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, st := range r.streams {
		p := engine.Packet{
			Stream: st, Header: wire.Header{Kind: st.Kind, Number: number, Timestamp: uint32(number) * (st.ClockRate / 50), Level: 40, Marker: true},
			Payload: []byte{0xf8, 0xff, 0xfe}, WallUs: time.Now().UnixMicro(),
		}
		if st.Kind == wire.KindVideo {
			p.Header.Level, p.Payload = 0, append([]byte{0x10, 0x01}, make([]byte, 300)...)
		}
		for s := range r.sinks {
			if s.opts.Select == nil || s.opts.Select(st) {
				s.sink.WritePacket(&p)
			}
		}
	}
}

func (r *kitRoom) Publish(context.Context, engine.SlotConfig) (engine.Publication, error) {
	return kitPublication{}, nil
}

type kitPublication struct{ engine.Publication }

func (kitPublication) Write(string, *engine.MediaPacket) error { return nil }
func (kitPublication) Clock(string, uint32, int64)             {}
func (kitPublication) Done() <-chan struct{}                   { return nil }
func (kitPublication) Close() error                            { return nil }
func (kitPublication) End() error                              { return nil }
