package tree

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite the traces in testdata")

// TestScripts plays the scripts of testdata against one router, "self". A line is a time and an input; the router also gets a
// Tick at each of its deadlines. Below the line that gave rise to them stand the actions, indented. Nonces are
// numbered in the order in which they were first seen: #1, #2; "new" in an input is one of its own. Lines that begin with # are comments.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			got := (&script{t: t, heard: map[ID]time.Duration{}}).play(string(text))
			if *update {
				if err := os.WriteFile(f, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if got != string(text) {
				t.Errorf("trace differs; got:\n%s", got)
			}
		})
	}
}

type script struct {
	t      *testing.T
	r      *Router
	now    time.Duration
	out    strings.Builder
	nonces []uint64
	own    uint64
	heard  map[ID]time.Duration // when the peers sent last; "beats" go on by themselves
	beats  []ID
}

func (s *script) play(text string) string {
	for _, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		if strings.HasPrefix(line, "\t") {
			continue
		}
		f := strings.Fields(line)
		switch {
		case len(f) == 0 || f[0][0] == '#':
		case f[0] == "config":
			c := DefaultConfig("self")
			c.Slots, c.Seed = s.num(f, "slots"), 1
			s.r = New(c)
		default:
			at, err := time.ParseDuration(f[0])
			if err != nil {
				s.t.Fatalf("%q: %v", line, err)
			}
			s.ticks(at)
			s.out.WriteString(line + "\n")
			if len(f) > 1 {
				s.step(s.input(f[1:]))
			}
			continue
		}
		s.out.WriteString(line + "\n")
	}
	return s.out.String()
}

// ticks gives the router its ticks until at, with a pulse from each beating peer every 100 ms before.
func (s *script) ticks(at time.Duration) {
	for range 10_000 {
		d, ok := s.r.NextDeadline()
		next := at + 1
		if ok {
			next = max(d.Sub(simStart), s.now)
		}
		if beat := s.now - s.now%(100*time.Millisecond) + 100*time.Millisecond; len(s.beats) > 0 && beat <= min(next, at) {
			s.now = beat
			for _, p := range s.beats {
				s.step(Pulse{From: p, Depth: s.r.childDepth(), Feeding: true})
			}
			continue
		}
		if next > at {
			s.now = at
			return
		}
		s.now = next
		s.step(Tick{})
	}
	s.t.Fatalf("ticks without end at %v: %s", s.now, dump(s.r))
}

func (s *script) step(in Input) {
	acts := s.r.Step(simStart.Add(s.now), in)
	for _, a := range acts {
		fmt.Fprintf(&s.out, "\t%v %s\n", s.now.Round(time.Millisecond/10), describe(a, s.nonce))
	}
}

func (s *script) nonce(n uint64) string {
	for i, m := range s.nonces {
		if m == n {
			return fmt.Sprintf("#%d", i+1)
		}
	}
	s.nonces = append(s.nonces, n)
	return fmt.Sprintf("#%d", len(s.nonces))
}

func (s *script) parseNonce(w string) uint64 {
	if i, err := strconv.Atoi(strings.TrimPrefix(w, "#")); err == nil && i <= len(s.nonces) {
		return s.nonces[i-1]
	}
	s.own++
	s.nonce(s.own)
	return s.own
}

func (s *script) str(f []string, key string) string {
	for _, w := range f {
		if v, ok := strings.CutPrefix(w, key+"="); ok {
			return v
		}
	}
	return ""
}

func (s *script) num(f []string, key string) int {
	n, _ := strconv.Atoi(s.str(f, key))
	return n
}

func (s *script) ids(v string) []ID {
	if v == "" || v == "-" {
		return nil
	}
	var out []ID
	for _, w := range strings.Split(v, "/") {
		out = append(out, ID(w))
	}
	return out
}

// cands reads words of the form peer:depth:free.
func (s *script) cands(f []string) (out []Candidate) {
	for _, w := range f {
		p := strings.Split(w, ":")
		if len(p) != 3 {
			continue
		}
		d, _ := strconv.Atoi(p[1])
		n, _ := strconv.Atoi(p[2])
		out = append(out, Candidate{Peer: ID(p[0]), Depth: uint32(d), Free: uint32(n)})
	}
	return out
}

func (s *script) kind(w string) ChildKind {
	return map[string]ChildKind{"ordinary": Ordinary, "backup": Backup, "orphan": Orphan}[w]
}

func (s *script) input(f []string) Input {
	arg := func(i int) string {
		if i < len(f) {
			return f[i]
		}
		return ""
	}
	peer := ID(arg(1))
	switch f[0] {
	case "start":
		return Start{Origin: arg(1) == "origin"}
	case "promote":
		return Promote{}
	case "demote":
		return Demote{}
	case "leave":
		return Leave{}
	case "slots":
		return SetSlots{s.num(f, "n")}
	case "candidates":
		return Candidates{List: s.cands(f)}
	case "advert":
		return Candidates{List: s.cands(f), Advert: true}
	case "up":
		return HopUp{peer}
	case "down":
		return HopDown{peer}
	case "unreachable":
		return Unreachable{peer}
	case "fed":
		return Fed{peer}
	case "broken":
		return Broken{peer}
	case "alive":
		d, _ := time.ParseDuration(s.str(f, "at"))
		return Alive{peer, simStart.Add(d)}
	case "back":
		return Back{peer}
	case "distrust":
		return Distrust{Peer: peer}
	case "pulse":
		age, _ := time.ParseDuration(s.str(f, "age"))
		origin, _ := time.ParseDuration(s.str(f, "origin"))
		return Pulse{From: peer, OriginAge: origin, Depth: s.num(f, "depth"), Below: s.num(f, "below"), MediaAge: age, Feeding: s.str(f, "feeding") != "no", Repairing: s.str(f, "repairing") == "yes"}
	case "beats": // these peers pulse from now on
		s.beats = nil
		for _, p := range f[1:] {
			s.beats = append(s.beats, ID(p))
		}
		return Tick{}
	case "recv":
		return Recv{peer, s.message(f[2:])}
	}
	s.t.Fatalf("unknown input %q", f)
	return nil
}

func (s *script) message(f []string) Message {
	path, list := s.ids(s.str(f, "path")), s.cands(f)
	switch f[0] {
	case "probe":
		return &MsgProbe{Nonce: s.parseNonce(f[1]), Slots: uint32(s.num(f, "slots")), Below: uint32(s.num(f, "below"))}
	case "reply":
		return &MsgProbeReply{Nonce: s.parseNonce(f[1]), Free: uint32(s.num(f, "free")), Reserve: uint32(s.num(f, "reserve")), Path: path, Candidates: list}
	case "join":
		return &MsgJoin{Nonce: s.parseNonce(f[1]), Kind: s.kind(f[2]), Slots: uint32(s.num(f, "slots")), Avoid: s.ids(s.str(f, "avoid")), Below: uint32(s.num(f, "below")), Accused: s.ids(s.str(f, "accused"))}
	case "accept":
		return &MsgAccept{Nonce: s.parseNonce(f[1]), Kind: s.kind(f[2]), Path: path, PathSeq: uint64(s.num(f, "seq")), Candidates: list}
	case "refuse":
		return &MsgRefuse{Nonce: s.parseNonce(f[1]), Reason: f[2], Candidates: list}
	case "confirm":
		return &MsgConfirm{Nonce: s.parseNonce(f[1])}
	case "leave":
		return &MsgLeave{Reason: f[1], Candidates: list}
	case "path":
		return &MsgPath{Path: path, PathSeq: uint64(s.num(f, "seq")), Candidates: list}
	}
	s.t.Fatalf("unknown message %q", f)
	return nil
}
