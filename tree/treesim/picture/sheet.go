package picture

import (
	"fmt"
	"strings"
)

// Picture is one drawing on a Sheet: *Tree, *Distribution or *Timeline.
type Picture interface {
	// size returns width and height, in user units; a width of half lets two stand beside each other.
	size() (width, height float64)
	// draw puts the picture's content below the sheet's current origin.
	draw(c *canvas)
}

// Widths of pictures and of what is around them, in user units: CSS pixels where nothing scales them.
const (
	full   = 1200.0
	half   = (full - gap) / 2
	gap    = 24.0
	margin = 32.0
)

// Sheet is a file of pictures. The zero value is an empty one.
type Sheet struct {
	Title string
	// Notes are lines below the title: scenario and seed, the command that made the sheet, the trace's hash.
	Notes    []string
	Pictures []Picture
}

// SVG returns the sheet as a file.
func (s *Sheet) SVG() []byte {
	type place struct{ x, y float64 }
	y := margin + 38 + 20*float64(len(s.Notes))
	places := make([]place, len(s.Pictures))
	x, row := 0.0, 0.0
	for i, p := range s.Pictures {
		w, h := p.size()
		if x > 0 && x+w > full {
			x, y, row = 0, y+row+gap, 0
		}
		places[i] = place{margin + x, y}
		x, row = x+w+gap, max(row, h)
	}
	width, height := full+2*margin, y+row+margin

	c := &canvas{}
	fmt.Fprintf(&c.b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %s %s" width="%s" height="%s" role="img" aria-labelledby="t">`,
		num(width), num(height), num(width), num(height))
	c.b.WriteString(`<title id="t">` + escape(s.Title) + "</title>\n<desc>" + escape(strings.Join(s.Notes, "\n")) + "</desc>\n<style>" + style + "</style>\n")
	fmt.Fprintf(&c.b, `<rect class="ground" width="%s" height="%s"/>`+"\n", num(width), num(height))
	c.text("title", margin, margin+24, s.Title)
	for i, n := range s.Notes {
		c.text("note", margin, margin+48+20*float64(i), n)
	}
	for i, p := range s.Pictures {
		fmt.Fprintf(&c.b, `<g transform="translate(%s %s)">`+"\n", num(places[i].x), num(places[i].y))
		p.draw(c)
		c.b.WriteString("</g>\n")
	}
	c.b.WriteString("</svg>\n")
	return []byte(c.b.String())
}

// style has all colours; light is the usual one. Class names are single letters where there may be thousands of elements.
const style = `
svg{--ground:#fff;--card:#f5f5fa;--ink:#1b1a26;--quiet:#5e5b72;--line:#d4d2e0;--a:#5b4be0;--b:#c2410c;--c:#0e7490;--d:#a21caf;--bad:#d4213d;--good:#1a7f4b;--r:#c8324b;--u:#2f6fdb;--leaf:#8d8aa3;
font-family:system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;font-size:13px}
@media(prefers-color-scheme:dark){svg{--ground:#12111a;--card:#1c1b27;--ink:#f0eff7;--quiet:#a9a6bd;--line:#3a3850;--a:#9a8fff;--b:#fb923c;--c:#38bdd8;--d:#e879f9;--bad:#ff5a70;--good:#4cc38a;--r:#ff6b81;--u:#6ea8ff;--leaf:#77748f}}
.ground{fill:var(--ground)}.card{fill:var(--card)}
text{fill:var(--quiet)}.title{fill:var(--ink);font-size:22px;font-weight:700}.head{fill:var(--ink);font-size:15px;font-weight:650}
.note{font-family:ui-monospace,Menlo,Consolas,monospace;font-size:12px}.end{text-anchor:end}.mid{text-anchor:middle}.strong{fill:var(--ink);font-weight:600}
.axis{stroke:var(--quiet);fill:none}.grid{stroke:var(--line);fill:none}.target{stroke:var(--good);fill:none;stroke-dasharray:6 4}.missed{stroke:var(--bad);fill:none;stroke-dasharray:6 4}
.goal{fill:var(--good)}.miss{fill:var(--bad)}.fault{stroke:var(--bad);fill:none;stroke-dasharray:2 3}
.curve{fill:none;stroke-width:2;stroke-linejoin:round}.s0{stroke:var(--a)}.s1{stroke:var(--b)}.s2{stroke:var(--c)}.s3{stroke:var(--d)}
.area{fill:var(--a);opacity:.16}.f0{fill:var(--a)}.f1{fill:var(--b)}.f2{fill:var(--c)}.f3{fill:var(--d)}
.ring{fill:none;stroke:var(--line)}.e{fill:none;stroke:var(--quiet)}.er{fill:none;stroke:var(--r)}.eu{fill:none;stroke:var(--u)}.eb{fill:none;stroke:var(--quiet);stroke-dasharray:3 4}
.n{fill:none;stroke-linecap:round}.nl{stroke:var(--leaf)}.ni{stroke:var(--a)}.nr{stroke:var(--r)}.nu{stroke:var(--u)}.no{stroke:var(--ink)}.nx{stroke:var(--bad)}
.name{font-size:11px;fill:var(--ink);paint-order:stroke;stroke:var(--card);stroke-width:3px}
`
