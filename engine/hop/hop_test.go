package hop

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/secure"
	"github.com/castd/castd/engine/wire"
)

const delay = 25 * time.Millisecond

func TestBothDirections(t *testing.T) {
	inLab(t, 2, delay, func(t *testing.T, l *lab) {
		a, b := l.nodes[0], l.nodes[1]
		began := time.Now()
		ha, hb := a.dial(b)
		t.Logf("Dial returned after %v", time.Since(began))
		if d := time.Since(began); d > 250*time.Millisecond {
			t.Errorf("Dial took %v over a link of 50 ms round trip", d)
		}
		if ha.Peer() != b.id || hb.Peer() != a.id {
			t.Error("hops name the wrong peers")
		}
		var want [][]byte
		for i, k := range []wire.Kind{wire.KindAudio, wire.KindVideo, wire.KindRecord} {
			want = append(want, originPackets(k, uint64(1000*i), 20, 60+i*500)...)
		}
		want = append(want, originPacket(wire.KindVideo, 5000, wire.MaxPacket))
		for _, d := range []struct {
			from engine.Hop
			to   *node
		}{{ha, b}, {hb, a}} {
			if n, err := d.from.WritePackets(want); n != len(want) || err != nil {
				t.Fatal(n, err)
			}
			settle()
			d.to.mu.Lock()
			if len(d.to.packets) != len(want) {
				t.Fatalf("%d packets arrived, %d were sent", len(d.to.packets), len(want))
			}
			for i := range want {
				if !bytes.Equal(d.to.packets[i], want[i]) {
					t.Errorf("packet %d is %s, want %s", i, describe(d.to.packets[i]), describe(want[i]))
				}
			}
			d.to.mu.Unlock()
		}
		s, r := ha.Stats(), hb.Stats()
		if s.PacketsSent != uint64(len(want)) || r.PacketsReceived != s.PacketsSent || s.BytesSent != r.BytesReceived ||
			r.Invalid != 0 || hb.LastReceived().IsZero() || s.Local != r.Remote || s.Remote != r.Local {
			t.Errorf("statistics do not agree: %+v and %+v", s, r)
		}
	})
}

func TestWriteRefusesWhatIsNoOriginPacket(t *testing.T) {
	inLab(t, 2, delay, func(t *testing.T, l *lab) {
		ha, _ := l.nodes[0].dial(l.nodes[1])
		good := originPacket(wire.KindAudio, 1, 50)
		other := bytes.Clone(good)
		other[0] = 0x80
		n, err := ha.WritePackets([][]byte{nil, {1}, good, other, make([]byte, 5000), good[:wire.HeaderSize-1]})
		if n != 1 || err != nil {
			t.Errorf("got %d, %v; want 1 packet sent", n, err)
		}
		settle()
		if n := l.nodes[1].count(); n != 1 {
			t.Errorf("%d packets arrived", n)
		}
	})
}

func TestControl(t *testing.T) {
	inLab(t, 2, delay, func(t *testing.T, l *lab) {
		ha, hb := l.nodes[0].dial(l.nodes[1])
		big := &wire.HopControl{Pulse: &wire.Pulse{Stamp: 1, Echo: 2}, Wishes: []*wire.KeyFrameWish{{Stream: 9}}}
		for i := range 5 {
			n := &wire.Nack{Stream: uint64(i)}
			for j := range 700 {
				n.Numbers = append(n.Numbers, uint64(1e12)+uint64(j))
			}
			big.Nacks = append(big.Nacks, n)
		}
		for i := range 40 {
			big.Pulse.Rooms = append(big.Pulse.Rooms, &wire.RoomPulse{
				Room: uint64(i), Depth: 3, Marks: []*wire.StreamMark{{Stream: 5, Number: 1 << 40}, {Stream: 6, Number: 1 << 41}},
			})
		}
		if err := ha.WriteControl(big); err != nil {
			t.Fatal(err)
		}
		small := &wire.HopControl{Pulse: &wire.Pulse{Stamp: 77}}
		if err := hb.WriteControl(small); err != nil {
			t.Fatal(err)
		}
		settle()
		b := l.nodes[1]
		b.mu.Lock()
		numbers, rooms, wishes := 0, 0, 0
		for _, c := range b.controls {
			rooms += len(c.GetPulse().GetRooms())
			wishes += len(c.GetWishes())
			for _, n := range c.GetNacks() {
				numbers += len(n.GetNumbers())
			}
		}
		if numbers != 5*700 || rooms != 40 || wishes != 1 {
			t.Errorf("%d numbers, %d rooms, %d wishes arrived in %d messages", numbers, rooms, wishes, len(b.controls))
		}
		b.mu.Unlock()
		a := l.nodes[0]
		a.mu.Lock()
		if len(a.controls) != 1 || !proto.Equal(a.controls[0], small) {
			t.Errorf("got %v, want %v", a.controls, small)
		}
		a.mu.Unlock()
	})
}

func TestCloseTellsThePeer(t *testing.T) {
	inLab(t, 2, delay, func(t *testing.T, l *lab) {
		a, b := l.nodes[0], l.nodes[1]
		ha, hb := a.dial(b)
		if err := ha.Close(); err != nil {
			t.Fatal(err)
		}
		_ = ha.Close()
		time.Sleep(delay + time.Millisecond)
		synctest.Wait()
		a.mu.Lock()
		if err := a.downs[ha]; !errors.Is(err, engine.ErrClosed) {
			t.Errorf("closed with %v", err)
		}
		a.mu.Unlock()
		b.mu.Lock()
		if err := b.downs[hb]; !errors.Is(err, ErrPeerClosed) {
			t.Errorf("the peer's hop ended with %v", err)
		}
		b.mu.Unlock()
		if _, err := ha.WritePackets(nil); !errors.Is(err, engine.ErrClosed) {
			t.Errorf("write after the end gives %v", err)
		}
		if err := ha.WriteControl(&wire.HopControl{}); !errors.Is(err, engine.ErrClosed) {
			t.Errorf("control after the end gives %v", err)
		}
		hc, _ := a.dial(b)
		if hc == ha {
			t.Error("dialed again, got the hop that had ended")
		}
	})
}

func TestHandlerMayClose(t *testing.T) {
	inLab(t, 2, delay, func(t *testing.T, l *lab) {
		a, b := l.nodes[0], l.nodes[1]
		b.onPacket = func(h engine.Hop, _ []byte) { _ = h.Close() }
		ha, hb := a.dial(b)
		_, _ = ha.WritePackets(originPackets(wire.KindAudio, 1, 5, 100))
		settle()
		if b.count() != 1 {
			t.Errorf("%d packets after the handler closed the hop", b.count())
		}
		b.mu.Lock()
		if !errors.Is(b.downs[hb], engine.ErrClosed) {
			t.Errorf("ended with %v", b.downs[hb])
		}
		b.mu.Unlock()
		a.mu.Lock()
		if !errors.Is(a.downs[ha], ErrPeerClosed) {
			t.Errorf("the peer's ended with %v", a.downs[ha])
		}
		a.mu.Unlock()
	})
}

// TestSlowHandlerKeepsOrder: however many hops replace each other meanwhile, a hop's HopDown comes before the next HopUp.
func TestSlowHandlerKeepsOrder(t *testing.T) {
	inLab(t, 2, delay, func(t *testing.T, l *lab) {
		a, b := l.nodes[0], l.nodes[1]
		b.onPacket = func(engine.Hop, []byte) { time.Sleep(3 * time.Second) }
		for i := range 4 {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			h, err := a.tr.Dial(ctx, b.id)
			cancel()
			if err != nil {
				continue // b cannot come up while its handler sleeps
			}
			_, _ = h.WritePackets(originPackets(wire.KindAudio, uint64(i), 1, 100))
			time.Sleep(time.Second)
			l.set(func() { l.cut = true })
			_ = h.Close()
			settle()
			l.set(func() { l.cut = false })
		}
		time.Sleep(20 * time.Second)
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.overlaps > 0 || len(b.ups) < 3 {
			t.Errorf("%d hops came up, %d of them while another was up", len(b.ups), b.overlaps)
		}
	})
}

func TestSilentPeerIsGivenUp(t *testing.T) {
	inLab(t, 2, delay, func(t *testing.T, l *lab) {
		a, b := l.nodes[0], l.nodes[1]
		ha, _ := a.dial(b)
		time.Sleep(time.Minute) // idle: keepalives alone hold it
		if ha.(*Hop).ending() {
			t.Fatal("an idle hop ended")
		}
		l.set(func() { l.cut = true })
		time.Sleep(20 * time.Second)
		synctest.Wait()
		a.mu.Lock()
		defer a.mu.Unlock()
		if err := a.downs[ha]; !errors.Is(err, ErrLost) {
			t.Errorf("ended with %v", err)
		}
	})
}

func TestRedialReplaces(t *testing.T) {
	inLab(t, 2, delay, func(t *testing.T, l *lab) {
		a, b := l.nodes[0], l.nodes[1]
		_, hb := a.dial(b)
		// a forgets everything, as after a crash.
		_ = a.tr.Close()
		fresh := l.signals.add(t, 0, Config{Net: l.host("11.0.0.50")})
		l.nodes = append(l.nodes, fresh)
		_, hb2 := fresh.dial(b)
		b.mu.Lock()
		if b.downs[hb] == nil || hb2 == hb {
			t.Error("the old hop was not replaced")
		}
		b.mu.Unlock()
		_, _ = hb2.WritePackets(originPackets(wire.KindAudio, 1, 3, 50))
		settle()
		if fresh.count() != 3 {
			t.Errorf("%d of 3 packets over the new hop", fresh.count())
		}
	})
}

func TestNewOfferReplacesOpenHop(t *testing.T) {
	inLab(t, 2, delay, func(t *testing.T, l *lab) {
		a, b := l.nodes[0], l.nodes[1]
		ha, hb := a.dial(b)
		l.set(func() { l.cut = true }) // b does not hear of the end
		_ = ha.Close()
		settle()
		l.set(func() { l.cut = false })
		_, hb2 := a.dial(b)
		b.mu.Lock()
		defer b.mu.Unlock()
		if !errors.Is(b.downs[hb], ErrReplaced) || hb2 == hb {
			t.Errorf("the old hop ended with %v", b.downs[hb])
		}
	})
}

func TestGlare(t *testing.T) {
	for _, apart := range []time.Duration{0, 10 * time.Millisecond, 24 * time.Millisecond, 26 * time.Millisecond,
		49 * time.Millisecond, 51 * time.Millisecond, 80 * time.Millisecond, 150 * time.Millisecond} {
		for _, lowFirst := range []bool{true, false} {
			inLab(t, 2, delay, func(t *testing.T, l *lab) {
				first, second := l.nodes[0], l.nodes[1]
				if !lowFirst {
					first, second = second, first
				}
				type result struct {
					h   engine.Hop
					err error
				}
				one := make(chan result, 1)
				go func() {
					h, err := first.tr.Dial(t.Context(), second.id)
					one <- result{h, err}
				}()
				time.Sleep(apart)
				h2, err := second.tr.Dial(t.Context(), first.id)
				if err != nil {
					t.Fatalf("%v apart: %v", apart, err)
				}
				r := <-one
				if r.err != nil {
					t.Fatalf("%v apart: %v", apart, r.err)
				}
				settle()
				for _, v := range l.nodes {
					v.mu.Lock()
					if len(v.ups) != 1 || len(v.downs) != 0 {
						t.Errorf("%v apart: %d hops came up, %d went down", apart, len(v.ups), len(v.downs))
					}
					v.mu.Unlock()
				}
				_, _ = r.h.WritePackets(originPackets(wire.KindAudio, 1, 2, 50))
				_, _ = h2.WritePackets(originPackets(wire.KindAudio, 1, 2, 50))
				settle()
				if first.count() != 2 || second.count() != 2 {
					t.Errorf("%v apart: the two ends are not of one hop", apart)
				}
			})
		}
	}
}

func TestStaleOfferIsRefused(t *testing.T) {
	inLab(t, 2, delay, func(t *testing.T, l *lab) {
		a, b := l.nodes[0], l.nodes[1]
		var late *wire.HopOffer
		l.signals.change = func(_, _ peerID, o *wire.HopOffer) { late = proto.CloneOf(o) }
		_, hb := a.dial(b)
		answer, err := b.tr.Answer(t.Context(), a.id, late)
		if err != nil || answer.GetError() != refusedStale {
			t.Errorf("got %v, %v", answer.GetError(), err)
		}
		late.Nonce -= 1
		if answer, err = b.tr.Answer(t.Context(), a.id, late); err != nil || answer.GetError() != refusedStale {
			t.Errorf("got %v, %v", answer.GetError(), err)
		}
		if hb.(*Hop).ending() {
			t.Error("an old offer ended the hop")
		}
	})
}

func TestWrongFingerprintIsRefused(t *testing.T) {
	other, err := secure.NewCertificate(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for _, side := range []string{"offer", "answer"} {
		inLab(t, 2, delay, func(t *testing.T, l *lab) {
			a, b := l.nodes[0], l.nodes[1]
			if side == "offer" {
				l.signals.change = func(_, _ peerID, o *wire.HopOffer) { o.Fingerprint = secure.FormatFingerprint(other.Fingerprint) }
			} else {
				l.signals.answer = func(o *wire.HopAnswer) { o.Fingerprint = secure.FormatFingerprint(other.Fingerprint) }
			}
			if _, err := a.tr.Dial(t.Context(), b.id); err == nil {
				t.Errorf("%s with a wrong fingerprint made a hop", side)
			} else {
				t.Log(err)
			}
			time.Sleep(15 * time.Second)
			for _, v := range l.nodes {
				if v.mu.Lock(); len(v.ups) != 0 {
					t.Errorf("wrong %s: HopUp was called", side)
				}
				v.mu.Unlock()
			}
		})
	}
}

func TestDialEnds(t *testing.T) {
	inLab(t, 2, delay, func(t *testing.T, l *lab) {
		a, b := l.nodes[0], l.nodes[1]
		l.set(func() { l.cut = true })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		if _, err := a.tr.Dial(ctx, b.id); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second {
			t.Errorf("got %v after %v", err, time.Since(began))
		}
		if _, err := a.tr.Dial(t.Context(), b.id); err == nil || time.Since(began) > 12*time.Second {
			t.Errorf("got %v after %v", err, time.Since(began))
		} else {
			t.Log(err)
		}
		if _, err := a.tr.Dial(t.Context(), testID(7)); err == nil {
			t.Error("dialed a peer that cannot be reached")
		}
		if _, err := a.tr.Dial(t.Context(), a.id); err == nil {
			t.Error("dialed itself")
		}
	})
}

func TestConcurrentDials(t *testing.T) {
	inLab(t, 3, delay, func(t *testing.T, l *lab) {
		results := make(chan engine.Hop, 30)
		for range 10 {
			for i, to := range []int{1, 2, 0} {
				go func() {
					h, err := l.nodes[i].tr.Dial(t.Context(), l.nodes[to].id)
					if err != nil {
						t.Error(err)
					}
					results <- h
				}()
			}
		}
		seen := map[engine.Hop]bool{}
		for range 30 {
			seen[<-results] = true
		}
		if len(seen) != 3 {
			t.Errorf("%d hops for 3 pairs", len(seen))
		}
	})
}

func TestClosedTransport(t *testing.T) {
	inLab(t, 2, delay, func(t *testing.T, l *lab) {
		a, b := l.nodes[0], l.nodes[1]
		done := make(chan error, 1)
		go func() {
			_, err := a.tr.Dial(t.Context(), b.id)
			done <- err
		}()
		time.Sleep(40 * time.Millisecond)
		_ = a.tr.Close()
		if err := <-done; !errors.Is(err, engine.ErrClosed) {
			t.Errorf("Dial under way gives %v", err)
		}
		if _, err := a.tr.Dial(t.Context(), b.id); !errors.Is(err, engine.ErrClosed) {
			t.Errorf("Dial gives %v", err)
		}
		if _, err := b.tr.Dial(t.Context(), a.id); !errors.Is(err, ErrRefused) {
			t.Errorf("Dial to a closed transport gives %v", err)
		}
	})
}
