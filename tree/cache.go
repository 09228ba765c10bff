package tree

import (
	"math/rand/v2"
	"time"

	"github.com/castd/castd/tree/coord"
)

// cacheSize bounds the peers remembered. A random sample of 64 parents with free slots places a peer within a few per cent of
// what knowledge of all of them would.
const cacheSize = 64

// entry is what is known of a candidate.
type entry struct {
	Candidate
	seen     instant       // when it last described itself
	rtt      time.Duration // 0: not measured
	failures int           // in a row
	retry    instant       // not asked before, unless there is nobody else
	crowded  instant       // until then it is not asked for a better backup
	walled   instant       // until then it is not asked for a hop, unless there is nobody else
}

// crowdedFor is how long a peer that has no room for idle children is not asked for a better backup than there is.
const crowdedFor = 30 * time.Second

// cache holds candidates. Their order means nothing, but is the same for the same inputs. When it is full the worst goes. A pointer
// to an entry is good until the next add or remove.
type cache struct {
	list []entry
	keys []uint64 // of list, side by side, so that a look at all of them touches little memory
	keep ID       // the origin: whoever knows it finds the others
}

// keyOf tells most peers apart by their last octets, which in the ids of libp2p belong to a public key.
func keyOf(id ID) uint64 {
	var k uint64
	for i := max(0, len(id)-8); i < len(id); i++ {
		k = k<<8 | uint64(id[i])
	}
	return k
}

func (c *cache) find(id ID) *entry {
	if i := c.index(id); i >= 0 {
		return &c.list[i]
	}
	return nil
}

// index returns the place of a peer in the list, -1 where it is not known.
func (c *cache) index(id ID) int {
	key := keyOf(id)
	for i, k := range c.keys {
		if k == key && c.list[i].Peer == id {
			return i
		}
	}
	return -1
}

// add merges a description and reports whether it is of a peer unknown before, or one that has got room. One that is older than what is
// known says nothing: free slots go within a second where many come at once, and tales of them would go round for ever.
func (c *cache) add(now instant, rng *rand.Rand, d Candidate) bool {
	seen := now.Add(-d.Age)
	d.Age = 0
	if e := c.find(d.Peer); e != nil {
		if seen < e.seen {
			if len(e.Addrs) == 0 {
				e.Addrs = d.Addrs
			}
			return false // what is known is newer
		}
		news := e.Free == 0 && d.Free > 0
		if len(d.Addrs) == 0 {
			d.Addrs = e.Addrs
		}
		if !d.Coord.Known() {
			d.Coord = e.Coord
		}
		e.Candidate, e.seen = d, seen
		return news
	}
	e := entry{Candidate: d, seen: seen}
	if len(c.list) < cacheSize {
		c.list, c.keys = append(c.list, e), append(c.keys, keyOf(d.Peer))
		return true
	}
	// One that is drawn in place of the newcomer is the newcomer itself.
	worst, most := -1, 0
	for range evictAmong {
		k := rng.IntN(cacheSize + 1)
		v := 0
		if k < cacheSize {
			if c.list[k].Peer == c.keep {
				continue
			}
			v = c.list[k].value(now)
		} else {
			v = e.value(now)
		}
		if worst < 0 || v > most {
			worst, most = k, v
		}
	}
	if worst < 0 || worst == cacheSize { // nothing but the origin was drawn
		return false
	}
	c.list[worst], c.keys[worst] = e, keyOf(d.Peer)
	return true
}

func (c *cache) remove(id ID) {
	if i := c.index(id); i >= 0 {
		last := len(c.list) - 1
		c.list[i], c.keys[i] = c.list[last], c.keys[last]
		c.list[last] = entry{}
		c.list, c.keys = c.list[:last], c.keys[:last]
	}
}

// failed notes that a peer did not answer. It is asked again after a pause that doubles, up to a minute.
func (c *cache) failed(now instant, id ID) {
	if e := c.find(id); e != nil {
		e.retry = now.Add(min(time.Second<<min(e.failures, 6), time.Minute))
		e.failures++
		e.rtt = 0
	}
}

// walledFor is how long a peer comes last with which no hop came up. What stands between two peers behind translators stays: nearly all
// of the hops that can be had come up at the first try.
const walledFor = 2 * time.Minute

// unhopped notes that a peer answers and that no hop to it came up. Others may be told of it all the same.
func (c *cache) unhopped(now instant, id ID) {
	if e := c.find(id); e != nil {
		e.walled = now.Add(walledFor)
	}
}

// answered notes that it did.
func (c *cache) answered(id ID) {
	if e := c.find(id); e != nil {
		e.failures, e.retry = 0, 0
	}
}

// evictAmong is how many entries, drawn at random, the one to go is the worst of: so those that are kept are a sample rather than
// the few that everybody would keep.
const evictAmong = 6

// value orders entries for eviction, larger is worse: a failure weighs like 80 s of age, want of a free slot like 20 s.
func (e *entry) value(now instant) int {
	v := 8*e.failures + int(now.Sub(e.seen)/(10*time.Second))
	if e.Free == 0 {
		v += 2
	}
	return v
}

// estimate foretells the cost of a place below a candidate (placeCost) for a peer with the coordinate c.
func (e *entry) estimate(c coord.Coord) time.Duration {
	return placeCost(int(min(e.Depth, MaxPath)), e.Delay, e.roundTrip(c))
}

// roundTrip is that from a peer with the coordinate c, measured or foretold.
func (e *entry) roundTrip(c coord.Coord) time.Duration {
	if e.rtt > 0 {
		return e.rtt
	}
	return foretold(c, e.Coord)
}

// roundTrip is that to a candidate, measured or foretold.
func (r *Router) roundTrip(e *entry) time.Duration { return e.roundTrip(r.coord.Coord()) }

// foretold is the round trip to expect.
func foretold(a, b coord.Coord) time.Duration {
	if d, ok := coord.Distance(a, b); ok {
		return d
	}
	return 2 * farCost
}

// asker is the peer that candidates are ordered for.
type asker struct {
	coord    coord.Coord
	slots    int
	branch   uint32 // for a backup: where the primary path runs
	spare    bool   // looks for a backup
	feeds    bool   // has others below
	urgent   bool   // has lost its place
	headless bool   // that was below a child of the origin
}

// urgentCost orders them behind others for an orphan, who may find room on a reserve there, but not in most cases. The origin helps
// those who have lost one of its own children, and refuses others for most of the time.
const urgentCost = 300 * time.Millisecond

// fullCost orders those without a free slot behind others: far behind for a peer that gives nothing, as it has no chance there.
const fullCost = 20 * time.Millisecond

// rank orders entries for asking, smaller first. For a backup only the way to it counts, and that its path is another: if depth
// counted too, all would ask the same few.
func (e *entry) rank(a asker) time.Duration {
	if a.spare {
		rtt := e.roundTrip(a.coord)
		switch {
		case a.branch == 0 || e.Branch == 0:
			rtt += spareCost / 2
		case a.branch == e.Branch:
			rtt += spareCost
		}
		if a.feeds && e.Free == 0 {
			rtt += spareCost / 4
		}
		return rtt
	}
	v := e.estimate(a.coord)
	if a.urgent {
		v += hasteCost(e.roundTrip(a.coord))
	}
	if e.Free == 0 {
		v += fullCost
		if a.urgent && !(a.headless && e.Depth == 0) {
			v += urgentCost
		} else if !a.urgent && a.slots == 0 {
			v += blindCost
		}
	}
	return v
}

// order keeps the best of the entries that skip does not exclude; ranks are taken +-10 %, so that not everybody asks the same.
// Those that failed lately come last.
func (c *cache) order(now instant, rng *rand.Rand, a asker, n int, skip func(*entry, uint64) bool) (out picks) {
	for i := range c.list {
		e := &c.list[i]
		if skip(e, c.keys[i]) {
			continue
		}
		v := e.rank(a)
		v += time.Duration((rng.Float64() - 0.5) * 0.2 * float64(v))
		if now < e.retry {
			v += time.Hour + e.retry.Sub(now)
		}
		if now < e.walled {
			v += time.Hour
		}
		out.add(pick{entry: e, v: v}, n)
	}
	return out
}
