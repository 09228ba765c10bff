package gateway

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/gateway/apicheck"
	"github.com/castd/castd/engine/wire"
)

// Rooms and tokens of the fake peer.
const (
	lobby = wire.RoomID("aaaaaaaaaaaaaaaaaaaaaaaaaa")
	attic = wire.RoomID("bbbbbbbbbbbbbbbbbbbbbbbbbb")
	twinA = wire.RoomID("cccccccccccccccccccccccccc")
	twinB = wire.RoomID("dddddddddddddddddddddddddd")
	talk  = wire.RoomID("eeeeeeeeeeeeeeeeeeeeeeeeee")

	admin   = "admin-token"
	viewer  = "viewer-token"  // watches lobby
	viewer2 = "viewer2-token" // watches lobby
	speaker = "speaker-token" // watches and sends in lobby
	twin    = "twin-token"    // watches twinB
	deaf    = "deaf-token"    // may nothing but see lobby
	talker  = "talker-token"  // takes part in talk
)

// fakeMedia is a room.
type fakeMedia struct {
	engine.Media
	id    wire.RoomID
	mode  string
	hands *hands
}

// hands are those that were raised by any fakeMedia of a test, by participant.
type hands struct {
	mu  sync.Mutex
	all map[string]engine.HandConfig
}

func (m *fakeMedia) RaiseHand(_ context.Context, c engine.HandConfig, up bool) (engine.HandState, error) {
	m.hands.mu.Lock()
	defer m.hands.mu.Unlock()
	if c.Name == "too many" {
		return engine.HandState{}, engine.NewUserError(engine.CodeFull, "too many hands are up")
	}
	if delete(m.hands.all, c.Participant); up {
		m.hands.all[c.Participant] = c
	}
	return engine.HandState{Participant: c.Participant, Raised: up, Place: len(m.hands.all)}, nil
}

func (m *fakeMedia) Hand(participant string) (engine.HandState, error) {
	m.hands.mu.Lock()
	defer m.hands.mu.Unlock()
	_, up := m.hands.all[participant]
	return engine.HandState{Participant: participant, Raised: up}, nil
}

func (m *fakeMedia) ID() wire.RoomID { return m.id }
func (m *fakeMedia) Mode() string    { return m.mode }

// fakeService is a peer that is in a few rooms.
type fakeService struct {
	mu      sync.Mutex // guards all following fields
	tokens  map[string]engine.Access
	names   map[wire.RoomID]string
	origin  bool
	events  chan engine.Event
	stats   time.Duration
	spec    engine.RoomSpec
	invite  engine.InviteSpec
	valid   time.Duration
	joining error
	ordered []engine.Moderation
	locked  bool
	hands   hands
}

func (s *fakeService) Moderate(_ context.Context, _ wire.RoomID, m engine.Moderation) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m.Who == "nobody" {
		return engine.NewUserError(engine.CodeNoParticipant, "nobody is called that")
	}
	s.ordered = append(s.ordered, m)
	return nil
}

func (s *fakeService) Chat(context.Context, wire.RoomID) ([]engine.ChatMessage, error) {
	return []engine.ChatMessage{{Number: 7, Participant: "guest5", Name: "Ann", Text: "hello", Time: "2026-01-02T15:04:05.678Z"}}, nil
}

func newFakeService() *fakeService {
	return &fakeService{
		tokens: map[string]engine.Access{
			admin:   {Admin: true, Speak: true, Listen: true},
			talker:  {Room: talk, Listen: true, Subject: "guest5"},
			viewer:  {Room: lobby, Listen: true, Subject: "guest1"},
			viewer2: {Room: lobby, Listen: true, Subject: "guest2"},
			speaker: {Room: lobby, Listen: true, Speak: true, Subject: "guest3"},
			twin:    {Room: twinB, Listen: true, Subject: "guest4"},
			deaf:    {Room: lobby},
		},
		names:  map[wire.RoomID]string{lobby: "lobby", attic: "attic", twinA: "twin", twinB: "twin", talk: "talk"},
		origin: true, hands: hands{all: map[string]engine.HandConfig{}},
		events: make(chan engine.Event, 16),
	}
}

func (s *fakeService) Status() engine.Status {
	return engine.Status{Peer: "self", User: "self-user", Version: "test", Addrs: []string{}, Rooms: []string{}}
}
func (s *fakeService) Peers() []engine.PeerInfo { return nil }
func (s *fakeService) Rooms() []engine.RoomInfo {
	var out []engine.RoomInfo
	for _, id := range slices.Sorted(maps.Keys(s.names)) {
		info, _ := s.RoomInfo(id)
		out = append(out, info)
	}
	return out
}

func (s *fakeService) Find(room string) (engine.Media, error) {
	var found []wire.RoomID
	for id, name := range s.names {
		if string(id) == room || strings.EqualFold(name, room) {
			found = append(found, id)
		}
	}
	switch len(found) {
	case 0:
		return nil, engine.ErrNoRoom
	case 1:
		mode := "broadcast"
		if found[0] == talk {
			mode = "conference"
		}
		return &fakeMedia{nil, found[0], mode, &s.hands}, nil
	}
	return nil, engine.ErrAmbiguous
}

func (s *fakeService) RoomInfo(id wire.RoomID) (engine.RoomInfo, error) {
	name, ok := s.names[id]
	if !ok {
		return engine.RoomInfo{}, engine.ErrNoRoom
	}
	return engine.RoomInfo{
		Room: string(id), Name: name, Mode: "broadcast", Role: "owner", Audience: 3, Streams: []engine.StreamInfo{}, Participants: []engine.ParticipantInfo{}, Locked: s.locked,
	}, nil
}

func (s *fakeService) Tree(wire.RoomID) (engine.TreeInfo, error) {
	if s.origin {
		return engine.TreeInfo{Peer: "self", Path: []string{"self"}}, nil
	}
	return engine.TreeInfo{Peer: "self", Parent: "other", Depth: 1, Path: []string{"other", "self"}}, nil
}

func (s *fakeService) RoomTree(id wire.RoomID) ([]engine.TreeInfo, error) {
	own, err := s.Tree(id)
	return []engine.TreeInfo{own, {Peer: "other", Depth: 1, Path: []string{"self", "other"}}}, err
}

func (s *fakeService) AddRoom(_ context.Context, spec engine.RoomSpec) (engine.RoomInfo, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.spec = spec
	return engine.RoomInfo{
		Room: string(attic), Name: spec.Room, Mode: "broadcast", Role: "member", Streams: []engine.StreamInfo{}, Participants: []engine.ParticipantInfo{},
	}, s.joining
}

func (s *fakeService) Invite(_ wire.RoomID, spec engine.InviteSpec) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.invite = spec
	return "link", nil
}

func (s *fakeService) Authorize(token string) (engine.Access, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, ok := s.tokens[token]
	return a, ok
}

func (s *fakeService) RoomToken(_ wire.RoomID, speak bool, valid time.Duration) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.valid = valid
	return fmt.Sprint("token-", speak), nil
}

func (s *fakeService) Changed(context.Context) <-chan struct{} { return nil }

func (s *fakeService) Events(ctx context.Context, stats time.Duration) <-chan engine.Event {
	s.mu.Lock()
	s.stats = stats
	s.mu.Unlock()
	out := make(chan engine.Event)
	go func() {
		defer close(out)
		for {
			select {
			case ev := <-s.events:
				select {
				case out <- ev:
				case <-ctx.Done():
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}

// fakeGuests makes sessions that do nothing.
type fakeGuests struct {
	mu       sync.Mutex // guards all following fields
	sessions []*fakeSession
	options  []engine.GuestOptions
	refuse   error
}

func (f *fakeGuests) Publish(_ context.Context, _ engine.Media, offer string, o engine.GuestOptions) (engine.GuestSession, error) {
	return f.open("publish", offer, o)
}

func (f *fakeGuests) Watch(_ context.Context, _ engine.Media, offer string, o engine.GuestOptions) (engine.GuestSession, error) {
	return f.open("watch", offer, o)
}

func (f *fakeGuests) Call(_ context.Context, _ engine.Media, offer string, o engine.GuestOptions) (engine.GuestSession, error) {
	return f.open("call", offer, o)
}

func (f *fakeGuests) Close() error { return nil }

func (f *fakeGuests) open(kind, offer string, o engine.GuestOptions) (engine.GuestSession, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refuse != nil {
		return nil, f.refuse
	}
	if !strings.HasPrefix(offer, "v=0") {
		return nil, engine.NewUserError(engine.CodeBadOffer, "This is no offer.")
	}
	s := &fakeSession{id: fmt.Sprint(kind, len(f.sessions)), generation: 1, done: make(chan struct{})}
	f.sessions = append(f.sessions, s)
	f.options = append(f.options, o)
	return s, nil
}

func (f *fakeGuests) last() (*fakeSession, engine.GuestOptions) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.sessions[len(f.sessions)-1], f.options[len(f.options)-1]
}

type fakeSession struct {
	id   string
	done chan struct{}

	mu         sync.Mutex // guards all following fields
	generation int
	err        error
	over       bool
}

func (s *fakeSession) ID() string     { return s.id }
func (s *fakeSession) Answer() string { return "v=0\r\nanswer" }
func (s *fakeSession) ETag() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return fmt.Sprintf("%q", fmt.Sprint(s.id, "-", s.generation))
}

func (s *fakeSession) Patch(_ context.Context, fragment string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.over:
		return "", engine.ErrClosed
	case strings.Contains(fragment, "bad"):
		return "", engine.NewUserError(engine.CodeBadOffer, "This is no fragment.")
	case strings.Contains(fragment, "restart"):
		s.generation++
		return "a=ice-ufrag:new", nil
	}
	return "", nil
}

func (s *fakeSession) Done() <-chan struct{} { return s.done }
func (s *fakeSession) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}
func (s *fakeSession) Close() error { s.end(nil); return nil }

func (s *fakeSession) end(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.over {
		s.over, s.err = true, err
		close(s.done)
	}
}

// described reads the document once for all tests.
var described = sync.OnceValues(func() (*apicheck.Document, error) { return apicheck.Parse(openAPIText) })

// bench is a Gateway over fakes.
// fakeArchive records one room.
type fakeArchive struct {
	spec engine.RecordSpec
	on   bool
}

func (a *fakeArchive) StartRecording(_ context.Context, id wire.RoomID, spec engine.RecordSpec) (engine.RecordedInfo, error) {
	if a.on {
		return engine.RecordedInfo{}, engine.NewUserError(engine.CodeRecorded, "it is being recorded")
	}
	a.on, a.spec = true, spec
	return a.info(id, "recording"), nil
}

func (a *fakeArchive) StopRecording(_ context.Context, id wire.RoomID) (engine.RecordedInfo, error) {
	if !a.on {
		return engine.RecordedInfo{}, engine.NewUserError(engine.CodeNotRecorded, "it is not being recorded")
	}
	a.on = false
	return a.info(id, "ended"), nil
}

func (a *fakeArchive) Recordings(room string) ([]engine.RecordedInfo, error) {
	if room == "none" {
		return nil, nil
	}
	return []engine.RecordedInfo{a.info(wire.RoomID(room), "ended")}, nil
}

func (a *fakeArchive) info(id wire.RoomID, state string) engine.RecordedInfo {
	return engine.RecordedInfo{Room: string(id), Name: "lobby", Folder: "/r", State: state, Started: "2026-01-02T03:04:05.000Z", Files: []string{"mix.ogg"}}
}

type bench struct {
	*testing.T
	service *fakeService
	guests  *fakeGuests
	gateway *Gateway
	remote  string // address that requests come from
	// document is what all answers are compared with.
	document *apicheck.Document
}

func newBench(t *testing.T, change ...func(*Config)) *bench {
	t.Helper()
	b := &bench{T: t, service: newFakeService(), guests: &fakeGuests{}, remote: "127.0.0.1:5000"}
	media := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "audio/ogg")
		if r.Method == http.MethodPost {
			w.Header().Set("Content-Type", "application/json")
		}
		fmt.Fprintf(w, `{"packets":%d}`, n)
	})
	plugins := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `[{"name":"who","version":"1.0.0","state":"running","enabled":true}]`)
	})
	c := Config{Service: b.service, Guests: b.guests, MediaUpload: media, MediaDownload: media, Announce: media, Plugins: plugins, Archive: &fakeArchive{}}
	for _, f := range change {
		f(&c)
	}
	var err error
	if b.gateway, err = New(c); err != nil {
		t.Fatal(err)
	}
	if b.document, err = described(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.gateway.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return b
}

// call is one request. Headers are "Name: value".
type call struct {
	method, path, token, body string
	headers                   []string
	local                     bool
}

func (b *bench) do(c call) *httptest.ResponseRecorder {
	b.Helper()
	r := httptest.NewRequest(c.method, c.path, strings.NewReader(c.body))
	r.Host = "127.0.0.1:8470"
	r.RemoteAddr = b.remote
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	for _, h := range c.headers {
		name, value, _ := strings.Cut(h, ": ")
		if name == "Host" {
			r.Host = value
			continue
		}
		r.Header.Add(name, value)
	}
	w := httptest.NewRecorder()
	if c.local {
		r.RemoteAddr = "@"
		b.gateway.Local().ServeHTTP(w, r)
	} else {
		b.gateway.Handler().ServeHTTP(w, r)
	}
	if err := b.document.Check(c.method, r.URL.EscapedPath(), w.Code, w.Header(), w.Body.Bytes()); err != nil {
		b.Error(err)
	}
	return w
}

// offer posts an offer to a path.
func (b *bench) offer(path, token string, headers ...string) *httptest.ResponseRecorder {
	b.Helper()
	return b.do(call{method: "POST", path: path, token: token, body: "v=0\r\n", headers: append([]string{"Content-Type: application/sdp"}, headers...)})
}
