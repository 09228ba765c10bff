package room

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/castd/castd/engine/wire"
)

// announce returns a proper announce of a user's device, with an audio and a video stream.
func announce(user byte, slot string) *wire.Announce {
	p := wire.ParticipantID(public(user))
	id := func(label string) uint64 { return uint64(wire.NewStreamID(testRoom, public(100+user), p, slot, label)) }
	return &wire.Announce{
		Participant: p, Name: fmt.Sprintf("User %d", user), Slot: slot, Record: id(wire.RecordLabel), StartedMs: testTime.UnixMilli(),
		Streams: []*wire.StreamInfo{
			{Id: id("audio"), Kind: uint32(wire.KindAudio), Label: "audio", Codec: "opus", ClockRate: 48000, Channels: 2, Incarnation: 1, First: 7},
			{Id: id("video"), Kind: uint32(wire.KindVideo), Label: "video", Codec: "vp8", ClockRate: 90000},
		},
	}
}

// message returns what wire.OpenEnvelope would of an announce.
func message(t testing.TB, user byte, sequence uint64, a *wire.Announce) *wire.Message {
	t.Helper()
	b, err := proto.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	return &wire.Message{
		Room: testRoom, Type: wire.Type_ANNOUNCE, Device: public(100 + user), User: public(user), Sequence: sequence,
		Expires: testTime.Add(time.Minute), Body: b,
	}
}

func apply(t testing.TB, r *Roster, user byte, sequence uint64, a *wire.Announce) Change {
	t.Helper()
	c, err := r.Apply(message(t, user, sequence, a), testTime)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func testRoster(t testing.TB, change func(s *RecordSpec)) *Roster {
	s := testSpec()
	if change != nil {
		change(&s)
	}
	return NewRoster(mustRecord(t, 1, s))
}

func labels(s []*Stream) string {
	var out []string
	for _, s := range s {
		out = append(out, s.Label)
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

func TestRosterFollowsASlot(t *testing.T) {
	r := testRoster(t, nil)
	a := announce(1, "main")
	if c := apply(t, r, 1, 10, a); labels(c.Added) != "audio video" || len(c.Updated)+len(c.Ended) != 0 {
		t.Fatalf("first: %+v", c)
	}
	if c := apply(t, r, 1, 10, a); !c.Empty() {
		t.Errorf("the same again: %+v", c)
	}
	if c := apply(t, r, 1, 11, a); !c.Empty() {
		t.Errorf("signed anew: %+v", c)
	}
	a.Streams[0].Incarnation = 2
	if c := apply(t, r, 1, 12, a); labels(c.Updated) != "audio" || len(c.Added)+len(c.Ended) != 0 || c.Updated[0].Incarnation != 2 {
		t.Errorf("new incarnation: %+v", c)
	}
	a.Streams = a.Streams[:1]
	if c := apply(t, r, 1, 13, a); labels(c.Ended) != "video" || c.Ended[0].Live || len(c.Added)+len(c.Updated) != 0 {
		t.Errorf("without video: %+v", c)
	}
	s := r.Stream(wire.StreamID(a.Streams[0].Id))
	want := &Stream{
		ID: wire.StreamID(a.Streams[0].Id), Slot: "main", Label: "audio", Kind: wire.KindAudio, Codec: "opus", ClockRate: 48000,
		Channels: 2, Incarnation: 2, First: 7, Participant: a.Participant, Name: "User 1", Device: public(101),
		Record: wire.StreamID(a.Record), StartedMs: testTime.UnixMilli(), Live: true,
	}
	if !reflect.DeepEqual(s, want) || !reflect.DeepEqual(r.Streams(), []*Stream{want}) {
		t.Errorf("stream is %+v", s)
	}
	a.Ended = true
	if c := apply(t, r, 1, 14, a); labels(c.Ended) != "audio" || len(r.Streams()) != 0 || r.Stream(s.ID) != nil {
		t.Errorf("ended: %+v", c)
	}
	if device, ok := r.Publisher(wire.StreamID(a.Record)); !ok || !bytes.Equal(device, public(101)) {
		t.Errorf("publisher %x, %v", device, ok)
	}
	// An announce from before does not bring it back; a new one does.
	a.Ended = false
	if _, err := r.Apply(message(t, 1, 13, a), testTime); !errors.Is(err, ErrStale) {
		t.Errorf("from before: %v", err)
	}
	if c := apply(t, r, 1, 15, a); labels(c.Added) != "audio" {
		t.Errorf("again live: %+v", c)
	}
}

// Announces of two slots of a device may arrive in another order than they were signed in.
func TestRosterSequencesAreOfASlot(t *testing.T) {
	r := testRoster(t, nil)
	apply(t, r, 1, 20, announce(1, "b"))
	if c := apply(t, r, 1, 19, announce(1, "a")); len(c.Added) != 2 || len(r.Streams()) != 4 {
		t.Errorf("%+v", c)
	}
}

func TestRosterRights(t *testing.T) {
	chain := func(user byte, rights Rights) *wire.Chain {
		return NewChain(key(1), testRoom, LinkSpec{Subject: public(user), Rights: rights, Expires: testTime.Add(time.Hour)})
	}
	conference := func(s *RecordSpec) { s.Mode = Conference }
	private := func(s *RecordSpec) { s.Mode, s.Private = Conference, true }
	forged := NewChain(key(4), testRoom, LinkSpec{Subject: public(4), Rights: All})
	for name, c := range map[string]struct {
		room  func(s *RecordSpec)
		user  byte
		chain *wire.Chain
		audio bool // audio alone
		ok    bool
	}{
		"owner":                           {user: 1, ok: true},
		"delegate":                        {user: 2, ok: true},
		"listener":                        {user: 4},
		"with speak and video":            {user: 4, chain: chain(4, Speak|Video), ok: true},
		"with speak, sends audio":         {user: 4, chain: chain(4, Speak), audio: true, ok: true},
		"with speak, sends video":         {user: 4, chain: chain(4, Speak)},
		"with video":                      {user: 4, chain: chain(4, Video)},
		"with listen":                     {user: 4, chain: chain(4, Listen|Relay)},
		"with another's":                  {user: 4, chain: chain(5, All)},
		"with his own":                    {user: 4, chain: forged},
		"conference":                      {room: conference, user: 4, ok: true},
		"private conference":              {room: private, user: 4},
		"private conference, with listen": {room: private, user: 4, chain: chain(4, Listen), ok: true},
		"private conference, with mix":    {room: private, user: 4, chain: chain(4, Mix)},
	} {
		r := testRoster(t, c.room)
		a := announce(c.user, "main")
		a.Chain = c.chain
		if c.audio {
			a.Streams = a.Streams[:1]
		}
		_, err := r.Apply(message(t, c.user, 1, a), testTime)
		if c.ok && err != nil || !c.ok && !errors.Is(err, ErrNotAllowed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A right that ran out: the slot may still be ended by its device, and not go on.
	r := testRoster(t, nil)
	a := announce(4, "main")
	a.Chain = chain(4, Speak|Video)
	apply(t, r, 4, 1, a)
	later := testTime.Add(2 * time.Hour)
	if _, err := r.Apply(message(t, 4, 2, a), later); !errors.Is(err, ErrNotAllowed) {
		t.Errorf("after its end: %v", err)
	}
	a.Ended = true
	if c, err := r.Apply(message(t, 4, 3, a), later); err != nil || len(c.Ended) != 2 {
		t.Errorf("its device ends it: %+v, %v", c, err)
	}
	// A new record may take a delegate's power.
	r = testRoster(t, nil)
	apply(t, r, 2, 1, announce(2, "main"))
	s := testSpec()
	s.Delegates, s.Epoch = nil, 6
	r.SetRecord(mustRecord(t, 1, s))
	if _, err := r.Apply(message(t, 2, 2, announce(2, "main")), testTime); !errors.Is(err, ErrNotAllowed) {
		t.Errorf("a delegate of yesterday: %v", err)
	}
}

// A guest is a participant of his own, by the right of the device that serves him.
func TestRosterGuest(t *testing.T) {
	r := testRoster(t, nil)
	a := announce(1, "main")
	a.Participant = "guestguestguestg"
	a.Record = uint64(wire.NewStreamID(testRoom, public(101), a.Participant, "main", wire.RecordLabel))
	for _, s := range a.Streams {
		s.Id = uint64(wire.NewStreamID(testRoom, public(101), a.Participant, "main", s.Label))
	}
	if c := apply(t, r, 1, 1, a); len(c.Added) != 2 || c.Added[0].Participant != a.Participant {
		t.Errorf("%+v", c)
	}
	apply(t, r, 1, 2, announce(1, "main"))
	if n := len(r.Streams()); n != 4 {
		t.Errorf("%d streams of a guest and his host", n)
	}
}

func TestRosterRefuses(t *testing.T) {
	for name, change := range map[string]func(a *wire.Announce, m *wire.Message){
		"another type":    func(_ *wire.Announce, m *wire.Message) { m.Type = wire.Type_BEACON },
		"another room":    func(_ *wire.Announce, m *wire.Message) { m.Room = wire.NewRoomID(public(1), "other") },
		"no certificate":  func(_ *wire.Announce, m *wire.Message) { m.User = nil },
		"another device":  func(_ *wire.Announce, m *wire.Message) { m.Device = public(102) },
		"participant":     func(a *wire.Announce, _ *wire.Message) { a.Participant = "Ann" },
		"another's slot":  func(a *wire.Announce, _ *wire.Message) { a.Slot = "other" },
		"slot's name":     func(a *wire.Announce, _ *wire.Message) { a.Slot = "a b" },
		"record":          func(a *wire.Announce, _ *wire.Message) { a.Record++ },
		"squatted stream": func(a *wire.Announce, _ *wire.Message) { a.Streams[0].Id++ },
		"no streams":      func(a *wire.Announce, _ *wire.Message) { a.Streams = nil },
		"many streams":    func(a *wire.Announce, _ *wire.Message) { a.Streams = slices.Repeat(a.Streams, 5) },
		"a stream twice":  func(a *wire.Announce, _ *wire.Message) { a.Streams[0] = a.Streams[1] },
		"record as stream": func(a *wire.Announce, _ *wire.Message) {
			a.Streams[0].Label, a.Streams[0].Id = wire.RecordLabel, a.Record
		},
		"kind":          func(a *wire.Announce, _ *wire.Message) { a.Streams[0].Kind = 2 },
		"kind over 255": func(a *wire.Announce, _ *wire.Message) { a.Streams[0].Kind = 256 },
		"label":         func(a *wire.Announce, _ *wire.Message) { a.Streams[0].Label = "" },
		"codec":         func(a *wire.Announce, _ *wire.Message) { a.Streams[0].Codec = "<script>" },
		"fmtp":          func(a *wire.Announce, _ *wire.Message) { a.Streams[0].Fmtp = "a\r\na=evil" },
		"long fmtp":     func(a *wire.Announce, _ *wire.Message) { a.Streams[0].Fmtp = strings.Repeat("x", maxFmtp+1) },
		"no clock rate": func(a *wire.Announce, _ *wire.Message) { a.Streams[0].ClockRate = 0 },
		"clock rate":    func(a *wire.Announce, _ *wire.Message) { a.Streams[0].ClockRate = 1 << 30 },
		"channels":      func(a *wire.Announce, _ *wire.Message) { a.Streams[0].Channels = 9 },
		"incarnation":   func(a *wire.Announce, _ *wire.Message) { a.Streams[0].Incarnation = 1 << 16 },
		"first number":  func(a *wire.Announce, _ *wire.Message) { a.Streams[0].First = wire.MaxNumber + 1 },
	} {
		r := testRoster(t, nil)
		a := announce(1, "main")
		m := message(t, 1, 1, a)
		change(a, m)
		m.Body = message(t, 1, 1, a).Body
		if c, err := r.Apply(m, testTime); !errors.Is(err, ErrAnnounce) || !c.Empty() || len(r.Streams()) != 0 {
			t.Errorf("%s: %+v, %v", name, c, err)
		}
	}
}

func TestRosterIsBounded(t *testing.T) {
	r := testRoster(t, nil)
	slot := func(i int) string { return fmt.Sprintf("s%d", i) }
	for i := range MaxSlots {
		apply(t, r, 1, uint64(i+1), announce(1, slot(i)))
	}
	if _, err := r.Apply(message(t, 1, 100, announce(1, "more")), testTime); !errors.Is(err, ErrFull) {
		t.Errorf("a slot too many: %v", err)
	}
	apply(t, r, 1, 101, announce(1, slot(0))) // who is there goes on
	for i := range 3 * maxEnded {
		a := announce(1, slot(i))
		a.Ended = true
		apply(t, r, 1, uint64(1000+i), a)
		if len(r.slots) > MaxSlots+maxEnded {
			t.Fatalf("%d slots are remembered", len(r.slots))
		}
	}
	if c := apply(t, r, 1, 5000, announce(1, "more")); len(c.Added) != 2 {
		t.Errorf("with room again: %+v", c)
	}
}

func TestRosterExpires(t *testing.T) {
	r := testRoster(t, nil)
	apply(t, r, 1, 1, announce(1, "a"))
	m := message(t, 1, 2, announce(1, "b"))
	m.Expires = testTime.Add(time.Hour)
	if _, err := r.Apply(m, testTime); err != nil {
		t.Fatal(err)
	}
	if c := r.Expire(testTime.Add(time.Minute + wire.Leeway)); !c.Empty() {
		t.Errorf("too early: %+v", c)
	}
	c := r.Expire(testTime.Add(time.Minute + wire.Leeway + time.Millisecond))
	if len(c.Ended) != 2 || c.Ended[0].Slot != "a" || len(r.Streams()) != 2 {
		t.Errorf("%+v", c)
	}
}

func TestRosterKeepsEnvelopes(t *testing.T) {
	r := testRoster(t, nil)
	s := signer(1)
	var last []byte
	for range 2 {
		env, err := s.Seal(testRoom, wire.Type_ANNOUNCE, 5, testTime.Add(time.Minute), announce(1, "main"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.ApplyEnvelope(env, testTime); err != nil {
			t.Fatal(err)
		}
		last = bytes.Clone(env)
		clear(env)
	}
	apply(t, r, 2, 1, announce(2, "other"))
	if got := r.Announces(); len(got) != 1 || !bytes.Equal(got[0], last) {
		t.Errorf("%d announces, or not the newest", len(got))
	}
	ended := announce(1, "main")
	ended.Ended = true
	env, err := s.Seal(testRoom, wire.Type_ANNOUNCE, 5, testTime.Add(time.Minute), ended)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.ApplyEnvelope(env, testTime); err != nil || len(r.Announces()) != 0 {
		t.Errorf("an ended slot is announced: %v", err)
	}
	env[len(env)-1] ^= 1
	if _, err := r.ApplyEnvelope(env, testTime); !errors.Is(err, wire.ErrSignature) {
		t.Errorf("forged: %v", err)
	}
}

// The same announces in any order, repeated, make the same roster.
func TestRosterDoesNotDependOnOrder(t *testing.T) {
	var all []*wire.Message
	for i := range 30 {
		a := announce(byte(1+i%2), fmt.Sprintf("s%d", i%5))
		a.Name = fmt.Sprintf("round %d", i)
		a.Ended = i%7 == 0
		a.StartedMs += int64(i % 3)
		all = append(all, message(t, byte(1+i%2), uint64(i+1), a))
	}
	var want []*Stream
	for seed := range uint64(50) {
		rnd := rand.New(rand.NewPCG(seed, 3))
		r := testRoster(t, nil)
		for range 3 {
			rnd.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
			for _, m := range all {
				if _, err := r.Apply(m, testTime); err != nil && !errors.Is(err, ErrStale) {
					t.Fatal(err)
				}
			}
		}
		got := r.Streams()
		if want == nil {
			want = got
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("seed %d: another roster", seed)
		}
	}
	if len(want) == 0 {
		t.Error("nobody is left")
	}
}

// GREASE: an announce of a newer castd.
func TestRosterSkipsUnknownFields(t *testing.T) {
	r := testRoster(t, nil)
	a := announce(1, "main")
	grease := protowire.AppendVarint(protowire.AppendTag(nil, 4242, protowire.VarintType), 7)
	a.ProtoReflect().SetUnknown(grease)
	a.Streams[0].ProtoReflect().SetUnknown(grease)
	a.Streams[0].Codec = "opus-2"
	if c := apply(t, r, 1, 1, a); len(c.Added) != 2 {
		t.Errorf("%+v", c)
	}
}

func TestNormalSlot(t *testing.T) {
	for in, want := range map[string]string{"": MainSlot, "Camera.1": "camera.1"} {
		if got, err := NormalSlot(in); err != nil || got != want {
			t.Errorf("%q: %q, %v", in, got, err)
		}
	}
	if _, err := NormalSlot("a/b"); err == nil {
		t.Error("a/b is a slot")
	}
}

func FuzzRoster(f *testing.F) {
	good, err := proto.Marshal(announce(1, "main"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good, uint64(1))
	f.Fuzz(func(t *testing.T, body []byte, sequence uint64) {
		r := testRoster(t, nil)
		apply(t, r, 1, 10, announce(1, "main"))
		m := message(t, 1, sequence, announce(1, "main"))
		m.Body = body
		_, _ = r.Apply(m, testTime)
		for _, s := range r.Streams() {
			if s.ID != wire.NewStreamID(testRoom, public(101), s.Participant, s.Slot, s.Label) {
				t.Fatalf("a stream that is not the device's: %+v", s)
			}
		}
	})
}
