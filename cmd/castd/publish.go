package main

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/node"
)

// publishFlags are the flags of publish besides those of the peer.
type publishFlags struct {
	peer      peerFlags
	loop      bool
	demo      bool
	transcode bool
	wait      span
	stats     span
}

func (a *app) publishCommand() *cobra.Command {
	flags := publishFlags{wait: span(10 * time.Second)}
	cmd := &cobra.Command{
		Use:   "publish ROOM FILE",
		Short: "Sends a media file into a room in real time",
		Long: "Sends a media file into a room in real time: Ogg Opus, IVF, or WebM or Matroska with Opus and VP8, VP9, AV1 or H264. - reads\n" +
			"standard input. It waits up to 3 s for a first receiver, sends, and stays up to 3 s more so that all of it arrives. What a\n" +
			"damaged file holds before the damage is sent. Of any other file it says what it holds and which ffmpeg command makes it\n" +
			"playable; --transcode runs that while it sends. --demo needs no file: it sends a test picture with sound in a loop.",
		Example: "  castd publish lobby concert.webm\n  castd publish lobby jingle.ogg --loop\n  castd publish lobby holiday.mp4 --transcode\n  castd publish lobby --demo",
		Args:    between(1, 2, "a ROOM and a FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			file, err := a.chosenFile(args, &flags)
			if err != nil {
				return err
			}
			return ending(cmd.Context(), a.publish(cmd.Context(), args[0], file, &flags))
		},
	}
	f := cmd.Flags()
	f.BoolVar(&flags.loop, "loop", false, "begin again at the end, until stopped")
	f.BoolVar(&flags.demo, "demo", false, "send a test picture with sound in a loop; needs no FILE")
	f.BoolVar(&flags.transcode, "transcode", false, "let ffmpeg convert what rooms do not carry while it is sent")
	f.Var(&flags.wait, "wait", "how long to look for a room that nobody has yet")
	f.Var(&flags.stats, "stats", "print statistics so often, like 1s")
	f.Lookup("stats").DefValue = ""
	a.jsonFlag(f)
	flags.peer.register(f, node.NoHTTP)
	return cmd
}

// chosenFile returns what the arguments and flags say to send.
func (a *app) chosenFile(args []string, flags *publishFlags) (mediaFile, error) {
	switch {
	case flags.demo && len(args) > 1:
		return mediaFile{}, usagef("--demo sends a clip of its own: leave out %s, or --demo", args[1])
	case flags.demo:
		flags.loop = true
		return mediaFile{name: "the demo", data: demoClip}, nil
	case len(args) < 2:
		return mediaFile{}, usagef("castd publish needs a ROOM and a FILE, or --demo in place of the file; see castd publish --help")
	}
	return a.mediaFile(args[1]), nil
}

func (a *app) publish(ctx context.Context, room string, file mediaFile, flags *publishFlags) error {
	loop := flags.loop
	// The file comes first: one that cannot be sent should not cost a join.
	err := file.check(ctx, loop)
	var bad *node.UnplayableError
	if errors.As(err, &bad) {
		if !flags.transcode {
			return engine.NewUserError(engine.CodeBadMedia, err.Error()+"  or let castd do that with --transcode")
		}
		if file, err = file.converted(ctx, bad, loop); err == nil {
			a.log.Info("ffmpeg converts the file", "file", file.name)
		}
		loop = false // ffmpeg sees to it
	}
	if err != nil {
		return err
	}
	line := a.statusLine()
	defer line.end()
	p, err := a.join(ctx, &flags.peer)
	if err != nil {
		return err
	}
	defer p.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	spec := engine.RoomSpec{Room: room, WaitMs: flags.wait.duration().Milliseconds(), Publish: true}
	_, rooms, err := open(ctx, p, &printer{json: a.json, w: a.out, broken: cancel}, flags.stats.duration(), []engine.RoomSpec{spec})
	if err != nil {
		return err
	}
	state, shown := "", sending{}
	err = p.Publish(ctx, rooms[0].Room, file, loop, func(pr node.Progress) {
		if pr.State != state {
			state = pr.State
			a.log.Info("publishing", "state", pr.State, "packets", pr.Packets, "sent", pr.Sent.Round(time.Millisecond))
		}
		if pr.Total == 0 {
			pr.Total = file.length
		}
		line.show(shown.text(pr, time.Now()))
	})
	if out := putOut(ctx); out != nil {
		return out
	}
	return err
}
