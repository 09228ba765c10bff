package picture

import (
	"encoding/xml"
	"math"
	"strconv"
	"strings"
)

// canvas is the file as far as it is written.
type canvas struct{ b strings.Builder }

// num writes a coordinate with one decimal where it needs it; what is no number becomes 0, so that a file is always valid.
func num(v float64) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		v = 0
	}
	v = math.Round(v*10) / 10
	if v == 0 {
		return "0" // never -0
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}

// escape makes text fit for XML content and attributes; octets that are no characters of XML become U+FFFD.
func escape(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a strings.Builder takes everything
	return b.String()
}

func (c *canvas) text(class string, x, y float64, s string) {
	c.b.WriteString(`<text class="` + class + `" x="` + num(x) + `" y="` + num(y) + `">` + escape(s) + "</text>\n")
}

func (c *canvas) line(class string, x1, y1, x2, y2 float64) {
	c.path(class, "M"+num(x1)+" "+num(y1)+"L"+num(x2)+" "+num(y2))
}

// path draws a path of the class; an empty one is left out.
func (c *canvas) path(class, d string) {
	if d != "" {
		c.b.WriteString(`<path class="` + class + `" d="` + d + `"/>` + "\n")
	}
}

// wide draws a path with a stroke of that width and opacity.
func (c *canvas) wide(class string, width, opacity float64, d string) {
	if d != "" {
		c.b.WriteString(`<path class="` + class + `" stroke-width="` + num(width) + `" opacity="` + strconv.FormatFloat(opacity, 'g', 2, 64) + `" d="` + d + `"/>` + "\n")
	}
}

// card draws the ground of a picture and its heading.
func (c *canvas) card(w, h float64, heading string) {
	c.b.WriteString(`<rect class="card" width="` + num(w) + `" height="` + num(h) + `" rx="12"/>` + "\n")
	c.text("head", 20, 30, heading)
}

// legend draws names with a spot of their colour, from x to the right, and returns where it ends.
func (c *canvas) legend(x, y float64, class, name string) float64 {
	c.wide("n "+class, 9, 1, "M"+num(x)+" "+num(y-4)+"h0")
	c.text("", x+10, y, name)
	return x + 28 + textWidth(name)
}

// textWidth estimates how wide a text of 13 units is: no font is known here.
func textWidth(s string) float64 { return 6.6 * float64(len([]rune(s))) }
