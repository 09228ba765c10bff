package gateway

import (
	"fmt"
	"strings"

	"rsc.io/qr"
)

// qrBorder is the light border of a QR code, in modules (ISO/IEC 18004).
const qrBorder = 4

// qrSVG draws text as a QR code, black on white: one path with a rectangle for each run of dark modules. It reports whether
// text fits.
func qrSVG(text string) (svg string, ok bool) {
	code, err := qr.Encode(text, qr.L)
	if err != nil {
		return "", false
	}
	size := code.Size + 2*qrBorder
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" shape-rendering="crispEdges"><path fill="#fff" d="M0 0h%dv%dH0z"/><path d="`, size, size, size, size)
	for y := range code.Size {
		for x := 0; x < code.Size; x++ {
			run := 0
			for x+run < code.Size && code.Black(x+run, y) {
				run++
			}
			if run > 0 {
				fmt.Fprintf(&b, "M%d %dh%dv1h-%dz", x+qrBorder, y+qrBorder, run, run)
				x += run
			}
		}
	}
	b.WriteString(`"/></svg>`)
	return b.String(), true
}
