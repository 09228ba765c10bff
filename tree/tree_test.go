package tree

import (
	"go/parser"
	"go/token"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestSpareQuality(t *testing.T) {
	for _, c := range []struct {
		parent      ID
		path, spare string
		want        int
	}{
		{"a", "o/a/me", "o/b", 3},
		{"a", "o/a/me", "o/b/c", 3},
		{"a", "o/x/a/me", "o/x/b", 2},
		{"a", "o/a/me", "o", 1},
		{"a", "o/a/me", "o/a", 0},
		{"a", "o/a/me", "o/a/b", 0},
		{"o", "o/me", "o", 0},
		{"o", "o/me", "o/b", 3},
		{"o", "o/me", "o/me/b", 0},
		{"a", "o/a/me", "", 0},
		{"a", "", "o/b", 0},
	} {
		s := &script{}
		if got := spareQuality("me", c.parent, s.ids(c.path), s.ids(c.spare)); got != c.want {
			t.Errorf("parent %s path %s spare %s: %d, want %d", c.parent, c.path, c.spare, got, c.want)
		}
	}
}

func TestCost(t *testing.T) {
	deep, flat := []ID{"o", "a", "b"}, []ID{"o", "c"}
	const ms = time.Millisecond
	for i, c := range []struct {
		o       offer
		kind    ChildKind
		slots   int
		quality int
		want    time.Duration
		ok      bool
	}{
		{offer{path: flat, free: 1, reserve: 0, rtt: 10 * ms, delay: 0}, Ordinary, 0, 0, 65 * ms, true}, // delay not known: by levels
		{offer{path: deep, free: 1, reserve: 0, rtt: 10 * ms, delay: 0}, Ordinary, 0, 0, 125 * ms, true},
		{offer{path: deep, free: 1, reserve: 0, rtt: 10 * ms, delay: 20 * ms}, Ordinary, 0, 0, 45 * ms, true},
		{offer{path: flat, free: 0, reserve: 1, rtt: 10 * ms, delay: 40 * ms}, Ordinary, 0, 0, 0, false},
		{offer{path: flat, free: 0, reserve: 1, rtt: 10 * ms, delay: 40 * ms}, Ordinary, 2, 0, 10055 * ms, true},
		{offer{path: flat, free: 0, reserve: 1, rtt: 10 * ms, delay: 40 * ms}, Orphan, 0, 0, 75 * ms, true},
		{offer{path: flat, free: 0, reserve: 0, rtt: 10 * ms, delay: 40 * ms}, Orphan, 0, 0, 0, false},
		{offer{path: flat, free: 0, reserve: 1, rtt: 10 * ms, delay: 40 * ms}, Backup, 0, 3, 10 * ms, true},
		{offer{path: flat, free: 0, reserve: 1, rtt: 10 * ms, delay: 40 * ms}, Backup, 0, 0, 0, false},
		{offer{path: flat, free: 0, reserve: 0, rtt: 10 * ms, delay: 40 * ms}, Backup, 0, 3, 0, false},
		{offer{path: flat, free: 1, reserve: 1, rtt: 10 * ms, delay: 40 * ms, crowded: true}, Backup, 0, 3, 0, false},
		{offer{path: flat, free: 1, reserve: 1, rtt: 10 * ms, delay: 40 * ms, crowded: true}, Ordinary, 0, 0, 55 * ms, true},
	} {
		got, ok := c.o.cost(c.kind, c.slots, c.quality)
		if ok != c.ok || ok && got != c.want {
			t.Errorf("%d: %v %v, want %v %v", i, got, ok, c.want, c.ok)
		}
	}
}

func TestBackoff(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for n := 1; n < 100; n++ {
		mean := min(50*time.Millisecond<<min(n-1, 20), 5*time.Second)
		for range 20 {
			if d := backoff(n, 50*time.Millisecond, 5*time.Second, rng); d < mean/2 || d > mean*3/2 {
				t.Fatalf("pause %d is %v, mean %v", n, d, mean)
			}
		}
	}
}

func TestClamp(t *testing.T) {
	long := make([]Candidate, 40)
	for i := range long {
		long[i] = Candidate{Peer: ID(strconv.Itoa(i)), Depth: 1 << 31, Free: 1 << 31, Addrs: [][]byte{make([]byte, 257), nil, {1}}}
	}
	long[3].Peer, long[4].Peer, long[5].Peer = "me", "", ID(strings.Repeat("x", maxIDLen+1))
	out := clampCandidates("me", long)
	if len(out) != MaxCandidates-3 {
		t.Errorf("%d candidates", len(out))
	}
	for _, c := range out {
		if c.Depth > MaxPath || c.Free > MaxSlots || len(c.Addrs) != 1 {
			t.Errorf("%+v", c)
		}
	}
	if n := len(clampAddrs(slices.Repeat([][]byte{{1}}, 20))); n != MaxAddrs {
		t.Errorf("%d addresses", n)
	}
	for path, want := range map[string]bool{"o/a": true, "a": true, "o/b": false, "o/o/a": false, "": false, strings.Repeat("x/", 16) + "a": false} {
		if got := goodPath("a", (&script{}).ids(path)) != nil; got != want {
			t.Errorf("path %q: %v", path, got)
		}
	}
}

func TestCacheBound(t *testing.T) {
	c := cache{keep: "origin"}
	rng := rand.New(rand.NewPCG(3, 4))
	now := instant(0)
	c.add(now, rng, Candidate{Peer: "origin", Free: 1})
	for i := range 1000 {
		now = now.Add(10 * time.Millisecond)
		c.add(now, rng, Candidate{Peer: ID(strconv.Itoa(rng.IntN(500))), Depth: uint32(rng.IntN(10)), Free: uint32(i % 3)})
		if len(c.list) > cacheSize || len(c.keys) != len(c.list) {
			t.Fatal("cache out of bounds")
		}
		if i == 900 {
			c.remove(c.list[7].Peer)
		}
		seen := map[ID]bool{}
		for k, e := range c.list {
			if c.keys[k] != keyOf(e.Peer) || seen[e.Peer] || c.index(e.Peer) != k {
				t.Fatalf("entry %d, %q, cannot be found", k, e.Peer)
			}
			seen[e.Peer] = true
		}
	}
	if c.find("origin") == nil {
		t.Error("the best was evicted")
	}
	c.failed(now, "origin")
	some := 0
	best := c.order(now, rng, asker{}, MaxCandidates, func(*entry, uint64) bool { some++; return some > MaxCandidates && some%2 == 0 })
	for i := 1; i < best.n; i++ {
		if float64(best.list[i-1].entry.rank(asker{})) > 1.25*float64(best.list[i].entry.rank(asker{})) {
			t.Error("not by rank")
		}
	}
	last := c.order(now, rng, asker{}, 2, func(e *entry, _ uint64) bool { return e.Peer != "origin" && e.Peer != best.list[0].entry.Peer })
	if last.n != 2 || last.list[1].entry.Peer != "origin" {
		t.Error("who failed is not last")
	}
}

func TestConfig(t *testing.T) {
	c := DefaultConfig("me")
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	for slots, want := range map[int]int{0: 0, 1: 1, 5: 1, 6: 2, 37: 8} {
		if got := c.reserve(slots); got != want || c.backups(slots) != 5*want {
			t.Errorf("%d slots: reserve %d", slots, got)
		}
	}
	for _, f := range []func(*Config){
		func(c *Config) { c.Self = "" },
		func(c *Config) { c.Slots = -1 },
		func(c *Config) { c.Reserve = MaxSlots + 1 },
		func(c *Config) { c.MaxDepth = MaxPath },
		func(c *Config) { c.PulseSilence = 0 },
		func(c *Config) { c.BackoffMax = 1 },
	} {
		c := DefaultConfig("me")
		f(&c)
		if c.Validate() == nil {
			t.Errorf("%+v is valid", c)
		}
	}
}

// placed returns a router below parent, with a backup if that is not "".
func placed(t *testing.T, slots int, parent, backup ID) *Router {
	t.Helper()
	c := DefaultConfig("self")
	c.Slots = slots
	r := New(c)
	r.Step(simStart, Start{})
	r.takeParent(r.seek, &link{peer: parent, nonce: 1, path: []ID{"o", parent}, since: r.now, alive: r.now})
	r.hops[parent] = struct{}{}
	if backup != "" {
		r.backup = &link{peer: backup, nonce: 2, path: []ID{"o", backup}, since: r.now, alive: r.now, quality: 3}
		r.hops[backup] = struct{}{}
	}
	r.Step(simStart, Tick{})
	return r
}

// A parent whose media stands still while the backup's flows is left, unless it says that it repairs.
func TestStalled(t *testing.T) {
	for _, repairing := range []bool{false, true} {
		r := placed(t, 0, "a", "b")
		now := simStart
		for i := range 40 {
			now = now.Add(100 * time.Millisecond)
			r.Step(now, Pulse{From: "a", Feeding: true, MediaAge: time.Duration(i) * 100 * time.Millisecond, Repairing: repairing})
			r.Step(now, Pulse{From: "b", MediaAge: 20 * time.Millisecond})
			r.Step(now, Tick{})
		}
		if left := r.Status().Parent != "a"; left == repairing {
			t.Errorf("repairing %v: left %v", repairing, left)
		}
	}
}

// A parent that says it does not feed this peer is reminded, then left.
func TestUnfed(t *testing.T) {
	r := placed(t, 0, "a", "")
	now, confirms := simStart, 0
	for range 15 {
		now = now.Add(100 * time.Millisecond)
		for _, a := range r.Step(now, Pulse{From: "a"}) {
			if s, ok := a.(Send); ok {
				if _, ok := s.Msg.(*MsgConfirm); ok {
					confirms++
				}
			}
		}
	}
	if confirms == 0 || r.Status().Parent != "" {
		t.Errorf("%d confirmations, parent %q", confirms, r.Status().Parent)
	}
}

// A process that was stopped does not take its own silence for the others'.
func TestSlept(t *testing.T) {
	r := placed(t, 0, "a", "")
	now := simStart.Add(time.Hour)
	r.Step(now, Tick{})
	if st := r.Status(); st.Parent != "a" || !st.Placed {
		t.Fatalf("gave up its parent: %+v", st)
	}
	now = now.Add(200 * time.Millisecond)
	r.Step(now, Tick{})
	if r.Status().Placed {
		t.Error("the parent is silent, and that is not noticed")
	}
}

// Fewer slots throw nobody out; more give an orphan an ordinary place.
func TestSetSlots(t *testing.T) {
	c := DefaultConfig("self")
	c.Slots = 2
	r := New(c)
	r.Step(simStart, Start{Origin: true})
	for i, p := range []ID{"a", "b", "c"} {
		r.Step(simStart, Recv{p, &MsgJoin{Nonce: uint64(i), Kind: Orphan}})
		r.Step(simStart, Recv{p, &MsgConfirm{Nonce: uint64(i)}})
	}
	kinds := func() (s string) {
		for _, c := range r.Status().Children {
			s += c.Kind.String()[:2] + " "
		}
		return s
	}
	for _, x := range []struct {
		slots int
		want  string
	}{{0, "or or or "}, {3, "or or or "}} {
		r.Step(simStart, SetSlots{x.slots})
		if kinds() != x.want {
			t.Errorf("%d slots: %s", x.slots, kinds())
		}
	}
	if n := r.used(Orphan, nil); n != 0 || r.Status().Free != 0 {
		t.Errorf("%d orphans with three slots", n)
	}
}

// A peer that gives slots and came as an orphan changes places with a leaf, which is given time to move; where the reserve is taken
// by a leaf, that leaf is fed no longer.
func TestSwap(t *testing.T) {
	c := DefaultConfig("self")
	c.Slots, c.Dwell = 1, 2*time.Second
	r := New(c)
	now := simStart
	nonce := uint64(0)
	join := func(p ID, k ChildKind, slots uint32) (accepted bool) {
		now, nonce = now.Add(2*time.Second), nonce+1
		for _, c := range r.Status().Children {
			r.Step(now, Pulse{From: c.Peer, Depth: 1})
		}
		for _, a := range r.Step(now, Recv{p, &MsgJoin{Nonce: nonce, Kind: k, Slots: slots}}) {
			if s, ok := a.(Send); ok && s.To == p {
				_, accepted = s.Msg.(*MsgAccept)
			}
		}
		r.Step(now, Recv{p, &MsgConfirm{Nonce: nonce}})
		return accepted
	}
	r.Step(now, Start{Origin: true})
	idle, hears := Child{Peer: "b", Kind: Backup, Depth: 1}, Child{Peer: "b", Kind: Backup, Depth: 1, Copy: CopyAudio}
	for _, x := range []struct {
		peer  ID
		kind  ChildKind
		slots uint32
		ok    bool
		want  []Child
	}{
		{"a", Ordinary, 0, true, []Child{{Peer: "a", Kind: Ordinary, Depth: 1}}},
		{"b", Ordinary, 0, false, []Child{{Peer: "a", Kind: Ordinary, Depth: 1}}},
		{"b", Orphan, 0, true, []Child{{Peer: "a", Kind: Ordinary, Depth: 1}, {Peer: "b", Kind: Orphan, Depth: 1}}},
		{"c", Orphan, 0, false, []Child{{Peer: "a", Kind: Ordinary, Depth: 1}, {Peer: "b", Kind: Orphan, Depth: 1}}},
		{"d", Orphan, 2, true, []Child{{Peer: "a", Kind: Ordinary, Depth: 1}, hears, {Peer: "d", Kind: Orphan, Depth: 1}}},   // b went at once
		{"e", Ordinary, 2, false, []Child{{Peer: "a", Kind: Orphan, Depth: 1}, idle, {Peer: "d", Kind: Ordinary, Depth: 1}}}, // a has five seconds
		{"f", Orphan, 0, false, []Child{{Peer: "a", Kind: Orphan, Depth: 1}, idle, {Peer: "d", Kind: Ordinary, Depth: 1}}},
		{"f", Orphan, 0, false, []Child{{Peer: "a", Kind: Orphan, Depth: 1}, idle, {Peer: "d", Kind: Ordinary, Depth: 1}}},
		{"f", Orphan, 0, true, []Child{hears, {Peer: "d", Kind: Ordinary, Depth: 1}, {Peer: "f", Kind: Orphan, Depth: 1}}},
	} {
		if ok := join(x.peer, x.kind, x.slots); ok != x.ok || !slices.Equal(r.Status().Children, x.want) {
			t.Errorf("%s: accepted %v, children %v, want %v %v", x.peer, ok, r.Status().Children, x.ok, x.want)
		}
	}
}

// A Step without news allocates next to nothing: pulses come ten times a second from everybody.
func TestPulseAllocs(t *testing.T) {
	r := placed(t, 2, "a", "b")
	now := simStart
	n := testing.AllocsPerRun(100, func() {
		now = now.Add(time.Millisecond)
		r.Step(now, Pulse{From: "a", Feeding: true})
	})
	if n > 1 { // the input itself, as an interface
		t.Errorf("%v allocations", n)
	}
}

// TestImports keeps the package pure.
func TestImports(t *testing.T) {
	allowed := []string{"github.com/castd/castd/tree/coord", "cmp", "errors", "fmt", "hash/fnv", "math", "math/rand/v2", "slices", "strings", "time"}
	files, _ := filepath.Glob("*.go")
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range f.Imports {
			if p, _ := strconv.Unquote(i.Path.Value); !slices.Contains(allowed, p) {
				t.Errorf("%s imports %s", name, p)
			}
		}
	}
}
