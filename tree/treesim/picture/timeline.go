package picture

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// Sample is the share of peers that have media, 0 to 1, from a time on until the next one.
type Sample struct {
	At    time.Duration // since the simulation began
	Share float64
}

// Moment marks when something happened, such as a fault.
type Moment struct {
	At   time.Duration
	Name string
}

// Gap is one peer's time without media.
type Gap struct {
	At     time.Duration // when it began
	Length time.Duration
}

// Goal says that at least a share of peers is to have media so long after a moment.
type Goal struct {
	At    time.Duration // since the simulation began
	Share float64
	Name  string // "99 % in 1 s"
}

// Timeline draws the share of peers with media over time, and below it the gaps that peers had, each where it began.
type Timeline struct {
	Title   string
	Served  []Sample // in order of time
	Moments []Moment
	Goals   []Goal
	Gaps    []Gap
	GapName string // what a gap is one of: "video gap"
	// From and To are the time shown; both 0 shows all.
	From, To time.Duration
}

const timelineHeight = 560.0

func (p *Timeline) size() (width, height float64) { return full, timelineHeight }

func (p *Timeline) draw(c *canvas) {
	c.card(full, timelineHeight, p.Title)
	from, to := p.span()
	x := axis{low: from.Seconds(), high: to.Seconds(), from: 70, to: full - 28}
	split := 340.0
	if len(p.Gaps) == 0 {
		split = timelineHeight - 58
	}
	y := axis{low: p.floor(from, to), high: 1, from: split, to: 98}

	for _, v := range y.ticks(5) {
		c.line("grid", x.from, y.at(v), x.to, y.at(v))
		c.text("end", x.from-8, y.at(v)+4, label(math.Round(1e4*v)/100)+" %")
	}
	c.text("", x.from, 52, "peers with media")
	if d := share(p.Served, from, to, x, y); d != "" {
		c.path("area", d+"V"+num(y.from)+"H"+num(x.from)+"Z")
		c.path("curve s0", d)
	}
	bottom := y.from
	if len(p.Gaps) > 0 {
		bottom = timelineHeight - 58
		p.gaps(c, x, axis{low: 0, high: 0, from: bottom, to: split + 44, log: true}, from, to)
	}
	for _, v := range x.ticks(12) {
		c.line("axis", x.at(v), bottom, x.at(v), bottom+5)
		c.text("mid", x.at(v), bottom+20, label(v))
	}
	c.line("axis", x.from, bottom, x.to, bottom)
	c.text("mid", (x.from+x.to)/2, timelineHeight-14, "time (s)")

	p.moments(c, x, from, to, bottom)
	for _, g := range p.Goals {
		if g.At < from || g.At > to {
			continue
		}
		gx, gy := x.at(g.At.Seconds()), y.at(g.Share)
		class := "goal"
		if at(p.Served, g.At) < g.Share {
			class = "miss"
		}
		c.b.WriteString(`<circle class="` + class + `" cx="` + num(gx) + `" cy="` + num(gy) + `" r="4"/>` + "\n")
		c.text(class, gx+8, gy+18, g.Name)
	}
}

// moments marks what happened. Names of moments that are close to each other stand below each other.
func (p *Timeline) moments(c *canvas, x axis, from, to time.Duration, bottom float64) {
	free := [3]float64{x.from + 130} // where each row of names ends
	for _, m := range p.Moments {
		if m.At < from || m.At > to {
			continue
		}
		mx := x.at(m.At.Seconds())
		c.line("fault", mx, 92, mx, bottom)
		for row := range free {
			if mx >= free[row] {
				c.text("miss", mx-6, 52+17*float64(row), m.Name)
				free[row] = mx + 12 + textWidth(m.Name)
				break
			}
		}
	}
}

// gaps draws each gap as a spot, on a logarithmic axis of milliseconds.
func (p *Timeline) gaps(c *canvas, x, y axis, from, to time.Duration) {
	longest := 100.0
	var shown []Gap
	for _, g := range p.Gaps {
		if g.At >= from && g.At <= to && g.Length > 0 {
			shown = append(shown, g)
			longest = max(longest, float64(g.Length.Milliseconds()))
		}
	}
	y.low, y.high = 10, longest*1.1
	for _, v := range y.ticks(0) {
		c.line("grid", x.from, y.at(v), x.to, y.at(v))
		if m := v / math.Pow(10, math.Floor(math.Log10(v)+1e-9)); m < 1.5 || longest < 1000 {
			c.text("end", x.from-8, y.at(v)+4, label(v))
		}
	}
	name := p.GapName
	if name == "" {
		name = "gap"
	}
	c.text("", x.from, y.to-10, fmt.Sprintf("each peer's %s (ms); %s of them", name, thousands(len(shown))))
	var spots strings.Builder
	seen := map[string]bool{} // many fall together: one spot is enough
	for _, g := range shown {
		if s := "M" + num(x.at(g.At.Seconds())) + " " + num(y.at(float64(g.Length)/1e6)) + "h0"; !seen[s] && len(seen) < 4*maxPoints*10 {
			seen[s] = true
			spots.WriteString(s)
		}
	}
	c.wide("n s1", 4, 0.55, spots.String())
}

// span returns the time shown.
func (p *Timeline) span() (from, to time.Duration) {
	from, to = p.From, p.To
	if from == 0 && to == 0 {
		for _, s := range p.Served {
			to = max(to, s.At)
		}
		for _, g := range p.Gaps {
			to = max(to, g.At+g.Length)
		}
		for _, m := range p.Moments {
			to = max(to, m.At)
		}
	}
	return from, max(to, from+time.Millisecond)
}

// floor returns where the axis of shares begins: a round value below the least that is shown.
func (p *Timeline) floor(from, to time.Duration) float64 {
	least := at(p.Served, from)
	for _, s := range p.Served {
		if s.At >= from && s.At <= to {
			least = min(least, s.Share)
		}
	}
	for _, f := range []float64{0.99, 0.95, 0.9, 0.8, 0.6, 0.4} {
		if least > f {
			return f
		}
	}
	return 0
}

// at returns the share at a time; 1 before the first sample.
func at(served []Sample, t time.Duration) float64 {
	i, found := slices.BinarySearchFunc(served, t, func(s Sample, t time.Duration) int { return int(min(max(s.At-t, -1), 1)) })
	for found && i+1 < len(served) && served[i+1].At == t {
		i++
	}
	if !found {
		i--
	}
	if i < 0 {
		return 1
	}
	return served[i].Share
}

// share returns the path of the share over the time shown. Where there are more samples than points, each stands for the least of
// its share of time, so that no dip is lost.
func share(served []Sample, from, to time.Duration, x, y axis) string {
	if len(served) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("M" + num(x.from) + " " + num(y.at(at(served, from))))
	step := (to - from) / (3 * maxPoints)
	var shown time.Duration = -1 << 62
	least := math.Inf(1)
	for i, s := range served {
		if s.At < from || s.At > to {
			continue
		}
		least = min(least, s.Share)
		if i+1 < len(served) && served[i+1].At <= to && served[i+1].At-shown < step {
			continue
		}
		b.WriteString("H" + num(x.at(s.At.Seconds())) + "V" + num(y.at(least)))
		if s.Share > least {
			b.WriteString("V" + num(y.at(s.Share)))
		}
		shown, least = s.At, math.Inf(1)
	}
	b.WriteString("V" + num(y.at(at(served, to))) + "H" + num(x.to))
	return b.String()
}
