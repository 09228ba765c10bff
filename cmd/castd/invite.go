package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"rsc.io/qr"

	"github.com/castd/castd/engine"
)

// inviteFlags are the flags of invite.
type inviteFlags struct {
	speak, guest, withQR, list bool
	expires                    span
	uses                       uint32
	revoke, cohost             string
}

func (a *app) inviteCommand() *cobra.Command {
	var flags inviteFlags
	cmd := &cobra.Command{
		Use:   "invite ROOM",
		Short: "Prints a link that lets others into a room, and its QR code",
		Long: "Prints a link that lets others into a room of the running peer. --speak puts a signed right to send in it; of a private room\n" +
			"every link carries the right to be in it. --guest prints a link for a browser, with a token for this room. --uses counts: of\n" +
			"people, or with --guest of sessions, where a place is kept for a minute for who comes back. --list shows what was made, and\n" +
			"--revoke takes it back: an invite or a person by id, or all. Whoever came by it is put out at once; a private room then has\n" +
			"another media key. --cohost names somebody, by the public key that `castd id` shows him, whose castd may keep the room open while the\n" +
			"owner's is away, and prints the link that leads him there; --revoke with his user id takes that back. The QR code is drawn on a terminal, or where --qr asks for it.",
		Example: "  castd invite lobby\n  castd invite lobby --speak --expires 24h --uses 1\n  castd invite lobby --guest\n" +
			"  castd invite lobby --cohost 5f6c...\n  castd invite lobby --list\n  castd invite lobby --revoke hq3ewnbd4m7ya",
		Args: exactly(1, "a ROOM"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if flags.list && (flags.revoke != "" || flags.guest || flags.uses > 0) || flags.revoke != "" && (flags.guest || flags.uses > 0) {
				return usagef("--list and --revoke make no invite: leave out the other flags")
			}
			if flags.cohost != "" && (flags.list || flags.revoke != "" || flags.guest || flags.speak || flags.uses > 0 || flags.expires.duration() > 0) {
				return usagef("--cohost stands alone: who keeps the room open has every right in it, until --revoke takes it back")
			}
			p, err := a.running(cmd.Context())
			if err != nil {
				return err
			}
			defer p.Close()
			switch {
			case flags.list:
				return a.listInvites(cmd.Context(), p, args[0])
			case flags.revoke != "":
				return a.revoke(cmd.Context(), p, args[0], flags.revoke, flags.speak)
			}
			return a.invite(cmd.Context(), p, args[0], &flags)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&flags.speak, "speak", false, "with the right to send; with --revoke, only that right")
	f.BoolVar(&flags.guest, "guest", false, "an http(s) link for a browser, with a token for the room")
	f.StringVar(&flags.cohost, "cohost", "", "let the user of this `KEY` keep the room open while you are away")
	f.BoolVar(&flags.withQR, "qr", false, "draw the QR code even if this is no terminal")
	f.Var(&flags.expires, "expires", "end the invite's rights after this time, like 24h")
	f.Lookup("expires").DefValue = ""
	f.Uint32Var(&flags.uses, "uses", 0, "how often it may be used; 0: any number of times")
	f.BoolVar(&flags.list, "list", false, "list the invites that this peer made")
	f.StringVar(&flags.revoke, "revoke", "", "take back the invite or the person of this `ID`, or all")
	a.jsonFlag(f)
	return cmd
}

// invite makes a link and prints it.
func (a *app) invite(ctx context.Context, p peer, room string, flags *inviteFlags) error {
	link, err := p.Invite(ctx, room, engine.InviteSpec{
		Speak: flags.speak, Guest: flags.guest, Expires: flags.expires.duration(), Uses: flags.uses, Cohost: flags.cohost,
	})
	if err != nil {
		return err
	}
	out := &printer{json: a.json, w: a.out}
	if a.json {
		out.object(map[string]string{"invite": link})
		return nil
	}
	out.text("%s\n", link)
	if terminal := isTerminal(a.out); flags.withQR || terminal {
		drawn, err := drawQR(link, terminal)
		if err != nil {
			return err
		}
		out.text("%s", drawn)
	}
	return nil
}

// listInvites prints what was made, one a line.
func (a *app) listInvites(ctx context.Context, p peer, room string) error {
	all, err := p.Invites(ctx, room)
	if err != nil {
		return err
	}
	out := &printer{json: a.json, w: a.out}
	for i := range all {
		if a.json {
			out.object(&all[i])
			continue
		}
		inv := &all[i]
		uses := "used by " + strconv.Itoa(len(inv.Used))
		if inv.Uses > 0 {
			uses = fmt.Sprintf("used %d of %d", len(inv.Used), inv.Uses)
		} else if inv.Kind == "guest" || len(inv.Used) == 0 {
			uses = "not counted"
		}
		until := "no end"
		if inv.Expires != "" {
			until = "until " + inv.Expires
		}
		out.text("%s  %-5s  %-7s  %s  %s  %s\n", inv.ID, inv.Kind, inv.State, inv.Rights, uses, until)
		for _, who := range inv.Used {
			if inv.Kind != "guest" {
				out.text("  %s\n", who)
			}
		}
	}
	if len(all) == 0 {
		out.text("no invites were made here\n")
	}
	return nil
}

// revoke takes rights back.
func (a *app) revoke(ctx context.Context, p peer, room, who string, speakOnly bool) error {
	if err := p.Revoke(ctx, room, who, speakOnly); err != nil {
		return err
	}
	out := &printer{json: a.json, w: a.out}
	if a.json {
		out.object(map[string]string{"revoked": who})
		return nil
	}
	out.text("%s is taken back\n", who)
	return nil
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
