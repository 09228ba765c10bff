package conference_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/enginetest"
	"github.com/castd/castd/engine/room"
	"github.com/castd/castd/engine/wire"
)

// manyTones are of many who talk: no sum or difference of two of them is close to another one.
var manyTones = []float64{410, 675, 955, 1240, 1555, 1885, 2230, 2590, 2965, 3355, 3760, 4180}

// crowd is a conference of mixers that hold four each.
type crowd struct{ *few }

// newCascade opens one, in which so many take part by way of as many peers, of whom the first three talk.
func newCascade(t *testing.T, seed uint64, callers int) *crowd {
	t.Helper()
	k := &crowd{newCrowd(t, seed, 2, callers, 4)}
	k.tones = manyTones
	for i := range callers {
		k.call(i)
		k.callers[i].silent.Store(i > 2)
	}
	time.Sleep(12 * time.Second)
	return k
}

// speak has these callers talk, and no others, and begins to measure when they are heard.
func (k *crowd) speak(who ...int) {
	// After a pause, in which decoders forget: one that goes over to another encoder in the midst of steady tones may keep what differs.
	for _, c := range k.callers {
		c.silent.Store(true)
	}
	time.Sleep(1500 * time.Millisecond)
	for _, i := range who {
		k.callers[i].silent.Store(false)
	}
	time.Sleep(2 * time.Second)
	k.forget()
	time.Sleep(3 * time.Second)
}

// heard fails where one of these does not hear those who talk at their level, or hears himself or anybody else.
func (k *crowd) heard(by []*caller, who ...int) {
	k.t.Helper()
	for _, c := range by {
		for j, o := range k.callers {
			switch level := c.ear.Level(o.frequency); {
			case c == o:
				if residue := c.ear.Residue(c.frequency); residue > -60 {
					k.t.Errorf("%s hears himself at %.1f dB", c.name, residue)
				}
			case slices.Contains(who, j) && (level < -23 || level > -17):
				k.t.Errorf("%s hears %s at %.1f dB, want -20", c.name, o.name, level)
			case !slices.Contains(who, j) && level > -40:
				k.t.Errorf("%s hears %s, who is silent, at %.1f dB", c.name, o.name, level)
			}
		}
		c.mu.Lock()
		if s := c.state; s == nil || len(s.Participants) != len(by) {
			k.t.Errorf("%s was told %+v", c.name, s)
		} else {
			dominant := false
			for _, p := range s.Participants {
				j := slices.IndexFunc(k.callers, func(o *caller) bool { return o.name == p.Participant })
				if p.Talking != slices.Contains(who, j) {
					k.t.Errorf("%s was told that %s talks: %v", c.name, p.Participant, p.Talking)
				}
				dominant = dominant || p.Participant == s.Dominant && slices.Contains(who, j)
			}
			if !dominant {
				k.t.Errorf("%s was told that %q speaks", c.name, s.Dominant)
			}
		}
		c.mu.Unlock()
	}
}

// further returns the numbers of the peers that mix besides the hub and its standby, as these rooms know them.
func (k *crowd) further(rooms ...*engine.Room) (list []int) {
	k.t.Helper()
	var all []string
	for i, r := range rooms {
		m := r.Info().Mixer
		if m == nil {
			k.t.Errorf("peer %d knows of no mixer", i)
			continue
		}
		if i == 0 {
			all = m.Further
		} else if !slices.Equal(m.Further, all) {
			k.t.Errorf("peer %d knows of further mixers %v, and another one of %v", i, m.Further, all)
		}
	}
	for i, p := range k.peers {
		if slices.Contains(all, p.Self().String()) {
			list = append(list, i)
		}
	}
	return list
}

// seated returns who hears from which peer, by what has come in the last two seconds.
func (k *crowd) seated(at *enginetest.Peer) (list []int) {
	k.mu.Lock()
	clear(k.streams)
	k.mu.Unlock()
	time.Sleep(2 * time.Second)
	k.mu.Lock()
	defer k.mu.Unlock()
	for i, c := range k.callers {
		line := "mix "
		if slices.Contains(k.devices, at) {
			line = "hear "
		}
		id := wire.NewStreamID(k.hubs[0].ID(), k.peers[i].Signer.Public(), c.name, "call", line+string(at.Self()))
		if k.streams[id] > 80 {
			list = append(list, i)
		}
	}
	return list
}

// TestCascade: mixers that hold four each, and twelve participants by way of as many peers. All hear those who talk, wherever they sit, and
// so do those who listen. Nobody gets more than one mix.
func TestCascade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newCascade(t, 31, 12)
		all := listen(t, k.rooms[11])
		mixers := k.further(append(slices.Clone(k.hubs), k.rooms...)...)
		if len(mixers) != 2 {
			t.Fatalf("%d further mixers, want 2", len(mixers))
		}
		for _, who := range [][]int{{0, 5, 11}, {1, 2, 3}, {9, 10, 11}, {4, 7, 8}, {6}} {
			k.speak(who...)
			k.heard(k.callers, who...)
			for _, i := range who {
				if level := all.ear.Level(k.callers[i].frequency); level < -23 || level > -17 {
					t.Errorf("a listener hears %s at %.1f dB", k.callers[i].name, level)
				}
			}
			all.ear.Forget()
		}
		for _, at := range []*enginetest.Peer{k.devices[0], k.devices[1]} {
			if n := len(k.seated(at)); n > 4 {
				t.Errorf("%d hear from a mixer that holds 4", n)
			}
		}
		// Who calls by way of a further mixer has no line to it.
		for _, i := range mixers {
			if n := len(k.seated(k.peers[i])); n < 3 || n > 4 {
				t.Errorf("%d hear from a further mixer by lines", n)
			}
		}
		k.leave()
	})
}

// TestCascadeCrosses: a room outgrows its mixer, and is small again. Those who were there miss nothing, and hear nothing twice; and nor does he
// who comes back to the hub.
func TestCascadeCrosses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &crowd{newCrowd(t, 32, 2, 9, 4)}
		k.tones = manyTones
		listen(t, k.rooms[8]) // there is always a mixer
		for i := range 4 {
			k.call(i)
			k.callers[i].silent.Store(i > 2)
		}
		k.judged()
		time.Sleep(8 * time.Second)
		first := slices.Clone(k.callers)
		k.forget()
		for i := range 4 {
			k.call(4 + i).silent.Store(true)
		}
		time.Sleep(8 * time.Second)
		if n := len(k.further(k.rooms...)); n != 1 {
			t.Fatalf("%d further mixers, want 1", n)
		}
		all := k.callers
		k.callers = first
		k.felt(60 * time.Millisecond)
		k.judge("when others come")
		k.callers = all
		k.speak(0, 1, 7)
		k.heard(k.callers, 0, 1, 7)
		k.forget()
		for _, i := range []int{2, 3, 4, 5, 6} {
			k.callers[i].leave()
		}
		for range 5 { // those who stay take their seats at the hub one after the other
			time.Sleep(4 * time.Second)
		}
		if n := len(k.further(k.rooms...)); n != 0 {
			t.Errorf("%d further mixers, want none", n)
		}
		k.callers = []*caller{all[0], all[1], all[7]}
		k.felt(60 * time.Millisecond)
		k.speak(0, 1, 2)
		k.heard(k.callers, 0, 1, 2)
		k.leave()
	})
}

// TestCascadeMixerGone: a further mixer dies, or leaves. Those who sat at it hear from another one soon, others miss nothing, and nobody hears
// anything twice.
func TestCascadeMixerGone(t *testing.T) {
	for name, c := range map[string]struct {
		gone func(*testing.T, *enginetest.Network, *enginetest.Peer)
		most time.Duration
	}{
		"dies": {func(_ *testing.T, net *enginetest.Network, p *enginetest.Peer) { net.Cut(p, true) }, 400 * time.Millisecond},
		"leaves": {func(t *testing.T, _ *enginetest.Network, p *enginetest.Peer) {
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			_ = p.Engine.Close(ctx)
		}, 100 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := newCascade(t, 33, 9)
				mixers := k.further(k.rooms...)
				if len(mixers) != 2 {
					t.Fatalf("%d further mixers, want 2", len(mixers))
				}
				dies := mixers[0]
				there := k.seated(k.peers[dies])
				if len(there) == 0 {
					dies = mixers[1]
					there = k.seated(k.peers[dies])
				}
				hub := k.seated(k.devices[0])
				hub = slices.DeleteFunc(hub, func(i int) bool { return i == dies })
				t.Logf("hub %v, mixer %d %v", hub, dies, there)
				who := []int{hub[0], hub[1], there[0]}
				k.speak(who...)
				k.forget()
				c.gone(t, k.net, k.peers[dies])
				time.Sleep(6 * time.Second)
				stay := slices.Clone(k.callers)
				stay = slices.Delete(stay, dies, dies+1)
				for i, o := range k.callers {
					if i == dies {
						continue
					}
					o.mu.Lock()
					most := 100 * time.Millisecond // of who has to go to another mixer
					if slices.Contains(there, i) {
						most = c.most
					}
					t.Logf("%s heard nothing for %v", o.name, o.longest)
					if o.longest > most {
						t.Errorf("%s heard nothing for %v", o.name, o.longest)
					}
					for n := 1; n < len(o.numbers); n++ {
						if step := int32(o.stamps[n] - o.stamps[n-1]); o.numbers[n] <= o.numbers[n-1] || step <= 0 || step > 960 && !slices.Contains(there, i) {
							t.Errorf("%s heard %d at %d after %d at %d", o.name, o.numbers[n], o.stamps[n], o.numbers[n-1], o.stamps[n-1])
							break
						}
					}
					o.mu.Unlock()
				}
				time.Sleep(12 * time.Second) // until the seat of who called by way of it is empty
				var rooms []*engine.Room
				for i, r := range k.rooms {
					if i != dies {
						rooms = append(rooms, r)
					}
				}
				if now := k.further(rooms...); len(now) == 0 || slices.Contains(now, dies) {
					t.Errorf("further mixers %v after %d is gone", now, dies)
				}
				k.speak(who...)
				k.heard(stay, who...)
				k.leave()
			})
		})
	}
}

// TestCascadeHubGone: the hub dies, or leaves. Its standby takes over, and the further mixers go on: nobody misses anything.
func TestCascadeHubGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newCascade(t, 34, 9)
		mixers := k.further(k.rooms...)
		k.speak(0, 4, 8)
		k.forget()
		k.net.Cut(k.devices[0], true)
		time.Sleep(15 * time.Second)
		k.felt(100 * time.Millisecond)
		if now := k.further(k.rooms...); !slices.Equal(now, mixers) || len(now) != 2 {
			t.Errorf("further mixers %v, before %v", now, mixers)
		}
		for i, r := range k.rooms {
			if m := r.Info().Mixer; m == nil || m.Peer != k.devices[1].Self().String() {
				t.Errorf("peer %d knows of the mixer %+v", i, m)
			}
		}
		k.speak(1, 5, 7)
		k.heard(k.callers, 1, 5, 7)
		k.leave()
	})
}

// TestCascadeModeration: who is muted or put out at a further mixer is silent for all, and were his own peer a liar; so is everybody by
// mute-all.
func TestCascadeModeration(t *testing.T) {
	for name, liar := range map[string]bool{"honest": false, "liar": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := &crowd{newCrowd(t, 35, 1, 8, 4)}
				var ids []string
				for i := range 8 {
					ids = append(ids, wire.ParticipantID(k.peers[i].Signer.User()))
					k.callers = append(k.callers, takePart(t, k.rooms[i], ids[i], manyTones[i]))
					k.callers[i].silent.Store(true)
				}
				k.callers[0].silent.Store(false)
				time.Sleep(10 * time.Second)
				mixers := k.further(k.rooms...)
				if len(mixers) != 1 {
					t.Fatalf("%d further mixers, want 1", len(mixers))
				}
				there := k.seated(k.peers[mixers[0]])
				bad, other := there[0], there[1]
				hub := k.seated(k.devices[0])
				k.speak(bad, other)
				if liar {
					k.deaf.Store(k.peers[bad])
				}
				do := func(verb, who string) {
					t.Helper()
					if err := k.hubs[0].Moderate(t.Context(), engine.Moderation{Verb: verb, Who: who}); err != nil {
						t.Fatalf("%s %s: %v", verb, who, err)
					}
				}
				out := -1
				heard := func(of int, want bool) {
					t.Helper()
					k.forget()
					time.Sleep(3 * time.Second)
					for _, by := range []int{other, hub[0], hub[1], bad} {
						if by == of || by == out {
							continue
						}
						level := k.callers[by].ear.Level(k.callers[of].frequency)
						if want && (level < -26 || level > -14) || !want && level > -50 {
							t.Errorf("%d hears %d at %.1f dB, heard should be %v", by, of, level, want)
						}
					}
				}
				heard(bad, true)
				do(room.Mute, ids[bad])
				heard(bad, false)
				heard(other, true)
				if n := k.peers[mixers[0]].Counters()["packets_muted_total"]; (n > 25) != liar {
					t.Errorf("%d packets of who is muted were dropped at his mixer", n)
				}
				do(room.Unmute, ids[bad])
				heard(bad, true)
				do(room.MuteAll, "")
				heard(other, false)
				do(room.UnmuteAll, "")
				heard(other, true)
				do(room.Kick, ids[bad])
				heard(bad, false)
				out = bad
				heard(other, true)
				do(room.Ban, ids[other])
				time.Sleep(2 * time.Second)
				if got := k.hubs[0].Info().Participants; len(got) != 6 {
					t.Errorf("after two were put out: %+v", got)
				}
				k.leave()
			})
		})
	}
}

// TestCascadeForged: a packet that a further mixer got from another one and sends back, or sends as one of somebody's who does not sit at
// it, is dropped, and so is what a peer sends that is no mixer. Nobody hears anything twice.
func TestCascadeForged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newCascade(t, 36, 9)
		mixers := k.further(k.rooms...)
		if len(mixers) != 2 {
			t.Fatalf("%d further mixers, want 2", len(mixers))
		}
		hub := k.seated(k.devices[0])
		a, b := k.peers[mixers[0]], k.peers[mixers[1]]
		var third int
		for third = 0; slices.Contains(mixers, third); third++ {
		}
		at := k.seated(a)
		if len(at) == 0 {
			a, b = b, a
			at = k.seated(a)
		}
		k.speak(hub[0])
		voice := func(from peer.ID, who int, to peer.ID) wire.StreamID {
			return wire.NewStreamID(k.hubs[0].ID(), []byte(from), k.callers[who].name, "call", "direct "+string(to))
		}
		number := uint64(1<<16) + 100000
		for _, c := range []struct {
			name     string
			from, to *enginetest.Peer
			line     wire.StreamID
			counter  string
		}{
			{"back to the hub", a, k.devices[0], voice(a.Self(), hub[0], k.devices[0].Self()), "packets_unknown_stream_total"},
			{"of who sits at the hub, to another mixer", a, b, voice(a.Self(), hub[0], b.Self()), "packets_unknown_stream_total"},
			{"in the hub's name", a, b, voice(k.devices[0].Self(), hub[0], b.Self()), "packets_not_from_parent_total"},
			{"of who sits at it, by another mixer", b, k.devices[0], voice(b.Self(), at[0], k.devices[0].Self()), "packets_unknown_stream_total"},
			{"by no mixer", k.peers[third], k.devices[0], voice(k.peers[third].Self(), at[0], k.devices[0].Self()), "packets_unknown_stream_total"},
		} {
			k.forget()
			before := c.to.Counters()[c.counter]
			forge(t, c.from, c.to, c.line, 5200, number)
			if n := c.to.Counters()[c.counter] - before; n < 100 {
				t.Errorf("%s: %d packets were counted as %s", c.name, n, c.counter)
			}
			for _, who := range k.callers {
				if level := who.ear.Loudest(5200); level > -55 {
					t.Errorf("%s: %s hears it at %.1f dB", c.name, who.name, level)
				}
			}
		}
		k.felt(60 * time.Millisecond)
		k.leave()
	})
}
