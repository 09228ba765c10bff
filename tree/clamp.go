package tree

import (
	"slices"
	"time"
)

// maxIDLen bounds an id; those of libp2p have 34 or 38 octets.
const maxIDLen = 64

// clampCandidates cuts a list that a peer sent to the limits.
func clampCandidates(self ID, in []Candidate) []Candidate {
	return clampAll(self, in[:min(len(in), MaxCandidates)])
}

// clampAll cuts each candidate to the limits. What is not a candidate at all is left out. A list in which there is nothing to cut,
// as nearly all are, is returned as it is.
func clampAll(self ID, in []Candidate) []Candidate {
	fits := 0
	for fits < len(in) && in[fits].within(self) {
		fits++
	}
	if fits == len(in) {
		return in
	}
	out := make([]Candidate, 0, len(in))
	for _, c := range in {
		if c.Peer == "" || len(c.Peer) > maxIDLen || c.Peer == self {
			continue
		}
		c.Addrs = clampAddrs(c.Addrs)
		c.Depth = min(c.Depth, MaxPath)
		c.Free = min(c.Free, MaxSlots)
		c.Slots = min(c.Slots, MaxSlots)
		c.Delay = clampDelay(c.Delay)
		c.Age = clampAge(c.Age)
		c.Coord = c.Coord.Clamp()
		out = append(out, c)
	}
	return out
}

// within tells whether a candidate that somebody sent to self is in the limits.
func (c *Candidate) within(self ID) bool {
	return c.Peer != "" && len(c.Peer) <= maxIDLen && c.Peer != self && c.Depth <= MaxPath && c.Free <= MaxSlots && c.Slots <= MaxSlots &&
		c.Delay == clampDelay(c.Delay) && c.Age == clampAge(c.Age) && c.Coord == c.Coord.Clamp() && len(c.Addrs) <= MaxAddrs &&
		!slices.ContainsFunc(c.Addrs, func(a []byte) bool { return len(a) == 0 || len(a) > MaxAddrLen })
}

func clampAge(d time.Duration) time.Duration { return min(max(d, 0), MaxAge) }

func clampDelay(d time.Duration) time.Duration { return min(max(d, 0), MaxDelay) }

func clampAddrs(in [][]byte) [][]byte {
	var out [][]byte
	for _, a := range in {
		if len(out) == MaxAddrs {
			break
		}
		if len(a) > 0 && len(a) <= MaxAddrLen {
			out = append(out, a)
		}
	}
	return out
}

// goodPath returns the path if it is one that ends with from, else nil: too long, doubled or nameless ids are no path.
func goodPath(from ID, path []ID) []ID {
	if len(path) == 0 || len(path) > MaxPath || path[len(path)-1] != from {
		return nil
	}
	for i, id := range path {
		if id == "" || len(id) > maxIDLen || slices.Contains(path[:i], id) {
			return nil
		}
	}
	return path
}

func clampIDs(in []ID) []ID {
	if len(in) > MaxPath {
		in = in[:MaxPath]
	}
	return in
}
