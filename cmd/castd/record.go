package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/plugins/recording"
)

func (a *app) recordCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "record start|stop|list [ROOM]",
		Short: "Records a room of the running peer to its disk",
		Long: "Records a room of the running peer to its disk: recordings/NAME/DATE_TIME in the data folder gets mix.ogg where there is only sound, else\n" +
			"room.mkv with a track for each stream, and manifest.json, which says who was there when. Nothing is transcoded. Everybody in the room\n" +
			"sees that it is recorded, and in a conference hears it. It goes on after a crash, in another file.",
		Example: "  castd record start talk\n  castd record stop talk\n  castd record list",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return unknownCommand(cmd, args[0])
		},
		Args: cobra.ArbitraryArgs,
	}
	cmd.AddCommand(a.recordStartCommand(), a.recordStopCommand(), a.recordListCommand())
	return cmd
}

func (a *app) recordStartCommand() *cobra.Command {
	var tracks, quiet bool
	var segment, keep span
	var segmentSize, keepSize size
	cmd := &cobra.Command{
		Use: "start [ROOM]", Short: "Begins to record a room",
		Long: "Begins to record a room; where the peer is in one room only, it is that. The owner may, his co-hosts and moderators, and who was granted\n" +
			"the right to record.",
		Example: "  castd record start talk\n  castd record start talk --tracks\n  castd record start talk --segment 30m --keep 720h --keep-size 50G",
		Args:    between(0, 1, "a ROOM"),
		RunE: func(cmd *cobra.Command, args []string) error {
			spec := struct {
				Tracks      bool   `json:"tracks,omitempty"`
				Segment     string `json:"segment,omitempty"`
				SegmentSize int64  `json:"segment_size,omitempty"`
				Keep        string `json:"keep,omitempty"`
				KeepSize    int64  `json:"keep_size,omitempty"`
				Quiet       bool   `json:"quiet,omitempty"`
			}{Tracks: tracks, Quiet: quiet, SegmentSize: int64(segmentSize), KeepSize: int64(keepSize)}
			if segment > 0 {
				spec.Segment = segment.duration().String()
			}
			if keep > 0 {
				spec.Keep = keep.duration().String()
			}
			return a.recorded(cmd.Context(), args, "is being recorded to", func(ctx context.Context, p *remotePeer, room string) (engine.RecordedInfo, error) {
				return p.StartRecording(ctx, room, spec)
			})
		},
	}
	f := cmd.Flags()
	f.BoolVar(&tracks, "tracks", false, "write a file for each stream besides")
	f.Var(&segment, "segment", "begin another file after this time, like 30m (default 1h)")
	f.Var(&segmentSize, "segment-size", "begin another file at this size, like 500M (default 4G)")
	f.Var(&keep, "keep", "delete recordings of the room that ended longer ago, like 720h")
	f.Var(&keepSize, "keep-size", "delete the oldest recordings of the room while all have more, like 50G")
	f.BoolVar(&quiet, "quiet", false, "let nobody hear that the room is recorded; everybody sees it all the same")
	for _, name := range []string{"segment", "segment-size", "keep", "keep-size"} {
		f.Lookup(name).DefValue = ""
	}
	a.jsonFlag(f)
	return cmd
}

func (a *app) recordStopCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "stop [ROOM]", Short: "Ends the recording of a room", Long: "Ends the recording of a room, and returns when the files are whole.",
		Example: "  castd record stop talk", Args: between(0, 1, "a ROOM"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.recorded(cmd.Context(), args, "was recorded to", func(ctx context.Context, p *remotePeer, room string) (engine.RecordedInfo, error) {
				return p.StopRecording(ctx, room)
			})
		},
	}
	a.jsonFlag(cmd.Flags())
	return cmd
}

// recorded does something about the recording of a room, and shows what came of it.
func (a *app) recorded(ctx context.Context, args []string, done string, do func(context.Context, *remotePeer, string) (engine.RecordedInfo, error)) error {
	p, err := a.running(ctx)
	if err != nil {
		return err
	}
	defer p.Close()
	room, err := onlyRoom(ctx, p, args)
	if err != nil {
		return err
	}
	info, err := do(ctx, p, room)
	if err != nil {
		if exitCode(err) == exitNotFound && strings.Contains(err.Error(), "nothing at this address") {
			return errNoRecorder
		}
		return err
	}
	out := &printer{json: a.json, w: a.out}
	if a.json {
		out.object(info)
		return nil
	}
	out.text("%s %s %s", info.Name, done, info.Folder)
	if info.State == recording.StateEnded {
		out.text(": %v in %s, %s", time.Duration(info.DurationMs)*time.Millisecond, counted(len(info.Files), "file"), formatSize(uint64(info.Bytes)))
	}
	out.text("\n")
	return nil
}

// errNoRecorder says that the running peer is one of castd listen or publish.
var errNoRecorder = errors.New("the peer that is running does not record: end it, and run castd start")

func (a *app) recordListCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "list [ROOM]", Short: "Lists recordings, the newest first", Example: "  castd record list\n  castd record list talk --json", Args: between(0, 1, "a ROOM"),
		RunE: func(cmd *cobra.Command, args []string) error {
			room := ""
			if len(args) > 0 {
				room = args[0]
			}
			all, err := a.recordings(cmd.Context(), room)
			if err != nil {
				return err
			}
			out := &printer{json: a.json, w: a.out}
			t := table{head: []string{"ROOM", "STARTED", "STATE", ">LENGTH", ">SIZE", "FOLDER"}}
			var problems []string
			for i := range all {
				r := &all[i]
				if a.json {
					out.object(r)
					continue
				}
				t.row(r.Name, r.Started, r.State, (time.Duration(r.DurationMs) * time.Millisecond).Round(time.Second).String(), formatSize(uint64(r.Bytes)), r.Folder)
				if r.Problem != "" {
					problems = append(problems, r.Problem)
				}
			}
			switch {
			case a.json:
			case len(all) == 0:
				out.text("Nothing was recorded: castd record start ROOM begins.\n")
			default:
				out.text("%s", t.String())
				for _, p := range problems {
					out.text("%s\n", p)
				}
			}
			return nil
		},
	}
	a.jsonFlag(cmd.Flags())
	return cmd
}

// recordings asks the running peer, or the folder where there is none.
func (a *app) recordings(ctx context.Context, room string) ([]engine.RecordedInfo, error) {
	p, err := connect(ctx, a.dataDir)
	if err == nil {
		defer p.Close()
		all, err := p.Recordings(ctx, room)
		if err == nil || exitCode(err) != exitNotFound {
			return all, err
		}
	} else if !errors.Is(err, errNoPeer) {
		return nil, err
	}
	return listRecordings(recordingsDir(a.dataDir), room, nil)
}

// size is a flag of octets: "500M", "4G". Prefixes are decimal.
type size int64

func (s *size) String() string { return formatSize(uint64(*s)) }
func (s *size) Type() string   { return "size" }

func (s *size) Set(text string) error {
	number, factor := strings.TrimSuffix(strings.TrimSpace(text), "B"), 1.0
	if n := len(number); n > 0 {
		if i := strings.IndexByte("kMGT", number[n-1]); i >= 0 {
			factor = math.Pow(1000, float64(i+1))
			number = number[:n-1]
		}
	}
	v, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if err != nil || math.IsNaN(v) || v < 0 || v*factor > 1e15 {
		return fmt.Errorf("%q is not a size: write octets like 500M or 4G", text)
	}
	*s = size(math.Round(v * factor))
	return nil
}
