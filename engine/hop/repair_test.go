package hop

import (
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/transport/v5/vnet"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/wire"
)

// nonces notes every SRTP packet that two transports send, and repetitions of a number under one key.
type nonces struct {
	mu      sync.Mutex
	seen    map[nonce]struct{}
	repeats int
	highest map[uint32]uint64
	backs   int
}

type nonce struct {
	h     *Hop
	ssrc  uint32
	index uint64
}

func watchNonces(l *lab) *nonces {
	n := &nonces{seen: map[nonce]struct{}{}, highest: map[uint32]uint64{}}
	for _, v := range l.nodes {
		v.tr.sent = func(h *Hop, ssrc, roc uint32, sequence uint16) {
			n.mu.Lock()
			defer n.mu.Unlock()
			k := nonce{h, ssrc, uint64(roc)<<16 | uint64(sequence)}
			if _, ok := n.seen[k]; ok {
				n.repeats++
			}
			n.seen[k] = struct{}{}
			if last, ok := n.highest[ssrc]; ok && k.index != last+1 {
				n.backs++
			}
			n.highest[ssrc] = k.index
		}
	}
	return n
}

func (n *nonces) check(t *testing.T) {
	t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.repeats > 0 || n.backs > 0 {
		t.Errorf("%d nonces were used twice, %d indices did not follow the one before, of %d packets", n.repeats, n.backs, len(n.seen))
	}
}

// stream sends 20 ms of audio and video for as long as it is told: one audio packet, and pictures of six packets at 25 Hz.
func stream(h engine.Hop, d time.Duration) (audio, video int) {
	for began := time.Now(); time.Since(began) < d; time.Sleep(20 * time.Millisecond) {
		_, _ = h.WritePackets(originPackets(wire.KindAudio, uint64(audio), 1, 90))
		audio++
		if audio%2 == 0 {
			_, _ = h.WritePackets(originPackets(wire.KindVideo, 1<<32+uint64(video), 6, 700+video%500))
			video += 6
		}
	}
	return audio, video
}

// missing returns how many audio and video numbers of stream did not arrive, and resets.
func (v *node) missing(audio, video int) (a, p float64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	lostAudio, lostVideo := 0, 0
	for i := range audio {
		if v.numbers[uint64(i)] == 0 {
			lostAudio++
		}
	}
	for i := range video {
		if v.numbers[1<<32+uint64(i)] == 0 {
			lostVideo++
		}
	}
	clear(v.numbers)
	return float64(lostAudio) / float64(audio), float64(lostVideo) / float64(video)
}

func TestRedundancyRecovers(t *testing.T) {
	inLab(t, 2, delay, func(t *testing.T, l *lab) {
		a, b := l.nodes[0], l.nodes[1]
		n := watchNonces(l)
		ha, hb := a.dial(b)
		b.keep = false
		l.set(func() { l.loss = 0.05 })
		audio, video := stream(ha, 60*time.Second)
		settle()
		loss := hb.Stats().LossPermille
		bytes := ha.Stats().BytesSent
		lostAudio, lostVideo := b.missing(audio, video)
		t.Logf("without redundancy: %.2f %% of audio and %.2f %% of video missing; reported %d ‰", 100*lostAudio, 100*lostVideo, loss)
		if loss < 20 || loss > 90 || lostAudio < 0.03 || lostVideo < 0.03 {
			t.Error("the network should lose 5 %")
		}
		if hb.Stats().Recovered != 0 {
			t.Error("packets recovered without redundancy")
		}
		bytes, plain := ha.Stats().BytesSent, bytes
		ha.PeerLoss(loss)
		audio, video = stream(ha, 60*time.Second)
		settle()
		lostAudio, lostVideo = b.missing(audio, video)
		t.Logf("with redundancy: %.2f %% of audio and %.2f %% of video missing; %d recovered; %.0f %% more octets; reported %d ‰",
			100*lostAudio, 100*lostVideo, hb.Stats().Recovered, 100*float64(ha.Stats().BytesSent-bytes)/float64(plain)-100,
			hb.Stats().LossPermille)
		if lostAudio > 0.006 || lostVideo > 0.015 {
			t.Error("redundancy does not help")
		}
		if hb.Stats().LossPermille < 20 {
			t.Error("what was restored must count as lost, or redundancy would switch itself off")
		}
		// Back to a good network: no redundancy, no loss, nothing left waiting.
		l.set(func() { l.loss = 0 })
		ha.PeerLoss(0)
		time.Sleep(time.Second)
		before := ha.Stats().PacketsSent
		audio, video = stream(ha, 10*time.Second)
		settle()
		if got := ha.Stats().PacketsSent - before; got != uint64(audio+video) {
			t.Errorf("%d packets sent for %d", got, audio+video)
		}
		if s := hb.Stats(); s.LossPermille != 0 || s.Invalid != 0 {
			t.Errorf("%d ‰ loss, %d invalid", s.LossPermille, s.Invalid)
		}
		n.check(t)
	})
}

// TestRepeatComesLater: a second copy is worth nothing in the same burst of losses as the first.
func TestRepeatComesLater(t *testing.T) {
	inLab(t, 2, delay, func(t *testing.T, l *lab) {
		ha, _ := l.nodes[0].dial(l.nodes[1])
		ha.PeerLoss(50)
		var sent []time.Time
		l.nodes[0].tr.sent = func(*Hop, uint32, uint32, uint16) { sent = append(sent, time.Now()) }
		_, _ = ha.WritePackets(originPackets(wire.KindAudio, 1, 1, 90))
		settle()
		if len(sent) != 2 || sent[1].Sub(sent[0]) != repeatAfter {
			t.Errorf("audio sent at %v", sent)
		}
		sent = nil
		_, _ = ha.WritePackets(originPackets(wire.KindRecord, 1, 1, 90))
		settle()
		if len(sent) != 3 || sent[1].Sub(sent[0]) != repeatAfter || sent[2].Sub(sent[1]) != repeatAfter {
			t.Errorf("record sent at %v", sent)
		}
		sent = nil
		_, _ = ha.WritePackets(originPackets(wire.KindVideo, 1, 3, 900))
		settle()
		if len(sent) != 4 || sent[3].Sub(sent[0]) != parityAfter {
			t.Errorf("sent at %v", sent)
		}
		// The queue is bounded: what finds no place is not repeated.
		sent = nil
		_, _ = ha.WritePackets(originPackets(wire.KindAudio, 100, 3*repeatQueue, 90))
		settle()
		if len(sent) != 4*repeatQueue || ha.(*Hop).counters.undoubled.Load() != 2*repeatQueue {
			t.Errorf("%d packets sent, %d not repeated", len(sent), ha.(*Hop).counters.undoubled.Load())
		}
	})
}

// TestPausedForAWeek: a backup that is resumed after any time and any number of packets loses nothing, because the numbers are
// the hop's and not the stream's.
func TestPausedForAWeek(t *testing.T) {
	if testing.Short() {
		t.Skip("sends 150,000 packets")
	}
	inLab(t, 2, time.Millisecond, func(t *testing.T, l *lab) {
		// Without keepalives, which a week has many of, the dialer must be the first to check.
		dialed := false
		l.router.AddChunkFilter(func(c vnet.Chunk) bool {
			dialed = dialed || c.SourceAddr().(*net.UDPAddr).IP.String() == "11.0.0.10"
			return dialed
		})
		for _, v := range l.nodes {
			v.tr.timings.keepalive, v.tr.timings.disconnected, v.tr.timings.failed = 0, 0, 0
			v.keep = false
		}
		n := watchNonces(l)
		ha, hb := l.nodes[0].dial(l.nodes[1])
		send := func(first uint64) {
			const total, batch = 75_000, 250
			for i := uint64(0); i < total; i += batch {
				_, _ = ha.WritePackets(originPackets(wire.KindVideo, first+i, batch, 60))
				time.Sleep(5 * time.Millisecond)
			}
			settle()
			if got := l.nodes[1].count(); got != total {
				t.Errorf("%d of %d packets arrived", got, total)
			}
			l.nodes[1].mu.Lock()
			clear(l.nodes[1].numbers)
			l.nodes[1].mu.Unlock()
		}
		send(0)
		time.Sleep(7 * 24 * time.Hour)
		send(1 << 30) // the stream went on elsewhere
		if s := hb.Stats(); s.Invalid != 0 {
			t.Errorf("%d packets were invalid", s.Invalid)
		}
		n.check(t)
	})
}

// TestLastFlightLost: the answerer may send as soon as it is done, though the dialer has not heard its last flight.
func TestLastFlightLost(t *testing.T) {
	inLab(t, 2, delay, func(t *testing.T, l *lab) {
		a, b := l.nodes[0], l.nodes[1]
		dropped := 0
		l.router.AddChunkFilter(func(c vnet.Chunk) bool {
			u, d := c.SourceAddr().(*net.UDPAddr), c.UserData()
			fromB := u != nil && u.IP.String() == "11.0.0.11"
			if fromB && len(d) > 0 && d[0] == 20 && dropped == 0 { // change cipher spec begins it
				dropped++
				return false
			}
			return true
		})
		go func() {
			<-b.upped
			b.mu.Lock()
			h := b.ups[0]
			b.mu.Unlock()
			for i := range 4 {
				_, _ = h.WritePackets(originPackets(wire.KindVideo, uint64(10*i), 10, 900))
				time.Sleep(10 * time.Millisecond)
			}
			b.upped <- struct{}{}
		}()
		began := time.Now()
		if _, err := a.tr.Dial(t.Context(), b.id); err != nil {
			t.Fatal(err)
		}
		t.Logf("connected after %v, %d flights lost", time.Since(began), dropped)
		<-b.upped
		settle()
		if a.count() != 40 || dropped != 1 {
			t.Errorf("%d of 40 packets arrived", a.count())
		}
	})
}

// TestSetupOverLossyLink: set-up survives a bad link within seconds, near and far.
func TestSetupOverLossyLink(t *testing.T) {
	for _, delay := range []time.Duration{5 * time.Millisecond, delay, 150 * time.Millisecond, 400 * time.Millisecond} {
		inLab(t, 2, delay, func(t *testing.T, l *lab) {
			a, b := l.nodes[0], l.nodes[1]
			l.set(func() { l.loss = 0.05 })
			var took []time.Duration
			for range 60 {
				began := time.Now()
				ha, err := a.tr.Dial(t.Context(), b.id)
				if err != nil {
					t.Fatalf("%v each way: %v", delay, err)
				}
				took = append(took, time.Since(began))
				_ = ha.Close()
				time.Sleep(time.Second)
				synctest.Wait()
			}
			slices.Sort(took)
			t.Logf("%v each way: median %v, 90 %% within %v, slowest %v", delay, took[30], took[54], took[59])
			if took[54] > took[30]+350*time.Millisecond || took[59] > took[30]+3200*time.Millisecond {
				t.Error("set-up is too slow")
			}
		})
	}
}

// TestFirstCheckLost: a dialer that has a pair already must go on checking it, or the peer waits for the next keepalive.
func TestFirstCheckLost(t *testing.T) {
	for lost := range 4 {
		inLab(t, 2, delay, func(t *testing.T, l *lab) {
			dropped := 0
			l.router.AddChunkFilter(func(c vnet.Chunk) bool {
				d := c.UserData()
				request := len(d) > 1 && d[0] == 0 && d[1] == 1
				if request && dropped < lost && c.SourceAddr().(*net.UDPAddr).IP.String() == "11.0.0.10" {
					dropped++
					return false
				}
				return true
			})
			began := time.Now()
			if _, err := l.nodes[0].tr.Dial(t.Context(), l.nodes[1].id); err != nil {
				t.Fatal(err)
			}
			if d := time.Since(began); d > 500*time.Millisecond {
				t.Errorf("%d requests lost: connected after %v", dropped, d)
			}
		})
	}
}
