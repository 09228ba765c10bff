//go:build linux

package plugins

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/wire"
	"github.com/castd/castd/mixer/tonetest"
	"github.com/castd/castd/plugins/recording"
	"github.com/castd/castd/plugins/sdk"
	"github.com/castd/castd/plugins/sdk/protocol"
)

// TestMain makes this program all that the tests start: the launcher, and plugins, which it is by the name of its file.
func TestMain(m *testing.M) {
	Launch()
	if len(os.Args) == 2 && os.Args[1] == "be-"+recording.Name {
		recording.Serve()
	}
	if name := nameOf(os.Args[0]); name != "" {
		bePlugin(name)
	}
	os.Exit(m.Run())
}

// bePlugin is the main function of the plugin of that name. What it does is in its name, and after that in its settings.
func bePlugin(name string) {
	describing := len(os.Args) == 2 && os.Args[1] == "describe"
	switch {
	case name == "mute-describe":
		select {}
	case name == "garbage-describe":
		fmt.Println("hello world")
		os.Exit(0)
	case name == "failing-describe":
		fmt.Fprintln(os.Stderr, "cannot open the codec")
		os.Exit(3)
	case describing && strings.HasPrefix(name, "raw-"):
		d := map[string]any{"name": name, "version": "1.0.0", "protocols": []int{1}, "no_mtls": true}
		switch name {
		case "raw-newer":
			d["protocols"] = []int{7, 8}
		case "raw-name":
			d["name"] = "other"
		case "raw-version":
			d["version"] = "one"
		case "raw-permission":
			d["permissions"] = []string{"everything"}
		}
		text, _ := json.Marshal(d)
		fmt.Println(string(text))
		os.Exit(0)
	case name == "raw-silent":
		signal.Ignore(syscall.SIGTERM)
		select {}
	case name == "raw-noise":
		fmt.Println("starting up, please wait")
		select {}
	case name == "raw-old":
		fmt.Println("1|9|unix|/tmp/nowhere|grpc")
		select {}
	case name == "raw-netrpc":
		fmt.Println("1|1|unix|" + os.Getenv("PLUGIN_UNIX_SOCKET_DIR") + "/nowhere|netrpc")
		select {}
	case strings.HasPrefix(name, "raw-tcp-"):
		fmt.Println("1|1|tcp|127.0.0.1:" + strings.TrimPrefix(name, "raw-tcp-") + "|grpc")
		select {}
	case name == "raw-elsewhere":
		fmt.Println("1|1|unix|" + os.Getenv("PLUGIN_UNIX_SOCKET_DIR") + "/../../../../../elsewhere|grpc")
		select {}
	case name == "raw-linked":
		link := os.Getenv("PLUGIN_UNIX_SOCKET_DIR") + "/link"
		_ = os.Symlink("/run/elsewhere", link)
		fmt.Println("1|1|unix|" + link + "|grpc")
		select {}
	case name == "raw-deaf":
		beDeaf()
	case name == "raw-garbage", name == "raw-goodbye":
		garbage(name == "raw-goodbye")
	case name == "raw-dying":
		panic("no licence")
	}
	sdk.Serve(&testPlugin{name: name})
}

// beDeaf is a plugin that serves no longer than it takes to be configured, and lives on.
func beDeaf() {
	path := filepath.Join(os.Getenv("PLUGIN_UNIX_SOCKET_DIR"), "deaf")
	l, err := net.Listen("unix", path)
	if err != nil {
		panic(err)
	}
	g := grpc.NewServer()
	healthy := health.NewServer()
	healthy.SetServingStatus("plugin", grpc_health_v1.HealthCheckResponse_SERVING)
	grpc_health_v1.RegisterHealthServer(g, healthy)
	protocol.RegisterPluginServer(g, &deaf{server: g})
	fmt.Println("1|1|unix|" + path + "|grpc")
	_ = g.Serve(l)
	select {}
}

type deaf struct {
	protocol.UnimplementedPluginServer
	server *grpc.Server
}

func (d *deaf) Describe(context.Context, *protocol.DescribeRequest) (*protocol.DescribeResponse, error) {
	return &protocol.DescribeResponse{Name: "raw-deaf"}, nil
}

func (d *deaf) Configure(context.Context, *protocol.ConfigureRequest) (*protocol.ConfigureResponse, error) {
	time.AfterFunc(time.Second, d.server.Stop)
	return &protocol.ConfigureResponse{}, nil
}

// garbage shakes hands as it should, and then says what is no gRPC, or hangs up.
func garbage(hangUp bool) {
	path := filepath.Join(os.Getenv("PLUGIN_UNIX_SOCKET_DIR"), "garbage")
	l, err := net.Listen("unix", path)
	if err != nil {
		panic(err)
	}
	fmt.Printf("1|1|unix|%s|grpc\n", path)
	for {
		c, err := l.Accept()
		if err != nil {
			panic(err)
		}
		go func() {
			defer c.Close()
			b := make([]byte, 1<<16)
			for i := range b {
				b[i] = byte(i * 7)
			}
			for !hangUp {
				if _, err := c.Write(b); err != nil {
					return
				}
			}
		}()
	}
}

// testPlugin does what its settings say.
type testPlugin struct {
	name   string
	config struct {
		Log   string `json:"log"`
		Do    string `json:"do"`
		Delay string `json:"delay"`
	}
	host *sdk.Host
	out  *os.File
	mu   sync.Mutex
	n    atomic.Int64

	heard atomic.Uint32 // track
	ear   *tonetest.Ear // of Attend
}

func (p *testPlugin) Describe() sdk.Description {
	name := p.name
	return sdk.Description{
		Name: name, Version: "1.2.3", Summary: "Does what tests want",
		Permissions: []string{sdk.PermissionRooms, sdk.PermissionAudio, sdk.PermissionVideo, sdk.PermissionChat, sdk.PermissionSend, sdk.PermissionPolicy, sdk.PermissionDial, sdk.PermissionCommand, sdk.PermissionNotify, sdk.PermissionNetwork, sdk.PermissionFiles},
		Config: map[string]sdk.Setting{
			"do": {Type: "string", Default: ""}, "delay": {Type: "duration", Default: "0s"}, "count": {Type: "number"}, "deep": {Type: "bool"},
		},
	}
}

// say writes a line that the test reads from the plugin's folder.
func (p *testPlugin) say(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintf(p.out, format+"\n", args...)
}

func (p *testPlugin) Configure(ctx context.Context, c *sdk.Config) error {
	if err := c.Decode(&p.config); err != nil {
		return err
	}
	if p.config.Do == "refuse" {
		return errors.New("the setting do may not be refuse: write something else")
	}
	var err error
	if p.out, err = os.OpenFile(filepath.Join(c.Folder, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
		return err
	}
	p.host = c.Host
	fmt.Println("printed after the handshake")
	slog.Info("configured", "epoch", c.Epoch)
	p.say("configured epoch %d pid %d env %d", c.Epoch, os.Getpid(), len(os.Environ()))
	switch p.config.Do {
	case "try":
		p.try(ctx)
	case "eat":
		go func() {
			var all [][]byte
			for {
				b := make([]byte, 16<<20)
				for i := 0; i < len(b); i += 4096 {
					b[i] = 1
				}
				all = append(all, b)
				time.Sleep(5 * time.Millisecond)
			}
		}()
	case "wait-crash":
		go func() {
			time.Sleep(300 * time.Millisecond)
			panic("out of luck")
		}()
	}
	return nil
}

// try does what a plugin may not do, and says what came of it.
func (p *testPlugin) try(ctx context.Context) {
	report := func(what string, err error) { p.say("%s: %v", what, err) }
	_, err := p.host.Rooms(ctx)
	report("rooms", err)
	report("notify", p.host.Notify(ctx, "", "hello"))
	_, err = p.host.Publish(ctx, sdk.PublishSpec{Room: "x", Streams: []sdk.PublishStream{{Label: "audio", Kind: "audio", Codec: "opus", ClockRate: 48000, Channels: 2}}})
	report("publish", err)
	report("put", p.host.Put(ctx, "key", []byte("value")))
	value, found, err := p.host.Get(ctx, "key")
	report(fmt.Sprintf("get %s %v", value, found), err)
	report("put large", p.host.Put(ctx, "key", make([]byte, maxValue+1)))
	keys, err := p.host.Keys(ctx)
	report(fmt.Sprintf("keys %v", keys), err)
	_, err = os.ReadFile("/etc/shadow")
	report("shadow", err)
	_, err = os.ReadDir("/root")
	report("home", err)
	report("write", os.WriteFile("/tmp/castd-plugin-was-here", nil, 0o600))
	all, err := net.Interfaces()
	report(fmt.Sprintf("interfaces %d", len(all)), err)
	c, err := net.DialTimeout("udp", "192.0.2.1:9", time.Second)
	if err == nil {
		_, err = c.Write([]byte("x"))
	}
	report("udp", err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	report("tcp", err)
	if err == nil {
		l.Close()
	}
	socket, err := net.Dial("unix", "../../../../castd.sock")
	if err == nil {
		_, err = socket.Read(make([]byte, 1))
	}
	report("socket", err)
	report("kill", syscall.Kill(os.Getppid(), 0))
}

func (p *testPlugin) Health(context.Context) error {
	if p.config.Do == "unwell" {
		return errors.New("the disk is nearly full")
	}
	return nil
}

func (p *testPlugin) Metrics(context.Context) []sdk.Metric {
	return []sdk.Metric{{Name: "batches_total", Help: "Batches.", Value: float64(p.n.Load())}, {Name: "BAD name", Value: 1}}
}

func (p *testPlugin) Stop(ctx context.Context) error {
	d, _ := time.ParseDuration(p.config.Delay)
	time.Sleep(d)
	p.say("stopped")
	return nil
}

func (p *testPlugin) Sends() {}

// Run does what its first argument says.
func (p *testPlugin) Run(ctx context.Context, c *sdk.Command) int {
	do := ""
	if len(c.Args) > 0 {
		do = c.Args[0]
	}
	switch do {
	case "echo":
		fmt.Fprintf(c.Out, "%q %q\n", c.Args[1:], c.Input)
		fmt.Fprintln(c.Err, "done")
		return 0
	case "fail":
		fmt.Fprintln(c.Err, "it cannot be done")
		return 3
	case "wild":
		return -7
	case "much":
		for range 1000 {
			if _, err := c.Out.Write(make([]byte, 100_000)); err != nil {
				return 1
			}
		}
		return 0
	case "wait":
		fmt.Fprintln(c.Out, "waiting")
		<-ctx.Done()
		p.say("given up")
		return 1
	case "die":
		panic("out of luck")
	}
	return 2
}

// Answer answers as the path says.
func (p *testPlugin) Answer(_ context.Context, r sdk.Request) sdk.Response {
	switch r.Path {
	case "echo":
		return sdk.Response{Status: 201, ContentType: "text/html; charset=utf-8", Body: fmt.Appendf(nil, "%s %s %s %s", r.Method, r.Query, r.ContentType, r.Body)}
	case "much":
		return sdk.Response{Body: make([]byte, maxAnswer+1)}
	case "huge":
		return sdk.Response{Body: make([]byte, 17<<20)}
	case "strange":
		return sdk.Response{Status: 7}
	case "split":
		return sdk.Response{ContentType: "text/plain\r\nSet-Cookie: a=b", Body: []byte("x")}
	case "die":
		panic("out of luck")
	}
	return sdk.Response{Status: 404, Body: []byte("{}")}
}

// Place calls a number that says what becomes of the call.
func (p *testPlugin) Place(ctx context.Context, c *sdk.Outgoing) sdk.Ended {
	switch c.Number {
	case "busy":
		return sdk.Ended{Cause: sdk.CauseBusy, Reason: "the line is\ntaken"}
	case "answer", "answer and hang up":
		c.Ringing()
		c.Ringing()
		pub, err := p.host.Publish(ctx, sdk.PublishSpec{
			Room: c.Room, Slot: c.Number, Name: c.Number, Hear: true,
			Streams: []sdk.PublishStream{{Label: "audio", Kind: "audio", Codec: "opus", ClockRate: 48000, Channels: 1}},
		})
		if err != nil {
			return sdk.Ended{Cause: sdk.CauseRejected, Reason: err.Error()}
		}
		c.Answered()
		if c.Number == "answer" {
			<-ctx.Done()
			p.say("castd has hung up")
		}
		if err := pub.Close(context.WithoutCancel(ctx)); err != nil {
			p.say("unpublish: %v", err)
		}
		return sdk.Ended{}
	case "forever":
		c.Ringing()
		<-ctx.Done()
	case "chatter":
		for ctx.Err() == nil {
			c.Ringing()
		}
	case "die":
		panic("out of luck")
	}
	return sdk.Ended{}
}

// Decide says no to who is called so, and does what else the name says.
func (p *testPlugin) Decide(_ context.Context, q sdk.Question) (sdk.Decision, error) {
	p.say("asked %s %s %s in %s", q.Action, q.Participant, q.Name, q.RoomName)
	switch q.Name {
	case "no":
		return sdk.Decision{Reason: "come back\nlater"}, nil
	case "long":
		return sdk.Decision{Reason: strings.Repeat("x", 1<<20)}, nil
	case "huge":
		return sdk.Decision{Reason: strings.Repeat("x", 17<<20)}, nil
	case "known":
		return sdk.Decision{Allow: true, Valid: time.Hour}, nil
	case "error":
		return sdk.Decision{}, errors.New("the database is gone")
	case "hang":
		time.Sleep(3 * time.Second)
	case "die":
		panic("out of luck")
	}
	return sdk.Decision{Allow: true}, nil
}

// listen takes a packet of what the plugin's participant hears.
func (p *testPlugin) listen(m *sdk.Packet) {
	if m.Track != p.heard.Load() {
		return
	}
	if p.ear == nil {
		p.ear, _ = tonetest.NewEar()
	}
	p.ear.Hear(m.Payload)
	if m.Number%50 == 0 {
		p.say("hears %.0f %.0f", p.ear.Level(400), p.ear.Level(1200))
		p.ear.Forget()
	}
}

func (p *testPlugin) Attend(ctx context.Context, r *sdk.Room) error {
	p.say("attend %s %s", r.Name, r.Mode)
	if p.config.Do != "quiet" {
		want := sdk.Want{Audio: sdk.Opus, Video: sdk.RTP}
		switch p.config.Do {
		case "samples":
			want = sdk.Want{Audio: sdk.PCM}
		case "talk":
			want = sdk.Want{}
		case "conference":
			want = sdk.Want{Audio: sdk.PCM, Voices: sdk.Opus, Talking: true, Chat: true}
		}
		if err := r.Want(want); err != nil {
			return err
		}
	}
	switch p.config.Do {
	case "send":
		go p.send(ctx, r)
	case "talk":
		go p.talk(ctx, r)
	case "flood":
		go func() {
			for r.Send(sdk.Packet{Track: 7, Payload: make([]byte, 100)}) == nil {
			}
		}()
	case "huge":
		for r.Send(sdk.Packet{Track: 7, Payload: make([]byte, 1<<20)}) == nil {
		}
	}
	packets := 0
	for {
		b, err := r.Next()
		if err != nil {
			p.say("left %s after %d packets: %v", r.Name, packets, errors.Is(err, io.EOF))
			return nil
		}
		p.n.Add(1)
		packets += len(b.Packets)
		if p.config.Do == "count" {
			continue
		}
		for _, s := range b.Streams {
			if s.Voice {
				p.say("voice %d %s of %s %s", s.Track, s.Codec, s.Participant, s.Name)
				continue
			}
			p.say("stream %d %s %s live %v", s.Track, s.Kind, s.Codec, s.Live)
		}
		for _, g := range b.Gaps {
			p.say("gap %d %d", g.First, g.Last)
		}
		for _, e := range b.Events {
			var ev sdk.ParticipantEvent
			if err := e.Decode(&ev); err != nil || e.At().IsZero() && e.Name != "peer" {
				p.say("event %s cannot be read: %v", e.Name, err)
			}
			p.say("event %s", strings.Join(strings.Fields(fmt.Sprint(e.Name, " ", ev.Participant, " ", ev.State, " ", ev.Message)), " "))
		}
		for _, m := range b.Packets {
			if p.config.Do == "talk" {
				p.listen(&m)
				continue
			}
			if m.Number%50 == 0 || p.config.Do == "each" {
				p.say("packet %d %d %d %d", m.Track, m.Number, m.Timestamp, len(m.Payload))
			}
		}
		if p.config.Do == "slow" {
			time.Sleep(100 * time.Millisecond)
		}
		if p.config.Do == "hang" && packets > 10 {
			syscall.Kill(os.Getpid(), syscall.SIGSTOP)
		}
	}
}

// talk takes part in a conference: it says a tone, and says what of the others' tones it hears, and of its own, once a second.
func (p *testPlugin) talk(ctx context.Context, r *sdk.Room) {
	pub, err := p.host.Publish(ctx, sdk.PublishSpec{
		Room: r.ID, Name: "a robot", Hear: true, Streams: []sdk.PublishStream{{Label: "audio", Kind: "audio", Codec: "opus", ClockRate: 48000, Channels: 1}},
	})
	if err != nil {
		p.say("publish: %v", err)
		return
	}
	p.heard.Store(pub.Heard)
	voice, err := tonetest.NewVoice(1200, 0.2)
	if err != nil {
		p.say("voice: %v", err)
		return
	}
	defer voice.Close()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for n := uint64(0); ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		payload, level, err := voice.Packet()
		if err != nil || r.Send(sdk.Packet{Track: pub.Tracks[0], Number: n, Timestamp: uint32(n) * 960, Level: level + 1, Payload: payload}) != nil {
			return
		}
	}
}

func (p *testPlugin) send(ctx context.Context, r *sdk.Room) {
	pub, err := p.host.Publish(ctx, sdk.PublishSpec{Room: r.ID, Name: "a robot", Streams: []sdk.PublishStream{{Label: "audio", Kind: "audio", Codec: "opus", ClockRate: 48000, Channels: 2}}})
	if err != nil {
		p.say("publish: %v", err)
		return
	}
	for i := range 20 {
		m := sdk.Packet{Track: pub.Tracks[0], Number: uint64(i), Timestamp: uint32(i * 960), Level: 20, Payload: []byte{0xf8, 1, 2}}
		if err := r.Send(m, sdk.Packet{Track: 99, Payload: []byte{1}}); err != nil {
			return
		}
	}
	p.say("sent")
	time.Sleep(300 * time.Millisecond) // what is on its way when a publication is closed is lost
	if err := pub.Close(ctx); err != nil {
		p.say("unpublish: %v", err)
	}
}

// testService is an engine.Service with one room, "lobby".
type testService struct {
	engine.Service
	media *testMedia

	mu      sync.Mutex
	gone    bool
	events  chan engine.Event
	changed chan struct{}
}

func newTestService() *testService {
	return &testService{media: &testMedia{written: make(chan engine.MediaPacket, 100), taps: make(chan testTapping, 10)}, events: make(chan engine.Event, 16), changed: make(chan struct{}, 1)}
}

func (s *testService) info() engine.RoomInfo {
	return engine.RoomInfo{Room: string(s.media.ID()), Name: "lobby", Mode: s.media.Mode(), Participants: []engine.ParticipantInfo{{Participant: "p", Name: "Ann\xff"}}}
}

func (s *testService) Rooms() []engine.RoomInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone {
		return nil
	}
	return []engine.RoomInfo{s.info()}
}

func (s *testService) RoomInfo(id wire.RoomID) (engine.RoomInfo, error) {
	if id != s.media.ID() {
		return engine.RoomInfo{}, engine.ErrNoRoom
	}
	return s.info(), nil
}
func (s *testService) Changed(context.Context) <-chan struct{}                   { return s.changed }
func (s *testService) Find(string) (engine.Media, error)                         { return s.media, nil }
func (s *testService) Events(context.Context, time.Duration) <-chan engine.Event { return s.events }

// testMedia is a room with one stream of sound, and perhaps one of pictures.
type testMedia struct {
	mu      sync.Mutex
	sinks   []*testSubscription
	late    atomic.Int64 // the longest that a sink took, in nanoseconds
	mode    string       // "": broadcast
	taps    chan testTapping
	written chan engine.MediaPacket
}

func (m *testMedia) ID() wire.RoomID { return "roomroomroomroomroomroomro" }
func (m *testMedia) Mode() string    { return cmp.Or(m.mode, "broadcast") }

// testTapping is a tap that somebody has opened.
type testTapping struct {
	tap     engine.Tap
	options engine.TapOptions
	closed  chan struct{}
}

func (t testTapping) Close() { close(t.closed) }

func (m *testMedia) Tap(t engine.Tap, o engine.TapOptions) (engine.Tapping, error) {
	p := testTapping{t, o, make(chan struct{})}
	m.taps <- p
	return p, nil
}
func (m *testMedia) Streams() []*engine.StreamState {
	return []*engine.StreamState{
		{ID: 1, Slot: "main", Label: "audio", Kind: wire.KindAudio, Codec: "opus", ClockRate: 48000, Channels: 2, Live: true},
		{ID: 2, Slot: "main", Label: "video", Kind: wire.KindVideo, Codec: "vp8", ClockRate: 90000, Live: true},
	}
}
func (m *testMedia) GuestSlot() (func(), error) { return nil, engine.ErrClosed }

type testSubscription struct {
	media *testMedia
	sink  engine.Sink
	opts  engine.SinkOptions
}

func (s *testSubscription) Refresh(wire.StreamID) {}
func (s *testSubscription) Seek(wire.StreamID)    {}
func (s *testSubscription) Close() {
	s.media.mu.Lock()
	defer s.media.mu.Unlock()
	for i, o := range s.media.sinks {
		if o == s {
			s.media.sinks = append(s.media.sinks[:i:i], s.media.sinks[i+1:]...)
		}
	}
}

func (m *testMedia) Subscribe(s engine.Sink, o engine.SinkOptions) (engine.Subscription, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	sub := &testSubscription{m, s, o}
	m.sinks = append(m.sinks, sub)
	s.Streams(m.Streams())
	return sub, nil
}

// listeners returns how many sinks there are.
func (m *testMedia) listeners() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.sinks)
}

// write gives a packet of the stream to all sinks.
func (m *testMedia) write(stream int, number uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	st := m.Streams()[stream]
	p := &engine.Packet{Stream: st, Header: wire.Header{Kind: st.Kind, Number: number, Timestamp: uint32(number * 960), Level: wire.LevelUnknown}, Payload: m.payload(), WallUs: 1}
	for _, s := range m.sinks {
		if s.opts.Select != nil && !s.opts.Select(st) {
			continue
		}
		began := time.Now()
		s.sink.WritePacket(p)
		m.late.Store(max(m.late.Load(), int64(time.Since(began))))
	}
}

// payload is of 100 octets: 20 ms of Opus, in as far as it matters.
func (m *testMedia) payload() []byte {
	b := make([]byte, 100)
	b[0] = 0xf8
	return b
}

// play writes sound at its pace until ctx ends, and returns the number of packets.
func (m *testMedia) play(ctx context.Context) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for n := uint64(0); ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			m.write(0, n)
			m.write(1, n)
		}
	}
}

func (m *testMedia) Publish(_ context.Context, c engine.SlotConfig) (engine.Publication, error) {
	if c.Name != "a robot" || c.Streams[0].Codec != "opus" {
		return nil, engine.NewUserError(engine.CodeNotAllowed, "only robots may speak")
	}
	return &testPublication{m: m}, nil
}

type testPublication struct {
	engine.Publication
	m *testMedia

	mu    sync.Mutex // guards what follows
	ended bool
}

// Write may come after End: packets and calls take different ways.
func (p *testPublication) Write(label string, m *engine.MediaPacket) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return engine.ErrClosed
	}
	c := *m
	c.Payload = append([]byte(nil), m.Payload...)
	p.m.written <- c
	return nil
}
func (p *testPublication) Clock(string, uint32, int64) {}
func (p *testPublication) Close() error                { return p.End() }
func (p *testPublication) End() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.ended {
		p.ended = true
		close(p.m.written)
	}
	return nil
}
