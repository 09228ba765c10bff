package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/castd/castd/engine"
)

func (a *app) peersCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "peers [ROOM]",
		Short: "Lists whom the running peer is connected to: other peers, and guests with a browser or encoder",
		Long: "Lists whom the running peer is connected to, or only those of one room. KIND says what they are to this peer: its parent, its\n" +
			"backup (or whose backup it is), a child, a publisher, the hub, or only known; whip and whep are sessions of guests who send\n" +
			"and who watch. UP is what this peer sends, DOWN what it receives; LOSS is that of what it receives, or what a guest\n" +
			"says of what he is sent.",
		Example: "  castd peers\n  castd peers lobby --json",
		Args:    between(0, 1, "a ROOM"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			p, err := a.running(ctx)
			if err != nil {
				return err
			}
			defer p.Close()
			room := ""
			if len(args) > 0 {
				info, err := p.RoomInfo(ctx, args[0])
				if err != nil {
					return err
				}
				room = info.Room
			}
			peers, err := p.Peers(ctx)
			if err != nil {
				return err
			}
			guests, err := p.Guests(ctx)
			if err != nil {
				return err
			}
			if room != "" {
				peers = slices.DeleteFunc(peers, func(p engine.PeerInfo) bool { return !slices.Contains(p.Rooms, room) })
				guests = slices.DeleteFunc(guests, func(g engine.GuestInfo) bool { return g.Room != room })
			}
			out := &printer{json: a.json, w: a.out}
			switch {
			case a.json:
				for i := range peers {
					out.object(peers[i])
				}
				for i := range guests {
					out.object(guests[i])
				}
			case len(peers)+len(guests) == 0:
				out.text("Nobody is connected.\n")
			default:
				rooms, err := p.Rooms(ctx)
				if err != nil {
					return err
				}
				out.text("%s", peersTable(peers, guests, rooms, time.Now()))
			}
			return nil
		},
	}
	a.jsonFlag(cmd.Flags())
	return cmd
}

// peersTable draws one line a peer or guest, those that matter most first.
func peersTable(peers []engine.PeerInfo, guests []engine.GuestInfo, rooms []engine.RoomInfo, now time.Time) string {
	names := make(map[string]string)
	for i := range rooms {
		names[rooms[i].Room] = rooms[i].Name
	}
	called := func(id string) string { return cmp.Or(names[id], id) }
	order := []string{"parent", "backup", "hub", "publisher", "child", ""}
	rank := func(p engine.PeerInfo) int { return slices.Index(order, p.Role) }
	peers = slices.Clone(peers)
	slices.SortStableFunc(peers, func(x, y engine.PeerInfo) int { return cmp.Compare(rank(x), rank(y)) })

	t := table{head: []string{"KIND", "WHO", "ROOM", ">RTT", ">LOSS", ">UP", ">DOWN", ">FOR", "ADDRESS"}}
	for i := range peers {
		p := &peers[i]
		var in []string
		for _, r := range p.Rooms {
			in = append(in, called(r))
		}
		rtt, loss, up, down := "", "", "", ""
		if p.Hop {
			loss, up, down = percent(p.LossPm), formatRate(p.UpBps)+"bit/s", formatRate(p.InBps)+"bit/s"
			if p.RTTMs > 0 {
				rtt = fmt.Sprintf("%.1f ms", p.RTTMs)
			}
		}
		t.row(cmp.Or(p.Role, "known"), p.Peer, strings.Join(in, " "), rtt, loss, up, down, "", strings.Join(p.Addrs, " "))
	}
	for i := range guests {
		g := &guests[i]
		age := ""
		if since, err := time.Parse(time.RFC3339, g.Since); err == nil {
			age = max(now.Sub(since), 0).Round(time.Second).String()
		}
		rtt, loss, up := "", "", ""
		if g.Protocol == "whep" {
			loss, up = percent(g.LossPm), formatRate(g.UpBps)+"bit/s"
			if g.RTTMs > 0 {
				rtt = fmt.Sprintf("%.1f ms", g.RTTMs)
			}
		}
		t.row(g.Protocol, cmp.Or(g.Name, "guest"), called(g.Room), rtt, loss, up, "", age, g.Remote)
	}
	return t.String()
}

// percent writes thousandths.
func percent(permille uint32) string { return fmt.Sprintf("%d.%d %%", permille/10, permille%10) }
