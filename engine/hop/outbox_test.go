package hop

import (
	"bytes"
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/udp"
	"github.com/castd/castd/engine/wire"
)

// TestOutbox: what is written for several peers by turns reaches each whole and in order, with what they are sent past the
// outbox in between.
func TestOutbox(t *testing.T) {
	s := newSignals(0)
	a := loopbackNode(t, s, 0)
	peers := []*node{loopbackNode(t, s, 1), loopbackNode(t, s, 2), loopbackNode(t, s, 3)}
	hops := make([]engine.Hop, len(peers))
	for i, p := range peers {
		hops[i], _ = a.dial(p)
	}
	out := a.tr.NewOutbox()
	const rounds = 40
	want := originPackets(wire.KindVideo, 1, 3*rounds, 700)
	for n := range rounds {
		for _, h := range hops {
			if err := out.WritePackets(h, want[3*n:3*n+2]); err != nil {
				t.Fatal(err)
			}
		}
		out.Flush()
		for _, h := range hops {
			if _, err := h.WritePackets(want[3*n+2 : 3*n+3]); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, h := range hops {
		if err := out.WriteControl(h, &wire.HopControl{Pulse: &wire.Pulse{Stamp: 7}}); err != nil {
			t.Fatal(err)
		}
	}
	out.Flush()
	for i, p := range peers {
		until(t, func() bool {
			p.mu.Lock()
			defer p.mu.Unlock()
			return len(p.packets) == len(want) && len(p.controls) == 1
		})
		p.mu.Lock()
		for n := range want {
			if !bytes.Equal(p.packets[n], want[n]) {
				t.Fatalf("peer %d: packet %d is %s, want %s", i, n, describe(p.packets[n]), describe(want[n]))
			}
		}
		p.mu.Unlock()
		sent, got := hops[i].Stats(), p.hopTo(t, a).Stats()
		if sent.PacketsSent != uint64(len(want)) || got.PacketsReceived != sent.PacketsSent || got.BytesReceived != sent.BytesSent || got.Invalid != 0 {
			t.Errorf("peer %d: statistics do not agree: %+v and %+v", i, sent, got)
		}
	}
	_ = hops[0].Close()
	<-hops[0].(*Hop).down
	if err := out.WritePackets(hops[0], want[:1]); err != engine.ErrClosed {
		t.Errorf("a hop that is down: %v", err)
	}
}

// until waits for something that happens on other goroutines.
func until(t *testing.T, done func() bool) {
	t.Helper()
	for began := time.Now(); !done(); time.Sleep(time.Millisecond) {
		if time.Since(began) > 20*time.Second {
			t.Fatal("waited in vain")
		}
	}
}

// hopTo returns the open hop to a peer.
func (v *node) hopTo(t *testing.T, to *node) *Hop {
	t.Helper()
	v.tr.mu.Lock()
	defer v.tr.mu.Unlock()
	h := v.tr.hops[to.id]
	if h == nil {
		t.Fatal("no hop")
	}
	return h
}

// TestOutboxRefused: what the system does not take is counted at the hop that it was for.
func TestOutboxRefused(t *testing.T) {
	s := newSignals(0)
	a, b, c := loopbackNode(t, s, 0), loopbackNode(t, s, 1), loopbackNode(t, s, 2)
	one, _ := a.dial(b)
	two, _ := a.dial(c)
	h := one.(*Hop)
	good := *h.path.Load()
	h.follow(&path{socket: good.socket, remote: netip.AddrPortFrom(good.remote.Addr(), 0)}) // port 0 is nobody's
	before := one.Stats()
	out := a.tr.NewOutbox()
	pkts := originPackets(wire.KindAudio, 1, 2, 100)
	for _, h := range []engine.Hop{one, two} {
		if err := out.WritePackets(h, pkts); err != nil {
			t.Fatal(err)
		}
	}
	if err := out.WriteControl(one, &wire.HopControl{Pulse: &wire.Pulse{Stamp: 7}}); err != nil {
		t.Fatal(err)
	}
	out.Flush()
	until(t, func() bool { return c.count() == len(pkts) })
	if got := one.Stats(); got.PacketsSent != before.PacketsSent || got.BytesSent != before.BytesSent {
		t.Errorf("counted as sent: %+v, before %+v", got, before)
	}
	if n := h.counters.unsent.Load(); n != 3 {
		t.Errorf("%d unsent, want 3", n)
	}
	if got := two.Stats(); got.PacketsSent != 2 {
		t.Errorf("the other hop: %+v", got)
	}
}

// TestWayIn: while a hop is up its packets come past the agent, from wherever the peer sends them. When it is down nothing is
// looked at any more.
func TestWayIn(t *testing.T) {
	s := newSignals(0)
	a, b := loopbackNode(t, s, 0), loopbackNode(t, s, 1)
	ha, hb := a.dial(b)
	h, other := ha.(*Hop), hb.(*Hop)
	claims := func() []udp.Claim {
		h.way.mu.Lock()
		defer h.way.mu.Unlock()
		return slices.Clone(h.way.claims)
	}
	until(t, func() bool { return len(claims()) > 0 })
	if from := (udp.Claim{Socket: h.path.Load().socket, From: h.path.Load().remote}); !slices.Contains(claims(), from) {
		t.Errorf("the path's address is not among %v", claims())
	}
	if from := (udp.Claim{Socket: a.tr.mux.(*udp.Port).Socket(other.path.Load().remote.Addr()), From: other.path.Load().socket.LocalAddr()}); !slices.Contains(claims(), from) {
		t.Errorf("the peer sends from %v, which is not among %v", from, claims())
	}
	_, _ = hb.WritePackets(originPackets(wire.KindAudio, 1, 1, 100))
	<-a.got
	_ = ha.Close()
	<-h.down
	if len(claims()) > 0 {
		t.Error("still takes what comes")
	}
	p := h.path.Load()
	h.Datagram(p.socket, p.remote, []byte{0x80, 111, 0, 0})
	if n := h.counters.invalid.Load(); n != 0 {
		t.Errorf("a hop that is down has looked at %d datagrams", n)
	}
}

func BenchmarkOutbox(b *testing.B) {
	t := &testing.T{}
	s := newSignals(0)
	add := func(n int) *node {
		mux, _, err := Listen(0, false)
		if err != nil {
			b.Fatal(err)
		}
		v := s.add(t, n, Config{Mux: mux, Loopback: true})
		v.keep = false
		b.Cleanup(func() {
			_ = v.tr.Close()
			_ = mux.Close()
		})
		return v
	}
	a := add(0)
	var hops []engine.Hop
	for n := range 7 {
		h, err := a.tr.Dial(b.Context(), add(n+1).id)
		if err != nil {
			b.Fatal(err)
		}
		hops = append(hops, h)
	}
	out := a.tr.NewOutbox()
	pkts := originPackets(wire.KindAudio, 1, 1, 100)
	b.ReportAllocs()
	for b.Loop() {
		for _, h := range hops {
			_ = out.WritePackets(h, pkts)
		}
		out.Flush()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(hops)), "ns/packet")
}

// TestAgentRetires: a hop lives on without its ICE agent. Both sides show that they are there, the end of one is told, and the
// silence of one is noticed.
func TestAgentRetires(t *testing.T) {
	s := newSignals(0)
	a, b := loopbackNode(t, s, 0), loopbackNode(t, s, 1)
	for _, v := range []*node{a, b} {
		v.tr.timings.retire, v.tr.timings.keepalive = time.Millisecond, 20*time.Millisecond
		v.tr.timings.disconnected, v.tr.timings.failed = time.Second, time.Second
	}
	one, two := a.dial(b)
	ha, hb := one.(*Hop), two.(*Hop)
	until(t, func() bool { return ha.retired.Load() && hb.retired.Load() })
	for _, h := range []*Hop{ha, hb} {
		until(t, func() bool { _, err := h.agent.GetLocalCandidates(); return err != nil })
	}
	for _, v := range []*node{a, b} {
		until(t, func() bool {
			v.mu.Lock()
			defer v.mu.Unlock()
			return len(v.controls) >= 3
		})
	}
	want := originPackets(wire.KindVideo, 1, 20, 1000)
	for _, d := range []struct {
		from engine.Hop
		to   *node
	}{{one, b}, {two, a}} {
		if _, err := d.from.WritePackets(want); err != nil {
			t.Fatal(err)
		}
		until(t, func() bool { return d.to.count() == len(want) })
	}
	for _, h := range []engine.Hop{one, two} {
		if st := h.Stats(); st.Local == "" || st.Remote == "" {
			t.Errorf("from %q to %q", st.Local, st.Remote)
		}
	}
	_ = one.Close()
	<-hb.down
	if err := hb.err(); !errors.Is(err, ErrPeerClosed) {
		t.Errorf("ended with %v", err)
	}
	<-ha.down
	one, _ = a.dial(b)
	ha = one.(*Hop)
	until(t, ha.retired.Load)
	_ = b.tr.mux.Close() // gone without a word
	<-ha.down
	if err := ha.err(); !errors.Is(err, ErrLost) {
		t.Errorf("ended with %v", err)
	}
}
