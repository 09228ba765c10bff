package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/castd/castd/engine"
)

func (a *app) treeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "tree [ROOM]",
		Short: "Draws a room's tree: all of it at its origin, elsewhere this peer's place",
		Example: "  castd tree lobby\n" +
			"  castd tree lobby --json",
		Args: between(0, 1, "a ROOM"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			p, err := a.running(ctx)
			if err != nil {
				return err
			}
			defer p.Close()
			room, err := onlyRoom(ctx, p, args)
			if err != nil {
				return err
			}
			own, all, err := places(ctx, p, room)
			if err != nil {
				return err
			}
			out := &printer{json: a.json, w: a.out}
			switch {
			case a.json:
				for i := range all {
					out.object(all[i])
				}
				if all == nil {
					out.object(own)
				}
			case all != nil:
				out.text("%s", drawTree(all, own.Peer))
			default:
				out.text("%s", drawPlace(&own))
			}
			return nil
		},
	}
	a.jsonFlag(cmd.Flags())
	return cmd
}

// places returns this peer's place, and everybody's where this peer is the origin, which alone knows them.
func places(ctx context.Context, p peer, room string) (own engine.TreeInfo, all []engine.TreeInfo, err error) {
	own, err = p.Tree(ctx, room)
	if err != nil || own.Parent != "" || own.Depth != 0 {
		return own, nil, err
	}
	all, err = p.RoomTree(ctx, room)
	if err != nil || len(all) == 0 {
		return own, nil, nil //nolint:nilerr // no origin after all: it has only not joined yet
	}
	return own, all, nil
}

// drawTree draws all places below their parents. Peers whose parent is not known, and such in a circle, come last.
func drawTree(all []engine.TreeInfo, self string) string {
	nodes := slices.Clone(all)
	slices.SortFunc(nodes, func(x, y engine.TreeInfo) int { return strings.Compare(x.Peer, y.Peer) })
	known := make(map[string]bool)
	children := make(map[string][]int)
	for i := range nodes {
		known[nodes[i].Peer] = true
	}
	var roots []int
	for i := range nodes {
		if parent := nodes[i].Parent; known[parent] && parent != nodes[i].Peer {
			children[parent] = append(children[parent], i)
		} else if nodes[i].Depth == 0 {
			roots = slices.Insert(roots, 0, i)
		} else {
			roots = append(roots, i)
		}
	}
	var b strings.Builder
	drawn := make(map[int]bool)
	var draw func(i int, lead, branch string)
	draw = func(i int, lead, branch string) {
		if drawn[i] {
			return
		}
		drawn[i] = true
		n := &nodes[i]
		fmt.Fprintf(&b, "%s%s%s", lead, branch, n.Peer)
		if n.Peer == self {
			b.WriteString("  (this peer)")
		}
		if n.Backup != "" {
			fmt.Fprintf(&b, "  backup %s", short(n.Backup))
		}
		b.WriteByte('\n')
		switch branch {
		case "├─ ":
			lead += "│  "
		case "└─ ":
			lead += "   "
		}
		for k, c := range children[n.Peer] {
			branch := "├─ "
			if k == len(children[n.Peer])-1 {
				branch = "└─ "
			}
			draw(c, lead, branch)
		}
	}
	for _, i := range roots {
		draw(i, "", "")
	}
	for i := range nodes {
		draw(i, "", "")
	}
	return b.String()
}

// drawPlace draws the way from the origin to this peer, and its children.
func drawPlace(t *engine.TreeInfo) string {
	var b strings.Builder
	path := t.Path
	if len(path) == 0 || path[len(path)-1] != t.Peer {
		path = append(slices.Clone(path), t.Peer)
	}
	for i, id := range path {
		if i > 0 {
			b.WriteString(strings.Repeat("   ", i-1) + "└─ ")
		}
		b.WriteString(id)
		if id == t.Peer {
			b.WriteString("  (this peer)")
			if t.Backup != "" {
				fmt.Fprintf(&b, "  backup %s", short(t.Backup))
			}
		}
		b.WriteByte('\n')
	}
	for i, c := range t.Children {
		branch := "├─ "
		if i == len(t.Children)-1 {
			branch = "└─ "
		}
		fmt.Fprintf(&b, "%s%s%s", strings.Repeat("   ", len(path)-1), branch, c.Peer)
		if c.Kind != "ordinary" {
			fmt.Fprintf(&b, "  (%s)", c.Kind)
		}
		b.WriteByte('\n')
	}
	return b.String()
}
