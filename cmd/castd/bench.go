package main

import (
	"context"
	"fmt"
	"math"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/castd/castd/engine/bench"
)

// benchFlags are those of `castd bench`.
type benchFlags struct {
	config  bench.Config
	room    string
	bitrate rate
	span    span
	settle  span
}

func (a *app) benchCommand() *cobra.Command {
	b := benchFlags{bitrate: 1_500_000, span: span(10 * time.Second), settle: span(2 * time.Second)}
	c := &b.config
	cmd := &cobra.Command{
		Use:   "bench [URL...]",
		Short: "Loads a WHIP and WHEP address with publishers and viewers, and measures",
		Long: "Publishes into a WHIP address, watches its WHEP address with many viewers, and tells delays, losses, first pictures,\n" +
			"and with --pid what the server's process spends on each packet that it forwards. Where one address is given, the other\n" +
			"is the same with whep for whip. With --room it is the running peer's.",
		Example: "  castd bench --room lobby --video-publishers 1 --subscribers 20\n" +
			"  castd bench http://127.0.0.1:8470/whip/lobby --token T --audio-publishers 1 --subscribers 100 --pid 4711",
		Args: between(0, 2, "addresses"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := b.prepare(cmd.Context(), a, args); err != nil {
				return err
			}
			out := &printer{json: a.json, w: a.out}
			if !a.json {
				c.Progress = func(s string) { fmt.Fprintf(a.err, "%s\n", s) }
			}
			r, err := bench.Run(cmd.Context(), *c)
			if err != nil {
				return err
			}
			if a.json {
				out.object(r)
			} else {
				out.text("%s", benchText(r))
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&c.WHIP, "whip", "", "`URL` to publish to")
	f.StringVar(&c.WHEP, "whep", "", "`URL` to watch")
	f.StringVar(&b.room, "room", "", "`ROOM` of the running peer, instead of addresses")
	f.StringVar(&c.Token, "token", "", "bearer `TOKEN`")
	f.BoolVar(&c.Insecure, "insecure", false, "take any certificate of the server")
	f.IntVar(&c.VideoPublishers, "video-publishers", 0, "`N` who send video")
	f.IntVar(&c.AudioPublishers, "audio-publishers", 0, "`N` who send audio; the first ones send it together with video")
	f.IntVar(&c.Subscribers, "subscribers", 0, "`N` who watch")
	f.Float64Var(&c.JoinRate, "num-per-second", 20, "joins a second")
	f.Var(&b.span, "duration", "how long to measure, after all have joined")
	f.Var(&b.settle, "settle", "how long to wait before that")
	f.Var(&b.bitrate, "video-bitrate", "of each video publisher, in bits a second")
	f.IntVar(&c.PID, "pid", 0, "`PID` of the server, to see what it spends")
	a.jsonFlag(f)
	return cmd
}

// prepare checks what was given and finds the addresses.
func (b *benchFlags) prepare(ctx context.Context, a *app, args []string) error {
	c := &b.config
	c.VideoBitrate, c.Duration, c.Settle = uint64(b.bitrate), b.span.duration(), b.settle.duration()
	for _, raw := range args {
		switch u, err := url.Parse(raw); {
		case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
			return usagef("%q is no address: write it like http://127.0.0.1:8470/whip/lobby", raw)
		case strings.Contains(u.Path, "whep"):
			c.WHEP = raw
		case strings.Contains(u.Path, "whip"):
			c.WHIP = raw
		default:
			return usagef("%q names neither whip nor whep: say with --whip or --whep which it is", raw)
		}
	}
	if b.room != "" {
		return usagef("--room is not there yet")
	}
	if c.WHIP == "" && strings.Contains(c.WHEP, "whep") {
		c.WHIP = bench.Sibling(c.WHEP, "whep", "whip")
	}
	if c.WHEP == "" && strings.Contains(c.WHIP, "whip") {
		c.WHEP = bench.Sibling(c.WHIP, "whip", "whep")
	}
	publishers := max(c.VideoPublishers, c.AudioPublishers)
	switch {
	case min(c.VideoPublishers, c.AudioPublishers, c.Subscribers) < 0:
		return usagef("numbers of publishers and subscribers are not negative")
	case publishers == 0 && c.Subscribers == 0:
		return usagef("nothing to do: give --video-publishers or --audio-publishers, and --subscribers")
	case publishers > 0 && c.WHIP == "":
		return usagef("no address to publish to: give one, or --whip, or --room")
	case c.Subscribers > 0 && c.WHEP == "":
		return usagef("no address to watch: give one, or --whep, or --room")
	case !(c.JoinRate > 0) || math.IsInf(c.JoinRate, 0) || c.JoinRate > 1000:
		return usagef("--num-per-second is more than 0 and at most 1000")
	case c.Duration <= 0:
		return usagef("--duration is more than 0")
	}
	_ = ctx
	_ = a
	return nil
}

func benchText(r *bench.Result) string {
	var b strings.Builder
	row := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-14s %s\n", name, fmt.Sprintf(format, args...))
	}
	row("viewers", "%d, %d failed, %.1f joins/s, connected after %.0f ms", r.Subscribers, r.Failed, r.JoinsPerSecond, r.ConnectP50)
	if r.FirstFailure != "" {
		row("first failure", "%s", r.FirstFailure)
	}
	row("first packet", "p50 %.0f ms, p95 %.0f ms", r.FirstPacket, r.FirstP95)
	if r.FirstPicture > 0 {
		row("first picture", "p50 %.0f ms, p95 %.0f ms", r.FirstPicture, r.PictureP95)
	}
	for name, k := range map[string]*bench.KindResult{"audio": r.Audio, "video": r.Video} {
		if k == nil {
			continue
		}
		row(name, "%d of %d packets, %d lost, %d twice, %d out of order", k.Received, k.Expected, k.Lost, k.Duplicates, k.Reordered)
		row("  delay", "p50 %.2f ms, p95 %.2f ms, p99 %.2f ms, most %.1f ms", k.DelayP50, k.DelayP95, k.DelayP99, k.DelayMax)
	}
	row("forwarded", "%d packets, %sbit/s, in %.1f s", r.Packets, formatRate(uint64(r.Bitrate)), r.Seconds)
	if r.Threads > 0 {
		row("server", "%.2f us/packet, %.1f %% of a core, %.2f ms per viewer and second, %s MB, %d threads, %d files", r.CPUPerPacket,
			r.CPU*100, r.CPUIdle, strconv.FormatInt(r.RSS>>20, 10), r.Threads, r.Files)
	}
	row("tester", "%.1f %% of a core, timer late by %.1f ms (p99)", r.OwnCPU*100, r.OwnLate)
	if r.Starved {
		b.WriteString("This machine is too busy for the load tester itself: delays mean nothing.\n")
	}
	return b.String()
}
