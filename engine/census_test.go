package engine

import (
	"crypto/ed25519"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/proto"

	"github.com/castd/castd/engine/wire"
	"github.com/castd/castd/tree"
)

func peerNo(t testing.TB, n int) peer.ID {
	t.Helper()
	seed := make([]byte, ed25519.SeedSize)
	binary.BigEndian.PutUint64(seed, uint64(n))
	key, err := crypto.UnmarshalEd25519PublicKey(ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	id, err := peer.IDFromPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// village is a tree of censuses that tell each other what they know, every 250 ms and only along the tree.
type village struct {
	t      testing.TB
	ids    []peer.ID
	index  map[peer.ID]int
	parent []int // -1: the origin or gone
	gone   []bool
	c      []*census
	now    time.Time
	octets []int // that each has sent
	drop   func() bool
}

func newVillage(t testing.TB, parents []int) *village {
	v := &village{t: t, parent: parents, index: make(map[peer.ID]int), now: time.Unix(1_000_000, 0), gone: make([]bool, len(parents)), octets: make([]int, len(parents)), drop: func() bool { return false }}
	for i := range parents {
		v.ids = append(v.ids, peerNo(t, i))
		v.index[v.ids[i]] = i
		v.c = append(v.c, newCensus(v.ids[i]))
	}
	v.link()
	return v
}

// link tells everybody who his children are.
func (v *village) link() {
	children := make([][]tree.Child, len(v.ids))
	for i, p := range v.parent {
		if p >= 0 && !v.gone[i] {
			children[p] = append(children[p], tree.Child{Peer: tree.ID(v.ids[i]), Kind: tree.Ordinary})
		}
	}
	for i := range v.c {
		v.c[i].setChildren(v.now, children[i])
	}
}

func (v *village) run(d time.Duration) {
	v.t.Helper()
	for end := v.now.Add(d); v.now.Before(end); v.now = v.now.Add(censusGap) {
		for i, p := range v.parent {
			if p < 0 || v.gone[i] || v.gone[p] {
				continue
			}
			list := v.c[i].report(v.now, seatID(v.ids[p]), seat{peer: v.ids[i], parent: seatID(v.ids[p]), slots: uint32(i % 7), below: uint32(len(v.c[i].seats))})
			if len(list) == 0 {
				continue
			}
			v.octets[i] += baseOctets + proto.Size(&wire.Census{Seats: list})
			if !v.drop() {
				v.c[p].hear(v.now, v.ids[i], list)
			}
		}
	}
}

// want checks that a peer knows just those below it, where they are.
func (v *village) want(at int) {
	v.t.Helper()
	missing, wrong := 0, 0
	got := make(map[int]int)
	for _, h := range v.c[at].below(v.now) {
		i := v.index[h.peer]
		got[i] = -1
		for k, id := range v.ids {
			if seatID(id) == h.parent {
				got[i] = k
			}
		}
	}
	for i := range v.ids {
		up := i
		for up >= 0 && up != at && !v.gone[up] {
			up = v.parent[up]
		}
		below := i != at && up == at && !v.gone[i]
		parent, known := got[i]
		switch {
		case below && !known:
			missing++
		case known && (!below || parent != v.parent[i]):
			wrong++
		}
	}
	if missing+wrong > 0 {
		v.t.Errorf("peer %d misses %d of those below it and has %d wrong", at, missing, wrong)
	}
}

func TestCensus(t *testing.T) {
	parents := []int{-1}
	for i := 1; i < 200; i++ {
		parents = append(parents, (i-1)/3)
	}
	v := newVillage(t, parents)
	v.run(10 * time.Second)
	v.want(0)
	v.want(1)

	t.Run("moves", func(t *testing.T) {
		v.t = t
		v.parent[4], v.parent[9] = 3, 2 // with all below them, across the tree and up
		v.link()
		v.run(12 * time.Second)
		v.want(0)
		v.want(2)
		v.want(3)
	})
	t.Run("a peer dies, its children move", func(t *testing.T) {
		v.t = t
		v.gone[5] = true
		for i, p := range v.parent {
			if p == 5 {
				v.parent[i] = 6
			}
		}
		v.link()
		v.run(15 * time.Second)
		v.want(0)
	})
	t.Run("a branch goes", func(t *testing.T) {
		v.t = t
		for i := range v.gone {
			up := i
			for up > 7 {
				up = v.parent[up]
			}
			v.gone[i] = v.gone[i] || up == 7
		}
		v.link()
		v.run(20 * time.Second)
		v.want(0)
	})
	t.Run("messages get lost", func(t *testing.T) {
		v.t = t
		r := rand.New(rand.NewPCG(1, 1))
		v.drop = func() bool { return r.IntN(3) == 0 }
		v.parent[3] = 2
		v.link()
		v.run(time.Minute)
		v.drop = func() bool { return false }
		v.run(seatLife + 2*seatAgain)
		v.want(0)
	})
}

// TestCensusBound: whatever the size of the room, a peer tells no more octets a second than it may, and of no more peers; who comes
// first is who sits high and feeds others.
func TestCensusBound(t *testing.T) {
	parents := []int{-1, 0}
	for i := 2; i < 3000; i++ {
		parents = append(parents, max(1, (i-1)/6))
	}
	v := newVillage(t, parents)
	const settle = 3 * time.Minute
	v.run(settle)
	for i, n := range v.octets {
		if most := censusBurst + int(settle.Seconds()*censusRate); n > most {
			t.Errorf("peer %d has sent %d octets in %v, more than %d", i, n, settle, most)
		}
	}
	told := v.c[0].below(v.now)
	if len(told) != maxToldSeats {
		t.Errorf("the origin knows %d peers", len(told))
	}
	deepest := 0
	for _, h := range told {
		d := 0
		for i := v.index[h.peer]; i > 0; i = v.parent[i] {
			d++
		}
		deepest = max(deepest, d)
	}
	if deepest > 5 {
		t.Errorf("it knows a peer at depth %d before those above", deepest)
	}
	// At rest only what is due again is told.
	before := v.octets[1]
	v.run(2 * time.Minute)
	if rate := float64(v.octets[1]-before) / 120; rate > 600 {
		t.Errorf("%.0f octets a second at rest", rate)
	} else {
		t.Logf("%.0f octets a second at rest, at the peer below the origin", rate)
	}
}

// TestCensusDistrusts: a child can tell of peers below it, and of nobody else.
func TestCensusDistrusts(t *testing.T) {
	id := func(n int) peer.ID { return peerNo(t, n) }
	now := time.Unix(1_000_000, 0)
	fresh := func() *census {
		c := newCensus(id(0))
		c.setChildren(now, []tree.Child{{Peer: tree.ID(id(1))}, {Peer: tree.ID(id(2))}, {Peer: tree.ID(id(3)), Kind: tree.Backup}})
		return c
	}
	for name, list := range map[string][]*wire.Seat{
		"this peer":           {{Peer: []byte(id(0)), Parent: seatID(id(1))}},
		"another child":       {{Peer: []byte(id(2)), Parent: seatID(id(1))}},
		"another child gone":  {{Peer: []byte(id(2)), Gone: true, Parent: seatID(id(0))}},
		"a child of ours":     {{Peer: []byte(id(9)), Parent: seatID(id(0))}},
		"itself gone":         {{Peer: []byte(id(1)), Gone: true, Parent: seatID(id(0))}},
		"no id":               {{Peer: []byte("short"), Parent: seatID(id(1))}, {}, nil},
		"somebody in the air": {{Peer: []byte(id(9)), Parent: 77}, {Peer: []byte(id(8)), Parent: seatID(id(8))}, {Peer: []byte(id(7)), Parent: seatID(id(6))}, {Peer: []byte(id(6)), Parent: seatID(id(7))}},
	} {
		c := fresh()
		c.hear(now, id(1), list)
		if got := c.below(now); len(got) != 2 || got[0].parent != c.self || got[1].parent != c.self {
			t.Errorf("%s: %d peers", name, len(got))
		}
		if c.below(now.Add(seatLoose / 2)); len(c.below(now.Add(2*seatLoose+1))) != 2 || len(c.seats) != 2 {
			t.Errorf("%s: %d seats are kept", name, len(c.seats))
		}
	}
	c := fresh()
	if c.hear(now, id(3), []*wire.Seat{{Peer: []byte(id(9)), Parent: seatID(id(3))}}) || c.hear(now, id(7), []*wire.Seat{{Peer: []byte(id(9)), Parent: seatID(id(7))}}) {
		t.Error("who is no child was heard")
	}
	for k := range 3 * maxToldSeats / 100 {
		var flood []*wire.Seat
		for i := range 100 {
			flood = append(flood, &wire.Seat{Peer: []byte(id(100 + 100*k + i)), Parent: seatID(id(1)), Audience: 1 << 31, Below: 1 << 31})
		}
		c.hear(now, id(1), flood)
	}
	if n := c.via[seatID(id(1))]; n > maxToldSeats || len(c.seats) > maxToldSeats+2 {
		t.Errorf("one child fills %d seats", n)
	}
	if !c.hear(now, id(2), []*wire.Seat{{Peer: []byte(id(90)), Parent: seatID(id(2))}}) || len(c.below(now)) < 4 {
		t.Error("the other child is not heard any more")
	}
}

func TestSeatInfos(t *testing.T) {
	id := func(n int) peer.ID { return peerNo(t, n) }
	self := TreeInfo{Peer: id(1).String(), Parent: id(0).String(), Depth: 1, Path: []string{id(0).String(), id(1).String()}}
	got := seatInfos(&self, []seat{
		{peer: id(2), parent: seatID(id(1)), slots: 4, free: 3, below: 1, delayMs: 20},
		{peer: id(3), parent: seatID(id(1)), kind: tree.Orphan, backup: seatID(id(2))},
		{peer: id(4), parent: seatID(id(2)), backup: 12345, repairing: true},
	})
	want := []string{
		fmt.Sprintf("%v<%v d2 backup  path 3 slots 4/3 below 1 delay 20 repairing false [{%v ordinary 3} {%v backup 3}]", id(2), id(1), id(4), id(3)),
		fmt.Sprintf("%v<%v d2 backup %v path 3 slots 0/0 below 0 delay 0 repairing false []", id(3), id(1), id(2)),
		fmt.Sprintf("%v<%v d3 backup  path 4 slots 0/0 below 0 delay 0 repairing true []", id(4), id(2)),
	}
	for i, n := range got {
		s := fmt.Sprintf("%v<%v d%d backup %v path %d slots %d/%d below %d delay %d repairing %v %v", n.Peer, n.Parent, n.Depth, n.Backup, len(n.Path), n.Slots, n.Free, n.Below, n.DelayMs, n.Repairing, n.Children)
		if s != want[i] {
			t.Errorf("got  %s\nwant %s", s, want[i])
		}
	}
}

// FuzzCensus gives a census what a child may send.
func FuzzCensus(f *testing.F) {
	b, err := proto.Marshal(&wire.Census{Seats: []*wire.Seat{{Peer: []byte(peerNo(f, 5)), Parent: seatID(peerNo(f, 1))}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	one, self := peerNo(f, 1), peerNo(f, 0)
	info := TreeInfo{Peer: self.String(), Path: []string{self.String()}}
	f.Fuzz(func(t *testing.T, b []byte) {
		var m wire.Census
		if proto.Unmarshal(b, &m) != nil {
			return
		}
		now := time.Unix(1_000_000, 0)
		c := newCensus(self)
		c.setChildren(now, []tree.Child{{Peer: tree.ID(one)}})
		c.hear(now, one, m.Seats)
		var seats []seat
		for _, h := range c.below(now) {
			seats = append(seats, h.seat)
		}
		if len(seats) == 0 || len(seats) > maxSeatsMsg+1 || len(seatInfos(&info, seats)) != len(seats) {
			t.Errorf("%d seats", len(seats))
		}
		sum := 0
		for _, n := range c.via {
			sum += n
		}
		if sum != len(c.seats) {
			t.Errorf("%d seats, %d counted", len(c.seats), sum)
		}
	})
}

// Delays that sway by a few milliseconds are no news.
func TestCensusOfSwayingDelays(t *testing.T) {
	c, parent, now := newCensus(peerNo(t, 1)), seatID(peerNo(t, 2)), time.Unix(1_000_000, 0)
	told := 0
	for i := range 100 { // seconds
		own := seat{peer: peerNo(t, 1), parent: parent, slots: 3, delayMs: uint32(i % 4)}
		if i >= 60 {
			own.delayMs += 30
		}
		told += len(c.report(now.Add(time.Duration(i)*time.Second), parent, own))
	}
	if told != 2 {
		t.Errorf("told %d times, want once at first and once of the larger delay", told)
	}
}
