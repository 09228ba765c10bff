package main

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/castd/castd/engine"
)

// maxTreeRows is how many lines a tree is drawn with; more of it is counted, not drawn.
const maxTreeRows = 60

// treeStyle says how a tree is drawn.
type treeStyle struct {
	rows   int // at most; 0: any number
	width  int // of a line, at most; 0: any. What finds no place is left out, the last columns first
	depth  int // levels below the origin; below 0: any number
	colour bool
	ascii  bool
}

// Colours of a terminal (ECMA-48 SGR).
const (
	plainColour  = "\x1b[0m"
	selfColour   = "\x1b[1;36m"
	originColour = "\x1b[1;31m"
	repairColour = "\x1b[33m"
	quietColour  = "\x1b[2m"
)

// treeDrawing is a tree on its way to text.
type treeDrawing struct {
	treeStyle
	self     string
	nodes    []engine.TreeInfo
	children [][]int // indices, the largest branch first
	below    []int   // peers below each, told of or not
	open     []bool  // its children are drawn
	lines    []treeLine
}

// treeLine is one line: a branch with a name, and columns.
type treeLine struct {
	lead, name string
	colour     string
	columns    []string
}

// drawTree draws the places that a peer knows below their parents. Peers whose parent is not known, and such in a ring, as there may be
// while the tree repairs itself, come last.
func drawTree(nodes []engine.TreeInfo, own engine.TreeInfo, style treeStyle) string {
	if len(nodes) == 0 {
		nodes = []engine.TreeInfo{own}
	}
	d := &treeDrawing{treeStyle: style, self: own.Peer, nodes: nodes}
	roots := d.link()
	d.unfold(roots)
	for _, i := range roots {
		d.draw(i, "", "")
	}
	return d.title() + d.text()
}

// link finds the children of each peer, and who begins a tree.
func (d *treeDrawing) link() (roots []int) {
	index := make(map[string]int, len(d.nodes))
	for i := range d.nodes {
		index[d.nodes[i].Peer] = i
	}
	d.children, d.below, d.open = make([][]int, len(d.nodes)), make([]int, len(d.nodes)), make([]bool, len(d.nodes))
	for i := range d.nodes {
		n := &d.nodes[i]
		if up, ok := index[n.Parent]; ok && up != i {
			d.children[up] = append(d.children[up], i)
		} else {
			roots = append(roots, i)
		}
	}
	seen := make([]bool, len(d.nodes))
	var count func(i int) int
	count = func(i int) int {
		seen[i] = true
		n := 0
		for _, c := range d.children[i] {
			if !seen[c] {
				n += count(c) + 1
			}
		}
		d.below[i] = max(n, d.nodes[i].Below)
		slices.SortFunc(d.children[i], d.order)
		return n
	}
	for _, i := range roots {
		count(i)
	}
	slices.SortFunc(roots, func(a, b int) int {
		return cmp.Or(cmp.Compare(d.nodes[a].Depth, d.nodes[b].Depth), strings.Compare(d.nodes[a].Peer, d.nodes[b].Peer))
	})
	for i := range d.nodes { // what only rings lead to
		if !seen[i] {
			roots = append(roots, i)
			count(i)
			for k := range d.children {
				d.children[k] = slices.DeleteFunc(d.children[k], func(c int) bool { return c == i })
			}
		}
	}
	return roots
}

// order puts large branches before small ones, and who could feed more before who could feed less.
func (d *treeDrawing) order(a, b int) int {
	x, y := &d.nodes[a], &d.nodes[b]
	return cmp.Or(cmp.Compare(d.below[b], d.below[a]), cmp.Compare(y.Slots, x.Slots), strings.Compare(x.Peer, y.Peer))
}

// unfold chooses whose children are drawn: the way to this peer and this peer's own always, then the largest branches, as long as
// there are lines.
func (d *treeDrawing) unfold(roots []int) {
	way := make(map[string]bool)
	for i := range d.nodes {
		if d.nodes[i].Peer == d.self {
			way[d.self] = true
			for _, id := range d.nodes[i].Path {
				way[id] = true
			}
		}
	}
	left := d.rows - len(roots)
	show := func(i int) { // with its children the peer takes so many lines more
		if !d.open[i] {
			d.open[i] = true
			left -= d.childLines(i)
		}
	}
	levels := func(i int) bool { return d.depth < 0 || d.nodes[i].Depth < d.depth }
	for i := range d.nodes {
		if len(d.children[i]) > 0 && levels(i) && (way[d.nodes[i].Peer] || d.rows == 0) {
			show(i)
		}
	}
	if d.rows == 0 {
		return
	}
	ready := slices.Clone(roots)
	for i := range d.nodes {
		if d.open[i] {
			ready = append(ready, d.children[i]...)
		}
	}
	for len(ready) > 0 {
		best := 0
		for k := range ready {
			if d.order(ready[k], ready[best]) < 0 {
				best = k
			}
		}
		i := ready[best]
		ready = slices.Delete(ready, best, best+1)
		if len(d.children[i]) == 0 || d.open[i] || !levels(i) || d.childLines(i) > left {
			continue
		}
		show(i)
		ready = append(ready, d.children[i]...)
	}
}

// manyLeaves is how many children without children of their own are drawn one by one where not all lines fit.
const manyLeaves = 4

// childLines returns how many lines the children of a peer take.
func (d *treeDrawing) childLines(i int) int {
	drawn, folded := d.split(i)
	if len(folded) > 0 {
		return len(drawn) + 1
	}
	return len(drawn)
}

// split tells which children of a peer have a line of their own, and which share one.
func (d *treeDrawing) split(i int) (drawn, folded []int) {
	all := d.children[i]
	if d.rows == 0 || len(d.nodes) <= d.rows {
		return all, nil
	}
	leaves := 0
	for _, c := range all {
		if d.below[c] == 0 {
			leaves++
		}
	}
	for k, c := range all {
		leaf := d.below[c] == 0
		if d.nodes[c].Peer != d.self && (leaf && leaves > manyLeaves+1 && len(drawn) >= manyLeaves || k >= d.rows/3) {
			folded = append(folded, c)
		} else {
			drawn = append(drawn, c)
		}
	}
	return drawn, folded
}

// draw makes the lines of a peer and those below it.
func (d *treeDrawing) draw(i int, lead, branch string) {
	n := &d.nodes[i]
	line := treeLine{lead: lead + branch, name: d.short(n.Peer), columns: d.columns(i)}
	switch {
	case n.Peer == d.self:
		line.name, line.colour = line.name+" (this peer)", selfColour
	case n.Depth == 0 && len(n.Path) <= 1:
		line.colour = originColour
	case n.Repairing:
		line.colour = repairColour
	case d.below[i] == 0:
		line.colour = quietColour
	}
	if n.Depth == 0 && n.Parent == "" && len(n.Path) == 1 {
		line.name += " origin"
	}
	if n.Repairing {
		line.name += " repairing"
	}
	known := d.children[i]
	if !d.open[i] && d.below[i] > 0 {
		line.name += fmt.Sprintf(" +%d below", d.below[i])
	}
	d.lines = append(d.lines, line)
	lead += d.under(branch)
	if !d.open[i] {
		d.standby(i, lead)
		return
	}
	drawn, folded := d.split(i)
	unknown := d.below[i]
	for _, c := range known {
		unknown -= d.below[c] + 1
	}
	rest := max(unknown, 0)
	listening := 0
	for _, c := range folded {
		rest += d.below[c] + 1
		listening += d.nodes[c].Audience
	}
	for k, c := range drawn {
		mark := branchMark
		if k == len(drawn)-1 && rest == 0 {
			mark = lastMark
		}
		d.draw(c, lead, d.mark(mark))
	}
	if rest > 0 {
		more := treeLine{lead: lead + d.mark(lastMark), name: fmt.Sprintf("%s %d more", d.dots(), rest), colour: quietColour}
		if listening > 0 {
			more.columns = []string{"", "", "", strconv.Itoa(listening), ""}
		}
		d.lines = append(d.lines, more)
	}
	d.standby(i, lead)
}

// standby draws for whom this peer stands by, where they are not in the tree that it knows.
func (d *treeDrawing) standby(i int, lead string) {
	if d.nodes[i].Peer != d.self {
		return
	}
	for _, c := range d.nodes[i].Children {
		if c.Kind == "backup" && !slices.ContainsFunc(d.nodes, func(n engine.TreeInfo) bool { return n.Peer == c.Peer }) {
			d.lines = append(d.lines, treeLine{lead: lead + d.mark(dottedMark), name: d.short(c.Peer) + " (backup child)", colour: quietColour})
		}
	}
}

// columns are depth, slots, delay, listeners and backup of a peer; what is not known is empty.
func (d *treeDrawing) columns(i int) []string {
	n := &d.nodes[i]
	out := []string{strconv.Itoa(n.Depth), "", "", "", ""}
	if n.Slots > 0 {
		out[1] = fmt.Sprintf("%d/%d", max(n.Slots-n.Free, 0), n.Slots)
	}
	if n.DelayMs > 0 {
		out[2] = fmt.Sprintf("%d ms", n.DelayMs)
	}
	if n.Audience > 0 {
		out[3] = strconv.Itoa(n.Audience)
	}
	if n.Backup != "" {
		out[4] = d.short(n.Backup)
	}
	return out
}

// title sums the tree up.
func (d *treeDrawing) title() string {
	self := slices.IndexFunc(d.nodes, func(n engine.TreeInfo) bool { return n.Peer == d.self })
	if self < 0 {
		return ""
	}
	n := &d.nodes[self]
	deepest, slots, free := 0, 0, 0
	for i := range d.nodes {
		deepest = max(deepest, d.nodes[i].Depth)
		slots, free = slots+d.nodes[i].Slots, free+d.nodes[i].Free
	}
	var s string
	switch {
	case n.Parent != "":
		s = fmt.Sprintf("This peer is at depth %d, with %s below it", n.Depth, counted(d.below[self], "peer"))
	case n.Depth == 0 && len(n.Path) == 1:
		s = fmt.Sprintf("%s in the tree, %d listening, %s below the origin, %d of %s free", counted(d.below[self]+1, "peer"), n.Audience,
			counted(deepest, "level"), free, counted(slots, "slot"))
	default:
		s = "This peer is looking for a parent"
	}
	if known := len(d.nodes) - 1; n.Parent == "" && known < d.below[self] {
		s += fmt.Sprintf("; the nearest %d are known one by one", known)
	}
	return s + ".\n"
}

// counted is a number and its word.
func counted(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}

// text puts the columns below each other. Columns that are empty in all lines are left out.
func (d *treeDrawing) text() string {
	head := []string{"DEPTH", "SLOTS", "DELAY", "LISTENING", "BACKUP"}
	widths := make([]int, len(head))
	first := len("PEER")
	for _, l := range d.lines {
		first = max(first, utf8.RuneCountInString(l.lead+l.name))
		for k, c := range l.columns {
			if c != "" {
				widths[k] = max(widths[k], utf8.RuneCountInString(c), len(head[k]))
			}
		}
	}
	whole := first
	for k := range widths {
		if widths[k] > 0 {
			whole += 2 + widths[k]
		}
	}
	for k := len(widths) - 1; k >= 0 && d.width > 0 && whole > d.width; k-- {
		if widths[k] > 0 {
			whole -= 2 + widths[k]
			widths[k] = 0
		}
	}
	var b strings.Builder
	write := func(l treeLine) {
		if d.width > 0 && first > d.width { // then there are no columns
			l.lead, l.name = cutLine(l.lead, l.name, d.width)
		}
		line := l.lead + d.paint(l.colour, l.name)
		space := first - utf8.RuneCountInString(l.lead+l.name)
		for k, c := range l.columns {
			if widths[k] == 0 {
				continue
			}
			gap := strings.Repeat(" ", widths[k]-utf8.RuneCountInString(c))
			if k == len(head)-1 {
				gap, c = "", d.paint(quietColour, c)
			}
			line += strings.Repeat(" ", space) + "  " + gap + c
			space = 0
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	write(treeLine{name: "PEER", columns: head, colour: quietColour})
	for _, l := range d.lines {
		write(l)
	}
	return b.String()
}

// cutLine cuts a line's end off so that what is left takes width characters.
func cutLine(lead, name string, width int) (string, string) {
	l, n := []rune(lead), []rune(name)
	l = l[:min(len(l), width)]
	return string(l), string(n[:min(len(n), width-len(l))])
}

func (d *treeDrawing) paint(colour, s string) string {
	if !d.colour || colour == "" || s == "" {
		return s
	}
	return colour + s + plainColour
}

// Marks of branches.
const (
	branchMark = iota
	lastMark
	dottedMark
)

func (d *treeDrawing) mark(kind int) string {
	if d.ascii {
		return []string{"|- ", "`- ", ":. "}[kind]
	}
	return []string{"├─ ", "└─ ", "┆┄ "}[kind]
}

// under is what stands below a mark, at the lines of those further down.
func (d *treeDrawing) under(mark string) string {
	switch mark {
	case "":
		return ""
	case d.mark(branchMark):
		if d.ascii {
			return "|  "
		}
		return "│  "
	}
	return "   "
}

func (d *treeDrawing) dots() string {
	if d.ascii {
		return "..."
	}
	return "…"
}

// short returns the end of an id, as everywhere.
func (d *treeDrawing) short(id string) string {
	s := short(id)
	if d.ascii {
		s = strings.Replace(s, "…", "..", 1)
	}
	return s
}
