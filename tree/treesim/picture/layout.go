package picture

import (
	"math"
	"slices"
)

// layout has the place of each peer in a radial tree. A peer's sector of the circle is as wide as its subtree has leaves, its angle the
// middle of it; its radius tells its depth.
type layout struct {
	parent []int     // index, -1 none; what would close a ring is left out
	depth  []int     // -1: no way leads to an origin
	below  []int     // peers in the subtree, without the peer itself
	angle  []float64 // radians
	radius []float64 // of each depth
	lost   []int     // index of each peer without a place in their row, 0 for others
}

func newLayout(peers []Peer, outer float64) *layout {
	n := len(peers)
	l := &layout{parent: make([]int, n), depth: make([]int, n), below: make([]int, n), angle: make([]float64, n), lost: make([]int, n)}
	children := make([][]int, n)
	var order []int // parents before their children
	for i := range peers {
		l.parent[i], l.depth[i] = -1, -1
		if p := peers[i].Parent; p >= 0 && p < n && p != i && !peers[i].Origin {
			children[p] = append(children[p], i)
		}
		if peers[i].Origin {
			l.depth[i] = 0
			order = append(order, i)
		}
	}
	counts := []int{len(order)}
	for k := 0; k < len(order); k++ {
		for _, c := range children[order[k]] {
			d := l.depth[order[k]] + 1
			l.parent[c], l.depth[c] = order[k], d
			if d == len(counts) {
				counts = append(counts, 0)
			}
			counts[d]++
			order = append(order, c)
		}
	}
	row := 0
	for i := range peers {
		if l.depth[i] < 0 {
			l.lost[i] = row
			row++
		}
	}
	leaves := make([]int, n)
	for _, i := range slices.Backward(order) {
		leaves[i] = max(leaves[i], 1)
		if p := l.parent[i]; p >= 0 {
			leaves[p] += leaves[i]
			l.below[p] += l.below[i] + 1
		}
	}
	l.spread(order, children, leaves)
	l.rings(counts, outer)
	return l
}

// spread gives each peer of the order its angle.
func (l *layout) spread(order []int, children [][]int, leaves []int) {
	total := 0
	for _, i := range order {
		if l.parent[i] < 0 {
			total += leaves[i]
		}
	}
	begin := make([]float64, len(l.angle))
	width := make([]float64, len(l.angle))
	next := -math.Pi / 2
	for _, i := range order {
		if l.parent[i] < 0 {
			begin[i], width[i] = next, 2*math.Pi*float64(leaves[i])/float64(total)
			next += width[i]
		}
		l.angle[i] = begin[i] + width[i]/2
		// The largest first: then sectors turn steadily from broad to narrow.
		slices.SortStableFunc(children[i], func(a, b int) int { return leaves[b] - leaves[a] })
		at := begin[i]
		for _, c := range children[i] {
			begin[c], width[c] = at, width[i]*float64(leaves[c])/float64(leaves[i])
			at += width[c]
		}
	}
}

// rings chooses the radius of each depth: rings with many peers lie farther from the one before, so that few deep ones do not press
// the rest together.
func (l *layout) rings(counts []int, outer float64) {
	total := 0
	for _, n := range counts {
		total += n
	}
	sum := 0.0
	gaps := make([]float64, len(counts))
	for d := 1; d < len(counts); d++ {
		gaps[d] = 0.35 + math.Sqrt(float64(counts[d])/float64(total))
		sum += gaps[d]
	}
	l.radius = make([]float64, len(counts))
	for d := 1; d < len(counts); d++ {
		l.radius[d] = l.radius[d-1] + outer*gaps[d]/sum
	}
}

// position returns a peer's place, the origin's being 0, 0.
func (l *layout) position(i int) (x, y float64) {
	if l.depth[i] < 0 {
		return -640 + float64(l.lost[i]%210)*6, 528 + float64(min(l.lost[i]/210, 6))*5
	}
	r := l.radius[l.depth[i]]
	if l.depth[i] == 0 && l.parent[i] < 0 && l.below[i] == 0 {
		return 0, 0
	}
	return r * math.Cos(l.angle[i]), r * math.Sin(l.angle[i])
}

// bend returns the point towards which the line from a peer's parent to the peer bends.
func (l *layout) bend(i int) (x, y float64) {
	d := l.depth[i]
	r := l.radius[d-1] + 0.45*(l.radius[d]-l.radius[d-1])
	return r * math.Cos(l.angle[i]), r * math.Sin(l.angle[i])
}

// spot returns how wide a peer's spot is, in steps, so that few paths have all of them.
func (l *layout) spot(i, n int) float64 {
	least := 9.0
	switch {
	case n > 3000:
		least = 2.2
	case n > 600:
		least = 3.5
	case n > 100:
		least = 6
	}
	if l.depth[i] == 0 {
		return least + 10
	}
	if l.depth[i] < 0 || l.below[i] == 0 {
		return least
	}
	return least + 1 + math.Round(2*math.Log10(float64(l.below[i]+1)))
}
