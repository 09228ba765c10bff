package jitter

import (
	"math"
	"math/rand/v2"
	"sort"
	"testing"
	"time"
)

// call is a sender, a network and a buffer in simulated time.
type call struct {
	config  Config
	length  time.Duration // of the call
	packet  int64         // samples; 20 ms by default
	frame   int           // samples that are pulled at a time; 20 ms by default
	phase   time.Duration // of the pulls to the packets
	drift   float64       // by how much the sender's clock is fast
	fec     bool
	red     int // redundant blocks of each packet
	wave    func(int64) float64
	way     func(i int, sent time.Duration) (time.Duration, bool) // how long a packet takes, and whether it gets lost
	every   func(at time.Duration, b *Buffer, f Frame, pcm []float32)
	warm    time.Duration // after which statistics count
	decoder fakeDecoder
}

type result struct {
	Stats
	target  time.Duration // mean
	highest time.Duration
}

// delay is how long sound stayed in the buffer, on average.
func (r result) delay() time.Duration {
	return time.Duration(r.JitterBufferDelay / float64(r.JitterBufferEmittedCount) * float64(time.Second))
}

func (r result) concealed() float64 {
	return 100 * float64(r.ConcealedSamples) / float64(r.TotalSamplesReceived)
}

type arrival struct {
	at time.Duration
	i  int
}

var epoch = time.Unix(1_000_000, 0)

func (c call) run(t testing.TB) result {
	t.Helper()
	if c.packet == 0 {
		c.packet = 960
	}
	if c.frame == 0 {
		c.frame = 960
	}
	if c.config.Channels == 0 {
		c.config.Channels = 1
	}
	if c.wave == nil {
		c.wave = voice(120)
	}
	c.decoder.wave, c.decoder.channels = c.wave, c.config.Channels
	each := duration(c.packet)
	count := int(float64(c.length/each) / (1 - c.drift))
	arrivals := make([]arrival, 0, count)
	for i := range count {
		sent := time.Duration(float64(i) * float64(each) * (1 - c.drift))
		if way, lost := c.way(i, sent); !lost {
			arrivals = append(arrivals, arrival{sent + way, i})
		}
	}
	sort.SliceStable(arrivals, func(a, b int) bool { return arrivals[a].at < arrivals[b].at })
	b := New(c.config, &c.decoder)
	pcm := make([]float32, c.frame*c.config.Channels)
	var targets, pulls time.Duration
	var before Stats
	var highest time.Duration
	for now := c.phase; now < c.length-time.Second; now += duration(int64(c.frame)) {
		for len(arrivals) > 0 && arrivals[0].at <= now {
			b.Push(c.send(arrivals[0]))
			arrivals = arrivals[1:]
		}
		f := b.Pull(epoch.Add(now), pcm)
		if c.every != nil {
			c.every(now, b, f, pcm)
		}
		if now < c.warm {
			before = b.Stats()
			continue
		}
		targets += b.Target()
		highest = max(highest, b.Target())
		pulls++
	}
	return result{b.Stats().since(before), targets / max(1, pulls), highest}
}

// unlessShort returns how long a call lasts: less with -short, as the race detector is slow.
func unlessShort(full, short time.Duration) time.Duration {
	if testing.Short() {
		return short
	}
	return full
}

// send makes the packet.
func (c *call) send(a arrival) Packet {
	at := int64(a.i) * c.packet
	p := Packet{
		Arrival: epoch.Add(a.at), SSRC: 7, Sequence: uint16(65000 + a.i), Timestamp: uint32(4294900000 + at),
		Payload: payload(at, c.packet, c.fec),
	}
	if c.red > 0 {
		p.RED = true
		var head, body []byte
		for k := c.red; k > 0; k-- {
			back := int64(k) * c.packet
			if back > at || back >= 1<<14 {
				continue
			}
			old := payload(at-back, c.packet, false)
			head = append(head, 0x80|111, byte(back>>6), byte(back<<2)|byte(len(old)>>8), byte(len(old)))
			body = append(body, old...)
		}
		p.Payload = append(append(append(head, 111), body...), p.Payload...)
	}
	return p
}

// since returns what was counted after an earlier look.
func (s Stats) since(o Stats) Stats {
	s.TotalSamplesReceived -= o.TotalSamplesReceived
	s.ConcealedSamples -= o.ConcealedSamples
	s.SilentConcealedSamples -= o.SilentConcealedSamples
	s.ConcealmentEvents -= o.ConcealmentEvents
	s.InsertedSamplesForDeceleration -= o.InsertedSamplesForDeceleration
	s.RemovedSamplesForAcceleration -= o.RemovedSamplesForAcceleration
	s.JitterBufferDelay -= o.JitterBufferDelay
	s.JitterBufferTargetDelay -= o.JitterBufferTargetDelay
	s.JitterBufferEmittedCount -= o.JitterBufferEmittedCount
	s.PacketsReceived -= o.PacketsReceived
	s.PacketsDiscarded -= o.PacketsDiscarded
	s.PacketsLate -= o.PacketsLate
	s.Stretches -= o.Stretches
	return s
}

// Networks.

type way = func(i int, sent time.Duration) (time.Duration, bool)

const ms = time.Millisecond

// lan takes up to 1 ms.
func lan(seed uint64) way {
	r := rand.New(rand.NewPCG(seed, 1))
	return func(int, time.Duration) (time.Duration, bool) { return time.Duration(r.Float64() * float64(ms)), false }
}

// normal is `netem delay 300ms sigma`: each packet for itself, so that they overtake each other.
func normal(seed uint64, sigma time.Duration) way {
	r := rand.New(rand.NewPCG(seed, 2))
	return func(int, time.Duration) (time.Duration, bool) {
		return max(0, 300*ms+time.Duration(r.NormFloat64()*float64(sigma))), false
	}
}

// fifo lets no packet overtake; delays resemble those before by the given correlation.
func fifo(seed uint64, sigma time.Duration, correlation float64) way {
	r := rand.New(rand.NewPCG(seed, 3))
	var last time.Duration
	x := r.NormFloat64()
	return func(_ int, sent time.Duration) (time.Duration, bool) {
		x = correlation*x + math.Sqrt(1-correlation*correlation)*r.NormFloat64()
		last = max(last, sent+max(0, 300*ms+time.Duration(x*float64(sigma))))
		return last - sent, false
	}
}

// losing drops packets of another network.
func losing(w way, lost func() bool) way {
	return func(i int, sent time.Duration) (time.Duration, bool) {
		d, l := w(i, sent)
		return d, l || lost()
	}
}

// random loses each packet by itself.
func random(seed uint64, share float64) func() bool {
	r := rand.New(rand.NewPCG(seed, 4))
	return func() bool { return r.Float64() < share }
}

// bursts loses packets in a row, 2.5 on average (Gilbert's model).
func bursts(seed uint64, share float64) func() bool {
	r := rand.New(rand.NewPCG(seed, 5))
	leave := 1 / 2.5
	enter := leave * share / (1 - share)
	bad := false
	return func() bool {
		if bad {
			bad = r.Float64() >= leave
		} else {
			bad = r.Float64() < enter
		}
		return bad
	}
}
