package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/castd/castd/engine"
)

func (a *app) treeCommand() *cobra.Command {
	style := treeStyle{depth: -1}
	var all, watch bool
	cmd := &cobra.Command{
		Use:   "tree [ROOM]",
		Short: "Draws a room's tree: all of it at its origin, elsewhere this peer's place and what is below it",
		Long: "Draws a room's tree: all of it at its origin; elsewhere the way from the origin to this peer, and the peers below it. SLOTS is how\n" +
			"many peers one feeds, of how many it can; DELAY what media takes from the origin, as round trips tell; LISTENING counts the\n" +
			"listeners at a peer and below it; BACKUP is who stands by for it. Of a large tree the largest branches are drawn, and the\n" +
			"others are counted. Peers go by the ends of their ids; --json has the whole ids, one peer a line.",
		Example: "  castd tree lobby\n" +
			"  castd tree lobby --watch\n" +
			"  castd tree lobby --depth 2\n" +
			"  castd tree lobby --json",
		Args: between(0, 1, "a ROOM"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			if cmd.Flags().Changed("depth") && style.depth < 0 {
				return usagef("--depth is a number of levels below the origin: 0 or more")
			}
			p, err := a.running(ctx)
			if err != nil {
				return err
			}
			defer p.Close()
			room, err := onlyRoom(ctx, p, args)
			if err != nil {
				return err
			}
			terminal := isTerminal(a.out)
			style.rows = maxTreeRows
			if all {
				style.rows = 0
			}
			style.colour = terminal && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
			style.ascii = !speaksUTF8(os.Getenv)
			out := &printer{json: a.json, w: a.out}
			for {
				own, nodes, err := places(ctx, p, room)
				if err != nil {
					return err
				}
				if width, height := terminalSize(a.out); width > 0 { // it may have changed
					style.width = width
					if watch && !all { // all that is drawn again has to be on the screen, with a title, a heading and the cursor
						style.rows = min(maxTreeRows, max(height-4, 1))
					}
				}
				switch {
				case a.json:
					printPlaces(out, &own, nodes)
				case watch && terminal:
					// Home, each line to its end, then what is left below: nothing flickers.
					out.text("\x1b[H%s\x1b[J", strings.ReplaceAll(drawTree(nodes, own, style), "\n", "\x1b[K\n"))
				default:
					out.text("%s", drawTree(nodes, own, style))
				}
				if !watch {
					return nil
				}
				select {
				case <-ctx.Done():
					return nil
				case <-time.After(time.Second):
				}
				if !a.json && !terminal {
					out.text("\n")
				}
			}
		},
	}
	f := cmd.Flags()
	f.IntVar(&style.depth, "depth", style.depth, "draw so many levels below the origin only (-1: all)")
	f.BoolVar(&all, "all", false, fmt.Sprintf("draw every peer that is known, also where they are more than %d lines", maxTreeRows))
	f.BoolVarP(&watch, "watch", "w", false, "draw again every second until stopped")
	a.jsonFlag(f)
	return cmd
}

// printPlaces prints places as objects: at the origin everybody's, elsewhere this peer's.
func printPlaces(out *printer, own *engine.TreeInfo, nodes []engine.TreeInfo) {
	if own.Parent != "" || own.Depth != 0 || len(nodes) == 0 {
		out.object(*own)
		return
	}
	for i := range nodes {
		out.object(nodes[i])
	}
}

// places returns this peer's place, and the places that it knows.
func places(ctx context.Context, p peer, room string) (own engine.TreeInfo, nodes []engine.TreeInfo, err error) {
	if own, err = p.Tree(ctx, room); err != nil {
		return own, nil, err
	}
	nodes, err = p.RoomTree(ctx, room)
	return own, nodes, err
}

// speaksUTF8 reports whether the locale's characters are UTF-8, by the variables of POSIX in their order. Where none is set, there is
// nothing but ASCII to rely on.
func speaksUTF8(getenv func(string) string) bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := strings.ToLower(getenv(name)); v != "" {
			return strings.Contains(v, "utf-8") || strings.Contains(v, "utf8")
		}
	}
	return false
}
