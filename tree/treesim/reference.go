package treesim

import (
	"cmp"
	"math/rand/v2"
	"slices"
)

// How good can the delays of a room be? Even the best tree in which the origin feeds two and nobody more than it can has relays
// on the way to a peer next door to the origin, and each adds its access network. So a run says beside its own delays those of a reference:
// the tree of the same peers that one who knows all of them, all round trips and all true uploads builds at once. The greatest
// upload comes first, of equal ones the nearest to the origin, and each goes below whoever gives it the least delay. That is not the
// best tree, which is hard to find (minimum average latency with bounded degrees is NP-hard), but no peer of a living room
// has as much to go by.

// referenceAmong is how many possible parents, drawn at random, a peer of the reference is placed below the best of where there are
// more: a sample is about as good, and cheaper in a large room.
const referenceAmong = 512

// reference returns the relative delays of the reference, in thousandths, sorted.
func (s *Sim) reference() []int64 {
	var order []int32
	for i := range s.peers {
		if p := &s.peers[i]; i > 0 && p.state == up && p.status.Placed && !p.liar && !p.grey {
			order = append(order, int32(i))
		}
	}
	slots := func(n int32) int { return min(capacity(s.peers[n].upload), s.peers[n].slots) }
	slices.SortFunc(order, func(a, b int32) int {
		return cmp.Or(cmp.Compare(slots(b), slots(a)), cmp.Compare(s.way(0, a), s.way(0, b)), cmp.Compare(a, b))
	})
	type open struct {
		n     int32
		free  int
		delay int64
	}
	parents := []open{{n: 0, free: 2}}
	forward := int64(s.cal.HopForward.P50 * 1e6)
	rng := rand.New(rand.NewPCG(s.cfg.Seed, 6))
	var out []int64
	for _, n := range order {
		best, least := -1, never
		look := func(i int) {
			if o := &parents[i]; o.delay < least && s.reach(o.n, n) {
				if d := o.delay + s.way(o.n, n) + forward; d < least {
					best, least = i, d
				}
			}
		}
		if len(parents) <= referenceAmong {
			for i := range parents {
				look(i)
			}
		} else {
			for range referenceAmong {
				look(rng.IntN(len(parents)))
			}
		}
		if best < 0 {
			continue // there are no slots left, or none within reach
		}
		out = append(out, 1000*least/s.way(0, n))
		if parents[best].free--; parents[best].free == 0 {
			parents[best] = parents[len(parents)-1]
			parents = parents[:len(parents)-1]
		}
		if f := slots(n); f > 0 {
			parents = append(parents, open{n, f, least})
		}
	}
	slices.Sort(out)
	return out
}
