package hop

import (
	"bytes"
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
