package guest

import (
	"cmp"
	"slices"
)

// layer is one of the encodings of somebody's video, as it comes.
type layer struct {
	height int    // lines; 0: not known yet
	bps    uint64 // bits per second, lately
	flows  bool   // something comes
}

// demand is what a section asks of the line to a participant.
type demand struct {
	layers []layer
	now    int // that is playing; -1: none
	height int // how many lines are enough; 0: as many as there are
}

// headroom is what must be left of the line, in percent of what a larger layer needs, before it is chosen.
const headroom = 115

// allot chooses a layer for each section, so that all of them together fit into so many bits per second: first the smallest for each, then
// for those that want the largest pictures larger ones. -1 stands where there is no layer.
func allot(demands []demand, budget uint64) []int {
	chosen := make([]int, len(demands))
	orders := make([][]int, len(demands)) // layers that flow, the smallest first
	total := uint64(0)
	for i, d := range demands {
		orders[i] = flowing(d)
		chosen[i] = -1
		if len(orders[i]) > 0 {
			chosen[i] = orders[i][0]
			total += d.layers[chosen[i]].bps
		}
	}
	turn := make([]int, len(demands))
	for i := range turn {
		turn[i] = i
	}
	size := func(i int) int {
		if demands[i].height == 0 {
			return 1 << 30
		}
		return demands[i].height
	}
	slices.SortStableFunc(turn, func(a, b int) int { return size(b) - size(a) })
	for _, i := range turn {
		d := &demands[i]
		for _, next := range orders[i][min(1, len(orders[i])):] {
			if enough(d.layers[chosen[i]].height, d.height) {
				break
			}
			less, more := d.layers[chosen[i]].bps, d.layers[next].bps
			need := total - less + more
			if next != d.now {
				need = total - less + more*headroom/100
			}
			if need > budget {
				break
			}
			total += more - less
			chosen[i] = next
		}
	}
	return chosen
}

// enough reports whether a picture of so many lines serves who wants that many: a little less does.
func enough(height, wanted int) bool { return wanted > 0 && height > 0 && height*10 >= wanted*9 }

// flowing returns the layers to choose from, the smallest first: those of which something comes, or else the one that plays, or the first.
func flowing(d demand) (list []int) {
	for i, l := range d.layers {
		if l.flows {
			list = append(list, i)
		}
	}
	slices.SortStableFunc(list, func(a, b int) int {
		x, y := d.layers[a], d.layers[b]
		if x.height > 0 && y.height > 0 && x.height != y.height {
			return x.height - y.height
		}
		return cmp.Compare(x.bps, y.bps)
	})
	switch {
	case len(list) > 0 || len(d.layers) == 0:
		return list
	case d.now >= 0 && d.now < len(d.layers):
		return []int{d.now}
	}
	return []int{0}
}
