package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/castd/castd/engine"
)

func (a *app) statusCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "status [ROOM]",
		Short:   "Shows the running peer, or one of its rooms",
		Example: "  castd status\n  castd status lobby --json",
		Args:    between(0, 1, "a ROOM"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			p, err := a.running(ctx)
			if err != nil {
				return err
			}
			defer p.Close()
			out := &printer{json: a.json, w: a.out}
			if len(args) > 0 {
				info, err := p.RoomInfo(ctx, args[0])
				if err != nil {
					return err
				}
				if a.json {
					out.object(info)
					return nil
				}
				out.text("%s", roomText(&info))
				return nil
			}
			status, err := p.Status(ctx)
			if err != nil {
				return err
			}
			if a.json {
				out.object(status)
				return nil
			}
			rooms, err := p.Rooms(ctx)
			if err != nil {
				return err
			}
			out.text("%s", statusText(&status, rooms))
			return nil
		},
	}
	a.jsonFlag(cmd.Flags())
	return cmd
}

func statusText(s *engine.Status, rooms []engine.RoomInfo) string {
	var b strings.Builder
	row := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-12s %s\n", name, fmt.Sprintf(format, args...))
	}
	row("peer", "%s", s.Peer)
	row("user", "%s", s.User)
	row("version", "%s", s.Version)
	row("running for", "%s", time.Duration(s.UptimeMs*int64(time.Millisecond)).Round(time.Second))
	if s.HTTP != "" {
		row("gateway", "%s", s.HTTP)
	}
	for i, addr := range s.Addrs {
		name := ""
		if i == 0 {
			name = "addresses"
		}
		row(name, "%s", addr)
	}
	row("media port", "%d", s.MediaPort)
	row("peers", "%d", s.Peers)
	row("sending", "%sbit/s of %sbit/s", formatRate(s.UpBps), formatRate(s.UploadBps))
	row("receiving", "%sbit/s", formatRate(s.DownBps))
	for i := range rooms {
		b.WriteByte('\n')
		b.WriteString(roomText(&rooms[i]))
	}
	return b.String()
}

// participantText names a participant of a conference, and the peer by way of which he takes part.
func participantText(p *engine.ParticipantInfo) string {
	text := short(p.Participant)
	if p.Name != "" {
		text = p.Name + " (" + text + ")"
	}
	if p.Muted {
		text += ", muted"
	}
	if p.Waiting {
		text += ", waiting"
	}
	if p.Peer != "" {
		text += ", at " + short(p.Peer)
	}
	return text
}

func roomText(r *engine.RoomInfo) string {
	var b strings.Builder
	fmt.Fprintf(&b, "room %s (%s), %s, %s\n", r.Name, r.Room, r.Mode, r.Role)
	if r.Title != "" {
		fmt.Fprintf(&b, "  title     %s\n", r.Title)
	}
	fmt.Fprintf(&b, "  audience  %d\n", r.Audience)
	if r.Mixer != nil {
		if r.Mixer.Mode == engine.MixerDirect {
			fmt.Fprintf(&b, "  mixed by  nobody: they hear each other directly\n")
		} else {
			fmt.Fprintf(&b, "  mixed by  %s\n", short(r.Mixer.Peer))
		}
		if r.Mixer.Standby != "" {
			fmt.Fprintf(&b, "  standby   %s\n", short(r.Mixer.Standby))
		}
		for _, id := range r.Mixer.Further {
			fmt.Fprintf(&b, "  and by    %s\n", short(id))
		}
		for _, p := range r.Participants {
			fmt.Fprintf(&b, "  speaker   %s\n", participantText(&p))
		}
	}
	for _, c := range r.Recording {
		fmt.Fprintf(&b, "  recorded  by %s\n", participantText(&engine.ParticipantInfo{Participant: c.Participant, Name: c.Name, Peer: c.Peer}))
	}
	for _, s := range r.Streams {
		fmt.Fprintf(&b, "  stream    %s %s, slot %s of %s, %s\n", s.Kind, s.Codec, s.Slot, short(s.Participant), s.State)
	}
	return b.String()
}
