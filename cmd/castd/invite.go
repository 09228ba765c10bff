package main

import (
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"rsc.io/qr"

	"github.com/castd/castd/engine"
)

func (a *app) inviteCommand() *cobra.Command {
	var speak, guest, withQR bool
	var expires span
	cmd := &cobra.Command{
		Use:   "invite ROOM",
		Short: "Prints a link that lets others into a room, and its QR code",
		Long: "Prints a link that lets others into a room of the running peer. --speak puts a signed right to send in it. --guest prints a link\n" +
			"for a browser, with a token for this room. The QR code is drawn on a terminal, or where --qr asks for it.",
		Example: "  castd invite lobby\n  castd invite lobby --speak --expires 24h\n  castd invite lobby --guest",
		Args:    exactly(1, "a ROOM"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			p, err := a.running(ctx)
			if err != nil {
				return err
			}
			defer p.Close()
			link, err := p.Invite(ctx, args[0], engine.InviteSpec{Speak: speak, Guest: guest, Expires: expires.duration()})
			if err != nil {
				return err
			}
			out := &printer{json: a.json, w: a.out}
			if a.json {
				out.object(map[string]string{"invite": link})
				return nil
			}
			out.text("%s\n", link)
			if terminal := isTerminal(a.out); withQR || terminal {
				drawn, err := drawQR(link, terminal)
				if err != nil {
					return err
				}
				out.text("%s", drawn)
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.BoolVar(&speak, "speak", false, "with the right to send")
	f.BoolVar(&guest, "guest", false, "an http(s) link for a browser, with a token for the room")
	f.BoolVar(&withQR, "qr", false, "draw the QR code even if this is no terminal")
	f.Var(&expires, "expires", "end the invite's rights after this time, like 24h")
	f.Lookup("expires").DefValue = ""
	a.jsonFlag(f)
	return cmd
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// quiet is the light border of a QR code, in modules; ISO/IEC 18004 asks for four, two are enough for every reader on a
// light ground that goes on.
const quiet = 2

// drawQR draws text as a QR code of half-block characters, two modules a character. Terminals get explicit colours, black on
// white, since readers want dark modules on light ground; elsewhere the ink is what is dark.
func drawQR(text string, colours bool) (string, error) {
	code, err := qr.Encode(text, qr.L)
	if err != nil {
		return "", usagef("this link is too long for a QR code")
	}
	dark := func(x, y int) bool {
		return x >= 0 && y >= 0 && x < code.Size && y < code.Size && code.Black(x, y)
	}
	var b strings.Builder
	for y := -quiet; y < code.Size+quiet; y += 2 {
		if colours {
			b.WriteString("\x1b[38;5;16;48;5;231m")
		}
		for x := -quiet; x < code.Size+quiet; x++ {
			switch top, bottom := dark(x, y), dark(x, y+1); {
			case top && bottom:
				b.WriteString("█")
			case top:
				b.WriteString("▀")
			case bottom:
				b.WriteString("▄")
			default:
				b.WriteByte(' ')
			}
		}
		if colours {
			b.WriteString("\x1b[0m")
		}
		b.WriteByte('\n')
	}
	return b.String(), nil
}
