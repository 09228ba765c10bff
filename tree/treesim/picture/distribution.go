package picture

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// Series are samples of one kind, one for each peer or event, in any order. The slice is not changed.
type Series struct {
	Name   string
	Values []float64
}

// Target says that a share of the samples, 0 to 1, of the series of that index is to be at most Most.
type Target struct {
	Series int
	Share  float64
	Most   float64
}

// Distribution draws which share of samples is at most so large, with the targets there are. Two stand beside each other.
type Distribution struct {
	Title   string
	Axis    string // what is measured, with its unit: "delay from the origin (ms)"
	Series  []Series
	Targets []Target
	Log     bool // logarithmic axis, for what spans more than two powers of ten; values below a thousandth of the largest stand at its end
}

const (
	distributionHeight = 400.0
	maxPoints          = 400 // of a curve
)

func (p *Distribution) size() (width, height float64) { return half, distributionHeight }

func (p *Distribution) draw(c *canvas) {
	c.card(half, distributionHeight, p.Title)
	sorted := make([][]float64, len(p.Series))
	top := 0.0
	for i, s := range p.Series {
		sorted[i] = slices.DeleteFunc(slices.Clone(s.Values), func(v float64) bool { return math.IsNaN(v) || math.IsInf(v, 0) })
		slices.Sort(sorted[i])
		if n := len(sorted[i]); n > 0 {
			// The last samples of a long tail would press the rest together.
			top = max(top, min(sorted[i][n-1], 3*quantile(sorted[i], 0.99)))
		}
	}
	for _, t := range p.Targets {
		top = max(top, 1.15*t.Most)
	}
	if top <= 0 {
		top = 1
	}
	x := axis{low: 0, high: top, from: 58, to: half - 24, log: p.Log}
	if p.Log {
		x.low = top / 1000
	}
	y := axis{low: 0, high: 1, from: distributionHeight - 60, to: 74}

	for _, v := range y.ticks(5) {
		c.line("grid", x.from, y.at(v), x.to, y.at(v))
		c.text("end", x.from-8, y.at(v)+4, fmt.Sprintf("%.0f %%", 100*v))
	}
	for _, v := range x.ticks(8) {
		c.line("axis", x.at(v), y.from, x.at(v), y.from+5)
		c.text("mid", x.at(v), y.from+20, label(v))
	}
	c.line("axis", x.from, y.from, x.to, y.from)
	c.text("mid", (x.from+x.to)/2, distributionHeight-18, p.Axis)

	for i := range p.Series {
		c.path(fmt.Sprintf("curve s%d", i%4), cumulative(sorted[i], x, y))
	}
	at := 20.0
	if len(p.Series) > 1 {
		for i, s := range p.Series {
			at = c.legend(at+6, 54, fmt.Sprintf("s%d", i%4), s.Name)
		}
	}
	p.targets(c, sorted, x, y)
}

// targets draws each target as a line up to its share, with what was reached.
func (p *Distribution) targets(c *canvas, sorted [][]float64, x, y axis) {
	for k, t := range p.Targets {
		if t.Series < 0 || !(t.Share >= 0 && t.Share <= 1) || t.Series >= len(sorted) || len(sorted[t.Series]) == 0 {
			continue
		}
		got := quantile(sorted[t.Series], t.Share)
		line, word := "target", "goal"
		if got > t.Most {
			line, word = "missed", "miss"
		}
		c.path(line, "M"+num(x.at(t.Most))+" "+num(y.from)+"V"+num(y.at(t.Share))+"H"+num(x.from))
		c.wide("n "+fmt.Sprintf("s%d", t.Series%4), 7, 1, "M"+num(x.at(got))+" "+num(y.at(t.Share))+"h0")
		name := ""
		if len(p.Series) > 1 {
			name = p.Series[t.Series].Name + " "
		}
		c.text("end "+word, x.to, y.from-12-17*float64(len(p.Targets)-1-k), fmt.Sprintf("%sp%s %s, target ≤ %s", name, label(100*t.Share), label(rounded(got)), label(t.Most)))
	}
}

// cumulative returns the path of the share of samples up to each value.
func cumulative(sorted []float64, x, y axis) string {
	n := len(sorted)
	if n == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("M" + num(x.at(x.low)) + " " + num(y.from))
	last := ""
	for k := range min(n, maxPoints) {
		i := k
		if n > maxPoints {
			i = k * (n - 1) / (maxPoints - 1)
		}
		for i+1 < n && sorted[i+1] == sorted[i] {
			i++ // all of one value are one step
		}
		if step := "H" + num(x.at(sorted[i])) + "V" + num(y.at(float64(i+1)/float64(n))); step != last {
			b.WriteString(step)
			last = step
		}
	}
	b.WriteString("H" + num(x.to))
	return b.String()
}

// quantile returns the value that a share of sorted samples does not exceed (nearest rank).
func quantile(sorted []float64, share float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	i := int(math.Ceil(share*float64(len(sorted)))) - 1
	return sorted[min(max(i, 0), len(sorted)-1)]
}

// rounded keeps three digits.
func rounded(v float64) float64 {
	if v == 0 {
		return 0
	}
	p := math.Pow(10, math.Floor(math.Log10(math.Abs(v)))-2)
	return math.Round(v/p) * p
}
