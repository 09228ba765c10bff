package elect

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func offers(n int) []Offer {
	var out []Offer
	for i := range n {
		out = append(out, Offer{
			Peer: ID(fmt.Sprintf("peer%03d", i)), Slots: 4 + i%32, Uptime: time.Duration(i+10) * 10 * time.Minute, Reach: Public, CPUFree: 800,
			Version: []string{"1.0", "1.1"}[i%2], Network: fmt.Sprintf("10.%d", i%5),
		})
	}
	return out
}

func TestGates(t *testing.T) {
	fit := Offer{Peer: "a", Slots: 4, Uptime: 10 * time.Minute, Reach: Mapped, CPUFree: 300, Crashes: 1}
	g := SupernodeGates()
	if !g.Passes(fit) {
		t.Error("the least that is asked for is refused")
	}
	for name, change := range map[string]func(*Offer){
		"behind a NAT":    func(o *Offer) { o.Reach = Cone },
		"three slots":     func(o *Offer) { o.Slots = 3 },
		"young":           func(o *Offer) { o.Uptime = 9 * time.Minute },
		"busy":            func(o *Offer) { o.CPUFree = 299 },
		"on battery":      func(o *Offer) { o.Constrained = true },
		"crashed twice":   func(o *Offer) { o.Crashes = 2 },
		"clamped nothing": func(o *Offer) { *o = Offer{}.Clamp() },
	} {
		o := fit
		change(&o)
		if g.Passes(o) {
			t.Errorf("%s: passes", name)
		}
	}
}

func TestScore(t *testing.T) {
	base := Offer{Slots: 7, Uptime: time.Hour, Reach: Mapped}
	for name, better := range map[string]Offer{
		"slots":  {Slots: 15, Uptime: time.Hour, Reach: Mapped},
		"uptime": {Slots: 7, Uptime: 24 * time.Hour, Reach: Mapped},
		"reach":  {Slots: 7, Uptime: time.Hour, Reach: Public},
	} {
		if better.Score() <= base.Score() {
			t.Errorf("more %s does not count", name)
		}
	}
	lossy := base
	lossy.LossPermille = 1000
	if s := lossy.Score(); s < 100 || s >= base.Score() {
		t.Errorf("score of a lossy peer is %d", s)
	}
	if got := base.Score(); got != 6000+1200+1500 {
		t.Errorf("score is %d", got)
	}
}

// An uptime that nobody saw does not count.
func TestAttested(t *testing.T) {
	liar := Offer{Uptime: 1000 * time.Hour}.Attested(3*time.Minute, 5*time.Minute)
	if liar.Uptime != 8*time.Minute {
		t.Errorf("uptime is %v", liar.Uptime)
	}
}

func TestRankDependsOnTheSetOnly(t *testing.T) {
	list := offers(40)
	want := Rank("room/hub", SupernodeGates(), list, 3)
	rng := rand.New(rand.NewPCG(1, 1))
	for range 50 {
		rng.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		if got := Rank("room/hub", SupernodeGates(), append(list, list[0]), 3); !slices.Equal(got, want) {
			t.Fatalf("%v, want %v", got, want)
		}
	}
	if other := Rank("room/mixer", SupernodeGates(), list, 3); slices.Equal(other, want) {
		t.Error("two roles have the same list")
	}
}

// Who comes or goes moves nobody else.
func TestRankIsStable(t *testing.T) {
	list := offers(40)
	gates := Gates{}
	first := Rank("r", gates, list, 1)[0]
	for i := range list {
		if list[i].Peer == first {
			continue
		}
		without := slices.Delete(slices.Clone(list), i, i+1)
		if got := Rank("r", gates, without, 1)[0]; got != first {
			t.Fatalf("without %s the primary is %s instead of %s", list[i].Peer, got, first)
		}
	}
}

// The chance to come first is proportional to the score.
func TestRankIsWeighted(t *testing.T) {
	list := []Offer{{Peer: "a", Slots: 1, Version: "1"}, {Peer: "b", Slots: 15, Version: "1"}} // scores 2000 and 8000
	wins := 0
	const n = 4000
	for i := range n {
		if Rank(fmt.Sprint("room", i), Gates{}, list, 1)[0] == "b" {
			wins++
		}
	}
	if share := float64(wins) / n; math.Abs(share-0.8) > 0.03 {
		t.Errorf("the better one wins %.3f of the elections, want 0.8", share)
	}
}

// Roles are spread over two versions and two networks, and those who are not fit come last.
func TestRankIsSpread(t *testing.T) {
	gates := SupernodeGates()
	for room := range 200 {
		list := offers(30)
		for i := range list {
			if i > 1 {
				list[i].Version = "1.0"
			}
			if i > 3 {
				list[i].Network = "10.1"
			}
		}
		list[0].Reach = Unknown
		got := Rank(fmt.Sprint(room), gates, list, 3)
		versions, networks := map[string]bool{}, map[string]bool{}
		for _, o := range list {
			if slices.Contains(got, o.Peer) {
				versions[o.Version], networks[o.Network] = true, true
			}
		}
		if len(versions) < 2 || len(networks) < 2 {
			t.Errorf("room %d: %v is of versions %v and networks %v", room, got, versions, networks)
		}
		if slices.Contains(got, list[0].Peer) {
			t.Errorf("room %d: one that cannot be reached was chosen", room)
		}
	}
	weak := []Offer{{Peer: "a"}, {Peer: "b"}}
	if got := Rank("x", gates, weak, 3); len(got) != 2 {
		t.Errorf("weak peers alone give %v", got)
	}
}

func TestNegLog2(t *testing.T) {
	for _, u := range []uint64{0, 1, 2, 3, 1000, 1 << 32, 1<<63 - 1, 1 << 63, ^uint64(0) - 1, ^uint64(0)} {
		want := 64 - math.Log2(float64(u)+1)
		if got := float64(negLog2(u)) / (1 << 32); math.Abs(got-want) > 1e-6 {
			t.Errorf("-log2 of %d is %f, want %f", u, got, want)
		}
	}
}

// Where nobody passes the gates, as in a room on a local network, those come last all the same whose computers are busy, run on battery,
// or crash.
func TestRankSparesTheWeak(t *testing.T) {
	gates := SupernodeGates()
	for room := range 100 {
		list := offers(9)
		for i := range list {
			list[i].Reach = Unknown
		}
		list[1].Constrained, list[3].CPUFree, list[5].Crashes = true, 299, 2
		got := Rank(fmt.Sprint(room), gates, list, len(list))
		for i, id := range got {
			weak := id == list[1].Peer || id == list[3].Peer || id == list[5].Peer
			if weak != (i >= len(list)-3) {
				t.Fatalf("room %d: %v, of which %s is at %d", room, got, id, i)
			}
		}
	}
}
