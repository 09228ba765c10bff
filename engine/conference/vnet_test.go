package conference_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/conference"
	"github.com/castd/castd/engine/enginetest"
	"github.com/castd/castd/mixer/tonetest"
)

// TestVNetCall: a conference over complete hops, on networks that lose packets, hold them up, and have them overtake each other. Each hears
// all others at the right level and not himself; of what they hear no more is made up than the ways to the mixer and from it explain.
//
//	go test -run TestVNetCall -v ./engine/conference
func TestVNetCall(t *testing.T) {
	for i, c := range []struct {
		name   string
		loss   float64
		jitter enginetest.Jitter
		made   float64       // share of what is heard that may be made up; at 1 % nothing is sent twice yet
		target time.Duration // of the jitter buffer at the ear
	}{
		{"quiet", 0, enginetest.Jitter{}, 0, 40 * time.Millisecond},
		{"loss 1 %", 0.01, enginetest.Jitter{}, 0.02, 110 * time.Millisecond},
		{"loss 5 %", 0.05, enginetest.Jitter{}, 0.006, 110 * time.Millisecond},
		{"loss 10 %", 0.1, enginetest.Jitter{}, 0.015, 110 * time.Millisecond},
		{"loss 20 %", 0.2, enginetest.Jitter{}, 0.045, 150 * time.Millisecond},
		{"late by 20 ms, in order", 0, enginetest.Jitter{Deviation: 20 * time.Millisecond, Ordered: true}, 0.01, 110 * time.Millisecond},
		{"late by 20 ms, overtaking", 0, enginetest.Jitter{Deviation: 20 * time.Millisecond}, 0.01, 110 * time.Millisecond},
		{"late by 50 ms, overtaking", 0, enginetest.Jitter{Deviation: 50 * time.Millisecond}, 0.02, 260 * time.Millisecond},
		{"loss 5 %, late by 20 ms", 0.05, enginetest.Jitter{Deviation: 20 * time.Millisecond}, 0.02, 150 * time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				callOverVNet(t, uint64(100+i), c.loss, c.jitter, c.made, c.target)
			})
		})
	}
}

func callOverVNet(t *testing.T, seed uint64, loss float64, jitter enginetest.Jitter, most float64, target time.Duration) {
	net, err := enginetest.NewVNet(seed, 20*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	var services []*conference.Service
	net.Mixing = func() engine.Mixing {
		s := conference.New()
		services = append(services, s)
		return s
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := net.Close(ctx); err != nil {
			t.Errorf("close: %v", err)
		}
		for _, s := range services {
			s.Close()
		}
	}()
	var all []*caller
	frequencies := []float64{400, 700, 1200, 1900}
	for i, f := range frequencies {
		p, err := net.Add([]string{"hub", "near", "far", "other"}[i], 4, nil)
		if err != nil {
			t.Fatal(err)
		}
		r, err := p.Join(t.Context(), "talk", engine.JoinOptions{Create: i == 0, Mode: "conference", Wait: 10 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		if i > 0 { // nobody takes part by way of the hub
			c := takePart(t, r, fmt.Sprint("caller ", i), f)
			player, err := tonetest.NewPlayer()
			if err != nil {
				t.Fatal(err)
			}
			c.mu.Lock()
			c.player = player
			c.mu.Unlock()
			all = append(all, c)
		}
	}
	defer func() {
		for _, c := range all {
			c.leave()
			c.player.Close()
		}
	}()
	time.Sleep(5 * time.Second)
	net.SetLoss(loss)
	net.SetJitter(jitter)
	played := func(c *caller) (all, made time.Duration) {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.player.Played()
	}
	time.Sleep(10 * time.Second) // the hops learn what is lost, and the jitter buffers how late it is
	const looked = 30 * time.Second
	var before []time.Duration
	for _, c := range all {
		_, made := played(c)
		before = append(before, made)
	}
	time.Sleep(looked)
	share := 0.0
	for i, c := range all {
		_, made := played(c)
		share += float64(made-before[i]) / float64(looked) / float64(len(all))
		c.mu.Lock()
		got := c.player.Target()
		t.Logf("%s: a jitter buffer of %v", c.name, got)
		if got > target {
			t.Errorf("%s: a jitter buffer of %v, want at most %v", c.name, got, target)
		}
		for _, o := range all {
			if level := c.player.Level(o.frequency); c != o && (level < -24 || level > -16) {
				t.Errorf("%s hears %s at %.1f dB, want -20", c.name, o.name, level)
			}
		}
		c.mu.Unlock()
	}
	t.Logf("%.2f %% of what they hear is made up", 100*share)
	if share > most {
		t.Errorf("%.2f %% of what they hear is made up, want at most %.2f %%", 100*share, 100*most)
	}
}
