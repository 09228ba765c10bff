package treesim

import (
	"math"
	"math/rand/v2"
)

// city is where peers live: latitude and longitude in degrees, inhabitants of the urban area in millions.
type city struct {
	name     string
	lat, lon float64
	people   float64
}

// cities are large urban areas of all continents; peers are spread over them by inhabitants.
var cities = [...]city{
	{"Tokyo", 35.7, 139.7, 37}, {"Delhi", 28.6, 77.2, 32}, {"Shanghai", 31.2, 121.5, 29}, {"Dhaka", 23.8, 90.4, 22},
	{"Sao Paulo", -23.5, -46.6, 22}, {"Mexico City", 19.4, -99.1, 22}, {"Cairo", 30.0, 31.2, 22}, {"Beijing", 39.9, 116.4, 21},
	{"Mumbai", 19.1, 72.9, 21}, {"Osaka", 34.7, 135.5, 19}, {"New York", 40.7, -74.0, 19}, {"Karachi", 24.9, 67.0, 17},
	{"Istanbul", 41.0, 29.0, 16}, {"Kolkata", 22.6, 88.4, 15}, {"Kinshasa", -4.4, 15.3, 15}, {"Lagos", 6.5, 3.4, 15},
	{"Buenos Aires", -34.6, -58.4, 15}, {"Manila", 14.6, 121.0, 14}, {"Guangzhou", 23.1, 113.3, 14}, {"Rio de Janeiro", -22.9, -43.2, 14},
	{"Los Angeles", 34.1, -118.2, 13}, {"Bangalore", 13.0, 77.6, 13}, {"Moscow", 55.8, 37.6, 13}, {"Shenzhen", 22.5, 114.1, 13},
	{"Lahore", 31.5, 74.3, 13}, {"Bogota", 4.7, -74.1, 11}, {"Paris", 48.9, 2.4, 11}, {"Jakarta", -6.2, 106.8, 11},
	{"Chennai", 13.1, 80.3, 11}, {"Lima", -12.0, -77.0, 11}, {"Bangkok", 13.8, 100.5, 11}, {"Seoul", 37.6, 127.0, 10},
	{"Hyderabad", 17.4, 78.5, 10}, {"London", 51.5, -0.1, 10}, {"Tehran", 35.7, 51.4, 9}, {"Chicago", 41.9, -87.6, 9},
	{"Ho Chi Minh City", 10.8, 106.7, 9}, {"Luanda", -8.8, 13.2, 9}, {"Kuala Lumpur", 3.1, 101.7, 8}, {"Hong Kong", 22.3, 114.2, 8},
	{"Riyadh", 24.7, 46.7, 8}, {"Baghdad", 33.3, 44.4, 7}, {"Santiago", -33.4, -70.7, 7}, {"Madrid", 40.4, -3.7, 7},
	{"Houston", 29.8, -95.4, 7}, {"Toronto", 43.7, -79.4, 6}, {"Singapore", 1.4, 103.8, 6}, {"Johannesburg", -26.2, 28.0, 6},
	{"Dallas", 32.8, -96.8, 6}, {"Barcelona", 41.4, 2.2, 6}, {"Atlanta", 33.7, -84.4, 6}, {"Saint Petersburg", 59.9, 30.3, 6},
	{"Sydney", -33.9, 151.2, 5}, {"Nairobi", -1.3, 36.8, 5}, {"Melbourne", -37.8, 145.0, 5}, {"Berlin", 52.5, 13.4, 4},
	{"San Francisco", 37.8, -122.4, 4}, {"Casablanca", 33.6, -7.6, 4}, {"Seattle", 47.6, -122.3, 4}, {"Rome", 41.9, 12.5, 4},
	{"Milan", 45.5, 9.2, 3}, {"Warsaw", 52.2, 21.0, 3}, {"Vienna", 48.2, 16.4, 2}, {"Stockholm", 59.3, 18.1, 2},
}

const (
	earth     = 6371.0 // km
	lightMs   = 204.0  // km that light goes in fibre in a millisecond
	detour    = 1.5    // of fibre, over the straight line
	accessMed = 6.0    // ms, one way, median of the access networks
	accessDev = 0.6    // of its logarithm
	bentPairs = 0.15   // of pairs whose route is longer than that: they violate the triangle inequality
)

// world holds the one-way times between cities, in ns.
type world struct {
	way   [len(cities)][len(cities)]int64
	upTo  [len(cities)]float64 // inhabitants, added up
	total float64
}

func newWorld() *world {
	w := &world{}
	for i, a := range cities {
		w.total += a.people
		w.upTo[i] = w.total
		for j, b := range cities {
			w.way[i][j] = int64(distance(a, b) * detour / lightMs * 1e6)
		}
	}
	return w
}

// distance is that of the great circle, in km.
func distance(a, b city) float64 {
	const rad = math.Pi / 180
	x := math.Sin((b.lat - a.lat) * rad / 2)
	y := math.Sin((b.lon - a.lon) * rad / 2)
	return 2 * earth * math.Asin(math.Sqrt(min(1, x*x+math.Cos(a.lat*rad)*math.Cos(b.lat*rad)*y*y)))
}

// city draws one by inhabitants.
func (w *world) city(r *rand.Rand) uint8 {
	x := r.Float64() * w.total
	for i, u := range w.upTo {
		if x < u {
			return uint8(i)
		}
	}
	return uint8(len(cities) - 1)
}

// access is a class of access networks.
type access uint8

const (
	wired access = iota
	homeWiFi
	badWiFi // and mobile networks
)

// accesses gives the classes: shares, mean jitter of a packet in ns, chance that it is sent again, and theta, the limit of silence that
// a receiver of the class arrives at (package detect, TestFalseAlarms).
var accesses = [...]struct {
	share  float64
	jitter float64
	again  float64
	theta  int64
}{
	wired:    {0.40, 0.3e6, 0.001, 80e6},
	homeWiFi: {0.45, 2e6, 0.004, 125e6},
	badWiFi:  {0.15, 8e6, 0.015, 165e6},
}

func drawAccess(r *rand.Rand) access {
	x := r.Float64()
	for c := range accesses {
		if x < accesses[c].share {
			return access(c)
		}
		x -= accesses[c].share
	}
	return badWiFi
}

// nat is a class of what stands between a peer and the network.
type nat uint8

const (
	public nat = iota
	mapped     // a port is mapped to the peer
	cone
	symmetric
)

var natShares = [...]float64{public: 0.12, mapped: 0.18, cone: 0.50, symmetric: 0.20}

func drawNAT(r *rand.Rand) nat {
	x := r.Float64()
	for c, share := range natShares {
		if x < share {
			return nat(c)
		}
		x -= share
	}
	return symmetric
}

// open reports whether anybody can reach the peer, by TCP too.
func (n nat) open() bool { return n <= mapped }

// punched is how often hole punching works between two classes that are not open: 70 % over all pairs.
func punched(a, b nat) float64 {
	switch {
	case a == cone && b == cone:
		return 0.84
	case a == symmetric && b == symmetric:
		return 0.20
	}
	return 0.62
}

// mix is splitmix64's finaliser: what is drawn of a pair of peers comes of it, so that it needs no memory and is the same
// whenever it is asked for.
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}

// pair returns a number in [0, 1) that belongs to two peers, whatever their order.
func (s *Sim) pair(a, b int32, purpose uint64) float64 {
	h := mix(mix(s.cfg.Seed+purpose*0x9e3779b97f4a7c15) + uint64(min(a, b))<<32 + uint64(max(a, b)))
	return float64(h>>11) / (1 << 53)
}

// way is the time of a packet from a to b, one way, without jitter, in ns.
func (s *Sim) way(a, b int32) int64 {
	p, q := &s.peers[a], &s.peers[b]
	d := s.world.way[p.city][q.city] + p.accessTime + q.accessTime + p.slow + q.slow
	if x := s.pair(a, b, 1); x < bentPairs {
		d += int64(float64(d) * (0.4 + 1.6*x/bentPairs))
	}
	return d
}

// reach reports whether a hop between two peers can be had.
func (s *Sim) reach(a, b int32) bool {
	p, q := s.peers[a].nat, s.peers[b].nat
	return p.open() || q.open() || s.pair(a, b, 2) < punched(p, q)
}

// jitter is what a packet between two peers takes longer than the least, in ns.
func (s *Sim) jitter(a, b int32) int64 {
	x, y := &accesses[s.peers[a].access], &accesses[s.peers[b].access]
	j := s.netRand.ExpFloat64() * (x.jitter + y.jitter)
	if s.netRand.Float64() < x.again+y.again {
		j += float64(2*s.way(a, b) + 20e6) // it is lost and sent again
	}
	return int64(j)
}
