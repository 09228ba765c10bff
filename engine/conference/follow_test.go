package conference

import (
	"math"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/mixer/tonetest"
)

// heardBy notes what somebody hears by timestamp.
type heardBy struct {
	mu     sync.Mutex
	ear    *tonetest.Ear
	stamps []uint32
	nums   []int64
}

func (h *heardBy) hear(p *engine.MediaPacket) {
	h.mu.Lock()
	h.stamps, h.nums = append(h.stamps, p.Timestamp), append(h.nums, p.Sequence)
	h.mu.Unlock()
	h.ear.Hear(p.Payload)
}

// TestStandby: a Service that follows another one, whose clock began at another time, makes packets of the same ticks, a little later, with
// the same talk in them; it makes none before it knows the ticks, and goes on when the primary is gone.
func TestStandby(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := New()
		t.Cleanup(first.Close)
		time.Sleep(12345 * time.Millisecond)
		second := New()
		t.Cleanup(second.Close)
		time.Sleep(7 * time.Millisecond)
		var all, spare heardBy
		for _, h := range []*heardBy{&all, &spare} {
			ear, err := tonetest.NewEar()
			if err != nil {
				t.Fatal(err)
			}
			h.ear = ear
		}
		primary, err := first.Open(all.hear)
		if err != nil {
			t.Fatal(err)
		}
		standby, err := second.Open(spare.hear)
		if err != nil {
			t.Fatal(err)
		}
		standby.Follow(nil)
		maps := 0
		told := true // the primary's maps come
		primary.Maps(func(m *engine.PlayoutMap) {
			maps++
			if told {
				time.AfterFunc(15*time.Millisecond, func() { standby.Follow(m) })
			}
		})
		told = false
		stop := make(chan struct{})
		var work sync.WaitGroup
		var heard [2]heardBy
		for i, f := range []float64{400, 700} {
			ear, err := tonetest.NewEar()
			if err != nil {
				t.Fatal(err)
			}
			heard[i].ear = ear
			name := []string{"ann", "bob"}[i]
			a, err := primary.Join(engine.SeatConfig{Participant: name, Hear: func(*engine.MediaPacket) {}})
			if err != nil {
				t.Fatal(err)
			}
			b, err := standby.Join(engine.SeatConfig{Participant: name, Hear: heard[i].hear})
			if err != nil {
				t.Fatal(err)
			}
			voice, err := tonetest.NewVoice(f, 0.1)
			if err != nil {
				t.Fatal(err)
			}
			work.Go(func() {
				defer voice.Close()
				tick := time.NewTicker(20 * time.Millisecond)
				defer tick.Stop()
				for n := int64(1); ; n++ {
					select {
					case <-stop:
						return
					case <-tick.C:
					}
					payload, level, err := voice.Packet()
					if err != nil {
						t.Error(err)
						return
					}
					p := &engine.MediaPacket{Sequence: n, Timestamp: uint32(n) * 960, Payload: payload, Level: level}
					a.Write(p)
					b.Write(p)
				}
			})
		}
		time.Sleep(time.Second)
		if len(spare.stamps) != 0 || len(heard[0].stamps) != 0 {
			t.Errorf("a standby that knows no ticks made %d packets", len(spare.stamps))
		}
		told = true
		time.Sleep(4 * time.Second)
		if len(spare.stamps) < 190 || maps < 10 || maps > 120 {
			t.Fatalf("the standby made %d packets, by %d maps in all", len(spare.stamps), maps)
		}
		if off := int32(all.stamps[len(all.stamps)-1]-spare.stamps[len(spare.stamps)-1]) / 960; off < 1 || off > 4 {
			t.Errorf("the standby is %d ticks behind", off)
		}
		if !slices.Contains(all.stamps, spare.stamps[100]) {
			t.Error("the standby has another timeline")
		}
		primary.Close()
		time.Sleep(4 * time.Second)
		standby.Lead()
		time.Sleep(time.Second)
		close(stop)
		work.Wait()
		for i := 1; i < len(spare.stamps); i++ {
			if spare.stamps[i] != spare.stamps[i-1]+960 || spare.nums[i] != spare.nums[i-1]+1 {
				t.Errorf("the standby made %d at %d after %d at %d", spare.nums[i], spare.stamps[i], spare.nums[i-1], spare.stamps[i-1])
			}
		}
		if len(spare.stamps) < 440 {
			t.Errorf("the standby made %d packets in all", len(spare.stamps))
		}
		for _, f := range []float64{400, 700} {
			if level := spare.ear.Level(f); math.Abs(level+20) > 3 {
				t.Errorf("a listener of the standby hears %.0f Hz at %.1f dB", f, level)
			}
		}
		if own, other := heard[0].ear.Residue(400), heard[0].ear.Level(700); own > -70 || math.Abs(other+20) > 3 {
			t.Errorf("ann hears herself at %.1f dB and bob at %.1f dB of the standby", own, other)
		}
		standby.Close()
	})
}

// TestStandbyOfALiar: maps of a primary that says what cannot be, and then begins anew, do not end a standby.
func TestStandbyOfALiar(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New()
		t.Cleanup(s.Close)
		heard := 0
		m, err := s.Open(func(*engine.MediaPacket) { heard++ })
		if err != nil {
			t.Fatal(err)
		}
		m.Follow(nil)
		seat, err := m.Join(engine.SeatConfig{Participant: "ann", Hear: func(*engine.MediaPacket) {}})
		if err != nil {
			t.Fatal(err)
		}
		voice, err := tonetest.NewVoice(400, 0.1)
		if err != nil {
			t.Fatal(err)
		}
		defer voice.Close()
		sent := int64(0)
		said := func(ticks int, m *engine.PlayoutMap, from engine.Mix) {
			for n := range ticks {
				sent++
				payload, level, err := voice.Packet()
				if err != nil {
					t.Fatal(err)
				}
				seat.Write(&engine.MediaPacket{Sequence: sent, Timestamp: uint32(sent) * 960, Payload: payload, Level: level})
				if m != nil {
					next := *m
					next.Tick += uint64(n)
					from.Follow(&next)
				}
				time.Sleep(20 * time.Millisecond)
			}
		}
		for _, at := range []uint64{0, 1 << 63, 1<<64 - 1, 1 << 48, 1<<48 - 1, 5} {
			said(5, &engine.PlayoutMap{Tick: at, Number: at, Inputs: []engine.PlayoutPosition{
				{Participant: "ann", Timestamp: uint32(at), Gain: math.Inf(1)}, {Participant: "ann", Gain: math.NaN()}, {Participant: "nobody"},
			}}, m)
		}
		said(800, &engine.PlayoutMap{Tick: 1000}, m)
		if before := heard; before > 0 {
			said(100, nil, nil)
			if heard-before < 90 {
				t.Errorf("%d packets in two seconds", heard-before)
			}
		} else {
			t.Error("nothing was heard")
		}
		m.Close()
	})
}
