package main

import (
	"context"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/castd/castd/engine"
)

func (a *app) roomsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "rooms",
		Short:   "Lists the rooms that the running peer is in",
		Example: "  castd rooms\n  castd rooms --json",
		Args:    between(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			p, err := a.running(ctx)
			if err != nil {
				return err
			}
			defer p.Close()
			rooms, err := p.Rooms(ctx)
			if err != nil {
				return err
			}
			out := &printer{json: a.json, w: a.out}
			if a.json {
				for i := range rooms {
					out.object(rooms[i])
				}
				return nil
			}
			if len(rooms) == 0 {
				out.text("This peer is in no room.\n")
				return nil
			}
			out.text("%s", roomsTable(ctx, p, rooms))
			return nil
		},
	}
	a.jsonFlag(cmd.Flags())
	return cmd
}

// roomsTable draws one line a room.
func roomsTable(ctx context.Context, p peer, rooms []engine.RoomInfo) string {
	t := table{head: []string{"NAME", "ROOM", "MODE", "ROLE", ">LIVE", ">IN CALL", ">AUDIENCE", ">DEPTH", "FED BY", ">CHILDREN", "TITLE"}}
	for i := range rooms {
		r := &rooms[i]
		live := 0
		for _, s := range r.Streams {
			if s.State == "live" {
				live++
			}
		}
		inCall := ""
		if r.Mixer != nil {
			inCall = strconv.Itoa(len(r.Participants))
		}
		depth, parent, children := "", "", ""
		// A room may have ended since they were listed; the rest of its line is true all the same.
		if place, err := p.Tree(ctx, r.Room); err == nil {
			depth, children = strconv.Itoa(place.Depth), strconv.Itoa(len(place.Children))
			if place.Parent != "" {
				parent = short(place.Parent)
			}
		}
		t.row(r.Name, r.Room, r.Mode, r.Role, strconv.Itoa(live), inCall, strconv.Itoa(r.Audience), depth, parent, children, r.Title)
	}
	return t.String()
}
