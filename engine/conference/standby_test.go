package conference_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/conference"
	"github.com/castd/castd/engine/enginetest"
)

// talk is a conference of peers with a clock each: of Ann's devices, at the first of which it begins, and of others.
type talk struct {
	t         *testing.T
	net       *enginetest.Network
	devices   []*enginetest.Peer
	others    []*enginetest.Peer
	rooms     []*engine.Room // of the others
	callers   []*caller
	listeners []*listener
}

// newTalk opens it. Three people call by way of the first of the others, and each of these has a listener.
func newTalk(t *testing.T, seed uint64, slots, devices, others int) *talk {
	t.Helper()
	k := &talk{t: t, net: enginetest.NewNetwork(seed)}
	k.net.Delay = 20 * time.Millisecond
	add := func(name string) *enginetest.Peer {
		s := conference.New()
		t.Cleanup(s.Close)
		k.net.Mixing = s
		time.Sleep(3 * time.Millisecond)
		p, err := k.net.Add(name, slots)
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
	for i := range devices {
		k.devices = append(k.devices, add("ann/"+string(rune('a'+i))))
		o := engine.JoinOptions{Create: true}
		if i == 0 {
			o.Mode = "conference"
		}
		enter(t, k.devices[i], o)
		time.Sleep(time.Second)
	}
	for i := range others {
		k.others = append(k.others, add("other"+string(rune('a'+i))))
		k.rooms = append(k.rooms, enter(t, k.others[i], engine.JoinOptions{Wait: 5 * time.Second}))
	}
	for i, frequency := range []float64{400, 700, 1200} {
		k.callers = append(k.callers, takePart(t, k.rooms[i], "caller "+string(rune('a'+i)), frequency))
	}
	for _, r := range k.rooms {
		k.listeners = append(k.listeners, listen(t, r))
	}
	time.Sleep(5 * time.Second)
	check(t, k.callers...)
	return k
}

// mixedBy fails where somebody knows of others that mix and, unless it is "", stand by.
func (k *talk) mixedBy(mixer, standby string) {
	k.t.Helper()
	for i, r := range k.rooms {
		if m := r.Info().Mixer; m == nil || m.Peer != mixer || standby != "" && m.Standby != standby {
			k.t.Errorf("peer %d knows of the mixer %+v, want %s and %s", i, m, mixer, standby)
		}
	}
}

// device returns one of Ann's.
func (k *talk) device(id string) *enginetest.Peer {
	k.t.Helper()
	for _, d := range k.devices {
		if d.Self().String() == id {
			return d
		}
	}
	k.t.Fatalf("%q is none of Ann's devices", id)
	return nil
}

// forget begins to measure.
func (k *talk) forget() {
	for _, c := range k.callers {
		c.mu.Lock()
		c.longest, c.numbers, c.stamps = 0, nil, nil
		c.mu.Unlock()
	}
	for _, l := range k.listeners {
		l.mu.Lock()
		l.longest, l.numbers, l.stamps = 0, nil, nil
		l.mu.Unlock()
		l.ear.Forget()
	}
}

// felt fails where somebody missed sound, heard some twice, or heard nothing for longer than that since forget.
func (k *talk) felt(called, listened time.Duration) {
	k.t.Helper()
	for _, c := range k.callers {
		c.mu.Lock()
		k.t.Logf("%s heard nothing for %v", c.name, c.longest)
		if c.longest > called || len(c.numbers) == 0 {
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
	for i, l := range k.listeners {
		l.mu.Lock()
		k.t.Logf("listener %d heard nothing for %v", i, l.longest)
		if l.longest > listened || len(l.numbers) == 0 {
			k.t.Errorf("listener %d heard nothing for %v, of %d packets", i, l.longest, len(l.numbers))
		}
		for i := 1; i < len(l.numbers); i++ {
			if l.numbers[i] != l.numbers[i-1]+1 || l.stamps[i] != l.stamps[i-1]+960 {
				k.t.Errorf("a listener heard %d at %d after %d at %d", l.numbers[i], l.stamps[i], l.numbers[i-1], l.stamps[i-1])
				break
			}
		}
		l.mu.Unlock()
	}
}

func (k *talk) leave() {
	for _, c := range k.callers {
		c.leave()
	}
}

// TestMixersGone: the peer that mixes dies, and then the one that stood by and took its place, in a room with listeners at several depths.
func TestMixersGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newTalk(t, 4, 2, 3, 6)
		for range 2 {
			mixer := k.rooms[0].Info().Mixer
			k.mixedBy(mixer.Peer, mixer.Standby)
			k.forget()
			k.net.Cut(k.device(mixer.Peer), true)
			time.Sleep(8 * time.Second)
			k.felt(100*time.Millisecond, 500*time.Millisecond)
			check(t, k.callers...)
			k.mixedBy(mixer.Standby, "")
		}
		k.leave()
	})
}

// TestStandbyGone: the standby dies. Nobody hears anything of that, and another one stands by soon.
func TestStandbyGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newTalk(t, 7, 4, 3, 3)
		mixer := k.rooms[0].Info().Mixer
		k.forget()
		k.net.Cut(k.device(mixer.Standby), true)
		time.Sleep(10 * time.Second)
		k.felt(40*time.Millisecond, 500*time.Millisecond)
		check(t, k.callers...)
		for i, r := range k.rooms {
			if m := r.Info().Mixer; m == nil || m.Peer != mixer.Peer || m.Standby == "" || m.Standby == mixer.Standby {
				t.Errorf("peer %d knows of the mixer %+v, before %+v", i, m, mixer)
			}
		}
		k.leave()
	})
}

// TestMixerStalls: the peer that mixes is held up for a second, which nobody takes for its end. All go on with the standby's mix meanwhile,
// and with its own when it is back.
func TestMixerStalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newTalk(t, 5, 4, 2, 3)
		a, b := k.devices[0].Self().String(), k.devices[1].Self().String()
		k.mixedBy(a, b)
		k.forget()
		k.net.Cut(k.devices[0], true)
		time.Sleep(900 * time.Millisecond)
		k.net.Cut(k.devices[0], false)
		time.Sleep(5 * time.Second)
		k.felt(100*time.Millisecond, 500*time.Millisecond)
		k.mixedBy(a, b)
		check(t, k.callers...)
		k.leave()
	})
}

// TestMixersPart: the network falls apart between the peer that mixes and its standby, and heals. Each part goes on with a mixer of its own,
// and afterwards there is one, whom everybody hears.
func TestMixersPart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newTalk(t, 6, 4, 2, 5)
		a, b := k.devices[0].Self().String(), k.devices[1].Self().String()
		k.mixedBy(a, b)
		k.net.Split([]*enginetest.Peer{k.devices[0], k.others[3], k.others[4]}, []*enginetest.Peer{k.devices[1], k.others[0], k.others[1], k.others[2]})
		time.Sleep(6 * time.Second)
		check(t, k.callers...) // all of whom are on one side
		for i, want := range []string{b, b, b, a, a} {
			if m := k.rooms[i].Info().Mixer; m == nil || m.Peer != want {
				t.Errorf("peer %d knows of the mixer %+v, want %s", i, m, want)
			}
		}
		k.net.Heal()
		time.Sleep(25 * time.Second)
		k.mixedBy(b, a)
		k.forget()
		time.Sleep(3 * time.Second)
		k.felt(100*time.Millisecond, 500*time.Millisecond)
		check(t, k.callers...)
		k.leave()
	})
}
