package conference

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/wire"
	"github.com/castd/castd/mixer/tonetest"
)

// rogue says of each of 50 ticks a second what a participant sends who is up to no good. n counts the ticks, and tone is what he would send of
// a tone of 2,000 Hz if he were honest.
type rogue func(n int64, tone *engine.MediaPacket, send func(engine.MediaPacket))

// honest is what others do.
func honest(_ int64, tone *engine.MediaPacket, send func(engine.MediaPacket)) { send(*tone) }

// silence is Opus without sound.
var silence = []byte{9 << 3, 0, 0, 0}

// rogues are the ways, and whether their own tone is heard all the same, so that they have as good a right to a place as others.
func rogues() map[string]struct {
	act   rogue
	heard bool
} {
	r, other := rand.New(rand.NewPCG(1, 2)), rand.New(rand.NewPCG(3, 4)) // one for each, as they run beside each other
	return map[string]struct {
		act   rogue
		heard bool
	}{
		"honest": {honest, true},
		"claims to be loud and is silent": {act: func(_ int64, tone *engine.MediaPacket, send func(engine.MediaPacket)) {
			p := *tone
			p.Payload, p.Level, p.Voice = silence, 0, true
			send(p)
		}},
		"claims to be silent and talks": {act: func(_ int64, tone *engine.MediaPacket, send func(engine.MediaPacket)) {
			p := *tone
			p.Level, p.Voice = 127, false
			send(p)
		}},
		"says nothing of his level": {heard: true, act: func(_ int64, tone *engine.MediaPacket, send func(engine.MediaPacket)) {
			p := *tone
			p.Level = wire.LevelUnknown
			send(p)
		}},
		"floods with packets of his future": {heard: true, act: func(n int64, tone *engine.MediaPacket, send func(engine.MediaPacket)) {
			for i := range int64(200) { // 10,000 a second
				p := *tone
				p.Sequence, p.Timestamp = n*200+i, uint32(n*200+i)*960
				send(p)
			}
		}},
		"floods with copies": {heard: true, act: func(_ int64, tone *engine.MediaPacket, send func(engine.MediaPacket)) {
			for range 200 {
				send(*tone)
			}
		}},
		"sends garbage": {act: func(_ int64, tone *engine.MediaPacket, send func(engine.MediaPacket)) {
			p := *tone
			p.Payload = make([]byte, 1+r.IntN(300))
			for i := range p.Payload {
				p.Payload[i] = byte(r.Uint32())
			}
			p.Level, p.Voice = 0, true
			send(p)
		}},
		"jumps with his clock": {heard: true, act: func(n int64, tone *engine.MediaPacket, send func(engine.MediaPacket)) {
			p := *tone
			p.Timestamp += uint32(n/10) * 0x3333_3333
			send(p)
		}},
		"jumps with his numbers": {heard: true, act: func(n int64, tone *engine.MediaPacket, send func(engine.MediaPacket)) {
			p := *tone
			p.Sequence += n / 10 * 20_011
			send(p)
		}},
		"jumps with everything": {act: func(_ int64, tone *engine.MediaPacket, send func(engine.MediaPacket)) {
			p := *tone
			p.Sequence, p.Timestamp = int64(other.Uint32()), other.Uint32()
			send(p)
		}},
	}
}

// TestRogues: whatever participants do, those who do nothing wrong are heard as loud as ever, by each other and by the audience, and nobody of
// them hears himself. There are as many rogues as places for talkers, so that they could fill all of these.
func TestRogues(t *testing.T) {
	for name, way := range rogues() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
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
				defer m.Close()
				count := 3
				if way.heard {
					count = 1
				}
				stop := make(chan struct{})
				var done sync.WaitGroup
				for i := range count {
					seat, err := m.Join(engine.SeatConfig{Participant: fmt.Sprintf("rogue%d", i), Hear: func(*engine.MediaPacket) {}})
					if err != nil {
						t.Fatal(err)
					}
					defer seat.Close()
					voice, err := tonetest.NewVoice(2000, 0.1)
					if err != nil {
						t.Fatal(err)
					}
					done.Go(func() {
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
							tone := &engine.MediaPacket{Sequence: n, Timestamp: uint32(n) * 960, Payload: payload, Level: level}
							way.act(n, tone, func(p engine.MediaPacket) { seat.Write(&p) })
						}
					})
				}
				time.Sleep(time.Second) // they are there first
				a, b := join(t, m, 400, 0.1), join(t, m, 900, 0.1)
				time.Sleep(8 * time.Second)
				for _, who := range []*guest{a, b} {
					for _, other := range []*guest{a, b} {
						if level := who.ear.Level(other.frequency); who != other && (level < -24 || level > -16) {
							t.Errorf("%.0f hears %.0f at %.1f dB, want -20", who.frequency, other.frequency, level)
						}
					}
					if level := who.ear.Residue(who.frequency); level > -45 { // garbage may be noise
						t.Errorf("%.0f hears himself at %.1f dB", who.frequency, level)
					}
					if who.holes > 0 {
						t.Errorf("%.0f: %d holes in the numbers", who.frequency, who.holes)
					}
					if level := all.Level(who.frequency); level < -24 || level > -16 {
						t.Errorf("the audience hears %.0f at %.1f dB, want -20", who.frequency, level)
					}
				}
				if level := all.Level(2000); way.heard && level < -30 {
					t.Errorf("the audience hears him at %.1f dB", level)
				}
				close(stop)
				done.Wait()
				a.leave()
				b.leave()
			})
		})
	}
}
