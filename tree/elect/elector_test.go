package elect

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

var begin = time.Unix(1_700_000_000, 0)

// cluster runs electors of one role over a network that delays and loses, with simulated time.
type cluster struct {
	t       *testing.T
	rng     *rand.Rand
	now     time.Time
	peers   []*member
	loss    float64 // of the messages; on no way more than two of five in a row, a minority
	lost    map[[2]ID][]bool
	delay   time.Duration
	mail    []letter
	changes int // of holders
	terms   map[Term]ID
}

type member struct {
	*Elector
	id     ID
	island int
	down   bool
}

type letter struct {
	at       time.Time
	from, to *member
	in       Input
}

func newCluster(t *testing.T, seed uint64, n int, cfg func(ID, string) Config) *cluster {
	c := &cluster{t: t, rng: rand.New(rand.NewPCG(seed, 1)), now: begin, delay: 40 * time.Millisecond, terms: make(map[Term]ID), lost: make(map[[2]ID][]bool)}
	for i := range n {
		id := ID(fmt.Sprintf("p%02d", i))
		c.peers = append(c.peers, &member{Elector: New(cfg(id, "room")), id: id})
	}
	for _, m := range c.peers {
		c.step(m, Stand{Ready: true})
	}
	return c
}

func (c *cluster) step(m *member, in Input) {
	if m.down {
		return
	}
	for _, a := range slices.Clone(m.Step(c.now, in)) {
		switch a := a.(type) {
		case Renew:
			for _, to := range a.To {
				c.post(m, to, Heard{Lease: a.Lease})
			}
		case Acquired:
			c.changes++
			if other, ok := c.terms[a.Term]; ok {
				c.t.Fatalf("%s and %s hold the same term %+v", other, m.id, a.Term)
			}
			c.terms[a.Term] = m.id
			// What a hub does: it tells everybody, and they offer themselves.
			for _, p := range c.peers {
				c.post(m, p.id, Heard{Lease: m.Lease()})
			}
		case Follow:
			c.post(m, a.Term.Holder, Offered{Offer: Offer{Peer: m.id, Slots: 4}})
		case Lost:
		default:
			c.t.Fatalf("unknown action %T", a)
		}
	}
}

func (c *cluster) post(from *member, to ID, in Input) {
	for _, p := range c.peers {
		if p.id == to && p != from && !c.loses(from.id, to) {
			c.mail = append(c.mail, letter{c.now.Add(c.delay + time.Duration(c.rng.Int64N(int64(c.delay)))), from, p, in})
		}
	}
}

func (c *cluster) loses(from, to ID) bool {
	way := [2]ID{from, to}
	last, n := c.lost[way], 0
	for _, l := range last {
		if l {
			n++
		}
	}
	lose := n < 2 && c.rng.Float64() < c.loss
	if last = append(last, lose); len(last) > 4 {
		last = last[1:]
	}
	c.lost[way] = last
	return lose
}

// run lets time pass. Everybody offers himself each 5 s; the holder's beacon comes each second.
func (c *cluster) run(d time.Duration, each func()) {
	for end := c.now.Add(d); c.now.Before(end); c.now = c.now.Add(10 * time.Millisecond) {
		ms := c.now.Sub(begin).Milliseconds()
		for _, m := range c.peers {
			if at, ok := m.NextDeadline(); ok && !c.now.Before(at) {
				c.step(m, Tick{})
			}
			if m.down {
				continue
			}
			term, holding := m.Term()
			if holding && ms%1000 == 0 {
				for _, p := range c.peers {
					c.post(m, p.id, Heard{Lease: m.Lease()})
				}
			}
			if !holding && term.N > 0 && ms%5000 == 0 {
				c.post(m, term.Holder, Offered{Offer: Offer{Peer: m.id, Slots: 4}})
			}
		}
		due := slices.Clone(c.mail)
		c.mail = slices.DeleteFunc(c.mail, func(l letter) bool { return !l.at.After(c.now) })
		for _, l := range due {
			if !l.at.After(c.now) && l.from.island == l.to.island && !l.from.down {
				c.step(l.to, l.in)
			}
		}
		if each != nil {
			each()
		}
	}
}

func (c *cluster) holders(island int) (ids []ID) {
	for _, m := range c.peers {
		if _, holding := m.Term(); holding && !m.down && m.island == island {
			ids = append(ids, m.id)
		}
	}
	return ids
}

func (c *cluster) member(id ID) *member {
	for _, m := range c.peers {
		if m.id == id {
			return m
		}
	}
	c.t.Fatalf("no member %s", id)
	return nil
}

// The first successor takes over, within the lease and a moment, and the role does not move again.
func TestTakeOver(t *testing.T) {
	for name, cfg := range map[string]func(ID, string) Config{"hub": HubConfig, "role": RoleConfig} {
		for seed := range uint64(20) {
			c := newCluster(t, seed, 5, cfg)
			c.loss = 0.3
			c.step(c.peers[0], Take{})
			c.run(20*time.Second, nil)
			if h := c.holders(0); !slices.Equal(h, []ID{"p00"}) {
				t.Fatalf("%s, seed %d: holders are %v", name, seed, h)
			}
			heirs := slices.Clone(c.peers[0].Lease().Successors)
			c.peers[0].down = true
			lease, died, took := c.peers[0].cfg.Lease, c.now, time.Duration(0)
			c.run(10*time.Second, func() {
				if h := c.holders(0); took == 0 && len(h) > 0 {
					took = c.now.Sub(died)
				}
			})
			if h := c.holders(0); len(h) != 1 || took > lease+time.Second {
				t.Errorf("%s, seed %d: holders are %v, after %v", name, seed, h, took)
			} else if !slices.Contains(heirs, h[0]) {
				t.Errorf("%s, seed %d: %s holds the role, none of the successors %v", name, seed, h[0], heirs)
			}
			before := c.changes
			c.run(2*time.Minute, nil)
			if c.changes != before {
				t.Errorf("%s, seed %d: the role moved %d times while nothing failed", name, seed, c.changes-before)
			}
		}
	}
}

// Whoever fails, and however many at a time, somebody has the role soon, and nobody shares it for long.
func TestOneHolder(t *testing.T) {
	c := newCluster(t, 3, 8, HubConfig)
	c.loss = 0.2
	c.step(c.peers[0], Take{})
	c.run(10*time.Second, nil)
	for round := range 30 {
		for _, id := range c.holders(0) {
			c.member(id).down = true
		}
		if heirs := c.member(c.terms[c.peers[0].term]).Lease().Successors; round%3 == 0 && len(heirs) > 0 {
			c.member(heirs[0]).down = true
		}
		none, several := time.Duration(0), time.Duration(0)
		c.run(15*time.Second, func() {
			switch n := len(c.holders(0)); {
			case n == 0:
				none += 10 * time.Millisecond
			case n > 1:
				several += 10 * time.Millisecond
			}
		})
		if none > 6*time.Second || several > 1500*time.Millisecond || len(c.holders(0)) != 1 {
			t.Errorf("round %d: nobody for %v, several for %v, now %v", round, none, several, c.holders(0))
		}
		for _, m := range c.peers {
			if m.down { // started again, knowing nothing
				*m = member{Elector: New(HubConfig(m.id, "room")), id: m.id}
				c.step(m, Stand{Ready: true})
			}
		}
		c.run(10*time.Second, nil)
	}
}

// Each part of a partition has a holder of its own, and when they meet one of them stays: that of the newer term.
func TestPartition(t *testing.T) {
	for seed := range uint64(20) {
		c := newCluster(t, seed, 6, HubConfig)
		c.step(c.peers[0], Take{})
		c.run(10*time.Second, nil)
		for _, m := range c.peers[3:] {
			m.island = 1
		}
		c.run(30*time.Second, nil)
		if len(c.holders(0)) != 1 || len(c.holders(1)) != 1 {
			t.Fatalf("seed %d: holders are %v and %v", seed, c.holders(0), c.holders(1))
		}
		want := c.holders(1)
		for _, m := range c.peers {
			m.island = 0
		}
		c.run(5*time.Second, nil)
		if h := c.holders(0); !slices.Equal(h, want) {
			t.Errorf("seed %d: holders are %v, want %v", seed, h, want)
		}
	}
}

// A holder that was stopped for a while yields to the one that took its place.
func TestStoppedHolder(t *testing.T) {
	c := newCluster(t, 1, 4, HubConfig)
	c.step(c.peers[0], Take{})
	c.run(10*time.Second, nil)
	c.peers[0].down = true
	c.run(5*time.Second, nil)
	want := c.holders(0)
	c.peers[0].down = false
	c.run(2*time.Second, nil)
	if h := c.holders(0); !slices.Equal(h, want) || len(want) != 1 {
		t.Errorf("holders are %v, want %v", h, want)
	}
}

// While a peer is served it does not move, however long the leases do not reach it.
func TestServedWaits(t *testing.T) {
	e := New(HubConfig("b", "room"))
	now := begin
	e.Step(now, Stand{Ready: true})
	e.Step(now, Heard{Lease: Lease{Term: Term{1, 5, "a"}, Successors: []ID{"b"}}})
	e.Step(now, Served{On: true})
	now = now.Add(time.Minute)
	e.Step(now, Tick{})
	if _, holding := e.Term(); holding {
		t.Fatal("took the role from a holder that serves it")
	}
	if acts := e.Step(now, Served{On: false}); len(acts) == 0 {
		t.Error("waits on although the lease is long over")
	}
}

// TestFitSuccessors: whoever can be reached, has slots and CPU to spare and has been there for a while is asked first to take the
// hub's place, and of those who are left somebody is asked all the same.
func TestFitSuccessors(t *testing.T) {
	fit := Offer{Slots: 8, Uptime: time.Hour, Reach: Public, CPUFree: 800}
	for name, change := range map[string]func(*Offer){
		"busy":        func(o *Offer) { o.CPUFree = 0 },
		"young":       func(o *Offer) { o.Uptime = time.Minute },
		"unreachable": func(o *Offer) { o.Reach = Unknown },
		"few slots":   func(o *Offer) { o.Slots = 2 },
	} {
		for k := range 20 { // the order among equals follows from the names
			e := New(HubConfig("holder", "room"))
			good, bad := fit, fit
			good.Peer, bad.Peer = ID(fmt.Sprintf("good%d", k)), ID(fmt.Sprintf("bad%d", k))
			change(&bad)
			e.Step(begin, Stand{Ready: true})
			e.Step(begin, Offered{Offer: bad})
			e.Step(begin, Offered{Offer: good})
			e.Step(begin, Take{})
			if heirs := e.Lease().Successors; !slices.Equal(heirs, []ID{good.Peer, bad.Peer}) {
				t.Fatalf("%s: successors are %v", name, heirs)
			}
		}
	}
}

func TestTerms(t *testing.T) {
	old, young := Term{2, 100, "b"}, Term{2, 200, "a"}
	for _, c := range []struct {
		a, b Term
		want bool
	}{
		{Term{3, 900, "z"}, old, true},
		{old, Term{3, 900, "z"}, false},
		{old, young, true},
		{young, old, false},
		{Term{2, 100, "a"}, old, true},
		{old, old, false},
		{old, Term{}, true},
	} {
		if got := c.a.Newer(c.b); got != c.want {
			t.Errorf("%+v newer than %+v: %v", c.a, c.b, got)
		}
	}
	e := New(HubConfig("b", "room"))
	e.Step(begin, Heard{Lease: Lease{Term: Term{1 << 63, 0, "liar"}}})
	if term, _ := e.Term(); term.N != 0 {
		t.Error("the last term there is was believed")
	}
}

// FuzzElector gives an elector well-formed and odd inputs in any order: it never goes back to a term that is over while that of its
// holder is alive, never holds two terms, and says when to be asked next.
func FuzzElector(f *testing.F) {
	f.Add([]byte{0, 1, 1, 2, 3, 9, 200, 6, 6, 4, 5, 1, 6, 2})
	f.Fuzz(func(t *testing.T, data []byte) {
		e := New(HubConfig("p2", "room"))
		now := begin
		own := make(map[uint64]int)
		for len(data) >= 3 {
			op, a, b := data[0], data[1], data[2]
			data = data[3:]
			now = now.Add(time.Duration(b) * 20 * time.Millisecond)
			who := ID(fmt.Sprintf("p%d", a%5))
			var in Input
			switch op % 8 {
			case 0:
				in = Stand{Ready: a%2 == 0}
			case 1:
				in = Take{}
			case 2:
				in = Resign{}
			case 3:
				in = Heard{Lease: Lease{Term: Term{uint64(b % 7), int64(a), who}, Successors: []ID{"p1", "p2", who}}, At: now.Add(-time.Duration(a) * time.Millisecond)}
			case 4:
				in = Served{On: a%2 == 0}
			case 5:
				in = Offered{Offer: Offer{Peer: ID(fmt.Sprint(a, b)), Slots: int(a) - 5, Uptime: time.Duration(b) * time.Hour, Reach: Reach(a)}}
			case 6:
				in = Gone{Peer: who}
			default:
				in = Tick{}
			}
			_, was := e.Term()
			for _, act := range e.Step(now, in) {
				switch act := act.(type) {
				case Acquired:
					if was {
						t.Fatal("acquired what it had")
					}
					if own[act.Term.N]++; own[act.Term.N] > 1 {
						t.Fatalf("term %d was acquired twice", act.Term.N)
					}
					was = true
				case Lost:
					was = false
				case Renew:
					if len(act.To) == 0 || len(act.Lease.Successors) > MaxSuccessors {
						t.Fatalf("renewal %+v", act)
					}
				}
			}
			if len(e.offers) > maxOffers || len(e.heirs) > MaxSuccessors {
				t.Fatal("a bound does not hold")
			}
			if _, holding := e.Term(); holding {
				if _, ok := e.NextDeadline(); !ok {
					t.Fatal("a holder that need not renew")
				}
			}
		}
	})
}

// The first successor stays the first for a while although another one ranks above it, and not for longer; who is gone goes at once.
func TestDwell(t *testing.T) {
	e := New(HubConfig("self", "room"))
	now := begin
	step := func(in Input) []ID {
		now = now.Add(time.Second)
		e.Step(now, in)
		return e.Lease().Successors
	}
	step(Take{})
	step(Offered{Offer{Peer: "weak"}})
	strong := Offer{Peer: "strong", Slots: 8, Uptime: 24 * time.Hour, Reach: Public, CPUFree: 1000}
	if first := step(Offered{strong})[0]; first != "weak" {
		t.Errorf("%s is the first at once", first)
	}
	for range 20 {
		step(Offered{Offer{Peer: "weak"}})
		step(Offered{strong})
	}
	if heirs := e.Lease().Successors; heirs[0] != "strong" || len(heirs) != 2 {
		t.Errorf("after 40 s successors are %s", heirs)
	}
	step(Gone{"strong"})
	if first := step(Tick{})[0]; first != "weak" {
		t.Errorf("%s is the first after it has gone", first)
	}
}
