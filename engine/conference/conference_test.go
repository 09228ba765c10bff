package conference

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/wire"
	"github.com/castd/castd/mixer/tonetest"
)

// guest is a participant of a test who sends a tone and listens.
type guest struct {
	t         *testing.T
	seat      engine.Seat
	frequency float64
	ear       *tonetest.Ear
	stop      chan struct{}
	done      sync.WaitGroup

	mu    sync.Mutex
	state *engine.CallState
	next  int64 // sequence of what he hears
	holes int
}

func (g *guest) hear(p *engine.MediaPacket) {
	g.mu.Lock()
	if g.next != 0 && p.Sequence != g.next {
		g.holes++
	}
	g.next = p.Sequence + 1
	g.mu.Unlock()
	g.ear.Hear(p.Payload)
}

func (g *guest) tell(s *engine.CallState) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.state = s
}

// join seats a guest who sends a tone of an amplitude, or with 0 nothing.
func join(t *testing.T, m engine.Mix, frequency, amplitude float64) *guest {
	t.Helper()
	g := &guest{t: t, frequency: frequency, stop: make(chan struct{})}
	var err error
	if g.ear, err = tonetest.NewEar(); err != nil {
		t.Fatal(err)
	}
	if g.seat, err = m.Join(engine.SeatConfig{Participant: fmt.Sprintf("tone%04.0f", frequency), Hear: g.hear, Tell: g.tell}); err != nil {
		t.Fatal(err)
	}
	voice, err := tonetest.NewVoice(frequency, max(amplitude, 0.01))
	if err != nil {
		t.Fatal(err)
	}
	g.done.Go(func() {
		defer voice.Close()
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for n := int64(1); ; n++ {
			select {
			case <-g.stop:
				return
			case <-tick.C:
			}
			if amplitude == 0 {
				continue
			}
			payload, level, err := voice.Packet()
			if err != nil {
				t.Error(err)
				return
			}
			g.seat.Write(&engine.MediaPacket{Sequence: n, Timestamp: uint32(n) * 960, Payload: payload, Level: level})
		}
	})
	return g
}

func (g *guest) leave() {
	close(g.stop)
	g.done.Wait()
	g.seat.Close()
	g.ear.Close()
}

// Each participant hears all others at the loudness of the room, and nothing of himself. Who only listens hears all.
func TestTones(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New()
		defer s.Close()
		all, err := tonetest.NewEar()
		if err != nil {
			t.Fatal(err)
		}
		defer all.Close()
		m, err := s.Open(func(p *engine.MediaPacket) { all.Hear(p.Payload) })
		if err != nil {
			t.Fatal(err)
		}
		var guests []*guest
		for _, f := range []float64{400, 700, 1200} {
			guests = append(guests, join(t, m, f, 0.1)) // -23 dB of power, where the mixer wants them
		}
		quiet := join(t, m, 2000, 0)
		time.Sleep(4 * time.Second)
		for _, g := range guests {
			for _, o := range guests {
				if level := g.ear.Residue(g.frequency); level > -70 { // -50 dB of what the others are
					t.Errorf("%.0f hears himself at %.1f dB", g.frequency, level)
				}
				if level := g.ear.Level(o.frequency); g != o && (level < -23 || level > -17) {
					t.Errorf("%.0f hears %.0f at %.1f dB, want -20", g.frequency, o.frequency, level)
				}
			}
			for _, ear := range []*tonetest.Ear{all, quiet.ear} {
				if level := ear.Level(g.frequency); level < -23 || level > -17 {
					t.Errorf("a listener hears %.0f at %.1f dB, want -20", g.frequency, level)
				}
			}
			if g.holes > 0 {
				t.Errorf("%.0f: %d holes in the numbers", g.frequency, g.holes)
			}
			if g.state == nil || len(g.state.Participants) != 4 || !g.state.Participants[0].Talking || g.state.Participants[3].Talking {
				t.Errorf("%.0f was told %+v", g.frequency, g.state)
			}
		}
		for _, g := range append(guests, quiet) {
			g.leave()
		}
		m.Close()
		if st := s.Stats(); st.Skipped > 0 {
			t.Errorf("%+v", st)
		}
	})
}

// Where nobody sends, there are no ticks; the first packet begins them again.
func TestRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New()
		defer s.Close()
		var heard int
		m, err := s.Open(func(*engine.MediaPacket) { heard++ })
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		quiet := join(t, m, 300, 0)
		time.Sleep(time.Second)
		before := s.Stats().Ticks
		time.Sleep(time.Hour)
		if n := s.Stats().Ticks - before; n > 0 {
			t.Errorf("%d ticks in an hour of silence", n)
		}
		g := join(t, m, 500, 0.1)
		time.Sleep(3 * time.Second)
		if level := quiet.ear.Level(500); level < -23 {
			t.Errorf("after the silence he is heard at %.1f dB", level)
		}
		if st := s.Stats(); st.Skipped > 0 {
			t.Errorf("%d ticks were skipped", st.Skipped)
		}
		g.leave()
		time.Sleep(3 * time.Second)
		before = s.Stats().Ticks
		time.Sleep(time.Minute)
		if n := s.Stats().Ticks - before; n > 0 {
			t.Errorf("%d ticks after everybody fell silent", n)
		}
		quiet.leave()
		synctest.Wait()
		if heard == 0 {
			t.Error("nothing was heard")
		}
	})
}

// What somebody floods, garbles or lies about is his own loss.
func TestHostile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New()
		defer s.Close()
		m, err := s.Open(func(*engine.MediaPacket) {})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		a, b := join(t, m, 400, 0.1), join(t, m, 900, 0.1)
		bad, err := m.Join(engine.SeatConfig{Participant: "bad", Hear: func(*engine.MediaPacket) {}})
		if err != nil {
			t.Fatal(err)
		}
		for n := range 3000 {
			for i := range 20 {
				x := uint32(n*20+i) * 2654435761
				payload := make([]byte, x%1600)
				for j := range payload {
					payload[j] = byte(x >> (j % 24))
				}
				bad.Write(&engine.MediaPacket{Sequence: int64(x), Timestamp: x * x, Payload: payload, Level: uint8(x >> 8), Voice: true})
			}
			time.Sleep(2 * time.Millisecond)
		}
		time.Sleep(2 * time.Second)
		if level := a.ear.Level(900); level < -23 || level > -17 {
			t.Errorf("beside a flood the other is heard at %.1f dB", level)
		}
		if level := b.ear.Residue(900); level > -70 {
			t.Errorf("beside a flood he hears himself at %.1f dB", level)
		}
		bad.Close()
		bad.Close()
		bad.Write(&engine.MediaPacket{Payload: []byte{1}})
		bad.Wish("tone0400", 2)
		a.leave()
		b.leave()
	})
}

// A wish is the wisher's only.
func TestWish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New()
		defer s.Close()
		m, err := s.Open(func(*engine.MediaPacket) {})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		a, b, c := join(t, m, 400, 0.1), join(t, m, 900, 0.1), join(t, m, 1500, 0.1)
		a.seat.Wish("tone0900", 0.25)
		a.seat.Wish("nobody", 2)
		time.Sleep(4 * time.Second)
		if level := a.ear.Level(900); level < -35 || level > -29 {
			t.Errorf("with a wish for -12 dB he is heard at %.1f dB", level)
		}
		if level := c.ear.Level(900); level < -23 || level > -17 {
			t.Errorf("others hear him at %.1f dB", level)
		}
		if level := a.ear.Level(1500); level < -23 || level > -17 {
			t.Errorf("the wisher hears another at %.1f dB", level)
		}
		for _, g := range []*guest{a, b, c} {
			g.leave()
		}
	})
}

func TestClosed(t *testing.T) {
	s := New()
	m, err := s.Open(func(*engine.MediaPacket) {})
	if err != nil {
		t.Fatal(err)
	}
	seat, err := m.Join(engine.SeatConfig{Hear: func(*engine.MediaPacket) {}})
	if err != nil {
		t.Fatal(err)
	}
	m.Close()
	seat.Close()
	if _, err := m.Join(engine.SeatConfig{}); err == nil {
		t.Error("a seat at a table that is gone")
	}
	s.Close()
	s.Close()
	if _, err := s.Open(nil); err == nil {
		t.Error("a table of a service that is closed")
	}
	seat.Write(&engine.MediaPacket{Level: wire.LevelUnknown})
	m.Close()
}

func TestDue(t *testing.T) {
	for _, c := range []struct{ next, now, first, skipped uint64 }{
		{10, 9, 10, 0}, {10, 10, 10, 0}, {10, 12, 10, 0}, {10, 15, 10, 0}, {10, 16, 16, 6}, {10, 1000, 1000, 990},
	} {
		if first, skipped := due(c.next, c.now); first != c.first || skipped != c.skipped {
			t.Errorf("due(%d, %d) = %d, %d, want %d, %d", c.next, c.now, first, skipped, c.first, c.skipped)
		}
	}
}

func TestDuration(t *testing.T) {
	for _, c := range []struct {
		payload []byte
		want    int
	}{
		{nil, 0}, {[]byte{0x08}, 960}, {[]byte{0x00}, 480}, {[]byte{0x18}, 2880}, {[]byte{0x68}, 960}, {[]byte{0x60}, 480}, {[]byte{0x80}, 120},
		{[]byte{0x98, 1}, 960}, {[]byte{0x09}, 1920}, {[]byte{0x03}, 0}, {[]byte{0x03, 2}, 960}, {[]byte{0xFB, 0x81}, 960}, {[]byte{0xF0}, 480},
	} {
		if got := duration(c.payload); got != c.want {
			t.Errorf("duration(%x) = %d, want %d", c.payload, got, c.want)
		}
	}
}
