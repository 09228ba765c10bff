package picture

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden files anew")

// wellFormed fails the test if the file is no XML.
func wellFormed(t *testing.T, svg []byte) {
	t.Helper()
	d := xml.NewDecoder(bytes.NewReader(svg))
	for {
		_, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("not well-formed: %v", err)
		}
	}
	for _, bad := range []string{"NaN", "+Inf", "-Inf", "<script", "javascript:", "-0 ", "-0<"} {
		if bytes.Contains(svg, []byte(bad)) {
			t.Errorf("the file has %q", bad)
		}
	}
}

// room makes a tree of n peers, of which about a fifth feed up to a dozen others, in the order in which they came.
func room(n int, seed uint64) []Peer {
	r := rand.New(rand.NewPCG(seed, 1))
	peers := []Peer{{Parent: -1, Backup: -1, Origin: true, Name: "origin"}}
	slots := []int{2}
	open := 0
	for i := 1; i < n; i++ {
		for slots[open] == 0 {
			open++
		}
		slots[open]--
		p := Peer{Parent: open, Backup: r.IntN(i), Name: fmt.Sprintf("p%d", i)}
		k := 0
		if i < 3 || r.IntN(5) == 0 {
			k = 3 + r.IntN(10)
		}
		if k > 0 {
			p.Colour = Red + Colour(i%2)
		}
		peers, slots = append(peers, p), append(slots, k)
	}
	return peers
}

// delays returns one sample a peer, with a long tail.
func delays(n int, seed uint64) []float64 {
	r := rand.New(rand.NewPCG(seed, 2))
	out := make([]float64, n)
	for i := range out {
		out[i] = 40 + 120*math.Abs(r.NormFloat64()) + 3*r.ExpFloat64()
	}
	return out
}

// fault makes a timeline around the loss of many peers at once at 30 s.
func fault() *Timeline {
	r := rand.New(rand.NewPCG(3, 3))
	p := &Timeline{
		Title: "Recovery", GapName: "video gap",
		Moments: []Moment{{30 * time.Second, "30 % of the supernodes are killed"}},
		Goals:   []Goal{{31 * time.Second, 0.99, "99 % in 1 s"}, {35 * time.Second, 1, "all in 5 s"}},
		Served:  []Sample{{0, 1}}, From: 28 * time.Second, To: 40 * time.Second,
	}
	for i := range 700 {
		p.Gaps = append(p.Gaps, Gap{30 * time.Second, time.Duration(80+60*r.ExpFloat64()+float64(i%40)) * time.Millisecond})
	}
	for ms := range 2000 {
		out := 0
		for _, g := range p.Gaps {
			if time.Duration(ms)*time.Millisecond < g.Length {
				out++
			}
		}
		p.Served = append(p.Served, Sample{30*time.Second + time.Duration(ms)*time.Millisecond, 1 - float64(out)/2000})
	}
	return p
}

func sheet(n int) *Sheet {
	depth := make([]float64, n)
	for i := range depth {
		depth[i] = float64(1 + i%7)
	}
	return &Sheet{
		Title: fmt.Sprintf("A room of %d peers", n), Notes: []string{"scenario kills, seed 1, 10 min", "castd sim --scenario kills --svg room.svg"},
		Pictures: []Picture{
			&Tree{Title: "The tree at the end", Peers: room(n, 1)},
			&Distribution{Title: "Depth", Axis: "hops from the origin", Series: []Series{{"depth", depth}}, Targets: []Target{{0, 0.95, 7}}},
			&Distribution{Title: "Delay", Axis: "delay from the origin (ms)", Series: []Series{{"tree", delays(n, 1)}, {"direct", delays(n/2+1, 2)}},
				Targets: []Target{{0, 0.5, 150}, {0, 0.95, 200}}},
			fault(),
			&Distribution{Title: "Gaps", Axis: "video gap (ms)", Series: []Series{{"gap", delays(n, 9)}}, Log: true, Targets: []Target{{0, 0.99, 400}}},
		},
	}
}

// TestGolden compares small sheets with what is committed: run with -update where a change is meant, and look at the pictures.
func TestGolden(t *testing.T) {
	dark := room(12, 5)
	dark[4].Dark, dark[7].Parent = true, -1
	for name, s := range map[string]*Sheet{
		"empty":  {Title: "Nothing"},
		"small":  {Title: "A small room", Notes: []string{"seed 5"}, Pictures: []Picture{&Tree{Title: "Tree", Peers: dark}}},
		"one":    {Title: "Alone", Pictures: []Picture{&Tree{Title: "Tree", Peers: room(1, 1)}}},
		"few":    {Title: "Few", Pictures: sheet(25).Pictures[1:3]},
		"recede": {Title: "Recovery", Pictures: []Picture{fault()}},
	} {
		got := s.SVG()
		wellFormed(t, got)
		path := filepath.Join("testdata", name+".svg")
		if *update {
			if err := os.WriteFile(path, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s differs from %s", name, path)
		}
	}
}

// TestLarge: a room of 10,000 peers fits into 2 MB, every peer is drawn, and the same data gives the same file.
func TestLarge(t *testing.T) {
	s := sheet(10_000)
	got := s.SVG()
	wellFormed(t, got)
	if len(got) > 2_000_000 {
		t.Errorf("%d octets", len(got))
	}
	if n := bytes.Count(got, []byte("h0")); n < 10_000 {
		t.Errorf("%d spots", n)
	}
	if !bytes.Equal(got, s.SVG()) || !bytes.Equal(got, sheet(10_000).SVG()) {
		t.Error("a second drawing is another one")
	}
	t.Logf("%d octets", len(got))
}

// TestHostile: whatever the data holds, the file is well-formed and all coordinates are numbers.
func TestHostile(t *testing.T) {
	name := `<script>alert("x")</script>&'` + "\x00\x1b[31m\xff"
	ring := []Peer{{Parent: 2, Backup: 9, Name: name}, {Parent: 0, Backup: -7, Colour: 99}, {Parent: 1}, {Parent: -1, Origin: true, Name: name}, {Parent: 77}, {Parent: 5}, {Parent: 3, Origin: true}}
	bad := []float64{math.NaN(), math.Inf(1), math.Inf(-1), -5, 0}
	s := &Sheet{Title: name, Notes: []string{name}, Pictures: []Picture{
		&Tree{Title: name, Peers: ring}, &Tree{},
		&Distribution{Title: name, Axis: name, Series: []Series{{name, bad}, {}}, Targets: []Target{{9, 0.5, 1}, {0, 2, -1}, {1, 0.5, 1}, {0, math.NaN(), math.NaN()}}},
		&Distribution{Log: true}, &Distribution{Series: []Series{{Values: bad}}, Log: true},
		&Timeline{}, &Timeline{Served: []Sample{{5, math.NaN()}, {1, 7}, {1, -3}}, Gaps: []Gap{{-1, -1}, {1, 1 << 62}}, Moments: []Moment{{-5, name}, {5, name}}, Goals: []Goal{{1, 0, name}}},
		&Timeline{From: 9, To: 3},
	}}
	got := s.SVG()
	wellFormed(t, got)
	if strings.Contains(string(got), "alert(\"") {
		t.Error("text is not escaped")
	}
}

func TestTicks(t *testing.T) {
	for _, c := range []struct {
		a    axis
		n    int
		want []float64
	}{
		{axis{low: 0, high: 1}, 5, []float64{0, 0.2, 0.4, 0.6, 0.8, 1}},
		{axis{low: 28, high: 40}, 12, []float64{28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40}},
		{axis{low: 0, high: 347}, 8, []float64{0, 50, 100, 150, 200, 250, 300}},
		{axis{low: 10, high: 500, log: true}, 0, []float64{10, 20, 50, 100, 200, 500}},
		{axis{low: 3, high: 3}, 5, []float64{3}},
	} {
		got := c.a.ticks(c.n)
		if len(got) != len(c.want) {
			t.Errorf("%+v: %v", c.a, got)
			continue
		}
		for i := range got {
			if math.Abs(got[i]-c.want[i]) > 1e-6 {
				t.Errorf("%+v: %v", c.a, got)
			}
		}
	}
}

func TestQuantile(t *testing.T) {
	s := []float64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
	for share, want := range map[float64]float64{0: 1, 0.5: 5, 0.95: 10, 0.9: 9, 1: 10, 2: 10, -1: 1} {
		if got := quantile(s, share); got != want {
			t.Errorf("%v: %v, want %v", share, got, want)
		}
	}
	if quantile(nil, 0.5) != 0 {
		t.Error("of nothing")
	}
}

// TestDipSurvivesThinning: a dip shorter than a point is still drawn, and ends where it ended.
func TestDipSurvivesThinning(t *testing.T) {
	var s []Sample
	for i := range 100_000 {
		v := 1.0
		if i == 50_000 {
			v = 0.5
		}
		s = append(s, Sample{time.Duration(i) * time.Millisecond, v})
	}
	x, y := axis{low: 0, high: 100, from: 0, to: 1000}, axis{low: 0, high: 1, from: 100, to: 0}
	d := share(s, 0, 100*time.Second, x, y)
	if strings.Count(d, "V50") != 1 || !strings.HasSuffix(d, "V0H1000") || len(d) > 40_000 {
		t.Errorf("%d octets, %d dips, ends %q", len(d), strings.Count(d, "V50"), d[len(d)-20:])
	}
}
