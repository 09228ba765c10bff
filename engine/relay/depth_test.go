package relay

import (
	"container/heap"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/castd/castd/engine/wire"
)

// A chain of five relays over lossy hops, as a discrete-event simulation: every relay forwards on arrival, asks its parent
// for what is missing, and serves its child from its store, or later what it does not have yet. Hops lose packets, requests and
// pulses alike. It answers what repair and redundancy bring to the end of the chain in time.

type chainConfig struct {
	depth     int
	delay     time.Duration // each way
	jitter    time.Duration
	loss      float64
	video     bool
	redundant bool
	packets   int
	deadline  time.Duration
	repair    RepairConfig
	seed      uint64
}

type chainResult struct {
	inTime, arrived, total int
	asked, media           int
}

func (r chainResult) share() float64 { return float64(r.inTime) / float64(r.total) }

type simEvent struct {
	at  time.Time
	seq int
	do  func()
}

type simHeap []simEvent

func (h simHeap) Len() int { return len(h) }
func (h simHeap) Less(i, j int) bool {
	if !h[i].at.Equal(h[j].at) {
		return h[i].at.Before(h[j].at)
	}
	return h[i].seq < h[j].seq
}
func (h simHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *simHeap) Push(x any)   { *h = append(*h, x.(simEvent)) }
func (h *simHeap) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

type chain struct {
	cfg    chainConfig
	rnd    *rand.Rand
	now    time.Time
	seq    int
	events simHeap
	peers  []*chainPeer
	sent   []time.Time // by number
	res    chainResult
}

type chainPeer struct {
	c      *chain
	depth  int
	store  *Store
	repair *Repair
	timer  time.Time

	group   []uint64 // packets that the next parity packet covers
	groupID int

	got map[int][]uint64 // of the hop above: packets that came, by parity group
}

func (c *chain) at(t time.Time, do func()) {
	c.seq++
	heap.Push(&c.events, simEvent{t, c.seq, do})
}

func (c *chain) after(d time.Duration, do func()) { c.at(c.now.Add(d), do) }

// cross delivers something over one hop, or loses it.
func (c *chain) cross(do func()) {
	if c.rnd.Float64() < c.cfg.loss {
		return
	}
	c.after(c.cfg.delay+time.Duration(c.rnd.Int64N(int64(c.cfg.jitter)+1)), do)
}

// send sends a packet from p to the peer below, with the hop's redundancy.
func (p *chainPeer) send(n uint64) {
	if p.depth == p.c.cfg.depth {
		return
	}
	child := p.c.peers[p.depth+1]
	p.c.res.media++
	if !p.c.cfg.redundant {
		p.c.cross(func() { child.receive(n) })
		return
	}
	if !p.c.cfg.video {
		p.c.cross(func() { child.receive(n) })
		p.c.after(6*time.Millisecond, func() { p.c.cross(func() { child.receive(n) }) })
		return
	}
	id := p.groupID
	p.c.cross(func() {
		child.got[id] = append(child.got[id], n)
		child.receive(n)
	})
	p.group = append(p.group, n)
	if len(p.group) == 1 {
		p.c.after(8*time.Millisecond, func() {
			if p.groupID == id && len(p.group) > 0 {
				p.parity()
			}
		})
	}
	if len(p.group) == 4 {
		p.parity()
	}
}

// parity sends the XOR of the packets since the last one; the child restores one of them.
func (p *chainPeer) parity() {
	id, covered, child := p.groupID, p.group, p.c.peers[p.depth+1]
	p.groupID, p.group = id+1, nil
	p.c.cross(func() {
		missing, count := uint64(0), 0
		for _, n := range covered {
			found := false
			for _, g := range child.got[id] {
				found = found || g == n
			}
			if !found {
				missing, count = n, count+1
			}
		}
		delete(child.got, id)
		if count == 1 {
			child.receive(missing)
		}
	})
}

func (p *chainPeer) receive(n uint64) {
	h, pkt := testPacket(wire.KindAudio, n, "media")
	if v := p.store.Put(&h, pkt, false); v != New {
		return
	}
	p.repair.Arrived(n, p.c.now)
	p.send(n)
	if p.depth == p.c.cfg.depth {
		p.c.res.arrived++
		if p.c.now.Sub(p.c.sent[n]) <= p.c.cfg.deadline {
			p.c.res.inTime++
		}
	}
	p.ask()
}

// ask asks the parent for what is due and sets the timer for the rest.
func (p *chainPeer) ask() {
	parent := p.c.peers[p.depth-1]
	if due := p.repair.Due(p.c.now, nil); len(due) > 0 {
		p.c.res.asked += len(due)
		p.c.cross(func() { parent.asked(p, due) })
	}
	next, ok := p.repair.Next()
	if !ok || next.Equal(p.timer) {
		return
	}
	p.timer = next
	p.c.at(next, func() {
		if p.timer.Equal(next) {
			p.timer = time.Time{}
			p.ask()
		}
	})
}

func (p *chainPeer) asked(child *chainPeer, numbers []uint64) {
	for _, n := range numbers {
		if p.store.State(n) == StateUnconfirmed {
			p.send(n)
		} // else it is sent as soon as it comes
	}
}

func runChain(cfg chainConfig) chainResult {
	c := &chain{cfg: cfg, rnd: rand.New(rand.NewPCG(cfg.seed, 7)), now: time.Unix(1000, 0)}
	for d := range cfg.depth + 1 {
		cfg.repair.RTT = 2 * cfg.delay
		c.peers = append(c.peers, &chainPeer{
			c: c, depth: d, store: NewStore(Config{Kind: wire.KindAudio, MaxBytes: 1 << 20}),
			repair: NewRepair(cfg.repair), got: make(map[int][]uint64),
		})
	}
	source := c.peers[0]
	for d := range cfg.depth {
		c.peers[d+1].repair.SetStart(0)
	}
	start := c.now
	for n := range cfg.packets {
		at := start.Add(time.Duration(n) * 20 * time.Millisecond)
		if cfg.video {
			at = start.Add(time.Duration(n/6)*33*time.Millisecond + time.Duration(n%6)*200*time.Microsecond)
		}
		c.sent = append(c.sent, at)
		c.at(at, func() {
			h, pkt := testPacket(wire.KindAudio, uint64(n), "media")
			source.store.Put(&h, pkt, false)
			source.send(uint64(n))
		})
	}
	end := c.sent[len(c.sent)-1]
	for t := start; t.Before(end.Add(time.Second)); t = t.Add(100 * time.Millisecond) {
		c.at(t, func() {
			for _, p := range c.peers[:cfg.depth] {
				if mark, ok := p.store.Highest(); ok {
					child := c.peers[p.depth+1]
					c.cross(func() {
						child.repair.Highest(mark, c.now)
						child.ask()
					})
				}
			}
		})
	}
	for len(c.events) > 0 {
		e := heap.Pop(&c.events).(simEvent)
		c.now = e.at
		e.do()
	}
	c.res.total = cfg.packets
	return c.res
}

func TestDepthFive(t *testing.T) {
	base := chainConfig{
		depth: 5, delay: 25 * time.Millisecond, jitter: 2 * time.Millisecond, loss: 0.05, packets: 10000, deadline: 250 * time.Millisecond,
	}
	for _, tc := range []struct {
		name             string
		video, redundant bool
		least            float64
	}{
		{"audio", false, false, 0.96},
		{"audio, each packet twice", false, true, 0.999},
		{"video", true, false, 0.96},
		{"video, with parity", true, true, 0.999},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for seed := range uint64(2) {
				cfg := base
				cfg.video, cfg.redundant, cfg.seed = tc.video, tc.redundant, seed+1
				r := runChain(cfg)
				t.Logf("within %v: %.4f %%, ever: %.4f %%, tries per packet and hop: %.3f, sent per packet and hop: %.3f", cfg.deadline,
					100*r.share(), 100*float64(r.arrived)/float64(r.total), float64(r.asked)/float64(r.total*cfg.depth),
					float64(r.media)/float64(r.total*cfg.depth))
				if r.share() < tc.least {
					t.Errorf("only %.4f of the packets arrived in time, want %.4f", r.share(), tc.least)
				}
			}
		})
	}
}
