package main

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/castd/castd/engine"
)

var updateTrees = flag.Bool("update-trees", false, "write testdata/tree anew")

// room makes places: parents[i] is the index of the parent of peer i, which comes before it.
func drawnRoom(parents []int, name func(int) string) []engine.TreeInfo {
	nodes := make([]engine.TreeInfo, len(parents))
	for i, p := range parents {
		n := &nodes[i]
		n.Peer, n.Path, n.Audience = name(i), []string{name(i)}, 1
		if p >= 0 {
			n.Parent, n.Depth = nodes[p].Peer, nodes[p].Depth+1
			n.Path = append(append([]string{}, nodes[p].Path...), n.Peer)
			n.DelayMs = nodes[p].DelayMs + 7 + i%11
		}
	}
	for i := len(nodes) - 1; i > 0; i-- {
		p := &nodes[parents[i]]
		p.Below += nodes[i].Below + 1
		p.Audience += nodes[i].Audience
		p.Children = append(p.Children, engine.ChildInfo{Peer: nodes[i].Peer, Kind: "ordinary", Depth: nodes[i].Depth})
	}
	nodes[0].Audience--
	for i := range nodes {
		if k := len(nodes[i].Children); k > 0 {
			nodes[i].Slots, nodes[i].Free = k+i%3, i%3
		}
		if i > 3 {
			nodes[i].Backup = nodes[(i*7)%i].Peer
		}
	}
	return nodes
}

func peerName(i int) string { return fmt.Sprintf("12D3KooWQx7f%08d", i*7919%100_000_000) }

// crowd returns the parents of a room of n peers, of which a sixth feed others.
func crowd(n int) []int {
	r := rand.New(rand.NewPCG(7, 7))
	parents, free, open := []int{-1}, []int{2}, 0
	for i := 1; i < n; i++ {
		for free[open] == 0 {
			open++
		}
		free[open]--
		k := 0
		if i < 3 || r.IntN(6) == 0 {
			k = 4 + r.IntN(20)
		}
		parents, free = append(parents, open), append(free, k)
	}
	return parents
}

// golden compares with a file of testdata/tree.
func goldenTree(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", "tree", name+".txt")
	if *updateTrees {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
	}
}

func TestDrawTree(t *testing.T) {
	small := drawnRoom([]int{-1, 0, 0, 1, 1, 2, 5, 5, 5, 6}, peerName)
	small[5].Repairing = true
	usual := treeStyle{rows: maxTreeRows, depth: -1}
	goldenTree(t, "small", drawTree(small, small[0], usual))
	goldenTree(t, "ascii", drawTree(small, small[0], treeStyle{rows: maxTreeRows, depth: -1, ascii: true}))
	goldenTree(t, "colour", drawTree(small, small[0], treeStyle{rows: maxTreeRows, depth: -1, colour: true}))
	goldenTree(t, "depth", drawTree(small, small[0], treeStyle{rows: maxTreeRows, depth: 1}))
	goldenTree(t, "narrow", drawTree(small, small[0], treeStyle{rows: maxTreeRows, depth: -1, width: 52}))
	for width := 1; width < 100; width++ {
		_, table, _ := strings.Cut(drawTree(small, small[0], treeStyle{rows: maxTreeRows, depth: -1, width: width}), "\n")
		for line := range strings.Lines(table) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > width {
				t.Fatalf("%d characters where there are %d: %s", n, width, line)
			}
		}
	}
	goldenTree(t, "alone", drawTree(drawnRoom([]int{-1}, peerName), engine.TreeInfo{Peer: peerName(0)}, usual))

	// Elsewhere than at the origin: the way, this peer, those below it, and for whom it stands by.
	own := small[5]
	own.Backup = "12D3KooWfarAway"
	own.Children = append(own.Children, engine.ChildInfo{Peer: "12D3KooWsomebody", Kind: "backup", Depth: 3})
	known := []engine.TreeInfo{{Peer: small[0].Peer, Path: small[0].Path}, {Peer: small[2].Peer, Parent: small[0].Peer, Depth: 1, Path: small[2].Path}, own, small[6], small[7], small[8], small[9]}
	goldenTree(t, "elsewhere", drawTree(known, own, usual))
	goldenTree(t, "searching", drawTree(nil, engine.TreeInfo{Peer: peerName(3), Path: []string{}}, usual))

	// While the tree repairs itself there may be peers without a parent that is known, and rings.
	broken := []engine.TreeInfo{
		{Peer: "d", Parent: "b", Depth: 2, Backup: "c"}, {Peer: "a", Depth: 0, Path: []string{"a"}}, {Peer: "c", Parent: "a", Depth: 1}, {Peer: "b", Parent: "a", Depth: 1},
		{Peer: "y", Parent: "gone", Depth: 3}, {Peer: "p", Parent: "q", Depth: 4}, {Peer: "q", Parent: "p", Depth: 4}, {Peer: "r", Parent: "p", Depth: 5}, {Peer: "s", Parent: "s", Depth: 5},
	}
	goldenTree(t, "broken", drawTree(broken, broken[1], usual))
}

// TestDrawLargeTree: a room of thousands stays readable, and is drawn in a moment.
func TestDrawLargeTree(t *testing.T) {
	all := drawnRoom(crowd(10_000), peerName)
	began := time.Now()
	got := drawTree(all, all[0], treeStyle{rows: maxTreeRows, depth: -1})
	if lines := strings.Count(got, "\n"); lines > maxTreeRows+2 {
		t.Errorf("%d lines", lines)
	}
	for line := range strings.Lines(got) {
		if n := utf8.RuneCountInString(line); n > 100 {
			t.Errorf("%d characters: %s", n, line)
		}
	}
	goldenTree(t, "large", got)
	// What the origin really knows of it are the upper levels.
	goldenTree(t, "upper", drawTree(all[:600], all[0], treeStyle{rows: 25, depth: -1}))
	// A peer deep down is found.
	deep := all[len(all)-1]
	if got := drawTree(all, deep, treeStyle{rows: maxTreeRows, depth: -1}); !strings.Contains(got, "(this peer)") {
		t.Errorf("this peer is not drawn:\n%s", got)
	}
	if got := drawTree(all, all[0], treeStyle{depth: -1}); strings.Count(got, "\n") != len(all)+2 {
		t.Errorf("of all, %d lines", strings.Count(got, "\n"))
	}
	if d := time.Since(began); d > 20*time.Second {
		t.Errorf("drawing takes %v", d)
	}
}

// FuzzDrawTree: any places are drawn, each peer at most once, with no line more than there may be.
func FuzzDrawTree(f *testing.F) {
	f.Add([]byte{0, 0, 1, 1, 2}, byte(0), byte(10))
	f.Add([]byte{1, 0, 3, 2, 4}, byte(2), byte(3))
	f.Fuzz(func(t *testing.T, parents []byte, self, rows byte) {
		parents = parents[:min(len(parents), 200)]
		nodes := make([]engine.TreeInfo, len(parents))
		for i, p := range parents {
			nodes[i] = engine.TreeInfo{Peer: fmt.Sprintf("<%d>", i), Parent: fmt.Sprintf("<%d>", p), Depth: int(p % 5), Below: int(p), Path: []string{fmt.Sprintf("<%d>", p)}}
		}
		own := engine.TreeInfo{Peer: fmt.Sprintf("<%d>", self)}
		got := drawTree(nodes, own, treeStyle{rows: int(rows), depth: int(rows%7) - 2})
		for i := range nodes {
			if strings.Count(got, nodes[i].Peer) > 1 {
				t.Errorf("%s is there twice:\n%s", nodes[i].Peer, got)
			}
		}
	})
}

func TestSpeaksUTF8(t *testing.T) {
	for _, c := range []struct {
		env  map[string]string
		want bool
	}{
		{map[string]string{"LANG": "de_DE.UTF-8"}, true},
		{map[string]string{"LANG": "en_GB.utf8"}, true},
		{map[string]string{"LC_ALL": "C", "LANG": "en_GB.UTF-8"}, false},
		{map[string]string{"LC_ALL": "", "LC_CTYPE": "C.UTF-8", "LANG": "C"}, true},
		{map[string]string{"LANG": "en_US.ISO-8859-1"}, false},
		{nil, false},
	} {
		if got := speaksUTF8(func(k string) string { return c.env[k] }); got != c.want {
			t.Errorf("%v: %v", c.env, got)
		}
	}
}
