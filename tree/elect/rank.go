package elect

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
	"slices"
	"strings"
)

// Rank returns up to n peers for a role, the primary first, from the offers of a room. seed tells rooms and roles apart. Offers that
// pass the gates come before all others, and of these the ones on battery, with a busy computer, or that crash come last: a role is
// better held by somebody weak than by nobody.
// Duplicates count once. Whoever has the same offers gets the same list, in whatever order they are.
func Rank(seed string, gates Gates, offers []Offer, n int) []ID {
	type entry struct {
		Offer
		fit int // 2: passes the gates, 1: is able, 0: is neither
		key uint64
	}
	list := make([]entry, 0, len(offers))
	for _, o := range offers {
		if o.Peer == "" {
			continue
		}
		o = o.Clamp()
		e := entry{Offer: o, key: race(seed, o.Peer, o.Score())}
		switch {
		case gates.Passes(o):
			e.fit = 2
		case gates.able(o):
			e.fit = 1
		}
		list = append(list, e)
	}
	slices.SortFunc(list, func(a, b entry) int {
		switch {
		case a.fit != b.fit:
			return b.fit - a.fit
		case a.key != b.key:
			if a.key < b.key {
				return -1
			}
			return 1
		}
		return strings.Compare(string(a.Peer), string(b.Peer))
	})
	list = slices.CompactFunc(list, func(a, b entry) bool { return a.Peer == b.Peer })
	if n > 1 && len(list) > 2 && n <= len(list) {
		// Two versions and two networks among those chosen, as far as those who are fit have them.
		first := list[0]
		best, worth := 1, 0
		for i := 1; i < len(list) && list[i].fit == first.fit; i++ {
			w := 0
			if list[i].Version != first.Version {
				w++
			}
			if list[i].Network != first.Network || first.Network == "" {
				w += 2
			}
			if w > worth {
				best, worth = i, w
			}
		}
		other := list[best]
		list = slices.Insert(slices.Delete(list, best, best+1), 1, other)
		if n > 2 && other.Version == first.Version {
			for i := 2; i < len(list) && list[i].fit == first.fit; i++ {
				if list[i].Version != first.Version {
					third := list[i]
					list = slices.Insert(slices.Delete(list, i, i+1), 2, third)
					break
				}
			}
		}
	}
	ids := make([]ID, 0, n)
	for _, e := range list[:min(n, len(list))] {
		ids = append(ids, e.Peer)
	}
	return ids
}

// race returns the time at which a peer arrives in an exponential race: the peer with the smallest one wins, with a chance that is
// proportional to its weight, and independently of who else takes part.
func race(seed string, id ID, weight uint64) uint64 {
	h := sha256.New()
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], uint64(len(seed)))
	h.Write([]byte("castd elect v1\x00"))
	h.Write(n[:])
	h.Write([]byte(seed))
	h.Write([]byte(id))
	u := binary.BigEndian.Uint64(h.Sum(nil))
	return negLog2(u) << 16 / max(weight, 1)
}

// negLog2 returns -log2((u+1) / 2^64) in units of 2^-32, by repeated squaring: no floating point, which differs among machines.
func negLog2(u uint64) uint64 {
	if u == ^uint64(0) {
		return 0
	}
	u++
	whole := bits.Len64(u) - 1 // of log2(u)
	m := u << (63 - whole)     // mantissa in [1,2), 63 bits behind the point
	frac := uint64(0)
	for range 32 {
		hi, lo := bits.Mul64(m, m) // in [1,4), 126 bits behind the point
		frac <<= 1
		if hi>>63 != 0 {
			frac |= 1
			m = hi
		} else {
			m = hi<<1 | lo>>63
		}
	}
	return 64<<32 - (uint64(whole)<<32 | frac)
}
