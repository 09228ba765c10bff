package tree

import (
	"flag"
	"math"
	"slices"
	"testing"
	"time"
)

var (
	shapePeers = flag.Int("shape.peers", 300, "peers of TestShape")
	shapeIndex = flag.Float64("shape.index", 1.3, "slots of TestShape's peers, over their number")
	shapeSeed  = flag.Uint64("shape.seed", 1, "first of TestShape's three seeds")
	shapeTime  = flag.Duration("shape.time", 3*time.Minute, "simulated time of TestShape")
)

// cities are latitudes and longitudes of places where people live.
var cities = [][2]float64{
	{35.7, 139.7}, {28.6, 77.2}, {31.2, 121.5}, {-23.5, -46.6}, {19.4, -99.1}, {30.0, 31.2}, {19.1, 72.9}, {40.7, -74.0}, {34.1, -118.2},
	{51.5, -0.1}, {48.9, 2.3}, {52.5, 13.4}, {55.8, 37.6}, {41.0, 29.0}, {6.5, 3.4}, {-26.2, 28.0}, {-33.9, 151.2}, {1.35, 103.8},
	{37.6, 127.0}, {-34.6, -58.4}, {43.7, -79.4}, {41.9, -87.6}, {40.4, -3.7}, {59.3, 18.1},
}

// world spreads the nodes over cities: light in fibre that is half as long again as the way, and access links of 6 ms in the median.
type world struct {
	city   []int
	access []float64 // ms
}

func (w *world) add(s *sim) {
	w.city = append(w.city, s.rng.IntN(len(cities)))
	w.access = append(w.access, 6*math.Exp(0.6*s.rng.NormFloat64()))
}

func (w *world) latency(a, b int) time.Duration {
	p, q := cities[w.city[a]], cities[w.city[b]]
	rad := math.Pi / 180
	h := math.Sin((q[0]-p[0])*rad/2)*math.Sin((q[0]-p[0])*rad/2) +
		math.Cos(p[0]*rad)*math.Cos(q[0]*rad)*math.Sin((q[1]-p[1])*rad/2)*math.Sin((q[1]-p[1])*rad/2)
	km := 2 * 6371 * math.Asin(math.Sqrt(h))
	return time.Duration((km*1.5/200 + 0.5 + w.access[a] + w.access[b]) * float64(time.Millisecond))
}

// upload draws slots so that there are index of them for each peer: half the peers give nothing, a few give much.
func upload(s *sim, index float64) int {
	x := s.rng.Float64()
	n := 0
	switch {
	case x < 0.52:
	case x < 0.72:
		n = 1
	case x < 0.87:
		n = 2
	case x < 0.96:
		n = 4
	case x < 0.99:
		n = 8
	default:
		n = 20
	}
	f := float64(n) * index / 1.32
	whole := math.Floor(f)
	if s.rng.Float64() < f-whole {
		whole++
	}
	return int(whole)
}

// shape is what a tree looks like.
type shape struct {
	depth, delay, rdp [3]float64 // median, 95 %, most
	unplaced, streams int
	red               float64 // part of the peers below the larger of the heads
	disjoint          float64 // part of those with a backup whose path shares nothing
	audio             float64 // part of those with a backup that get audio twice
}

func three(v []float64) [3]float64 {
	slices.Sort(v)
	if len(v) == 0 {
		return [3]float64{}
	}
	return [3]float64{v[len(v)/2], v[len(v)*95/100], v[len(v)-1]}
}

func (s *sim) shape() (o shape) {
	var depth, delay, rdp []float64
	branch := map[uint32]int{}
	backups, disjoint, audio := 0, 0, 0
	for _, n := range s.nodes[1:] {
		if !n.alive {
			continue
		}
		st := n.r.Status()
		if !st.Placed {
			o.unplaced++
			continue
		}
		d := time.Duration(0)
		for i := 1; i < len(st.Path); i++ {
			d += s.latency(s.byID[st.Path[i-1]].i, s.byID[st.Path[i]].i) + time.Millisecond
		}
		branch[BranchOf(st.Path)]++
		depth = append(depth, float64(st.Depth))
		delay = append(delay, float64(d)/float64(time.Millisecond))
		rdp = append(rdp, float64(d)/float64(s.latency(0, n.i)))
		if n.r.backup != nil {
			backups++
			if n.r.backup.quality == bestQuality {
				disjoint++
			}
			if n.feeds.Copy != CopyNone {
				audio++
			}
		}
	}
	for _, c := range s.nodes[0].children {
		if c.Kind != Backup {
			o.streams++
		}
	}
	most := 0
	for _, k := range branch {
		most = max(most, k)
	}
	o.depth, o.delay, o.rdp = three(depth), three(delay), three(rdp)
	o.red = float64(most) / float64(max(len(depth), 1))
	o.disjoint, o.audio = float64(disjoint)/float64(max(len(depth), 1)), float64(audio)/float64(max(len(depth), 1))
	return o
}

// inFull skips a test in its short form, which is that under the race detector: a room is simulated by one goroutine, where there is no
// race to find, and twelve times slower then.
func inFull(t *testing.T) {
	if testing.Short() {
		t.Skip("a simulated room, which runs without -short")
	}
}

// TestShape builds a room all over the world in 20 s, lets it turn over by 1 % a minute, and looks at the tree; tree/treesim holds larger ones to
// their targets.
func TestShape(t *testing.T) {
	inFull(t)
	var rdps []float64
	for seed := range uint64(3) {
		o := shapeOf(t, *shapeSeed+seed)
		if o.unplaced > 3 || o.streams != 2 || o.depth[1] > 7 || o.depth[2] > 10 {
			t.Errorf("seed %d: %+v", *shapeSeed+seed, o)
		}
		rdps = append(rdps, o.rdp[0])
	}
	slices.Sort(rdps)
	if m := rdps[len(rdps)/2]; m > 2.6 {
		t.Errorf("the median relative delay is %.2f, in the median of the seeds", m)
	}
}

// shapeOf builds a room, lets peers come and go, and returns what it looks like at the end.
func shapeOf(t *testing.T, seed uint64) shape {
	s := newSim(t, seed)
	s.world = &world{}
	s.calm = true
	s.add(8)
	for range *shapePeers {
		slots := upload(s, *shapeIndex)
		s.after(time.Duration(s.rng.Int64N(int64(20*time.Second))), func() { s.add(slots) })
	}
	for at := 40 * time.Second; at < *shapeTime; at += 6000 * time.Second / time.Duration(*shapePeers) {
		s.after(at, func() {
			n := s.nodes[1+s.rng.IntN(len(s.nodes)-1)]
			if n.alive {
				s.kill(n, true)
				s.add(upload(s, *shapeIndex))
			}
		})
	}
	for _, at := range []time.Duration{10 * time.Second, 20 * time.Second, 25 * time.Second, 40 * time.Second, 60 * time.Second, 100 * time.Second, *shapeTime} {
		if at > *shapeTime {
			break
		}
		moves, refused, displaced, msgs, adverts := s.moves, s.refused, s.displaced, s.msgs, s.adverts
		from := s.now
		s.run(at)
		o := s.shape()
		peers := float64(len(s.nodes))
		t.Logf("%4.0fs depth %v delay %.0f rdp %.1f unplaced %d streams %d larger branch %.2f disjoint %.2f audio %.2f; moves/peer/min %.2f refused %d displaced %d msgs/peer/s %.2f adverts/s %.1f",
			s.now.Seconds(), o.depth, o.delay, o.rdp, o.unplaced, o.streams, o.red, o.disjoint, o.audio,
			float64(s.moves-moves)/peers/(s.now-from).Minutes(), s.refused-refused, s.displaced-displaced, float64(s.msgs-msgs)/peers/(s.now-from).Seconds(), float64(s.adverts-adverts)/(s.now-from).Seconds())
	}
	var waits []float64
	for _, n := range s.nodes[1:] {
		if n.placedAt > 0 {
			waits = append(waits, float64((n.placedAt-n.born)/time.Millisecond))
		}
	}
	t.Logf("join ms %.0f", three(waits))
	return s.shape()
}
