//go:build linux

package e2e_test

import (
	"fmt"
	"testing"
	"time"
)

// place is a peer's place in the tree as the API tells it.
type place struct {
	Peer     string   `json:"peer"`
	Parent   string   `json:"parent"`
	Backup   string   `json:"backup"`
	Depth    int      `json:"depth"`
	Path     []string `json:"path"`
	Children []struct {
		Peer string `json:"peer"`
		Kind string `json:"kind"`
	} `json:"children"`
}

func (p place) ordinary() int {
	n := 0
	for _, c := range p.Children {
		if c.Kind == "ordinary" {
			n++
		}
	}
	return n
}

// tree is several peers in one room; the first is the origin.
type tree struct {
	peers  []*node
	places []place // by the same index
}

// startTree starts peers on the loopback that know only the first, and waits until all are fed.
func startTree(t *testing.T, n int, flags ...string) *tree {
	t.Helper()
	tr := &tree{}
	for i := range n {
		args := append([]string{"--room", "stage"}, flags...)
		if i > 0 {
			args[1] = tr.peers[0].room()
			args = append(args, tr.peers[0].bootstrap()...)
		}
		tr.peers = append(tr.peers, startNode(t, fmt.Sprintf("peer%d", i), args...))
	}
	tr.settle(t, 30*time.Second)
	return tr
}

// look asks all peers for their places; ok if all are fed, and the paths are those of the parents.
func (tr *tree) look(t *testing.T) bool {
	t.Helper()
	tr.places = make([]place, len(tr.peers))
	ok := true
	for i, p := range tr.peers {
		if !p.running() {
			continue
		}
		if err := p.get("/api/v1/rooms/"+p.room()+"/tree", &tr.places[i]); err != nil {
			t.Logf("%s: %v", p.name, err)
			ok = false
			continue
		}
		at := &tr.places[i]
		if i > 0 && (at.Parent == "" || at.Depth == 0 || len(at.Path) != at.Depth+1) {
			ok = false
		}
	}
	return ok
}

// settle waits until all peers have had the same place for a second.
func (tr *tree) settle(t *testing.T, within time.Duration) {
	t.Helper()
	deadline := time.Now().Add(within)
	before, since := "", time.Now()
	for {
		ok := tr.look(t)
		now := fmt.Sprint(tr.parents())
		if !ok || now != before {
			before, since = now, time.Now()
		}
		if ok && time.Since(since) > time.Second {
			return
		}
		if time.Now().After(deadline) {
			for i, p := range tr.peers {
				t.Logf("%s %s: %+v", p.name, p.id(), tr.places[i])
			}
			t.Fatalf("the tree has not settled within %v", within)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func (tr *tree) parents() []string {
	all := make([]string, len(tr.places))
	for i := range tr.places {
		all[i] = tr.places[i].Parent
	}
	return all
}

// index returns a peer's index by its id, or -1.
func (tr *tree) index(id string) int {
	for i, p := range tr.peers {
		if p.id() == id {
			return i
		}
	}
	return -1
}

// line returns the indices from the origin down to a peer of the greatest depth, the last peer if it is one of them.
func (tr *tree) line() []int {
	deepest := len(tr.peers) - 1
	for i := range tr.places {
		if tr.places[i].Depth > tr.places[deepest].Depth {
			deepest = i
		}
	}
	line := []int{deepest}
	for i := deepest; i > 0; {
		i = tr.index(tr.places[i].Parent)
		if i < 0 || len(line) > len(tr.peers) {
			return nil
		}
		line = append([]int{i}, line...)
	}
	return line
}

// draw prints the tree.
func (tr *tree) draw(t *testing.T) {
	t.Helper()
	tab := newTable("peer", "depth", "parent", "backup", "children", "pid")
	for i, p := range tr.peers {
		at := tr.places[i]
		if !p.running() {
			tab.row(p.name, "dead")
			continue
		}
		tab.row(p.name, at.Depth, tr.name(at.Parent), tr.name(at.Backup), at.ordinary(), p.pid())
	}
	tab.print(t)
}

func (tr *tree) name(id string) string {
	if i := tr.index(id); i >= 0 {
		return tr.peers[i].name
	}
	return "-"
}
