package picture

import (
	"fmt"
	"strings"
)

// Colour is the side of the tree that a peer carries; see package tree.
type Colour uint8

// Colours. Plain is that of a tree without sides.
const (
	Plain Colour = iota
	Red
	Blue
)

// Peer is one peer of a Tree.
type Peer struct {
	Parent int // index of who feeds it; -1 for the origin and who has no place
	Backup int // index of the peer that stands by; -1 none
	Colour Colour
	Name   string // shown in small trees; may be empty
	Origin bool
	Dark   bool // it gets no media now
}

// Tree draws who feeds whom: the origin in the middle, each depth a ring, leaves spread over the circle. Peers without a place stand
// in a row below.
type Tree struct {
	Title string
	Peers []Peer
}

// What can still be told apart: up to so many peers have names, and backups are drawn.
const (
	maxNamed   = 80
	maxBackups = 400
)

const treeHeight = 1120.0

func (t *Tree) size() (width, height float64) { return full, treeHeight }

func (t *Tree) draw(c *canvas) {
	c.card(full, treeHeight, t.Title)
	l := newLayout(t.Peers, 500)
	const cx, cy = full/2 + 60, 545.0
	at := func(i int) (x, y float64) { x, y = l.position(i); return cx + x, cy + y }

	for d := 1; d < len(l.radius); d++ {
		fmt.Fprintf(&c.b, `<circle class="ring" cx="%s" cy="%s" r="%s"/>`+"\n", num(cx), num(cy), num(l.radius[d]))
	}
	thin := min(1.2, max(0.35, 40/float64(len(t.Peers)+1)*10))
	edges := map[Colour]*strings.Builder{Plain: {}, Red: {}, Blue: {}}
	var backups strings.Builder
	for i := range t.Peers {
		p := &t.Peers[i]
		if l.depth[i] < 0 {
			continue
		}
		x, y := at(i)
		if up := l.parent[i]; up >= 0 {
			px, py := at(up)
			bx, by := l.bend(i)
			// A peer's line has the colour of who feeds it.
			fmt.Fprintf(edges[colourOf(t.Peers[up].Colour)], "M%s %sQ%s %s %s %s", num(px), num(py), num(cx+bx), num(cy+by), num(x), num(y))
		}
		if b := p.Backup; len(t.Peers) <= maxBackups && b >= 0 && b < len(t.Peers) && l.depth[b] >= 0 {
			bx, by := at(b)
			fmt.Fprintf(&backups, "M%s %sL%s %s", num(bx), num(by), num(x), num(y))
		}
	}
	c.wide("eb", 0.8, 0.55, backups.String())
	c.wide("e", thin, 0.55, edges[Plain].String())
	c.wide("er", thin, 0.55, edges[Red].String())
	c.wide("eu", thin, 0.55, edges[Blue].String())

	// Spots of one look are one path: a line without length whose ends are round.
	type look struct {
		class string
		size  float64
	}
	var order []look
	spots := map[look]*strings.Builder{}
	for i := range t.Peers {
		k := look{t.class(i, l), l.spot(i, len(t.Peers))}
		if spots[k] == nil {
			spots[k] = &strings.Builder{}
			order = append(order, k)
		}
		x, y := at(i)
		spots[k].WriteString("M" + num(x) + " " + num(y) + "h0")
	}
	for _, leaves := range []bool{true, false} { // what matters stands in front
		for _, k := range order {
			if (k.class == "nl") == leaves {
				c.wide("n "+k.class, k.size, 1, spots[k].String())
			}
		}
	}
	if len(t.Peers) <= maxNamed {
		for i := range t.Peers {
			x, y := at(i)
			c.text("name mid", x, y-10, t.Peers[i].Name)
		}
	}
	t.legend(c, l)
}

func colourOf(c Colour) Colour {
	if c > Blue {
		return Plain
	}
	return c
}

func (t *Tree) class(i int, l *layout) string {
	switch p := &t.Peers[i]; {
	case p.Origin:
		return "no"
	case l.depth[i] < 0 || p.Dark:
		return "nx"
	case l.below[i] == 0:
		return "nl"
	case p.Colour == Red:
		return "nr"
	case p.Colour == Blue:
		return "nu"
	}
	return "ni"
}

// legend tells what the colours mean and how many peers stand at each depth.
func (t *Tree) legend(c *canvas, l *layout) {
	counts := map[string]int{}
	perDepth := make([]int, len(l.radius))
	feeding := make([]int, len(l.radius))
	for i := range t.Peers {
		counts[t.class(i, l)]++
		if d := l.depth[i]; d >= 0 {
			perDepth[d]++
			if l.below[i] > 0 {
				feeding[d]++
			}
		}
	}
	y := 58.0
	for _, k := range []struct{ class, name string }{
		{"no", "origin"}, {"ni", "feeds others"}, {"nr", "feeds others, red side"}, {"nu", "feeds others, blue side"}, {"nl", "only listens"}, {"nx", "without media"},
	} {
		if n := counts[k.class]; n > 0 {
			c.legend(26, y, k.class, fmt.Sprintf("%s: %s", k.name, thousands(n)))
			y += 22
		}
	}
	y += 14
	c.text("strong", 20, y, "depth")
	c.text("strong end", 130, y, "peers")
	c.text("strong end", 196, y, "feeding")
	for d, n := range perDepth {
		if n == 0 {
			continue
		}
		y += 19
		c.text("", 20, y, fmt.Sprint(d))
		c.text("end", 130, y, thousands(n))
		c.text("end", 196, y, thousands(feeding[d]))
	}
	if len(t.Peers) <= maxBackups {
		y += 30
		c.wide("eb", 1.2, 1, "M20 "+num(y-4)+"h28")
		c.text("", 54, y, "stands by as backup")
	}
}

// thousands writes a count with spaces between thousands.
func thousands(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "\u202f" + s[i:]
	}
	return s
}
