//go:build linux

package e2e_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// The chaos test hits inner peers of a room of real processes, one after the other, and measures at the leaves what is noticed of
// it. By default it is short and its bounds are generous; the long form holds the figures that listeners are promised:
//
//	go test ./cmd/castd/e2e -run 'TestChaos/kill' -v -timeout 30m -figures -chaos-events 50
var (
	chaosEvents = flag.Int("chaos-events", 0, "faults of each kind; 0: 2, or 20 with -figures")
	chaosPeers  = flag.Int("chaos-peers", 20, "processes in the room, of which five are measured; fewer in the short form")
	chaosSeed   = flag.Uint64("chaos-seed", 1, "of the order of victims")
)

func eventsOfAKind() int {
	switch {
	case *chaosEvents > 0:
		return *chaosEvents
	case long():
		return 20
	}
	return 2
}

// An event in which this process itself ran later than lagLimit says nothing and is repeated, but not for ever.
const (
	lagLimit   = 20 * time.Millisecond
	maxRepeats = 3 // for each event, on average
)

// measuredLeaves are the peers at which is measured.
const measuredLeaves = 5

// TestChaos: peers of a room of real processes crash, hang, lose their network, and say goodbye, while a programme goes on. All the
// leaves have it again at once, as old as before.
func TestChaos(t *testing.T) {
	peers, leaves := *chaosPeers, measuredLeaves
	if !long() {
		peers, leaves = min(peers, 12), 3
	}
	r := newFaultRoom(t, peers-1-leaves, leaves, chaosLog()...)
	r.draw()
	pub := publish(t, r.origin.http(), r.origin.token(), r.origin.room(), 2*time.Second, pictureSizes{key: 4, delta: 1})
	var viewers []*viewer
	for _, l := range r.leaves {
		viewers = append(viewers, l.watch(t, l.name, &pub.sent))
	}
	for _, v := range viewers {
		if !v.waitFor(audioTrack, 50, patience) || !v.waitFor(videoTrack, 50, patience) {
			t.Fatalf("%s: no media", v.name)
		}
	}
	r.load(t, time.Second)
	c := &chaos{faultRoom: r, pub: pub, viewers: viewers, lag: watchLag(t), rng: rand.New(rand.NewPCG(*chaosSeed, 1))}
	var figures []*chaosFigures
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			if f.netns && r.net.bridge == "" {
				t.Skip("this needs network namespaces")
			}
			figures = append(figures, c.series(t, f, eventsOfAKind()))
		})
	}
	printChaos(t, figures)
	pub.finish()
	for _, v := range viewers {
		if v.over.Load() {
			t.Errorf("%s: the session ended", v.name)
		}
		for _, w := range v.complaints() {
			t.Errorf("%s: %s", v.name, w)
		}
	}
}

// chaosLog are the flags that make peers write down what the tree does, where E2E_LOG asks for it.
func chaosLog() []string {
	if level := os.Getenv("E2E_LOG"); level != "" {
		return []string{"--log-level", level, "--log-format", "json"}
	}
	return nil
}

// chaos is a room that is measured.
type chaos struct {
	*faultRoom
	pub     *publisher
	viewers []*viewer // by the index of the leaf
	lag     *lagWatch
	rng     *rand.Rand
}

// series has a fault happen n times.
func (c *chaos) series(t *testing.T, f fault, n int) *chaosFigures {
	figures := &chaosFigures{name: f.name}
	for figures.events < n {
		samples, late := c.event(t, f)
		if late > lagLimit && long() && figures.repeated < maxRepeats*n {
			figures.repeated++
			continue
		}
		if late > lagLimit {
			figures.late++
		}
		figures.events++
		figures.samples = append(figures.samples, samples...)
	}
	c.judge(t, figures)
	return figures
}

// victim returns an inner peer with measured leaves below it. A leaf that has lost its parent may sit at the origin for a while.
func (c *chaos) victim(t *testing.T) *faultPeer {
	t.Helper()
	for range 120 {
		var all []*faultPeer
		for _, l := range c.leaves {
			for _, p := range c.above(l) {
				if !slices.Contains(all, p) {
					all = append(all, p)
				}
			}
		}
		if len(all) > 0 {
			return all[c.rng.IntN(len(all))]
		}
		time.Sleep(500 * time.Millisecond)
		c.look()
	}
	c.draw()
	t.Fatal("no inner peer has a leaf below it")
	return nil
}

// event has a fault happen once and returns what the leaves noticed, and how late this process was meanwhile.
func (c *chaos) event(t *testing.T, f fault) (samples []chaosSample, late time.Duration) {
	t.Helper()
	p := c.victim(t)
	hit := p.at
	time.Sleep(quietTime) // what a quiet time is like on this machine
	at := f.hit(t, c.faultRoom, p, c.rng)
	time.Sleep(f.watched())
	end := clock()
	late = c.lag.worst(at-100*time.Millisecond, end)
	var line strings.Builder
	for i, v := range c.viewers {
		l := c.leaves[i]
		s := measure(v, &c.pub.sent, at, end)
		s.leaf, s.below, s.direct, s.spared = l.name, slices.Contains(l.at.Path, hit.Peer), l.at.Parent == hit.Peer, l.at.Backup != ""
		if s.below {
			ms := func(d [2]time.Duration) string {
				return fmt.Sprintf("%d/%d ms", d[videoTrack].Milliseconds(), d[audioTrack].Milliseconds())
			}
			fmt.Fprintf(&line, "; %s at depth %d: %s without video/audio (before %s), delay %v -> %v", l.name, l.at.Depth, ms(s.gap), ms(s.quiet),
				s.delay[videoTrack][0].Round(time.Millisecond), s.delay[videoTrack][1].Round(time.Millisecond))
		}
		samples = append(samples, s)
	}
	c.explain(t, at, hit, samples)
	f.over(t, c.faultRoom, p, c.rng)
	settled := c.settle(30 * time.Second)
	t.Logf("%s %s at depth %d, late %v, settled %v later%s", f.name, p.name, hit.Depth, late.Round(time.Millisecond), settled.Round(10*time.Millisecond), line.String())
	return samples, late
}

// promise is what listeners are promised at a kind of fault: the gap of video, and of audio where there are two feeds, of 99 samples
// out of a hundred. Of a goodbye nothing is to be noticed: its gaps are held against those of quiet times.
var promise = map[string]struct{ video, audio time.Duration }{
	"kill":      {400 * time.Millisecond, 400 * time.Millisecond},
	"stop":      {600 * time.Millisecond, 600 * time.Millisecond},
	"blackhole": {600 * time.Millisecond, 600 * time.Millisecond},
	"stall":     {600 * time.Millisecond, 600 * time.Millisecond},
}

// Bounds of the short form, whatever else the machine does, and of the delay afterwards.
const (
	shortBound  = 4 * time.Second
	delayBound  = 20 * time.Millisecond
	goodbyeLoss = 0
)

// judge holds the figures.
func (c *chaos) judge(t *testing.T, f *chaosFigures) {
	t.Helper()
	for _, s := range f.samples {
		for _, w := range s.wrong {
			t.Errorf("%s: %s", s.leaf, w)
		}
		if g := max(s.gap[0], s.gap[1]); g > shortBound {
			t.Errorf("%s: %v without media", s.leaf, g)
		}
	}
	if !long() {
		return
	}
	p := promise[f.name]
	for track, bound := range map[int]time.Duration{videoTrack: p.video, audioTrack: p.audio} {
		gaps := of(f.samples, isBelow, func(s chaosSample) time.Duration { return s.gap[track] })
		if f.name == "goodbye" {
			bound = lagLimit + percentile(of(f.samples, isBelow, func(s chaosSample) time.Duration { return s.quiet[track] }), 99)
		}
		if got := percentile(gaps, 99); got > bound {
			t.Errorf("%s: %s gap of 99 %%: %v, want at most %v", f.name, trackNames[track], got, bound)
		}
	}
	moved := of(f.samples, isBelow, func(s chaosSample) time.Duration { return s.moved })
	if got := percentile(moved, 95); got > delayBound {
		t.Errorf("%s: the delay moved by %v, want at most %v", f.name, got, delayBound)
	}
	lost := sum(of(f.samples, isBelow, func(s chaosSample) int { return s.lost[0] + s.lost[1] }))
	if f.name == "goodbye" && lost > goodbyeLoss {
		t.Errorf("%d packets were lost by goodbyes", lost)
	}
}
