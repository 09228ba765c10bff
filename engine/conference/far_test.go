package conference_test

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/conference"
	"github.com/castd/castd/engine/enginetest"
	"github.com/castd/castd/mixer/tonetest"
)

// caller takes part in a conference by way of a peer of a network in memory.
type caller struct {
	t         *testing.T
	name      string
	frequency float64
	call      engine.Call
	ear       *tonetest.Ear
	silent    atomic.Bool // he pauses
	stop      chan struct{}
	done      sync.WaitGroup

	mu      sync.Mutex // guards all following fields
	numbers []int64    // of what he heard
	stamps  []uint32
	longest time.Duration // without a packet, since reset
	last    time.Time
	state   *engine.CallState
	codes   []string // of news
	chat    []engine.ChatMessage
	player  *tonetest.Player // gets what he hears, where there is one
}

func (c *caller) news(n *engine.CallNews) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n.Code != "" {
		c.codes = append(c.codes, n.Code)
	}
	c.chat = append(c.chat, n.Chat...)
}

// notices returns the codes of what he was told.
func (c *caller) notices() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.codes)
}

// texts returns what he has read.
func (c *caller) texts() (all []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range c.chat {
		all = append(all, m.Text)
	}
	return all
}

func (c *caller) hear(p *engine.MediaPacket) {
	c.mu.Lock()
	c.numbers, c.stamps = append(c.numbers, p.Sequence), append(c.stamps, p.Timestamp)
	now := time.Now()
	if !c.last.IsZero() {
		c.longest = max(c.longest, now.Sub(c.last))
	}
	c.last = now
	if c.player != nil {
		c.player.Hear(now, uint16(p.Sequence), p.Timestamp, p.Payload)
	}
	c.mu.Unlock()
	c.ear.Hear(p.Payload)
}

func (c *caller) tell(s *engine.CallState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state = s
}

// callerAmplitude is how loud a caller's tone is, and is heard.
const callerAmplitude = 0.1

// takePart begins to send a tone.
func takePart(t *testing.T, r *engine.Room, name string, frequency float64) *caller {
	t.Helper()
	c := &caller{t: t, name: name, frequency: frequency, stop: make(chan struct{})}
	var err error
	if c.ear, err = tonetest.NewEar(); err != nil {
		t.Fatal(err)
	}
	if c.call, err = r.Call(t.Context(), engine.SeatConfig{Participant: name, Name: name, Hear: c.hear, Tell: c.tell, News: c.news}); err != nil {
		t.Fatal(err)
	}
	voice, err := tonetest.NewVoice(frequency, callerAmplitude)
	if err != nil {
		t.Fatal(err)
	}
	c.done.Go(func() {
		defer voice.Close()
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		number := int64(1 << 16)
		for n := number; ; n++ {
			select {
			case <-c.stop:
				return
			case <-tick.C:
			}
			payload, level, err := voice.Packet()
			if err != nil {
				t.Error(err)
				return
			}
			if c.silent.Load() {
				continue
			}
			c.call.Write(&engine.MediaPacket{Sequence: number, Timestamp: uint32(n) * 960, Payload: payload, Level: level})
			number++
		}
	})
	return c
}

func (c *caller) leave() {
	close(c.stop)
	c.done.Wait()
	if err := c.call.Close(); err != nil {
		c.t.Error(err)
	}
	c.ear.Close()
}

// listener hears the mix as it comes down the tree.
type listener struct {
	ear *tonetest.Ear

	mu      sync.Mutex // guards all following fields
	numbers []uint64
	stamps  []uint32
	longest time.Duration
	last    time.Time
}

func (l *listener) Streams([]*engine.StreamState) {}

func (l *listener) WritePacket(p *engine.Packet) {
	l.mu.Lock()
	l.numbers, l.stamps = append(l.numbers, p.Header.Number), append(l.stamps, p.Header.Timestamp)
	now := time.Now()
	if !l.last.IsZero() {
		l.longest = max(l.longest, now.Sub(l.last))
	}
	l.last = now
	l.mu.Unlock()
	l.ear.Hear(p.Payload)
}

// listen hears the mix of a room by the tree.
func listen(t *testing.T, r *engine.Room) *listener {
	t.Helper()
	ear, err := tonetest.NewEar()
	if err != nil {
		t.Fatal(err)
	}
	l := &listener{ear: ear}
	sub, err := r.Subscribe(l, engine.SinkOptions{Guest: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		sub.Close()
		ear.Close()
	})
	return l
}

func addPeer(t *testing.T, net *enginetest.Network, name string) *enginetest.Peer {
	t.Helper()
	p, err := net.Add(name, 4)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = p.Engine.Close(ctx)
		p.Close()
	})
	return p
}

func enter(t *testing.T, p *enginetest.Peer, o engine.JoinOptions) *engine.Room {
	t.Helper()
	r, err := p.Join(t.Context(), "talk", o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// check fails where somebody does not hear all others, or himself.
func check(t *testing.T, callers ...*caller) {
	t.Helper()
	for _, c := range callers {
		for _, o := range callers {
			if level := c.ear.Level(o.frequency); c != o && (level < -23 || level > -17) {
				t.Errorf("%s hears %s at %.1f dB, want -20", c.name, o.name, level)
			}
		}
		if level := c.ear.Residue(c.frequency); level > -70 {
			t.Errorf("%s hears himself at %.1f dB", c.name, level)
		}
		c.mu.Lock()
		sorted := slices.Clone(c.numbers)
		slices.Sort(sorted)
		if len(slices.Compact(sorted)) != len(c.numbers) {
			t.Errorf("%s heard numbers twice", c.name)
		}
		if c.state == nil || len(c.state.Participants) != len(callers) {
			t.Errorf("%s was told %+v", c.name, c.state)
		}
		c.mu.Unlock()
	}
}

// TestFarCall: people take part by way of peers that do not mix. What they say goes to the one that does and nowhere else, and each hears
// all others and not himself, like those who call at the mixer. A listener anywhere hears all by the tree.
func TestFarCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := enginetest.NewNetwork(1)
		net.Delay = 20 * time.Millisecond
		s := conference.New()
		t.Cleanup(s.Close)
		net.Mixing = s
		hub, near, other := addPeer(t, net, "hub"), addPeer(t, net, "near"), addPeer(t, net, "other")
		room := enter(t, hub, engine.JoinOptions{Create: true, Mode: "conference"})
		r1 := enter(t, near, engine.JoinOptions{Wait: 5 * time.Second})
		r2 := enter(t, other, engine.JoinOptions{Wait: 5 * time.Second, Listen: true})
		all := listen(t, r2)
		ann, bob, eve := takePart(t, room, "ann", 400), takePart(t, r1, "bob", 700), takePart(t, r2, "eve", 1200)
		time.Sleep(5 * time.Second)
		check(t, ann, bob, eve)
		for _, f := range []float64{400, 700, 1200} {
			if level := all.ear.Level(f); level < -23 || level > -17 {
				t.Errorf("a listener hears %.0f Hz at %.1f dB, want -20", f, level)
			}
		}
		for i, r := range []*engine.Room{room, r1, r2} {
			info := r.Info()
			if len(info.Participants) != 3 || info.Mixer == nil || info.Mixer.Peer != hub.Self().String() {
				t.Errorf("peer %d knows of %+v, mixer %+v", i, info.Participants, info.Mixer)
				continue
			}
			if p := info.Participants[1]; p.Participant != "bob" || p.Peer != near.Self().String() {
				t.Errorf("peer %d knows of %+v", i, p)
			}
			if len(info.Streams) != 1 || info.Streams[0].Slot != "mix" {
				t.Errorf("peer %d has streams %+v", i, info.Streams)
			}
		}
		bob.call.Wish("eve", 0)
		bob.ear.Forget()
		time.Sleep(3 * time.Second)
		if level := bob.ear.Level(1200); level > -60 {
			t.Errorf("bob hears eve, whom he does not want to, at %.1f dB", level)
		}
		bob.leave()
		time.Sleep(time.Second)
		if info := room.Info(); len(info.Participants) != 2 {
			t.Errorf("after one has left: %+v", info.Participants)
		}
		ann.leave()
		eve.leave()
	})
}

// TestFarCallRefused: nobody is called in a broadcast.
func TestFarCallRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := enginetest.NewNetwork(2)
		net.Delay = 5 * time.Millisecond
		s := conference.New()
		t.Cleanup(s.Close)
		net.Mixing = s
		hub, near := addPeer(t, net, "hub"), addPeer(t, net, "near")
		room := enter(t, hub, engine.JoinOptions{Create: true})
		r1 := enter(t, near, engine.JoinOptions{Wait: 5 * time.Second})
		for _, r := range []*engine.Room{room, r1} {
			_, err := r.Call(t.Context(), engine.SeatConfig{Participant: "ann", Hear: func(*engine.MediaPacket) {}})
			if user, ok := err.(*engine.UserError); !ok || user.Code != engine.CodeWrongMode {
				t.Errorf("a call in a broadcast: %v", err)
			}
		}
	})
}

// TestMixerGone: the peer that mixes dies, or leaves, and another of the owner's devices, which stood by, takes over. Nobody misses any
// sound or hears any twice, and nobody hears nothing for long.
func TestMixerGone(t *testing.T) {
	for name, gone := range map[string]func(*testing.T, *enginetest.Network, *enginetest.Peer){
		"dies": func(_ *testing.T, net *enginetest.Network, p *enginetest.Peer) { net.Cut(p, true) },
		"leaves": func(t *testing.T, _ *enginetest.Network, p *enginetest.Peer) {
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			_ = p.Engine.Close(ctx)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				net := enginetest.NewNetwork(3)
				net.Delay = 20 * time.Millisecond
				add := func(name string) *enginetest.Peer { // each with a clock of its own
					s := conference.New()
					t.Cleanup(s.Close)
					net.Mixing = s
					time.Sleep(3 * time.Millisecond)
					return addPeer(t, net, name)
				}
				hub, heir, near, other := add("ann/laptop"), add("ann/desktop"), add("near"), add("other")
				enter(t, hub, engine.JoinOptions{Create: true, Mode: "conference"})
				time.Sleep(time.Second)
				rh := enter(t, heir, engine.JoinOptions{Create: true})
				r1, r2 := enter(t, near, engine.JoinOptions{Wait: 5 * time.Second}), enter(t, other, engine.JoinOptions{Wait: 5 * time.Second})
				callers := []*caller{takePart(t, rh, "ann", 400), takePart(t, r1, "bob", 700), takePart(t, r2, "eve", 1200)}
				listeners := []*listener{listen(t, rh), listen(t, r1), listen(t, r2)}
				time.Sleep(10 * time.Second)
				check(t, callers...)
				for i, r := range []*engine.Room{rh, r1, r2} {
					if m := r.Info().Mixer; m == nil || m.Peer != hub.Self().String() || m.Standby != heir.Self().String() {
						t.Errorf("peer %d knows of the mixer %+v", i, m)
					}
				}
				for _, c := range callers {
					c.mu.Lock()
					c.longest = 0
					c.mu.Unlock()
				}
				for _, l := range listeners {
					l.mu.Lock()
					l.longest = 0
					l.mu.Unlock()
				}
				gone(t, net, hub)
				time.Sleep(12 * time.Second)
				check(t, callers...)
				for i, l := range listeners {
					l.mu.Lock()
					t.Logf("listener %d heard nothing for %v", i, l.longest)
					for i := 1; i < len(l.numbers); i++ {
						if l.numbers[i] != l.numbers[i-1]+1 || l.stamps[i] != l.stamps[i-1]+960 {
							t.Errorf("a listener heard %d at %d after %d at %d", l.numbers[i], l.stamps[i], l.numbers[i-1], l.stamps[i-1])
							break
						}
					}
					l.mu.Unlock()
					for _, f := range []float64{400, 700, 1200} {
						if level := l.ear.Level(f); level < -23 || level > -17 {
							t.Errorf("a listener hears %.0f Hz at %.1f dB, want -20", f, level)
						}
					}
				}
				for _, c := range callers {
					c.mu.Lock()
					t.Logf("%s heard nothing for %v", c.name, c.longest)
					for i := 1; i < len(c.numbers); i++ {
						if c.numbers[i] != c.numbers[i-1]+1 || c.stamps[i] != c.stamps[i-1]+960 {
							t.Errorf("%s heard %d at %d after %d at %d", c.name, c.numbers[i], c.stamps[i], c.numbers[i-1], c.stamps[i-1])
							break
						}
					}
					if c.longest > 100*time.Millisecond {
						t.Errorf("%s heard nothing for %v", c.name, c.longest)
					}
					c.mu.Unlock()
					c.leave()
				}
			})
		})
	}
}

// TestPeerOfCallersRestarts: a peer by way of which somebody takes part is killed and runs again before it was missed. The seat that it had
// goes, though there is a hop to it again.
func TestPeerOfCallersRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := enginetest.NewNetwork(4)
		net.Delay = 20 * time.Millisecond
		s := conference.New()
		t.Cleanup(s.Close)
		net.Mixing = s
		hub, near := addPeer(t, net, "hub"), addPeer(t, net, "near")
		room := enter(t, hub, engine.JoinOptions{Create: true, Mode: "conference"})
		ann := takePart(t, room, "ann", 400)
		lost := takePart(t, enter(t, near, engine.JoinOptions{Wait: 5 * time.Second}), "bob", 700)
		time.Sleep(3 * time.Second)
		check(t, ann, lost)
		net.Kill(near)
		lost.leave()
		again, err := net.Restart(near, 4)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			_ = again.Engine.Close(ctx)
			again.Close()
		})
		bob := takePart(t, enter(t, again, engine.JoinOptions{Wait: 5 * time.Second}), "bob again", 700)
		time.Sleep(15 * time.Second)
		check(t, ann, bob)
		ann.leave()
		bob.leave()
	})
}
