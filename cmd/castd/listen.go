package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/container"
	"github.com/castd/castd/engine/node"
)

// listenFlags are the flags of listen besides those of the peer.
type listenFlags struct {
	peer     peerFlags
	out      string
	limit    span
	untilEnd bool
	wait     span
	stats    span
	hand     bool
	name     string
}

func (a *app) listenCommand() *cobra.Command {
	flags := listenFlags{wait: span(10 * time.Second)}
	cmd := &cobra.Command{
		Use:   "listen ROOM",
		Short: "Joins a room's audience and relays for others; --out keeps what it receives",
		Long: "Joins the audience of a room, and carries it to others as far as --upload allows, until it is stopped or --for or --until-end\n" +
			"ends it. --out writes what comes: .ogg audio; .webm and .mkv audio and video; .ivf video; - Ogg on standard output (JSON then goes to\n" +
			"standard error). A file that exists is overwritten. Whatever happens, it is usable up to its last second.",
		Example: "  castd listen lobby --out lobby.webm --for 10m\n  castd listen talk --hand --name Ann\n  castd listen lobby --out - | ffplay -nodisp -",
		Args:    exactly(1, "a ROOM: a name, an id or an invite link"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return ending(cmd.Context(), a.listen(cmd.Context(), args[0], &flags))
		},
	}
	f := cmd.Flags()
	f.StringVar(&flags.out, "out", "", "`FILE` to write: .ogg, .webm, .mkv, .ivf, or - for Ogg on standard output")
	f.Var(&flags.limit, "for", "end after this time, like 90s or 2h")
	f.BoolVar(&flags.untilEnd, "until-end", false, "end when what came has ended")
	f.Var(&flags.wait, "wait", "how long to look for a room that nobody has yet")
	f.BoolVar(&flags.hand, "hand", false, "raise your hand, of a conference; events tell when you are called to speak")
	f.StringVar(&flags.name, "name", "", "what you want to be called there")
	f.Var(&flags.stats, "stats", "print statistics so often, like 1s")
	f.Lookup("for").DefValue, f.Lookup("stats").DefValue = "", ""
	a.jsonFlag(f)
	flags.peer.register(f, node.NoHTTP)
	return cmd
}

func (a *app) listen(ctx context.Context, room string, flags *listenFlags) error {
	began := time.Now()
	format, err := formatOf(flags.out)
	if err != nil {
		return err
	}
	// The file comes first: a folder that is not there should not cost a join.
	w, closeFile, err := a.output(flags.out)
	if err != nil {
		return err
	}
	line := a.statusLine()
	p, err := a.join(ctx, &flags.peer)
	if err != nil {
		return errors.Join(err, closeFile())
	}
	defer p.Close()

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	out := &printer{json: a.json, w: a.out, broken: cancel}
	if flags.out == "-" {
		out.w = a.err
	}
	shown, stats := newReceiving(time.Now(), flags.out != ""), flags.stats.duration()
	if line != nil && stats == 0 {
		out.take, stats = shown.event, time.Second
	}
	s, rooms, err := open(ctx, p, out, stats,
		[]engine.RoomSpec{{Room: room, Listen: true, WaitMs: flags.wait.duration().Milliseconds()}})
	if err != nil {
		return errors.Join(err, closeFile())
	}
	if flags.hand {
		if _, err := p.RaiseHand(ctx, rooms[0].Room, flags.name, true); err != nil {
			return errors.Join(err, closeFile())
		}
		defer func() {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second/2)
			defer cancel()
			_, _ = p.RaiseHand(ctx, rooms[0].Room, "", false) // without that it goes down by itself, later
		}()
	}
	if line != nil {
		w = counting(w, shown)
	}
	defer shown.follow(line)()
	var broken error
	err = p.Record(ctx, rooms[0].Room, w, node.RecordOptions{
		Format:   format,
		For:      flags.limit.duration(),
		UntilEnd: flags.untilEnd,
		Since:    began,
		Log:      a.log,
		Failed: func(cause error) {
			broken = outputError(flags.out, cause)
			code := "output_failed"
			if errors.Is(cause, syscall.ENOSPC) {
				code = "disk_full"
			}
			s.fail(rooms[0].Room, code, broken.Error())
			if flags.out == "-" {
				cancel(broken) // the reader has gone, and with it the purpose
			}
		},
	})
	if err := closeFile(); err != nil && broken == nil {
		broken = outputError(flags.out, err)
	}
	if broken != nil {
		return broken
	}
	return errors.Join(err, putOut(ctx))
}

// putOut returns why the room was left, if it was not by the person's own will.
func putOut(ctx context.Context) error {
	var user *engine.UserError
	if errors.As(context.Cause(ctx), &user) {
		return user
	}
	return nil
}

// formatOf returns the format that a file's name asks for.
func formatOf(out string) (node.Format, error) {
	if out == "" {
		return node.FormatNone, nil
	}
	if out == "-" {
		return node.FormatOgg, nil
	}
	switch ext := strings.ToLower(filepath.Ext(out)); ext {
	case ".ogg", ".oga", ".opus":
		return node.FormatOgg, nil
	case ".webm":
		return node.FormatWebM, nil
	case ".mkv", ".mka":
		return node.FormatMatroska, nil
	case ".ivf":
		return node.FormatIVF, nil
	default:
		return "", usagef("--out %s: the name says how to write; use .ogg for audio, .webm or .mkv for audio and video, .ivf for video, or -", out)
	}
}

// output opens what --out names.
func (a *app) output(out string) (io.Writer, func() error, error) {
	nothing := func() error { return nil }
	switch out {
	case "":
		return io.Discard, nothing, nil
	case "-":
		return struct{ io.Writer }{a.out}, nothing, nil // a pipe cannot be synced
	}
	f, err := container.Create(out)
	if err != nil {
		return nil, nil, outputError(out, err)
	}
	return f, f.Close, nil
}

// counting returns w, whose writes are counted as well, with w's Sync if it has one.
func counting(w io.Writer, count io.Writer) io.Writer {
	both := countedWriter{w, count}
	if file, ok := w.(interface{ Sync() error }); ok {
		return struct {
			countedWriter
			syncer
		}{both, file}
	}
	return both
}

type syncer interface{ Sync() error }

type countedWriter struct{ w, count io.Writer }

func (c countedWriter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	_, _ = c.count.Write(b[:n])
	return n, err
}

func outputError(out string, err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC):
		return fmt.Errorf("the disk of %s is full: what was written before is usable, the rest is lost", out)
	case out == "-":
		return fmt.Errorf("standard output cannot be written: %w", err)
	}
	return fmt.Errorf("%s cannot be written: %w", out, err)
}
