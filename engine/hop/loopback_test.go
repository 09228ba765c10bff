package hop

import (
	"bytes"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/wire"
)

// loopbackNode is a node on real sockets, with the shared mux.
func loopbackNode(t *testing.T, s *signals, n int) *node {
	t.Helper()
	mux, port, err := Listen(0, false)
	if err != nil {
		t.Fatal(err)
	}
	v := s.add(t, n, Config{Mux: mux, Loopback: true})
	if v.tr.Port() != port {
		t.Errorf("Port() = %d, want %d", v.tr.Port(), port)
	}
	t.Cleanup(func() {
		_ = v.tr.Close()
		_ = mux.Close()
	})
	return v
}

func TestLoopback(t *testing.T) {
	s := newSignals(0)
	a, b := loopbackNode(t, s, 0), loopbackNode(t, s, 1)
	began := time.Now()
	ha, hb := a.dial(b)
	connected := time.Since(began)
	want := originPacket(wire.KindAudio, 1, 100)
	if n, err := hb.WritePackets([][]byte{want}); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	<-a.got
	t.Logf("connected after %v, first packet after %v", connected, time.Since(began))
	a.mu.Lock()
	if !bytes.Equal(a.packets[0], want) {
		t.Errorf("got %s, want %s", describe(a.packets[0]), describe(want))
	}
	a.mu.Unlock()
	for _, h := range []engine.Hop{ha, hb} {
		st := h.Stats()
		if _, _, err := net.SplitHostPort(st.Remote); err != nil {
			t.Errorf("remote address %q: %v", st.Remote, err)
		}
	}
	if again, err := a.tr.Dial(t.Context(), b.id); err != nil || again != ha {
		t.Errorf("second dial gives %v, %v; want the open hop", again, err)
	}
}

func BenchmarkConnect(b *testing.B) {
	t := &testing.T{}
	s := newSignals(0)
	mux, _, err := Listen(0, false)
	if err != nil {
		b.Fatal(err)
	}
	defer mux.Close()
	other, _, err := Listen(0, false)
	if err != nil {
		b.Fatal(err)
	}
	defer other.Close()
	x, y := s.add(t, 0, Config{Mux: mux, Loopback: true}), s.add(t, 1, Config{Mux: other, Loopback: true})
	defer x.tr.Close()
	defer y.tr.Close()
	for b.Loop() {
		h, err := x.tr.Dial(b.Context(), y.id)
		if err != nil {
			b.Fatal(err)
		}
		<-y.upped
		_ = h.Close()
		<-h.(*Hop).down
		y.mu.Lock()
		last := y.ups[len(y.ups)-1]
		y.mu.Unlock()
		<-last.(*Hop).down
	}
}

// TestLoopbackHopsShareThePort: all hops of a transport go over one port, hops come and go, peers vanish without notice, and
// none of it disturbs the others.
func TestLoopbackHopsShareThePort(t *testing.T) {
	s := newSignals(0)
	a, b, c := loopbackNode(t, s, 0), loopbackNode(t, s, 1), loopbackNode(t, s, 2)
	steady, _ := a.dial(c)
	for round := range 5 {
		ha, hb := a.dial(b)
		if round%2 == 0 {
			if back, err := b.tr.Dial(t.Context(), a.id); err != nil || back != hb {
				t.Fatalf("dialing back gives %v, %v; want the open hop", back, err)
			}
			_ = ha.Close()
			<-ha.(*Hop).down
			<-hb.(*Hop).down
			continue
		}
		// b's transport starts anew on the same port, and a has heard nothing.
		fresh := s.add(t, 1, Config{Mux: b.tr.mux, Loopback: true})
		if err := hb.(*Hop).agent.Close(); err != nil {
			t.Fatal(err)
		}
		hb2, atA := fresh.dial(a)
		if _, err := hb2.WritePackets(originPackets(wire.KindVideo, 1, 1, 1000)); err != nil {
			t.Fatal(err)
		}
		<-a.got
		if err := ha.(*Hop).err(); !errors.Is(err, ErrReplaced) {
			t.Errorf("the old hop ended with %v", err)
		}
		_ = fresh.tr.Close()
		<-atA.(*Hop).down
		s.mu.Lock()
		s.nodes[b.id] = b
		s.mu.Unlock()
	}
	_, _ = steady.WritePackets(originPackets(wire.KindAudio, 1, 1, 100))
	<-c.got
	if steady.(*Hop).ending() {
		t.Error("the third peer's hop ended")
	}
}

// TestForwardingDoesNotAllocate covers sender and receiver: allocations are counted for the whole process.
func TestForwardingDoesNotAllocate(t *testing.T) {
	s := newSignals(0)
	a, b := loopbackNode(t, s, 0), loopbackNode(t, s, 1)
	counter := &counting{up: make(chan struct{}, 1), got: make(chan struct{}, 1)}
	b.tr.Start(counter, b) // in place of b, before there is a hop
	h, err := a.tr.Dial(t.Context(), b.id)
	if err != nil {
		t.Fatal(err)
	}
	<-counter.up
	batch := originPackets(wire.KindVideo, 1, 4, 1000)
	send := func() {
		_, _ = h.WritePackets(batch)
		for range batch {
			<-counter.got
		}
	}
	for range 50 {
		send()
	}
	if n := testing.AllocsPerRun(500, send); n > 0 && !raceEnabled {
		t.Errorf("%.1f allocations for %d packets", n, len(batch))
	}
}

// counting is a handler that only counts.
type counting struct{ up, got chan struct{} }

func (c *counting) HopUp(engine.Hop)                        { c.up <- struct{}{} }
func (c *counting) HopPacket(engine.Hop, []byte)            { c.got <- struct{}{} }
func (c *counting) HopControl(engine.Hop, *wire.HopControl) {}
func (c *counting) HopDown(engine.Hop, error)               {}

func BenchmarkForward(b *testing.B) {
	mux, _, err := Listen(0, false)
	if err != nil {
		b.Fatal(err)
	}
	defer mux.Close()
	other, _, err := Listen(0, false)
	if err != nil {
		b.Fatal(err)
	}
	defer other.Close()
	s := newSignals(0)
	x, y := s.add(&testing.T{}, 0, Config{Mux: mux, Loopback: true}), s.add(&testing.T{}, 1, Config{Mux: other, Loopback: true})
	defer x.tr.Close()
	defer y.tr.Close()
	y.keep = false
	h, err := x.tr.Dial(b.Context(), y.id)
	if err != nil {
		b.Fatal(err)
	}
	batch := originPackets(wire.KindVideo, 1, 4, 1000)
	b.SetBytes(4000)
	b.ReportAllocs()
	for b.Loop() {
		_, _ = h.WritePackets(batch)
	}
}
