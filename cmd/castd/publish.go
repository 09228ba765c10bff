package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/node"
)

func (a *app) publishCommand() *cobra.Command {
	var flags peerFlags
	var loop bool
	var stats span
	wait := span(10 * time.Second)
	cmd := &cobra.Command{
		Use:   "publish ROOM FILE",
		Short: "Sends a media file into a room in real time",
		Long: "Sends a media file into a room in real time: Ogg Opus, or WebM or Matroska with Opus and VP8, VP9, H264 or AV1. - reads standard\n" +
			"input. It waits up to 3 s for a first receiver, sends, and stays up to 3 s more so that all of it arrives. What a damaged file\n" +
			"holds before the damage is sent.",
		Example: "  castd publish lobby concert.webm\n  castd publish lobby jingle.ogg --loop",
		Args:    exactly(2, "a ROOM and a FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			file := a.mediaFile(args[1])
			if err := file.check(loop); err != nil {
				return err
			}
			spec := engine.RoomSpec{Room: args[0], WaitMs: wait.duration().Milliseconds(), Publish: true}
			return ending(cmd.Context(), a.publish(cmd.Context(), spec, file, loop, &flags, stats.duration()))
		},
	}
	f := cmd.Flags()
	f.BoolVar(&loop, "loop", false, "begin again at the end, until stopped")
	f.Var(&wait, "wait", "how long to look for a room that nobody has yet")
	f.Var(&stats, "stats", "print statistics so often, like 1s")
	f.Lookup("stats").DefValue = ""
	a.jsonFlag(f)
	flags.register(f, node.NoHTTP)
	return cmd
}

func (a *app) publish(ctx context.Context, spec engine.RoomSpec, file mediaFile, loop bool, flags *peerFlags, stats time.Duration) error {
	p, err := a.join(ctx, flags)
	if err != nil {
		return err
	}
	defer p.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	_, rooms, err := open(ctx, p, &printer{json: a.json, w: a.out, broken: cancel}, stats, []engine.RoomSpec{spec})
	if err != nil {
		return err
	}
	return p.Publish(ctx, rooms[0].Room, file, loop, func(pr node.Progress) {
		a.log.Info("publishing", "state", pr.State, "packets", pr.Packets, "sent", pr.Sent.Round(time.Millisecond))
	})
}

// mediaFile is the file of publish: it is opened once, or again and again.
type mediaFile struct {
	name string
	in   io.Reader // standard input, where the name is "-"
}

func (a *app) mediaFile(name string) mediaFile {
	if name == "-" {
		return mediaFile{name: "standard input", in: a.in}
	}
	return mediaFile{name: name}
}

// check finds what is wrong before a peer is started for it.
func (f *mediaFile) check(loop bool) error {
	if f.in != nil {
		if loop {
			return usagef("standard input cannot be sent again: give --loop a file")
		}
		return nil
	}
	r, err := f.open()
	if err != nil {
		return err
	}
	r.Close()
	if loop {
		_, err = f.size()
	}
	return err
}

func (f *mediaFile) open() (io.ReadCloser, error) {
	if f.in != nil {
		return io.NopCloser(f.in), nil
	}
	r, err := os.Open(f.name)
	if err == nil {
		if info, e := r.Stat(); e == nil && info.IsDir() {
			r.Close()
			return nil, fmt.Errorf("%s is a folder: name a media file in it", f.name)
		}
		return r, nil
	}
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	return nil, fmt.Errorf("%s cannot be read: %w", f.name, err)
}

// size returns the length in octets of a file that can be read again.
func (f *mediaFile) size() (int64, error) {
	info, err := os.Stat(f.name)
	if err != nil {
		return 0, fmt.Errorf("%s cannot be read: %w", f.name, err)
	}
	if !info.Mode().IsRegular() || info.Size() == 0 {
		return 0, usagef("%s cannot be sent again: --loop wants a plain file that is not empty", f.name)
	}
	return info.Size(), nil
}
