package treesim

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/castd/castd/tree"
)

const (
	second = int64(time.Second)
	milli  = int64(time.Millisecond)
	never  = int64(1) << 62
)

// start is the time at which the virtual clock begins.
func start() time.Time { return time.Unix(1_000_000, 0) }

// Config sets up a run.
type Config struct {
	// Peers is how many are in the room, the origin included; 2 to 1,000,000.
	Peers int
	// Minutes is for how long, building the room up included; more than 0.
	Minutes float64
	// Seed feeds all that is random. Same configuration, same trace.
	Seed uint64
	// Scenario is the name of one of Scenarios.
	Scenario string
	// Index overrides the scenario's resource index where it is one of 0.9, 1.15, 1.3, 2 and 5; 0 leaves it.
	Index float64
	// Churn is the share of peers that leave in a minute, with as many that come; negative: 1 %.
	Churn float64
	// Calibration holds the times of real processes; the zero value: Committed.
	Calibration Calibration
	// Progress is told some times a second how much of the time is over, 0 to 1, and says whether to go on; it may be nil.
	Progress func(done float64) bool
}

// Sim is one run. It belongs to one goroutine.
type Sim struct {
	// Constant after newSim.
	cfg      Config
	scenario Scenario
	cal      Calibration
	world    *world
	uploads  uploads
	end      int64 // of the run
	built    int64 // when the last of the first peers comes
	faultAt  int64 // when faults begin, and measuring
	stay     float64

	now int64
	q   queue
	log trace

	peers []peer // never grows beyond its capacity while a pointer into it is held

	// One source of random numbers for each purpose, so that a change in one does not shift the others.
	netRand, lifeRand, bodyRand, faultRand, gossipRand *rand.Rand

	running int
	asking  int // look for their first place
	islands bool
	feedSeq int64
	hopSeq  int64
	muteSeq int64
	adverts adverts
	causes  []cause
	m       measures
	inflows []int32 // scratch of fed
}

// ErrStopped says that Config.Progress ended a run.
var ErrStopped = errors.New("treesim: stopped")

// Run simulates a room.
func Run(c Config) (*Result, error) {
	s, err := newSim(c)
	if err != nil {
		return nil, err
	}
	s.build()
	if !s.loop() {
		return nil, ErrStopped
	}
	return s.result(), nil
}

func newSim(c Config) (*Sim, error) {
	sc, ok := scenario(c.Scenario)
	if !ok {
		return nil, fmt.Errorf("treesim: there is no scenario %q", c.Scenario)
	}
	if c.Peers < 2 || c.Peers > 1_000_000 {
		return nil, fmt.Errorf("treesim: %d peers are not within 2 and 1,000,000", c.Peers)
	}
	if !(c.Minutes > 0) || c.Minutes > 24*60 {
		return nil, errors.New("treesim: the time is more than nothing and at most a day")
	}
	if c.Index != 0 {
		sc.Index = c.Index
	}
	if mixes[sc.Index] == nil {
		return nil, fmt.Errorf("treesim: there is no mix of uploads for the resource index %v", sc.Index)
	}
	if c.Churn < 0 {
		c.Churn = 0.01
	}
	if c.Calibration == (Calibration{}) {
		c.Calibration = Committed()
	}
	s := &Sim{
		cfg: c, scenario: sc, cal: c.Calibration, world: newWorld(), uploads: newUploads(sc.Index),
		end: int64(c.Minutes * 60e9), log: newTrace(),
		netRand: rand.New(rand.NewPCG(c.Seed, 1)), lifeRand: rand.New(rand.NewPCG(c.Seed, 2)), bodyRand: rand.New(rand.NewPCG(c.Seed, 3)),
		faultRand: rand.New(rand.NewPCG(c.Seed, 4)), gossipRand: rand.New(rand.NewPCG(c.Seed, 5)),
	}
	s.built = min(60*second, s.end/5)
	s.faultAt = min(s.built+60*second, s.end/2)
	s.m.init(s)
	if c.Churn > 0 {
		// A fifth of those who come go soon and make others come: with them, the sum is the churn.
		s.stay = 60e9 / c.Churn / (1 - shortStay)
	}
	return s, nil
}

func (s *Sim) time() time.Time { return start().Add(time.Duration(s.now)) }

func (s *Sim) after(d int64, p payload) { s.q.push(s.now+max(0, d), p) }

// build plans the arrivals.
func (s *Sim) build() {
	s.q.push(0, payload{kind: evArrive, a: 0})
	for i := 1; i < s.cfg.Peers; i++ {
		at := 200*milli + int64(s.lifeRand.Float64()*float64(s.built))
		life := int64(0)
		if s.cfg.Churn > 0 {
			life = residual(s.lifeRand, s.stay)
		}
		s.q.push(at, payload{kind: evArrive, a: int32(i), x: life})
	}
	s.q.push(second, payload{kind: evSweep})
	s.q.push(max(0, s.faultAt-sampleFrom), payload{kind: evSample})
	if s.scenario.fault != nil {
		s.scenario.fault(s)
	}
}

// progressEvery is after how many events Progress is told.
const progressEvery = 1 << 15

// loop runs to the end; false says that it was stopped.
func (s *Sim) loop() bool {
	for {
		if at, ok := s.q.next(); !ok || at > s.end {
			break
		}
		at, p := s.q.pop()
		s.now = at
		s.m.events++
		s.log.event(at, &p)
		s.do(&p)
		if s.cfg.Progress != nil && s.m.events%progressEvery == 0 && !s.cfg.Progress(float64(at)/float64(s.end)) {
			return false
		}
	}
	s.now = s.end
	return true
}

// do carries out one event.
func (s *Sim) do(p *payload) {
	switch p.kind {
	case evArrive:
		s.arrive(p.a, p.x)
	case evDepart:
		s.depart(p.a)
	case evGone:
		s.gone(p.a)
	case evTick:
		s.tick(p.a)
	case evMessage:
		s.received(p)
	case evUnreach:
		s.step(p.a, tree.Unreachable{Peer: s.peers[p.b].id})
	case evOpen:
		s.opened(p.a, p.b)
	case evHopUp:
		if h := s.peers[p.a].hop(p.b); h != nil {
			s.step(p.a, tree.HopUp{Peer: s.peers[p.b].id})
		}
	case evHopDown:
		s.hopDown(p)
	case evFed:
		s.step(p.a, tree.Fed{Peer: s.peers[p.b].id})
	case evFeed:
		s.fed(p)
	case evPulses:
		s.sayPulses(p.a)
	case evPulse:
		s.pulsed(p)
	case evAlive:
		s.alive(p)
	case evBroken:
		if s.peers[p.a].hop(p.b) != nil {
			s.step(p.a, tree.Broken{Peer: s.peers[p.b].id})
		}
	case evAdvert:
		s.hearAdvert(p.a)
	case evAsk:
		s.ask(p.a)
	case evFirst:
		s.first(p.a)
	case evRefresh:
		s.refresh(p.a)
	case evCorrect:
		s.correct(p.a)
	case evLoop:
		s.checkLoop(p.a)
	case evPlaced:
		s.checkPlaced(p.a)
	case evSweep:
		s.sweep()
	case evFault:
		s.nextFault(p)
	case evHeal:
		s.heal(p)
	case evStale:
		s.stale(p)
	case evSample:
		s.sample()
	default:
		panic("treesim: internal error: unknown event")
	}
}

// idOf makes the id of a peer: 8 octets that hold its number, so that ids sort as numbers do.
func idOf(n int32) tree.ID {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(n)+1)
	return tree.ID(b[:])
}

// index is the inverse of idOf; -1 for "" and for what no peer has.
func (s *Sim) index(id tree.ID) int32 {
	if len(id) != 8 {
		return -1
	}
	n := int64(id[0])<<56 | int64(id[1])<<48 | int64(id[2])<<40 | int64(id[3])<<32 | int64(id[4])<<24 | int64(id[5])<<16 | int64(id[6])<<8 | int64(id[7])
	if n < 1 || n > int64(len(s.peers)) {
		return -1
	}
	return int32(n - 1)
}
