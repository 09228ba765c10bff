package engine_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/enginetest"
	"github.com/castd/castd/engine/wire"
)

// arrivals notes when each packet of media first came to each peer.
type arrivals struct {
	mu sync.Mutex
	at map[arrival]time.Time
}

type arrival struct {
	to     peer.ID
	stream wire.StreamID
	number uint64
}

func watchArrivals(n *enginetest.VNet) *arrivals {
	a := &arrivals{at: make(map[arrival]time.Time)}
	n.OnArrival(func(to, _ peer.ID, pkt []byte) {
		h, _, err := wire.ParseHeader(pkt)
		if err != nil || h.Kind == wire.KindRecord {
			return
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		k := arrival{to, h.Stream, h.Number}
		if _, ok := a.at[k]; !ok {
			a.at[k] = time.Now()
		}
	})
	return a
}

// longest returns for each peer the longest time without a new packet of media that began after since.
func (a *arrivals) longest(since time.Time) map[peer.ID]time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	times := make(map[peer.ID][]time.Time)
	for k, at := range a.at {
		if at.After(since) {
			times[k.to] = append(times[k.to], at)
		}
	}
	worst := make(map[peer.ID]time.Duration)
	for id, all := range times {
		slices.SortFunc(all, time.Time.Compare)
		for i := 1; i < len(all); i++ {
			worst[id] = max(worst[id], all[i].Sub(all[i-1]))
		}
	}
	return worst
}

// programme publishes sound and pictures as a source would: Opus every 20 ms, and 30 pictures a second, each of five packets
// that come at once, 1.2 Mbit/s with a key frame every two seconds. It notes when each was sent.
type programme struct {
	pub  engine.Publication
	stop chan struct{}
	done sync.WaitGroup

	mu   sync.Mutex
	sent map[string][]time.Time // by label; the index is the source's number
}

const (
	framePackets = 5
	frameEvery   = time.Second / 30
	groupFrames  = 60
)

func startProgramme(t *testing.T, pub engine.Publication) *programme {
	p := &programme{pub: pub, stop: make(chan struct{}), sent: make(map[string][]time.Time)}
	write := func(label string, m *engine.MediaPacket) {
		p.mu.Lock()
		m.Sequence = int64(len(p.sent[label]))
		p.sent[label] = append(p.sent[label], time.Now())
		p.mu.Unlock()
		if err := pub.Write(label, m); err != nil {
			t.Errorf("write %s: %v", label, err)
		}
	}
	every := func(d time.Duration, f func(i int)) {
		p.done.Go(func() {
			tick := time.NewTicker(d)
			defer tick.Stop()
			for i := 0; ; i++ {
				select {
				case <-p.stop:
					return
				case <-tick.C:
					f(i)
				}
			}
		})
	}
	every(20*time.Millisecond, func(i int) {
		write("audio", &engine.MediaPacket{Timestamp: uint32(i * 960), Level: 30, Payload: append(payload(i), make([]byte, 72)...)})
	})
	every(frameEvery, func(i int) {
		for part := range framePackets {
			size := 990
			if i%groupFrames != 0 {
				size -= 97 * part
			}
			body := append(vp8Packet(i%groupFrames == 0, part == 0, i*framePackets+part), make([]byte, size)...)
			write("video", &engine.MediaPacket{Timestamp: uint32(i * 3000), Marker: part == framePackets-1, Payload: body})
		}
	})
	return p
}

// end stops the programme.
func (p *programme) end() {
	close(p.stop)
	p.done.Wait()
}

// count returns how many packets of the label were sent so far.
func (p *programme) count(label string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.sent[label])
}

// delays tell how long packets took, of those that came.
type delays struct {
	sent int
	took []time.Duration // sorted
}

func (d *delays) share(within time.Duration) float64 {
	n, _ := slices.BinarySearch(d.took, within+1)
	return float64(n) / float64(d.sent)
}

func (d *delays) quantile(q float64) time.Duration {
	if len(d.took) == 0 {
		return 0
	}
	return d.took[min(int(q*float64(len(d.took))), len(d.took)-1)].Round(time.Millisecond)
}

func (d *delays) String() string {
	return fmt.Sprintf("%6d  %8.3f %%  %8.3f %%  %7v  %7v  %7v  %7v", d.sent, 100*d.share(250*time.Millisecond), 100*float64(len(d.took))/float64(d.sent),
		d.quantile(0.5), d.quantile(0.99), d.quantile(0.999), d.quantile(1))
}

// measure compares what was sent of a label, from index first to before last, with when it came.
func (p *programme) measure(label string, first, last int, came func(i int) (time.Time, bool)) *delays {
	p.mu.Lock()
	defer p.mu.Unlock()
	d := &delays{sent: last - first}
	for i := first; i < last; i++ {
		if at, ok := came(i); ok {
			d.took = append(d.took, at.Sub(p.sent[label][i]))
		}
	}
	slices.Sort(d.took)
	return d
}

// stateOf returns the stream with the label.
func stateOf(t *testing.T, r *engine.Room, label string) *engine.StreamState {
	t.Helper()
	for _, s := range r.Streams() {
		if s.Label == label {
			return s
		}
	}
	t.Fatalf("no stream is called %s", label)
	return nil
}

// Five hops of 50 ms round trip, of which each loses 5 % of all datagrams each way, and whoever sits behind them has everything in
// a quarter of a second: 125 ms is the way itself, so that there is time for one repair and a half.
//
// So many losses look like a parent that is silent once in some hours of a hop, which is in one run of thirty. Whoever leaves it then
// is no longer at the end of five hops, and another network is looked at.
//
//	go test -run TestVNetChainOfLossyHops -v ./engine
func TestVNetChainOfLossyHops(t *testing.T) {
	for seed := range uint64(3) {
		if lossyChain(t, 11+seed) {
			return
		}
	}
	t.Error("none of three chains stayed one")
}

// lossyChain reports whether the chain stayed one while it was looked at.
func lossyChain(t *testing.T, seed uint64) (stayed bool) {
	const depth, loss = 5, 0.05
	warmUp, length := 5*time.Second, 60*time.Second
	onVNet(t, seed, 25*time.Millisecond, 1, func(t *testing.T, s *vstage) {
		seen := watchArrivals(s.net)
		for range depth { // one after the other, or they might not make a chain
			s.listen(1, 1)
		}
		path := make([]*vlistener, depth+1)
		for range 600 { // whoever sits on a reserve moves within seconds
			clear(path)
			for _, l := range s.listeners {
				if d := l.room.Tree().Depth; d <= depth {
					path[d] = l
				}
			}
			if !slices.Contains(path[1:], nil) {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		if d := slices.Index(path[1:], nil); d >= 0 {
			for _, l := range s.listeners {
				t.Logf("%+v", l.room.Tree())
			}
			t.Fatalf("nobody is at depth %d", d+1)
		}
		pub, err := s.room.Publish(t.Context(), videoSlot(nil))
		if err != nil {
			t.Fatal(err)
		}
		s.net.SetLoss(loss)
		p := startProgramme(t, pub)
		time.Sleep(warmUp)
		first := map[string]int{"audio": p.count("audio"), "video": p.count("video")}
		time.Sleep(length)
		last := map[string]int{"audio": p.count("audio"), "video": p.count("video")}
		time.Sleep(time.Second) // what follows tells of what is missing, as in any programme
		p.end()
		time.Sleep(time.Second)
		for d := 1; d <= depth; d++ {
			if got := path[d].room.Tree().Depth; got != d {
				t.Logf("who was at depth %d is now at depth %d", d, got)
				return
			}
		}
		stayed = true
		t.Logf("%v after %v, %d hops of 25 ms, %.0f %% loss each way", length, warmUp, depth, 100*loss)
		t.Logf("depth  stream  where     sent  in 250 ms        ever   median     99 %%   99.9 %%      max")
		for d := 1; d <= depth; d++ {
			for _, label := range []string{"audio", "video"} {
				state := stateOf(t, s.room, label)
				there := p.measure(label, first[label], last[label], func(i int) (time.Time, bool) {
					at, ok := seen.at[arrival{path[d].Self(), state.ID, state.First + uint64(i)}]
					return at, ok
				})
				played := make(map[uint64]time.Time)
				for _, g := range path[d].sink.Packets() {
					if g.Stream == state.ID {
						played[g.Header.Number] = g.At
					}
				}
				sink := p.measure(label, first[label], last[label], func(i int) (time.Time, bool) {
					at, ok := played[state.First+uint64(i)]
					return at, ok
				})
				t.Logf("%5d  %-6s  arrival %v", d, label, there)
				t.Logf("%5d  %-6s  sink    %v", d, label, sink)
				if d == depth && sink.share(250*time.Millisecond) < 0.995 {
					t.Errorf("%s: only %.3f %% were played within 250 ms", label, 100*sink.share(250*time.Millisecond))
				}
				if d == depth && there.share(250*time.Millisecond) < 0.999 {
					t.Errorf("%s: only %.3f %% arrived within 250 ms", label, 100*there.share(250*time.Millisecond))
				}
			}
		}
		for d := 1; d <= depth; d++ {
			c := path[d].Counters()
			t.Logf("depth %d: %d requests, %d packets sent again", d, c["nacks_sent_total"], c["packets_resent_total"])
			// Manifests that come by a second parent's shorter way once made peers ask for all that was still on its way.
			if most := uint64(last["audio"]+last["video"]) / 3; d < depth && c["packets_resent_total"] > most {
				t.Errorf("depth %d sent %d packets again, more than %d", d, c["packets_resent_total"], most)
			}
		}
		t.Logf("%+v", s.net.Counters())
	})
	return stayed
}
