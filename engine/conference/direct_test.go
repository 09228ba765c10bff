package conference_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/conference"
	"github.com/castd/castd/engine/enginetest"
	"github.com/castd/castd/engine/room"
	"github.com/castd/castd/engine/wire"
	"github.com/castd/castd/mixer/tonetest"
)

// few is a conference of a hub by which nobody takes part, unless a test has somebody do, and of other peers.
type few struct {
	t       *testing.T
	net     *enginetest.Network
	devices []*enginetest.Peer // Ann's, the first of which opens the room
	hubs    []*engine.Room     // theirs
	peers   []*enginetest.Peer
	rooms   []*engine.Room // theirs
	callers []*caller
	tones   []float64
	deaf    atomic.Pointer[enginetest.Peer] // hears of no access list

	judges []*judge // of the callers that judged was called for

	mu      sync.Mutex
	media   map[[2]peer.ID]int    // packets of sound on hops, by their ends
	streams map[wire.StreamID]int // and by their streams
}

// newFew opens it with so many of Ann's devices and other peers, each with a clock of its own.
func newFew(t *testing.T, seed uint64, devices, peers int) *few {
	t.Helper()
	return newCrowd(t, seed, devices, peers, 0)
}

// newCrowd opens one whose mixers hold so many; 0: as many as is usual.
func newCrowd(t *testing.T, seed uint64, devices, peers, mixSeats int) *few {
	t.Helper()
	k := &few{t: t, net: enginetest.NewNetwork(seed), media: make(map[[2]peer.ID]int), streams: make(map[wire.StreamID]int), tones: tones}
	k.net.MixSeats = mixSeats
	k.net.Delay = 20 * time.Millisecond
	k.net.Unheard = k.misses
	k.net.Swallow = func(_, to peer.ID, msg []byte) bool { return k.misses(to, msg) }
	k.net.Tamper = func(from, to peer.ID, pkt []byte) []byte {
		if h, _, err := wire.ParseHeader(pkt); err == nil && h.Kind == wire.KindAudio {
			k.mu.Lock()
			k.media[[2]peer.ID{from, to}]++
			k.streams[h.Stream]++
			k.mu.Unlock()
		}
		return pkt
	}
	for i := range devices {
		k.devices = append(k.devices, k.add("ann/"+string(rune('a'+i))))
		o := engine.JoinOptions{Create: true}
		if i == 0 {
			o.Mode = "conference"
		}
		k.hubs = append(k.hubs, enter(t, k.devices[i], o))
		time.Sleep(time.Second)
	}
	for i := range peers {
		k.peers = append(k.peers, k.add("peer "+string(rune('a'+i))))
		k.rooms = append(k.rooms, enter(t, k.peers[i], engine.JoinOptions{Wait: 5 * time.Second}))
	}
	time.Sleep(2 * time.Second)
	return k
}

// misses reports whether a message is one that a peer is kept from hearing.
func (k *few) misses(to peer.ID, msg []byte) bool {
	p := k.deaf.Load()
	if p == nil || p.Self() != to {
		return false
	}
	m, err := wire.ReadEnvelope(msg)
	return err != nil || m.Type == wire.Type_ACCESS || m.Type == wire.Type_BEACON || m.Type == wire.Type_KEYS || m.Type == wire.Type_LEASE
}

func (k *few) add(name string) *enginetest.Peer {
	s := conference.New()
	k.t.Cleanup(s.Close)
	k.net.Mixing = s
	time.Sleep(3 * time.Millisecond)
	return addPeer(k.t, k.net, name)
}

var tones = []float64{400, 700, 1200, 1900, 2700}

// call has somebody take part by way of the peer of a number.
func (k *few) call(i int) *caller {
	k.t.Helper()
	c := takePart(k.t, k.rooms[i], "caller "+string(rune('a'+i)), k.tones[i])
	k.callers = append(k.callers, c)
	return c
}

// passed returns how many packets of sound went to a peer or came from it, and begins to count anew.
func (k *few) passed(p *enginetest.Peer) (n int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for ends, packets := range k.media {
		if ends[0] == p.Self() || ends[1] == p.Self() {
			n += packets
		}
	}
	clear(k.media)
	return n
}

// mode fails where a peer knows of another way than this.
func (k *few) mode(want string) {
	k.t.Helper()
	for i, r := range k.rooms {
		if m := r.Info().Mixer; m == nil || m.Mode != want || (m.Peer == "") != (want == engine.MixerDirect) {
			k.t.Errorf("peer %d knows of the mixer %+v, want mode %q", i, m, want)
		}
	}
}

// forget begins to measure.
func (k *few) forget() {
	for _, c := range k.callers {
		c.mu.Lock()
		c.longest, c.numbers, c.stamps = 0, nil, nil
		c.mu.Unlock()
		c.ear.Forget()
	}
	for _, j := range k.judges {
		j.by.mu.Lock()
		_, j.made = j.by.player.Played()
		clear(j.worst)
		j.by.mu.Unlock()
	}
}

// felt fails where somebody missed sound or heard some twice since forget, or heard nothing for longer than that.
func (k *few) felt(most time.Duration) {
	k.t.Helper()
	for _, c := range k.callers {
		c.mu.Lock()
		k.t.Logf("%s heard nothing for %v", c.name, c.longest)
		if c.longest > most || len(c.numbers) == 0 {
			k.t.Errorf("%s heard nothing for %v, of %d packets", c.name, c.longest, len(c.numbers))
		}
		for i := 1; i < len(c.numbers); i++ {
			if c.numbers[i] != c.numbers[i-1]+1 || c.stamps[i] != c.stamps[i-1]+960 {
				k.t.Errorf("%s heard %d at %d after %d at %d", c.name, c.numbers[i], c.stamps[i], c.numbers[i-1], c.stamps[i-1])
				break
			}
		}
		c.mu.Unlock()
	}
}

// judge tells what becomes of steady tones at somebody's ear, as a browser plays them. The mutex of its caller guards all of it.
type judge struct {
	by    *caller
	of    []*caller
	pcm   []float32 // what was heard last, of judgeLook at most
	low   []time.Duration
	worst []time.Duration // by tone: the longest time in which it was below half its level
	made  time.Duration   // that had been made up when it began
}

// judgeLook is how much of a tone is looked at at once. Less would not tell those of the callers apart.
const judgeLook = 2 * 480

// judged has each caller of now hear by a jitter buffer, and looks at how he hears the others of now.
func (k *few) judged() {
	k.t.Helper()
	for _, c := range k.callers {
		j := &judge{by: c, low: make([]time.Duration, 3), worst: make([]time.Duration, 3)}
		for _, o := range k.callers[:3] { // the others have to be silent: a mixer lets three be heard at once
			if o != c {
				j.of = append(j.of, o)
			}
		}
		player, err := tonetest.NewPlayer()
		if err != nil {
			k.t.Fatal(err)
		}
		k.t.Cleanup(player.Close)
		player.Heard = j.hear
		c.mu.Lock()
		c.player = player
		c.mu.Unlock()
		k.judges = append(k.judges, j)
	}
}

// hear looks at the next 10 ms.
func (j *judge) hear(pcm []float32) {
	j.pcm = append(j.pcm, pcm...)
	if len(j.pcm) < judgeLook {
		return
	}
	for i, o := range j.of {
		if tonetest.Amplitude(j.pcm, o.frequency) >= callerAmplitude/2 {
			j.low[i] = 0
			continue
		}
		j.low[i] += 10 * time.Millisecond
		j.worst[i] = max(j.worst[i], j.low[i])
	}
	j.pcm = append(j.pcm[:0], j.pcm[480:]...)
}

// judge fails where more than mostMade was made up at an ear since forget, or a tone was below half its level for longer than mostLow.
func (k *few) judge(what string) {
	k.t.Helper()
	for _, j := range k.judges {
		j.by.mu.Lock()
		_, made := j.by.player.Played()
		made -= j.made
		k.t.Logf("%s: %s had %v made up, and heard others at less than half their level for %v", what, j.by.name, made, j.worst)
		if made > mostMade || slices.Max(j.worst) > mostLow {
			k.t.Errorf("%s: want at most %v and %v", what, mostMade, mostLow)
		}
		j.by.mu.Unlock()
	}
}

func (k *few) leave() {
	for _, c := range k.callers {
		c.leave()
	}
}

// TestDirect: a few hear each other, and no packet of what they say comes by the hub, where none of them is.
func TestDirect(t *testing.T) {
	for n := 2; n <= 4; n++ {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := newFew(t, 11, 2, n)
				k.passed(k.devices[0])
				for i := range n {
					k.call(i)
				}
				time.Sleep(6 * time.Second)
				if sound := k.passed(k.devices[0]); sound > 0 {
					t.Errorf("%d packets of sound came by the hub", sound)
				}
				k.mode(engine.MixerDirect)
				check(t, k.callers...)
				k.leave()
			})
		})
	}
}

// TestDirectUntouched: between two what somebody says comes as it was sent, octet by octet, and so do his pauses, without a number missing.
func TestDirectUntouched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newFew(t, 12, 1, 2)
		var mu sync.Mutex
		var heard []*engine.MediaPacket
		a, err := k.rooms[0].Call(t.Context(), engine.SeatConfig{Participant: "ann", Hear: func(p *engine.MediaPacket) {
			mu.Lock()
			defer mu.Unlock()
			heard = append(heard, p)
		}})
		if err != nil {
			t.Fatal(err)
		}
		b, err := k.rooms[1].Call(t.Context(), engine.SeatConfig{Participant: "bob", Hear: func(*engine.MediaPacket) {}})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(4 * time.Second)
		voice, err := tonetest.NewVoice(500, 0.02) // far too low for a mixer to leave it alone
		if err != nil {
			t.Fatal(err)
		}
		defer voice.Close()
		mu.Lock()
		heard = nil // the tone that told of bob
		mu.Unlock()
		var said []string
		number := int64(5)
		for n := range 250 {
			pause := n >= 100 && n < 130
			if !pause {
				payload, level, err := voice.Packet()
				if err != nil {
					t.Fatal(err)
				}
				said = append(said, string(payload))
				b.Write(&engine.MediaPacket{Sequence: number, Timestamp: uint32(n) * 960, Payload: payload, Level: level})
				number++
			}
			time.Sleep(20 * time.Millisecond)
		}
		time.Sleep(time.Second)
		mu.Lock()
		defer mu.Unlock()
		if len(heard) < len(said) {
			t.Fatalf("%d packets were heard of %d", len(heard), len(said))
		}
		for i, payload := range said {
			if string(heard[i].Payload) != payload {
				t.Fatalf("packet %d is another one than was sent", i)
			}
			if i > 0 && heard[i].Sequence != heard[i-1].Sequence+1 {
				t.Errorf("packet %d has number %d after %d", i, heard[i].Sequence, heard[i-1].Sequence)
			}
			if step := uint32(960); i > 0 && heard[i].Timestamp != heard[i-1].Timestamp+step && i != 100 {
				t.Errorf("packet %d is at %d after %d", i, heard[i].Timestamp, heard[i-1].Timestamp)
			}
		}
		if pause := heard[100].Timestamp - heard[99].Timestamp; pause != 31*960 {
			t.Errorf("a pause of 30 packets is one of %d samples", pause)
		}
		_, _ = a.Close(), b.Close()
	})
}

// mostMade is how much may be made up at an ear where all go over to a mixer, or back, and mostLow how long a tone may be low there: a
// decoder that goes on with another encoder's packets takes a moment.
const (
	mostMade = 40 * time.Millisecond
	mostLow  = 100 * time.Millisecond
)

// TestDirectGrows: a fifth takes part, or somebody listens. Everybody goes over to a mixer, and back when he has gone, and nobody misses
// anything or hears it twice.
func TestDirectGrows(t *testing.T) {
	for name, grow := range map[string]func(*few) (shrink func()){
		"fifth": func(k *few) func() {
			k.call(4).silent.Store(true)
			return func() {
				k.callers[4].leave()
				k.callers = k.callers[:4]
			}
		},
		"listener": func(k *few) func() {
			sub, err := k.rooms[4].Subscribe(&listener{ear: k.callers[0].ear}, engine.SinkOptions{Guest: true})
			if err != nil {
				k.t.Fatal(err)
			}
			_ = sub
			return func() { sub.Close() }
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := newFew(t, 13, 2, 5)
				for i := range 4 {
					k.call(i)
				}
				k.judged()
				k.callers[3].silent.Store(true)
				time.Sleep(6 * time.Second)
				k.mode(engine.MixerDirect)
				k.forget()
				shrink := grow(k)
				time.Sleep(8 * time.Second)
				k.mode("")
				k.felt(100 * time.Millisecond)
				k.judge("to the mixer")
				k.forget()
				shrink()
				time.Sleep(16 * time.Second)
				k.mode(engine.MixerDirect)
				k.felt(100 * time.Millisecond)
				k.judge("and back")
				k.callers[3].silent.Store(false)
				k.passed(k.devices[0])
				k.forget()
				time.Sleep(4 * time.Second)
				check(t, k.callers...)
				if sound := k.passed(k.devices[0]); sound > 0 {
					t.Errorf("%d packets of sound came by the hub", sound)
				}
				k.leave()
			})
		})
	}
}

// TestDirectPeerDies: the peer of one of them dies. The others hear nothing of that.
func TestDirectPeerDies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newFew(t, 14, 1, 4)
		for i := range 4 {
			k.call(i)
		}
		time.Sleep(5 * time.Second)
		gone := k.callers[3]
		k.callers, k.rooms = k.callers[:3], k.rooms[:3]
		k.forget()
		k.net.Cut(k.peers[3], true)
		time.Sleep(20 * time.Second)
		k.felt(60 * time.Millisecond)
		k.mode(engine.MixerDirect)
		k.forget()
		time.Sleep(4 * time.Second)
		check(t, k.callers...)
		gone.leave()
		k.leave()
	})
}

// TestDirectHubDies: the hub dies. Nobody hears anything of that, and the next hub mixes when the room grows.
func TestDirectHubDies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newFew(t, 15, 2, 5)
		for i := range 4 {
			k.call(i)
		}
		time.Sleep(5 * time.Second)
		k.passed(k.devices[0])
		k.forget()
		k.net.Cut(k.devices[0], true)
		time.Sleep(15 * time.Second)
		k.felt(40 * time.Millisecond)
		k.mode(engine.MixerDirect)
		if sound := k.passed(k.devices[1]); sound > 0 {
			t.Errorf("%d packets of sound came by the new hub", sound)
		}
		k.forget()
		k.call(4)
		time.Sleep(8 * time.Second)
		k.felt(100 * time.Millisecond)
		for i, r := range k.rooms {
			if m := r.Info().Mixer; m == nil || m.Peer != k.devices[1].Self().String() {
				t.Errorf("peer %d knows of the mixer %+v", i, m)
			}
		}
		k.leave()
	})
}

// TestDirectHubRestarts: the only peer that may be the hub is killed and runs again a while later.
func TestDirectHubRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newFew(t, 16, 1, 3)
		for i := range 3 {
			k.call(i)
		}
		time.Sleep(5 * time.Second)
		k.forget()
		k.net.Kill(k.devices[0])
		time.Sleep(8 * time.Second)
		again, err := k.net.Restart(k.devices[0], 4)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			_ = again.Engine.Close(ctx)
			again.Close()
		})
		enter(t, again, engine.JoinOptions{Create: true, Mode: "conference"})
		time.Sleep(15 * time.Second)
		k.felt(100 * time.Millisecond)
		k.mode(engine.MixerDirect)
		check(t, k.callers...)
		k.leave()
	})
}

// TestDirectApart: two of them do not reach each other, from the beginning or later. The hub, whom both reach, mixes.
func TestDirectApart(t *testing.T) {
	for _, later := range []bool{false, true} {
		t.Run(fmt.Sprint(later), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := newFew(t, 17, 2, 3)
				if !later {
					k.net.Part(k.peers[0], k.peers[1], true)
				}
				for i := range 3 {
					k.call(i)
				}
				time.Sleep(8 * time.Second)
				if later {
					k.mode(engine.MixerDirect)
					k.net.Part(k.peers[0], k.peers[1], true)
					time.Sleep(8 * time.Second)
				}
				k.mode("")
				k.forget()
				time.Sleep(15 * time.Second)
				k.felt(60 * time.Millisecond)
				k.mode("")
				check(t, k.callers...)
				k.net.Part(k.peers[0], k.peers[1], false)
				time.Sleep(40 * time.Second) // it is tried again
				k.mode(engine.MixerDirect)
				k.forget()
				time.Sleep(4 * time.Second)
				check(t, k.callers...)
				k.leave()
			})
		})
	}
}

// TestDirectParts: the network falls apart. Those who reach each other go on, and all do when it has healed.
func TestDirectParts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newFew(t, 18, 2, 4)
		for i := range 4 {
			k.call(i)
		}
		time.Sleep(5 * time.Second)
		k.net.Split([]*enginetest.Peer{k.devices[0], k.peers[0], k.peers[1]}, []*enginetest.Peer{k.devices[1], k.peers[2], k.peers[3]})
		time.Sleep(25 * time.Second)
		check(t, k.callers[0], k.callers[1])
		check(t, k.callers[2], k.callers[3])
		k.net.Heal()
		time.Sleep(60 * time.Second)
		k.forget()
		time.Sleep(4 * time.Second)
		k.felt(60 * time.Millisecond)
		check(t, k.callers...)
		k.leave()
	})
}

// TestDirectModeration: who is muted or put out is silent, and were his own peer a liar; so is everybody by mute-all.
func TestDirectModeration(t *testing.T) {
	for _, liar := range []bool{false, true} {
		t.Run(fmt.Sprint(liar), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := newFew(t, 19, 1, 3)
				for i, id := range []string{annID, bobID, eveID} {
					k.callers = append(k.callers, takePart(t, k.rooms[i], id, tones[i]))
				}
				ann, bob, eve := k.callers[0], k.callers[1], k.callers[2]
				time.Sleep(5 * time.Second)
				k.mode(engine.MixerDirect)
				if liar {
					k.deaf.Store(k.peers[1])
				}
				do := func(verb, who string) {
					t.Helper()
					if err := k.hubs[0].Moderate(t.Context(), engine.Moderation{Verb: verb, Who: who}); err != nil {
						t.Fatalf("%s %s: %v", verb, who, err)
					}
				}
				heard := func(by, of *caller, want bool) {
					t.Helper()
					by.ear.Forget()
					time.Sleep(3 * time.Second)
					level := by.ear.Level(of.frequency)
					if want && (level < -26 || level > -14) || !want && level > -60 {
						t.Errorf("%s hears %s at %.1f dB, heard should be %v", by.name, of.name, level, want)
					}
				}
				do(room.Mute, bobID)
				heard(ann, bob, false)
				heard(eve, bob, false)
				heard(ann, eve, true)
				if n := k.peers[0].Counters()["packets_muted_total"]; (n > 25) != liar {
					t.Errorf("%d packets of who is muted were dropped where they came", n)
				}
				do(room.Unmute, bobID)
				heard(ann, bob, true)
				do(room.MuteAll, "")
				heard(ann, bob, false)
				heard(bob, eve, false) // whatever bob's peer knows of
				do(room.UnmuteAll, "")
				heard(ann, bob, true)
				k.mode(engine.MixerDirect)
				do(room.Kick, bobID)
				heard(ann, bob, false)
				heard(eve, bob, false)
				heard(ann, eve, true)
				if got := k.hubs[0].Info().Participants; len(got) != 2 {
					t.Errorf("after one was put out: %+v", got)
				}
				k.leave()
			})
		})
	}
}

// TestDirectTalking: everybody is told who talks, and who speaks, although the hub hears nothing.
func TestDirectTalking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newFew(t, 20, 1, 3)
		for i := range 2 {
			k.call(i)
		}
		quiet, err := k.rooms[2].Call(t.Context(), engine.SeatConfig{Participant: "quiet", Hear: func(*engine.MediaPacket) {}})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(6 * time.Second)
		for _, c := range k.callers {
			c.mu.Lock()
			s := c.state
			c.mu.Unlock()
			if s == nil || len(s.Participants) != 3 || !s.Participants[0].Talking || !s.Participants[1].Talking || s.Participants[2].Talking || s.Dominant == "" {
				t.Errorf("%s was told %+v", c.name, s)
			}
		}
		if err := k.hubs[0].Moderate(t.Context(), engine.Moderation{Verb: room.Title, Title: "Tea at five"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		for _, c := range k.callers {
			c.mu.Lock()
			if c.state.Title != "Tea at five" {
				t.Errorf("%s was told of the title %q", c.name, c.state.Title)
			}
			c.mu.Unlock()
		}
		_ = quiet.Close()
		k.leave()
	})
}
