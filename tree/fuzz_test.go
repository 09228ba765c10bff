package tree

import (
	"encoding/binary"
	"math"
	"testing"
	"time"

	"github.com/castd/castd/tree/coord"
)

// source reads choices from fuzz input, zeros after its end.
type source struct{ b []byte }

func (s *source) n(max int) int {
	if len(s.b) == 0 {
		return 0
	}
	v := int(s.b[0])
	s.b = s.b[1:]
	return v % max
}

func (s *source) id() ID {
	return ID([]string{"a", "b", "c", "d", "e", "f", "self", ""}[s.n(8)])
}

func (s *source) path() (out []ID) {
	n := s.n(20)
	for i := range n {
		if n > 6 {
			out = append(out, ID(rune('A'+i)))
		} else {
			out = append(out, s.id())
		}
	}
	return out
}

func (s *source) cands() (out []Candidate) {
	for range s.n(20) {
		out = append(out, Candidate{
			Peer: s.id(), Depth: uint32(s.n(256)) << 24, Free: uint32(s.n(256)) << 20, Addrs: make([][]byte, s.n(10)),
			Slots: uint32(s.n(3)) << 20, Delay: s.delay(), Coord: s.coord(), Branch: uint32(s.n(4)),
		})
	}
	return out
}

func (s *source) delay() time.Duration { return time.Duration(s.n(250)-20) * 20 * time.Millisecond }

func (s *source) coord() (c coord.Coord) {
	if s.n(2) > 0 {
		return c
	}
	c.Err, c.Height = float32(s.n(20)-2)/10, float32(s.n(256))-5
	for i := range c.Vec {
		c.Vec[i] = float32(s.n(256)) - 100
	}
	if s.n(20) == 1 {
		c.Vec[0] = float32(math.NaN())
	}
	return c
}

// nonce picks one that the router is waiting for, or any.
func (s *source) nonce(r *Router, from ID) uint64 {
	for _, k := range r.searches() {
		if k == nil {
			continue
		}
		if i := k.attempt(from); i >= 0 && s.n(4) > 0 {
			return k.attempts[i].nonce
		}
		if i := k.asked(from); i >= 0 && s.n(4) > 0 {
			return k.asks[i].nonce
		}
	}
	if c := r.child(from); c != nil && s.n(4) > 0 {
		return c.nonce
	}
	return uint64(s.n(4))
}

func (s *source) msg(r *Router, from ID) Message {
	good := append(s.path(), from)
	if s.n(3) > 0 {
		good = []ID{"o", from}
	}
	switch s.n(8) {
	case 0:
		return &MsgProbe{Nonce: 1, Slots: uint32(s.n(256)) << 24, Below: uint32(s.n(256)) << 20}
	case 1:
		return &MsgProbeReply{Nonce: s.nonce(r, from), Free: uint32(s.n(3)), Reserve: uint32(s.n(3)), Path: good, Candidates: s.cands(), Delay: s.delay(), Coord: s.coord(), Spare: uint32(s.n(2))}
	case 2:
		return &MsgJoin{Nonce: s.nonce(r, from), Kind: ChildKind(s.n(4)), Slots: uint32(s.n(4)), Addrs: make([][]byte, s.n(10)), Avoid: s.path(), Coord: s.coord(), Below: uint32(s.n(256)) << 16, Accused: s.path()}
	case 3:
		return &MsgAccept{Nonce: s.nonce(r, from), Kind: ChildKind(s.n(4)), Path: good, PathSeq: uint64(s.n(256)), Candidates: s.cands(), Delay: s.delay(), Copy: Copy(s.n(4) - 1)}
	case 4:
		return &MsgRefuse{s.nonce(r, from), RefuseFull, s.cands()}
	case 5:
		return &MsgConfirm{s.nonce(r, from)}
	case 6:
		return &MsgLeave{[]string{LeaveGoodbye, LeaveMoved, LeaveDisplaced, LeaveUnknown, LeaveDistrust, LeaveLoop, LeaveNoPath, "x"}[s.n(8)], s.cands()}
	}
	return &MsgPath{Path: good, PathSeq: uint64(s.n(256)), Candidates: s.cands(), Delay: s.delay()}
}

func (s *source) input(r *Router, now time.Time) Input {
	p := s.id()
	switch s.n(16) {
	case 0, 1, 2, 3, 4, 5:
		return Recv{p, s.msg(r, p)}
	case 6:
		return HopUp{p}
	case 7:
		return HopDown{p}
	case 8:
		return Unreachable{p}
	case 9:
		return Pulse{
			From: p, Depth: s.n(20) - 2, MediaAge: time.Duration(s.n(200)) * 20 * time.Millisecond, Repairing: s.n(2) > 0, Feeding: s.n(2) > 0,
			OriginAge: time.Duration(s.n(100)) * 50 * time.Millisecond, RTT: s.delay(), Below: s.n(256) - 3, FreeBelow: s.n(256) - 3, Free: s.n(256) - 3,
		}
	case 10:
		return Alive{p, now.Add(time.Duration(s.n(256)-200) * 10 * time.Millisecond)}
	case 11:
		return Candidates{List: s.cands(), Advert: s.n(2) > 0}
	case 12:
		return []Input{SetSlots{s.n(6) - 1}, SetAddrs{make([][]byte, 9)}, Distrust{Peer: p}, SetAudioShare{float64(s.n(256)-20) / 100}, Broken{p}, Back{p}, Distrust{Peer: p, Late: true}, Fed{p}}[s.n(8)]
	case 13:
		return []Input{Start{}, Start{true}, Promote{}, Demote{}, Leave{}}[s.n(5)]
	}
	return Tick{}
}

// FuzzRouter gives one router any inputs in any order. It must not panic, keep its bounds, and come to rest between deadlines.
func FuzzRouter(f *testing.F) {
	f.Add(uint64(1), []byte("start and some more octets to choose from, as the fuzzer likes it best"))
	f.Fuzz(func(t *testing.T, seed uint64, data []byte) {
		if len(data) > 4096 {
			data = data[:4096]
		}
		c := DefaultConfig("self")
		c.Slots, c.Seed = int(seed%5), seed
		r := New(c)
		now := simStart
		r.Step(now, Candidates{List: []Candidate{{Peer: "a", Depth: 1, Free: 2}, {Peer: "b"}}})
		r.Step(now, Start{Origin: seed%3 == 0})
		for s := (&source{data}); len(s.b) > 0; {
			now = now.Add(time.Duration(s.n(256)) * time.Duration(s.n(30)) * time.Millisecond / 4)
			most := r.slots
			in := s.input(r, now)
			if j, ok := in.(SetSlots); ok {
				most = max(most, j.Slots)
			}
			checkRefusals(t, r, r.Step(now, in))
			checkRouter(t, r, most)
			for i := 0; ; i++ {
				d, ok := r.NextDeadline()
				if !ok || d.After(now) {
					break
				}
				if i == 50 {
					t.Fatalf("ticks without end: %s", dump(r))
				}
				r.Step(now, Tick{})
				checkRouter(t, r, most)
			}
		}
	})
}

func checkRouter(t *testing.T, r *Router, slots int) {
	t.Helper()
	st := r.Status()
	if st.Placed != (len(st.Path) > 0) || st.Placed && (st.Path[len(st.Path)-1] != r.cfg.Self || goodPath(r.cfg.Self, st.Path) == nil) {
		t.Fatalf("path %v", st.Path)
	}
	if st.Parent == r.cfg.Self || st.Backup == r.cfg.Self || st.Parent != "" && st.Parent == st.Backup {
		t.Fatalf("parent %q backup %q", st.Parent, st.Backup)
	}
	if st.Origin && (st.Parent != "" || st.Backup != "") {
		t.Fatalf("the origin has a parent: %s", dump(r))
	}
	if f := r.former; f != nil && (st.Origin || f.peer == st.Parent || f.peer == st.Backup || f.peer == r.cfg.Self || r.now.After(r.formerUntil)) {
		t.Fatalf("former parent %q, parent %q, backup %q", f.peer, st.Parent, st.Backup)
	}
	for _, c := range st.Children {
		if c.Kind != Backup && c.Peer == st.Parent {
			t.Fatalf("%s is parent and child", c.Peer)
		}
	}
	checkTally(t, r)
	if len(r.cache.list) > cacheSize || max(len(r.shuns), len(r.doubts), len(r.boasts)) > maxShuns {
		t.Fatalf("%d candidates, %d distrusted, %d in doubt, %d not believed", len(r.cache.list), len(r.shuns), len(r.doubts), len(r.boasts))
	}
	for _, s := range r.searches() {
		if s != nil && (len(s.attempts) > 1+hedges || len(s.asks) > maxAsked+1+hedges || len(s.prefer) > MaxCandidates+maxPrefer) {
			t.Fatalf("search out of bounds: %+v", s)
		}
	}
}

// FuzzCluster lets a small network live through what the input says; once left alone it must be whole again.
func FuzzCluster(f *testing.F) {
	f.Add(uint64(1), []byte{1, 20, 9, 2, 30, 4, 0, 7, 3, 3, 100, 200, 4, 90, 80, 5, 1, 1})
	f.Fuzz(func(t *testing.T, seed uint64, data []byte) {
		if len(data) > 90 {
			data = data[:90]
		}
		s := newSim(t, seed)
		s.add(3)
		for i := range 9 {
			s.add(3 * (i % 2))
		}
		s.watch(100 * time.Millisecond)
		distrust := false
		for at := 500 * time.Millisecond; len(data) >= 3; data = data[3:] {
			at += time.Duration(data[2]) * 8 * time.Millisecond
			n := s.nodes[1+int(data[1])%9]
			op := data[0] % 8
			distrust = distrust || op == 5
			s.after(at, func() {
				switch op {
				case 0:
					s.kill(n, true)
				case 1:
					s.kill(n, false)
				case 2:
					s.leave(n)
				case 3:
					s.add(2)
				case 4:
					s.loss = float64(n.i) / 50
				case 5:
					s.step(n, Distrust{Peer: n.feeds.Primary})
				case 6:
					if p := s.byID[n.feeds.Primary]; p != nil {
						p.muted[n.i] = true
						s.after(time.Second, func() { delete(p.muted, n.i) })
					}
				case 7:
					s.step(n, Recv{s.nodes[0].id, &MsgLeave{Reason: LeaveUnknown}})
				}
			})
		}
		s.run(26 * time.Second)
		s.loss = 0
		for range 5 { // so that there is room for all
			s.add(4)
		}
		s.run(60 * time.Second)
		if !distrust { // else it may forbid the only tie that is left
			s.check()
		}
	})
}

// TestRandomInputs runs the fuzz target's inputs from random bytes, so that each test run covers them.
func TestRandomInputs(t *testing.T) {
	s := newSim(t, 21)
	for round := range 300 {
		data := make([]byte, 0, 2000)
		for len(data) < 2000 {
			data = binary.LittleEndian.AppendUint64(data, s.rng.Uint64())
		}
		c := DefaultConfig("self")
		c.Slots, c.Seed = round%5, uint64(round)
		r := New(c)
		now := simStart
		r.Step(now, Start{Origin: round%7 == 0})
		for src := (&source{data}); len(src.b) > 0; {
			now = now.Add(time.Duration(src.n(256)) * time.Millisecond)
			checkRefusals(t, r, r.Step(now, src.input(r, now)))
			checkRouter(t, r, MaxSlots)
		}
	}
}
