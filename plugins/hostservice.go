package plugins

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/wire"
	"github.com/castd/castd/plugins/sdk"
	"github.com/castd/castd/plugins/sdk/protocol"
)

const (
	permissionRooms   = sdk.PermissionRooms
	permissionAudio   = sdk.PermissionAudio
	permissionVideo   = sdk.PermissionVideo
	permissionChat    = sdk.PermissionChat
	permissionSend    = sdk.PermissionSend
	permissionNotify  = sdk.PermissionNotify
	permissionNetwork = sdk.PermissionNetwork
	permissionFiles   = sdk.PermissionFiles
)

func grants(list []string) map[string]bool {
	out := make(map[string]bool, len(list))
	for _, g := range list {
		out[g] = true
	}
	return out
}

// Limits of what a plugin may ask for.
const (
	maxRequest      = 256 << 10
	maxPublications = 64
	maxPayload      = 1400             // octets of a packet
	maxRate         = 3000             // packets of a track in a second
	maxNotice       = 400              // octets
	noticeGap       = 10 * time.Second // between notices, after the first few
	firstNotices    = 5
)

// hostService is what a running plugin may ask of castd.
type hostService struct {
	protocol.UnimplementedHostServer
	// constant
	plugin   string
	granted  map[string]bool
	allowed  func(engine.RoomInfo) bool // rooms that the plugin may see
	engine   engine.Service
	emit     func(engine.Event)
	values   *values
	log      *slog.Logger
	refused  func(permission string) // told of what was not granted
	patient  bool                    // the plugin may stand at a breakpoint
	token    string
	path     string
	server   *grpc.Server
	dropped  atomic.Uint64 // packets of the plugin's
	received atomic.Uint64

	outputs atomic.Pointer[map[uint32]*output]

	mu           sync.Mutex // guards what follows
	calls        pace
	costly       map[string]*pace // by method
	publications map[uint64]*publication
	attending    map[wire.RoomID]*attendance
	last         uint64 // publication
	tracks       uint32
	notices      int // in a row
	noticed      time.Time
	closed       bool
}

// output is a track that a plugin sends.
type output struct {
	room    wire.RoomID
	write   func(*engine.MediaPacket) error
	clock   func(timestamp uint32, wallUs int64)
	limited int       // packets in this second; of its attendance's goroutine
	second  time.Time // of limited
	packet  engine.MediaPacket
}

// publication is an open place to send from.
type publication struct {
	tracks []uint32
	heard  uint32 // track of what he hears; 0: he does not
	// end is for who has done with it, leave for who may come back to the same streams.
	end, leave func() error
}

func newHostService(plugin string, granted []string) *hostService {
	changes := &pace{gap: 100 * time.Millisecond, burst: 100} // each writes a file
	s := &hostService{
		plugin: plugin, granted: grants(granted), publications: make(map[uint64]*publication), attending: make(map[wire.RoomID]*attendance), token: rand.Text(),
		calls: pace{gap: 10 * time.Millisecond, burst: 100},
		costly: map[string]*pace{
			protocol.Host_Log_FullMethodName: {gap: time.Second / logsASecond, burst: logsASecond},
			protocol.Host_Put_FullMethodName: changes, protocol.Host_Delete_FullMethodName: changes,
			protocol.Host_Publish_FullMethodName: {gap: time.Second, burst: maxPublications}, // others in the room are told of each
		},
	}
	s.outputs.Store(&map[uint32]*output{})
	return s
}

// listen serves on a Unix socket that only this user can open.
func (s *hostService) listen(path string) error {
	l, err := net.Listen("unix", path)
	if err != nil {
		return fmt.Errorf("open the socket for the plugin %s: %w", s.plugin, err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		_ = l.Close()
		return fmt.Errorf("protect the socket for the plugin %s: %w", s.plugin, err)
	}
	s.path = path
	s.server = grpc.NewServer(grpc.MaxRecvMsgSize(maxRequest), grpc.MaxConcurrentStreams(64), grpc.UnaryInterceptor(s.check))
	protocol.RegisterHostServer(s.server, s)
	go func() { _ = s.server.Serve(fewConnections(l)) }() // it ends with close
	return nil
}

// close ends it, and all publications.
func (s *hostService) close() {
	s.mu.Lock()
	s.closed = true
	open := s.publications
	s.publications = nil
	s.mu.Unlock()
	if s.server != nil {
		s.server.Stop()
	}
	s.outputs.Store(&map[uint32]*output{})
	for _, p := range open {
		_ = p.leave() // it has ended then, whatever it says
	}
}

// check admits who has the token, to what was granted.
func (s *hostService) check(ctx context.Context, req any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	if err := s.wait(ctx, info.FullMethod); err != nil {
		return nil, err
	}
	md, _ := metadata.FromIncomingContext(ctx)
	token := strings.Join(md.Get(protocol.TokenKey), "")
	if subtle.ConstantTimeCompare([]byte(token), []byte(s.token)) != 1 {
		return nil, status.Errorf(codes.Unauthenticated, "the metadata %s must have the value of %s", protocol.TokenKey, protocol.EnvHostToken)
	}
	need := map[string]string{
		protocol.Host_ListRooms_FullMethodName: permissionRooms, protocol.Host_Publish_FullMethodName: permissionSend,
		protocol.Host_Unpublish_FullMethodName: permissionSend, protocol.Host_Notify_FullMethodName: permissionNotify,
	}[info.FullMethod]
	if need != "" && !s.granted[need] {
		s.refused(need)
		return nil, status.Error(codes.PermissionDenied, notGranted(s.plugin, need))
	}
	return handle(ctx, req)
}

// maxPause is how long a call waits for those before it.
const maxPause = 5 * time.Second

// wait holds a call up until it is its turn: a plugin may ask for so much in a time, and no more.
func (s *hostService) wait(ctx context.Context, method string) error {
	now := time.Now()
	s.mu.Lock()
	p := s.costly[method]
	if p == nil {
		p = &s.calls
	}
	before := *p
	d := p.wait(now)
	if d > maxPause {
		*p = before
	}
	s.mu.Unlock()
	pause(ctx, min(d, maxPause))
	if d > maxPause {
		return status.Error(codes.ResourceExhausted, "the plugin asks for more than castd does for it in a time: collect what is to be done")
	}
	return ctx.Err()
}

// notGranted says what was refused, and how to change that.
func notGranted(plugin, permission string) string {
	return fmt.Sprintf("the plugin %s wants %q, which it was not granted: type castd plugin enable %s --grant %s", plugin, permission, plugin, permission)
}

// ListRooms implements protocol.HostServer.
func (s *hostService) ListRooms(context.Context, *protocol.ListRoomsRequest) (*protocol.ListRoomsResponse, error) {
	var out protocol.ListRoomsResponse
	for _, r := range s.engine.Rooms() {
		if s.allowed(r) {
			out.Rooms = append(out.Rooms, roomMessage(&r))
		}
	}
	return &out, nil
}

func roomMessage(r *engine.RoomInfo) *protocol.Room {
	out := &protocol.Room{Id: r.Room, Name: r.Name, Title: valid(r.Title), Mode: r.Mode, Private: r.Private}
	for _, p := range r.Participants {
		out.Participants = append(out.Participants, &protocol.Participant{Id: p.Participant, Name: valid(p.Name), Roles: p.Roles, Muted: p.Muted})
	}
	return out
}

// valid makes text of what others wrote: gRPC refuses what is not UTF-8.
func valid(s string) string { return strings.ToValidUTF8(s, "?") }

// oneLine leaves out of a text what could disturb a terminal.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, valid(s))
}

// cleanName makes a participant's name of what a plugin wrote.
func cleanName(s string) string {
	r := []rune(strings.TrimSpace(oneLine(s)))
	return string(r[:min(len(r), 64)])
}

// room finds a room that the plugin may see.
func (s *hostService) room(id string) (engine.Media, error) {
	info, err := s.engine.RoomInfo(wire.RoomID(id))
	if err != nil || !s.allowed(info) {
		return nil, status.Errorf(codes.NotFound, "this peer is in no room %.40q that the plugin %s may see", valid(id), s.plugin)
	}
	m, err := s.engine.Find(id)
	if err != nil {
		return nil, status.Errorf(codes.NotFound, "this peer is in no room %.40q", valid(id))
	}
	return m, nil
}

// Publish implements protocol.HostServer.
func (s *hostService) Publish(ctx context.Context, r *protocol.PublishRequest) (*protocol.PublishResponse, error) {
	m, err := s.room(r.Room)
	if err != nil {
		return nil, err
	}
	if len(r.Streams) == 0 || len(r.Streams) > 8 {
		return nil, status.Error(codes.InvalidArgument, "name one to eight streams to send")
	}
	s.mu.Lock()
	full := len(s.publications) >= maxPublications || s.closed
	s.mu.Unlock()
	if full {
		return nil, status.Errorf(codes.ResourceExhausted, "a plugin can send from %d places at a time: end one with Unpublish", maxPublications)
	}
	sum := sha256.Sum256([]byte("castd plugin v1\x00" + s.plugin + "\x00" + r.Slot))
	participant := wire.ParticipantID(sum[:])
	p := &publication{}
	outs, err := s.open(ctx, m, participant, r, p)
	if err != nil {
		if user, ok := errors.AsType[*engine.UserError](err); ok {
			return nil, status.Error(codes.FailedPrecondition, user.Message)
		}
		return nil, err
	}
	return s.add(outs, p)
}

// open begins to send: in a conference as a participant, whose packets pass the jitter buffer.
func (s *hostService) open(ctx context.Context, m engine.Media, participant string, r *protocol.PublishRequest, p *publication) ([]*output, error) {
	if m.Mode() == "conference" {
		caller, ok := m.(engine.Caller)
		if only := r.Streams[0]; !ok || len(r.Streams) != 1 || only.Kind != "audio" || only.Codec != "opus" {
			return nil, status.Error(codes.InvalidArgument, "into a conference a plugin sends one audio stream of Opus")
		}
		c := engine.SeatConfig{Participant: participant, Name: cleanName(r.Name), SendsStereo: r.Streams[0].Channels == 2, Hear: func(*engine.MediaPacket) {}}
		deafen := func() {}
		if r.Hear {
			var err error
			if c.Hear, deafen, err = s.hear(m.ID(), &c, p); err != nil {
				return nil, err
			}
		}
		call, err := caller.Call(ctx, c)
		if err != nil {
			deafen()
			return nil, err
		}
		p.end = func() error {
			defer deafen()
			return call.Close()
		}
		p.leave = p.end
		write := func(p *engine.MediaPacket) error { call.Write(p); return nil }
		return []*output{{room: m.ID(), write: write}}, nil
	}
	c := engine.SlotConfig{Slot: r.Slot, Participant: participant, Name: cleanName(r.Name)}
	for _, st := range r.Streams {
		kind := wire.KindAudio
		switch st.Kind {
		case "audio":
		case "video":
			kind = wire.KindVideo
		default:
			return nil, status.Errorf(codes.InvalidArgument, "%.20q is no kind of stream: there are audio and video", valid(st.Kind))
		}
		c.Streams = append(c.Streams, engine.StreamConfig{Label: st.Label, Kind: kind, Codec: st.Codec, ClockRate: st.ClockRate, Channels: st.Channels})
	}
	pub, err := m.Publish(ctx, c)
	if err != nil {
		return nil, err
	}
	var outs []*output
	for _, st := range c.Streams {
		label := st.Label
		outs = append(outs, &output{
			room: m.ID(), write: func(p *engine.MediaPacket) error { return pub.Write(label, p) },
			clock: func(timestamp uint32, wallUs int64) { pub.Clock(label, timestamp, wallUs) },
		})
	}
	p.end, p.leave = pub.End, pub.Close
	return outs, nil
}

// attends notes that the plugin attends a room, or does no longer.
func (s *hostService) attends(a *attendance, on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch id := a.media.ID(); {
	case on:
		s.attending[id] = a
	case s.attending[id] == a:
		delete(s.attending, id)
	}
}

// hear has what a participant of the plugin's hears go to where the plugin attends the room.
func (s *hostService) hear(id wire.RoomID, c *engine.SeatConfig, p *publication) (write func(*engine.MediaPacket), deafen func(), err error) {
	if !s.granted[permissionAudio] {
		s.refused(permissionAudio)
		return nil, nil, status.Error(codes.PermissionDenied, notGranted(s.plugin, permissionAudio))
	}
	s.mu.Lock()
	a := s.attending[id]
	s.mu.Unlock()
	if a == nil {
		return nil, nil, status.Error(codes.FailedPrecondition, "the plugin does not attend the room, by which what its participant hears would come")
	}
	l, write, ok := a.hear(c.Participant, c.Name)
	if !ok {
		return nil, nil, status.Errorf(codes.ResourceExhausted, "a plugin can hear as %d participants of a room at a time", maxLines)
	}
	p.heard = l.id
	return write, func() { a.deafen(l) }, nil
}

// add notes a publication, whose tracks can be sent from now on.
func (s *hostService) add(outs []*output, p *publication) (*protocol.PublishResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		_ = p.end()
		return nil, status.Error(codes.Unavailable, "castd ends the plugin")
	}
	s.last++
	next := maps.Clone(*s.outputs.Load())
	for _, o := range outs {
		s.tracks++
		next[s.tracks] = o
		p.tracks = append(p.tracks, s.tracks)
	}
	s.outputs.Store(&next)
	s.publications[s.last] = p
	return &protocol.PublishResponse{Publication: s.last, Tracks: slices.Clone(p.tracks), Heard: p.heard}, nil
}

// Unpublish implements protocol.HostServer.
func (s *hostService) Unpublish(_ context.Context, r *protocol.UnpublishRequest) (*protocol.UnpublishResponse, error) {
	s.mu.Lock()
	p := s.publications[r.Publication]
	delete(s.publications, r.Publication)
	if p != nil {
		next := maps.Clone(*s.outputs.Load())
		for _, t := range p.tracks {
			delete(next, t)
		}
		s.outputs.Store(&next)
	}
	s.mu.Unlock()
	if p == nil {
		return nil, status.Errorf(codes.NotFound, "there is no publication %d", r.Publication)
	}
	_ = p.end() // it has ended then, whatever it says
	return &protocol.UnpublishResponse{}, nil
}

// send passes a packet of the plugin's into a room. It is called by the attendance's goroutine.
func (s *hostService) send(room wire.RoomID, m *protocol.Media, now time.Time) {
	s.received.Add(1)
	o := (*s.outputs.Load())[m.Track]
	if o == nil || o.room != room || len(m.Payload) == 0 || len(m.Payload) > maxPayload || m.Number > 1<<47 {
		s.dropped.Add(1)
		return
	}
	if now.Sub(o.second) >= time.Second {
		o.second, o.limited = now, 0
	}
	if o.limited++; o.limited > maxRate {
		s.dropped.Add(1)
		return
	}
	o.packet = engine.MediaPacket{Sequence: int64(m.Number), Timestamp: m.Timestamp, Marker: m.Marker, Payload: m.Payload, Level: wire.LevelUnknown, Voice: m.Voice}
	if m.Level > 0 {
		o.packet.Level = m.Level - 1
	}
	if m.WallUs > 0 && o.clock != nil {
		o.clock(m.Timestamp, m.WallUs)
	}
	if o.write(&o.packet) != nil {
		s.dropped.Add(1)
	}
}

// Notify implements protocol.HostServer.
func (s *hostService) Notify(_ context.Context, r *protocol.NotifyRequest) (*protocol.NotifyResponse, error) {
	if r.Room != "" {
		if _, err := s.room(r.Room); err != nil {
			return nil, err
		}
	}
	text := oneLine(r.Message)
	if text == "" || len(text) > maxNotice {
		return nil, status.Errorf(codes.InvalidArgument, "a notice has 1 to %d octets", maxNotice)
	}
	now := time.Now()
	s.mu.Lock()
	passed := now.Sub(s.noticed)
	s.notices = max(0, s.notices-int(passed/noticeGap))
	over := s.notices >= firstNotices
	if !over {
		s.notices++
		s.noticed = now
	}
	s.mu.Unlock()
	if over {
		return nil, status.Errorf(codes.ResourceExhausted, "a plugin shows a notice every %v: collect them", noticeGap)
	}
	s.emit(engine.Event{Event: "plugin", Room: r.Room, Code: s.plugin, Message: text})
	return &protocol.NotifyResponse{}, nil
}

// Log implements protocol.HostServer.
func (s *hostService) Log(ctx context.Context, r *protocol.LogRequest) (*protocol.LogResponse, error) {
	level := slog.LevelInfo
	switch r.Level {
	case "debug":
		level = slog.LevelDebug
	case "warn":
		level = slog.LevelWarn
	case "error":
		level = slog.LevelError
	}
	s.log.Log(ctx, level, "plugin: "+valid(r.Message[:min(len(r.Message), maxLogLine)]), "plugin", s.plugin)
	return &protocol.LogResponse{}, nil
}

// Get implements protocol.HostServer.
func (s *hostService) Get(_ context.Context, r *protocol.GetRequest) (*protocol.GetResponse, error) {
	v, ok, err := s.values.get(r.Key)
	return &protocol.GetResponse{Found: ok, Value: v}, err
}

// Put implements protocol.HostServer.
func (s *hostService) Put(_ context.Context, r *protocol.PutRequest) (*protocol.PutResponse, error) {
	return &protocol.PutResponse{}, s.values.put(r.Key, r.Value)
}

// Delete implements protocol.HostServer.
func (s *hostService) Delete(_ context.Context, r *protocol.DeleteRequest) (*protocol.DeleteResponse, error) {
	return &protocol.DeleteResponse{}, s.values.delete(r.Key)
}

// Keys implements protocol.HostServer.
func (s *hostService) Keys(context.Context, *protocol.KeysRequest) (*protocol.KeysResponse, error) {
	keys, err := s.values.keys()
	return &protocol.KeysResponse{Keys: keys}, err
}
