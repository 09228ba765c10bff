//go:build linux

package e2e_test

import (
	"fmt"
	"math/rand/v2"
	"os/exec"
	"runtime"
	"slices"
	"testing"
	"time"
)

// hurt is what a browser has suffered since it began to watch, by its own statistics, in milliseconds; Longest of the last seconds.
type hurt struct {
	Freezes, Frozen   float64
	Concealed, Silent float64 // sound made up; of silence
	Pictures, Longest float64
	below             bool
}

// Windows of the browsers' statistics: a quiet one before each fault, for comparison, and the one that begins with it.
const quietWindow = 2500 * time.Millisecond

// TestChaosBrowsers: what TestChaos measures by stamps, Chromium tells of itself. Browsers watch at leaves of the room while inner
// peers are hit: how long their pictures stood still, and how much sound they made up. A row "quiet" tells the same of times
// in which nothing happened: so much is this machine's doing.
func TestChaosBrowsers(t *testing.T) {
	b := startBrowsers(t)
	watched, inner := 1, 6
	if long() { // a browser decodes and paints with two cores or so: with more of them pictures stand still without any fault
		watched, inner = min(3, max(1, runtime.NumCPU()/2)), 14
	}
	r := newFaultRoom(t, inner, watched, chaosLog()...)
	c := &chaos{faultRoom: r, lag: watchLag(t), rng: rand.New(rand.NewPCG(*chaosSeed, 3))}
	file := movingClip(t)
	spawn(t, "publisher", "", "publish", "stage", file, "--loop", "--data-dir", r.origin.dir, "--json").ready()
	for i, l := range r.leaves {
		b.do(t, command{"do": "watch", "as": viewerName(i), "url": l.page("stage")}, nil)
	}
	time.Sleep(2 * time.Second) // the players find their pace
	r.load(t, time.Second)
	kinds := []string{"kill", "goodbye"}
	if long() {
		kinds = []string{"kill", "stop", "blackhole", "stall", "goodbye"}
	}
	figures := map[string][]hurt{}
	for _, f := range faults {
		if !slices.Contains(kinds, f.name) {
			continue
		}
		t.Run(f.name, func(t *testing.T) {
			if f.netns && r.net.bridge == "" {
				t.Skip("this needs network namespaces")
			}
			n := eventsOfAKind()
			if !long() {
				n = 1
			}
			for done, repeated := 0, 0; done < n; {
				quiet, hit, late := c.browserEvent(t, b, f)
				if late > lagLimit && long() && repeated < maxRepeats*n {
					repeated++
					continue
				}
				done++
				figures["quiet"] = append(figures["quiet"], quiet...)
				figures[f.name] = append(figures[f.name], hit...)
			}
		})
	}
	printHurt(t, append([]string{"quiet"}, kinds...), figures)
	for kind, all := range figures {
		judgeHurt(t, kind, all)
	}
}

func viewerName(i int) string { return fmt.Sprintf("viewer %d", i) }

// browserEvent looks at the browsers for a while, has a fault happen, and looks again.
func (c *chaos) browserEvent(t *testing.T, b *browsers, f fault) (quiet, hit []hurt, late time.Duration) {
	t.Helper()
	look := func(window time.Duration) (all []hurt) {
		for i := range c.leaves {
			var h hurt
			b.do(t, command{"do": "hurt", "as": viewerName(i), "seconds": window.Seconds()}, &h)
			all = append(all, h)
		}
		return all
	}
	since := func(before, after []hurt, victim string) (all []hurt) {
		for i, h := range after {
			h.Freezes -= before[i].Freezes
			h.Frozen -= before[i].Frozen
			h.Concealed -= before[i].Concealed
			h.Silent -= before[i].Silent
			h.Pictures -= before[i].Pictures
			h.below = victim != "" && slices.Contains(c.leaves[i].at.Path, victim)
			all = append(all, h)
		}
		return all
	}
	c.look()
	first := look(time.Second)
	time.Sleep(quietWindow)
	before := look(quietWindow)
	p := c.victim(t)
	id := p.id()
	at := f.hit(t, c.faultRoom, p, c.rng)
	time.Sleep(f.watched())
	after := look(clock() - at)
	late = c.lag.worst(at, clock())
	quiet, hit = since(first, before, ""), since(before, after, id)
	c.explain(t, at, p.at, nil)
	f.over(t, c.faultRoom, p, c.rng)
	c.settle(30 * time.Second)
	for i, h := range hit {
		t.Logf("%s %s, %s below: %v; %.0f freezes, %.0f ms; longest between pictures %.0f ms (before %.0f); sound made up %.0f ms and %.0f ms of silence (before %.0f); late %v",
			f.name, p.name, c.leaves[i].name, h.below, h.Freezes, h.Frozen, h.Longest, before[i].Longest, h.Concealed, h.Silent, quiet[i].Concealed, late.Round(time.Millisecond))
	}
	return quiet, hit, late
}

// hurts returns a figure of the browsers that were hit, or of all where nothing was.
func hurts(kind string, all []hurt, figure func(hurt) float64) (values []time.Duration) {
	for _, h := range all {
		if h.below || kind == "quiet" {
			values = append(values, time.Duration(figure(h)*1e6))
		}
	}
	return values
}

func printHurt(t *testing.T, kinds []string, figures map[string][]hurt) {
	t.Helper()
	tab := newTable("fault", "samples", "frozen p50/p95/p99/max ms", "longest between pictures", "sound made up ms")
	for _, k := range kinds {
		frozen := hurts(k, figures[k], func(h hurt) float64 { return h.Frozen })
		tab.row(k, len(frozen), three(frozen), three(hurts(k, figures[k], func(h hurt) float64 { return h.Longest })),
			three(hurts(k, figures[k], func(h hurt) float64 { return h.Concealed })))
	}
	tab.print(t)
}

// judgeHurt holds what viewers are promised; in the short form, that they go on playing.
func judgeHurt(t *testing.T, kind string, all []hurt) {
	t.Helper()
	for _, h := range all {
		if h.Pictures == 0 {
			t.Errorf("%s: a browser shows no pictures any more", kind)
		}
	}
	if !long() || kind == "quiet" {
		return
	}
	frozen := hurts(kind, all, func(h hurt) float64 { return h.Frozen })
	median, bound := time.Duration(0), 600*time.Millisecond
	switch kind {
	case "kill":
		bound = 400 * time.Millisecond
	case "goodbye":
		bound = 0
	default:
		median = bound
	}
	if got := percentile(frozen, 50); got > median {
		t.Errorf("%s: the median browser stood still for %v, want %v", kind, got, median)
	}
	if got := percentile(frozen, 99); got > bound {
		t.Errorf("%s: one browser of a hundred stood still for %v, want at most %v", kind, got, bound)
	}
}

// movingClip makes a file of half a minute, 30 pictures a second, which can be played again and again.
func movingClip(t *testing.T) string {
	t.Helper()
	tool(t, "ffmpeg")
	path := inTemp(t, "moving.webm")
	out, err := exec.Command("ffmpeg", "-v", "error", "-f", "lavfi", "-i", "sine=frequency=440", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=30",
		"-t", "30", "-c:a", "libopus", "-b:a", "32k", "-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-b:v", "200k", "-g", "60", path).CombinedOutput()
	if err != nil {
		t.Fatalf("ffmpeg: %v\n%s", err, out)
	}
	return path
}
