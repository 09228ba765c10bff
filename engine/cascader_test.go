package engine

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/proto"

	"github.com/castd/castd/engine/wire"
	"github.com/castd/castd/tree"
)

// stageOf is a cascader with what it is told.
type stageOf struct {
	t   *testing.T
	c   *cascader
	f   cascadeFacts
	now time.Time
	// dead mixers say nothing, and lost participants do not get to a mixer.
	dead map[peer.ID]bool
	lost map[string]peer.ID
}

func newStageOf(t *testing.T, bound int) *stageOf {
	s := &stageOf{t: t, c: newCascader(), now: time.Unix(1000, 0), dead: make(map[peer.ID]bool), lost: make(map[string]peer.ID)}
	s.f = cascadeFacts{mixed: true, bound: bound, candidates: []peer.ID{"m1", "m2", "m3", "m4"}}
	s.f.hears = func(id peer.ID) bool { return !s.dead[id] }
	return s
}

// come and go change who takes part.
func (s *stageOf) come(names ...string) {
	for _, n := range names {
		s.f.seats = append(s.f.seats, cascadeSeat{planSeat: planSeat{participant: n, peer: peer.ID("of " + n)}})
	}
}

func (s *stageOf) gone(names ...string) {
	s.f.seats = slices.DeleteFunc(s.f.seats, func(o cascadeSeat) bool { return slices.Contains(names, o.participant) })
}

// run lets time pass, in which mixers answer, and participants go where they are sent.
func (s *stageOf) run(d time.Duration) {
	s.t.Helper()
	for end := s.now.Add(d); s.now.Before(end); s.now = s.now.Add(100 * time.Millisecond) {
		s.c.step(s.f, s.now)
		for _, m := range slices.Clone(s.c.mixers) {
			if !s.dead[m.id] {
				s.c.report(m.id, furtherReport{number: s.c.number, seats: s.f.bound, ready: true}, s.now)
			}
		}
		for i := range s.f.seats {
			o := &s.f.seats[i]
			at := s.c.places[o.key()].at
			if s.dead[at] || s.lost[o.participant] == at && at != "" {
				at = ""
			}
			o.sits = at
		}
	}
	for _, m := range s.c.mixers {
		if n := s.c.held(m.id); n > s.f.bound {
			s.t.Errorf("%s holds %d", m.id, n)
		}
	}
}

// at lists who sits at a mixer.
func (s *stageOf) at(id peer.ID) (names []string) {
	for _, o := range s.f.seats {
		if s.c.places[o.key()].at == id {
			names = append(names, o.participant)
		}
	}
	return names
}

func names(from, to int) (list []string) {
	for i := from; i < to; i++ {
		list = append(list, fmt.Sprintf("p%03d", i))
	}
	return list
}

// Who came first stays where he is, whoever comes; mixers are filled one after the other, and given up when there is room elsewhere.
func TestCascaderGrows(t *testing.T) {
	s := newStageOf(t, 4)
	s.come(names(0, 4)...)
	s.run(10 * time.Second)
	if s.c.busy() {
		t.Fatal("a further mixer for as many as the hub can hold")
	}
	s.come(names(4, 12)...)
	s.run(10 * time.Second)
	if got := s.at(""); !slices.Equal(got, names(0, 4)) {
		t.Errorf("at the hub: %v", got)
	}
	if len(s.c.mixers) != 2 || len(s.at("m1")) != 4 || len(s.at("m2")) != 4 {
		t.Errorf("at the others: %v, %v of %v", s.at("m1"), s.at("m2"), s.c.named())
	}
	// One more than fits, or one less, changes nothing for long.
	s.gone("p004")
	s.run(30 * time.Second)
	if len(s.c.mixers) != 2 {
		t.Errorf("%d further mixers for 11 of 12", len(s.c.mixers))
	}
	s.gone(names(5, 11)...)
	s.run(5 * time.Second)
	before := len(s.c.mixers)
	s.run(60 * time.Second)
	if len(s.c.mixers) != 1 || before != 2 {
		t.Errorf("%d and then %d further mixers for 5", before, len(s.c.mixers))
	}
	s.gone("p000", "p001")
	s.run(60 * time.Second)
	if s.c.busy() || len(s.at("")) != 3 {
		t.Errorf("further mixers for 3: %v", s.c.named())
	}
}

// A mixer that dies or refuses is not asked again soon, and nobody waits for it.
func TestCascaderFails(t *testing.T) {
	s := newStageOf(t, 4)
	s.come(names(0, 8)...)
	s.run(10 * time.Second)
	s.dead["m1"] = true
	s.run(4 * time.Second)
	if got := s.at("m2"); len(got) != 4 || s.c.mixer("m1") != nil {
		t.Errorf("after one died: %v at the next, of %v", got, s.c.named())
	}
	s.dead["m1"] = false
	s.c.report("m2", furtherReport{}, s.now)
	s.run(4 * time.Second)
	if got := s.at("m3"); len(got) != 4 {
		t.Errorf("after one refused: %v at the next, of %v", got, s.c.named())
	}
	for _, m := range s.c.mixers {
		m.missing = []peer.ID{"m4"}
	}
	s.run(40 * time.Second)
	if len(s.c.mixers) != 1 {
		t.Errorf("further mixers %v", s.c.named())
	}
}

// Of two that do not reach each other the later one goes.
func TestCascaderParts(t *testing.T) {
	s := newStageOf(t, 4)
	s.come(names(0, 12)...)
	s.run(10 * time.Second)
	for range 100 {
		s.c.step(s.f, s.now)
		for _, m := range slices.Clone(s.c.mixers) {
			r := furtherReport{number: s.c.number, seats: 4, ready: true}
			if m.id == "m1" {
				r.missing = []peer.ID{"m2"}
			}
			s.c.report(m.id, r, s.now)
		}
		s.now = s.now.Add(100 * time.Millisecond)
	}
	if s.c.mixer("m1") == nil || s.c.mixer("m2") != nil || s.c.mixer("m3") == nil {
		t.Errorf("further mixers %v", s.c.named())
	}
}

// Who does not get to a mixer is left at the hub for a while, and in nobody's place.
func TestCascaderLost(t *testing.T) {
	s := newStageOf(t, 4)
	s.come(names(0, 6)...)
	s.lost["p005"] = "m1"
	s.run(20 * time.Second)
	if !slices.Contains(s.at(""), "p005") || s.c.places[planSeatKey{"p005", "of p005"}].moves {
		t.Errorf("at the hub: %v", s.at(""))
	}
	if !slices.Contains(s.at("m1"), "p004") {
		t.Errorf("at the other: %v", s.at("m1"))
	}
}

// The next hub goes on where the one before was.
func TestCascaderResumes(t *testing.T) {
	s := newStageOf(t, 4)
	s.come(names(0, 12)...)
	s.run(10 * time.Second)
	next := newCascader()
	next.resume(s.c.plan("hub", 1, s.f.seats), "heir", s.now)
	old := s.c
	s.c = next
	s.run(20 * time.Second)
	if !slices.Equal(next.named(), old.named()) {
		t.Errorf("further mixers %v, before %v", next.named(), old.named())
	}
	for key, p := range old.places {
		if next.places[key].at != p.at {
			t.Errorf("%s sits at %q, before at %q", key.participant, next.places[key].at, p.at)
		}
	}
}

// TestLoudest: of many who talk the loudest are passed on, each of them from his first packet on; and a little longer than he talks.
func TestLoudest(t *testing.T) {
	var l loudest
	var voices []*voice
	for range 20 {
		voices = append(voices, new(voice))
	}
	l.set(voices)
	now := time.Unix(1000, 0)
	say := func(i int, level uint8) bool { return l.passes(voices[i], &MediaPacket{Level: level}, now) }
	if !say(7, 30) {
		t.Error("who begins to talk is not passed on")
	}
	if say(8, 127) || say(9, 90) {
		t.Error("who is silent is passed on")
	}
	passed := make(map[int]int)
	for range 100 {
		now = now.Add(20 * time.Millisecond)
		for i := range voices {
			if say(i, uint8(20+i)) {
				passed[i]++
			}
		}
	}
	for i := range voices {
		if n := passed[i]; i < passedVoices && n < 99 || i > 2*passedVoices && n > 40 {
			t.Errorf("%d packets of the voice of rank %d were passed on", n, i)
		}
	}
	// Five that lie keep nobody out whom the mix hears.
	voices[19].told(&CallState{Participants: []CallParticipant{{Participant: "a"}, {Participant: "z", Talking: true}}}, "z")
	if !say(19, 60) {
		t.Error("who is heard is not passed on")
	}
	now = now.Add(2 * time.Second)
	if say(0, 127) || !say(3, wire.LevelUnknown) {
		t.Error("after a pause")
	}
}

func FuzzCascade(f *testing.F) {
	s := newStageOf(&testing.T{}, 4)
	s.come(names(0, 70)...)
	for _, page := range s.c.plan("hub", 3, s.f.seats).toWire() {
		b, _ := proto.Marshal(page)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var w wire.CallCascade
		if proto.Unmarshal(b, &w) != nil {
			return
		}
		w.Page, w.Pages = 0, 1
		var c cascadePages
		p := c.take("hub", &w)
		if p == nil {
			return
		}
		var again cascadePages
		var q *cascadePlan
		for _, page := range p.toWire() {
			q = again.take("hub", page)
		}
		if q == nil || len(q.seats) != len(p.seats) || !slices.Equal(q.mixers, p.mixers) {
			t.Fatalf("%+v is read as %+v", p, q)
		}
		for i := range p.seats {
			if !p.seats[i].same(q.seats[i].planSeat) || p.seats[i].at != q.seats[i].at || p.seats[i].moves != q.seats[i].moves {
				t.Fatalf("%+v is read as %+v", p.seats[i], q.seats[i])
			}
		}
	})
}

// A plan of a thousand comes in pages that fit into envelopes, in any order.
func TestCascadePages(t *testing.T) {
	p := &cascadePlan{hub: "hub", term: 7, number: 9, mixers: []peer.ID{}}
	for i := range maxFurther {
		p.mixers = append(p.mixers, realPeer(byte(100+i)))
	}
	for range p.mixers {
		p.addrs = append(p.addrs, slices.Repeat([][]byte{make([]byte, maxMixerAddr)}, tree.MaxAddrs))
	}
	for i := range 1000 {
		long := fmt.Sprintf("%064d", i)
		is := planSeat{participant: long, peer: realPeer(byte(i)), user: make([]byte, 32), to: long}
		p.seats = append(p.seats, cascadePlanSeat{planSeat: is, at: p.mixers[i%2]})
	}
	pages := p.toWire()
	var c cascadePages
	var got *cascadePlan
	for i, page := range slices.Backward(pages) {
		if n := proto.Size(page); n > wire.MaxEnvelope-1000 {
			t.Errorf("page %d has %d octets", i, n)
		}
		if got != nil {
			t.Error("a plan before its last page")
		}
		got = c.take("hub", page)
	}
	if got == nil || len(got.seats) != 1000 || got.number != 9 {
		t.Fatalf("read %+v", got)
	}
	if c.take("hub", &wire.CallCascade{Pages: maxCascadePages + 1}) != nil || c.take("hub", &wire.CallCascade{Pages: 1, Page: 1}) != nil {
		t.Error("a page that makes no sense is taken")
	}
}

// realPeer makes a peer id.
func realPeer(n byte) peer.ID {
	id, err := peer.IDFromBytes(append([]byte{0x00, 0x24, 0x08, 0x01, 0x12, 0x20}, slices.Repeat([]byte{n}, 32)...))
	if err != nil {
		panic(err)
	}
	return id
}
