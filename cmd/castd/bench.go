package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/bench"
)

// benchFlags are those of `castd bench`.
type benchFlags struct {
	config    bench.Config
	room      string
	bitrate   rate
	span      span
	settle    span
	reference bool
	markdown  bool
	rounds    int
	rows      []string
}

func (a *app) benchCommand() *cobra.Command {
	b := benchFlags{bitrate: 1_500_000, span: span(10 * time.Second), settle: span(2 * time.Second)}
	c := &b.config
	cmd := &cobra.Command{
		Use:   "bench [URL...]",
		Short: "Loads WHIP, WHEP and call addresses with publishers, viewers and callers, and measures",
		Long: "Publishes into a WHIP address, watches its WHEP address with many viewers, and tells delays, losses, first pictures,\n" +
			"and with --pid what the server's process spends on each packet that it forwards. Of addresses that differ only in\n" +
			"whip, whep and call one is enough; with --room they are the running peer's, and so is the process.\n\n" +
			"With --callers many take part in a conference, each with a tone of his own, and hear who is heard, how loud, and whether\n" +
			"anything of themselves comes back. With --talking only the first of them talk.\n\n" +
			"With --reference a stock pion forwarder is measured beside, in turns, and the ratio told. With no address either,\n" +
			"a peer is started for it, and a table of several loads printed.",
		Example: "  castd bench --room lobby --video-publishers 1 --subscribers 20\n" +
			"  castd bench http://127.0.0.1:8470/whip/lobby --token T --audio-publishers 1 --subscribers 100 --pid 4711\n" +
			"  castd bench --room talk --callers 50 --talking 3 --subscribers 100\n" +
			"  castd bench http://127.0.0.1:8470/call/talk --token T --callers 10 --pid 4711\n" +
			"  castd bench --reference --markdown",
		Args: between(0, 3, "addresses"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			if !a.json {
				c.Progress = func(s string) { fmt.Fprintln(a.err, s) }
			}
			if err := b.prepare(ctx, a, args); err != nil {
				return err
			}
			if b.reference {
				return a.compare(ctx, &b)
			}
			r, err := bench.Run(ctx, *c)
			if err != nil {
				return benchError(ctx, err)
			}
			out := &printer{json: a.json, w: a.out}
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
	f.StringVar(&c.Call, "call", "", "`URL` to call at")
	f.StringVar(&b.room, "room", "", "`ROOM` of the running peer, instead of addresses")
	f.StringVar(&c.Token, "token", "", "bearer `TOKEN`")
	f.BoolVar(&c.Insecure, "insecure", false, "take any certificate of the server")
	f.IntVar(&c.VideoPublishers, "video-publishers", 0, "`N` who send video")
	f.IntVar(&c.AudioPublishers, "audio-publishers", 0, "`N` who send audio; the first ones send it together with video")
	f.IntVar(&c.Subscribers, "subscribers", 0, "`N` who watch")
	f.IntVar(&c.Callers, "callers", 0, "`N` who take part in a conference")
	f.IntVar(&c.Talking, "talking", -1, "`K` callers who talk, while the others are silent (default: all)")
	f.Float64Var(&c.JoinRate, "num-per-second", 20, "joins a second")
	f.Var(&b.span, "duration", "how long to measure, after all have joined")
	f.Var(&b.settle, "settle", "how long to wait before that")
	f.Var(&b.bitrate, "video-bitrate", "of each video publisher, in bits a second")
	f.IntVar(&c.PID, "pid", 0, "`PID` of the server, to see what it spends")
	f.BoolVar(&b.reference, "reference", false, "compare with a stock pion forwarder")
	f.IntVar(&b.rounds, "rounds", 3, "how often a comparison measures each; medians are told")
	f.StringArrayVar(&b.rows, "row", nil, "`NAME` of a row of the table, or its beginning; repeatable (default: all)")
	f.BoolVar(&b.markdown, "markdown", false, "write the table as Markdown")
	a.jsonFlag(f)
	cmd.AddCommand(a.benchRoles()...)
	return cmd
}

// maxRate is the most of --video-bitrate: what one socket of this program can send and many can read.
const maxRate = 50_000_000

// prepare checks what was given and finds the addresses.
func (b *benchFlags) prepare(ctx context.Context, a *app, args []string) error {
	c := &b.config
	c.VideoBitrate, c.Duration, c.Settle = uint64(b.bitrate), b.span.duration(), b.settle.duration()
	publishers := max(c.VideoPublishers, c.AudioPublishers)
	switch {
	case min(c.VideoPublishers, c.AudioPublishers, c.Subscribers) < 0 || publishers > bench.MaxPublishers || c.Subscribers > bench.MaxSubscribers:
		return usagef("there can be up to %d publishers and up to %d subscribers", bench.MaxPublishers, bench.MaxSubscribers)
	case c.Callers < 0 || c.Callers > bench.MaxCallers:
		return usagef("there can be up to %d callers", bench.MaxCallers)
	case c.Talking < -1 || c.Talking > c.Callers:
		return usagef("--talking says how many of the --callers talk: at most all of them")
	case !(c.JoinRate > 0) || math.IsInf(c.JoinRate, 0) || c.JoinRate > 1000:
		return usagef("--num-per-second is more than 0 and at most 1000")
	case c.Duration <= 0:
		return usagef("--duration is more than 0, like 10s")
	case c.VideoBitrate < 50_000 || c.VideoBitrate > maxRate:
		return usagef("--video-bitrate is from 50k to %s", formatRate(maxRate))
	case b.rounds < 1 || b.rounds > 100:
		return usagef("--rounds is from 1 to 100")
	case c.PID < 0:
		return usagef("--pid is the number of a process")
	}
	if c.Talking < 0 {
		c.Talking = c.Callers
	}
	if c.PID > 0 {
		if _, err := bench.ReadUsage(c.PID); err != nil {
			return usagef("%s", err)
		}
	}
	if err := b.addresses(args); err != nil {
		return err
	}
	if b.room != "" {
		if err := b.runningRoom(ctx, a); err != nil {
			return err
		}
	}
	if b.reference && b.table() {
		return b.checkTable()
	}
	switch {
	case len(b.rows) > 0 || b.markdown && !b.reference:
		return usagef("--row and --markdown are for the table: use --reference, and no addresses with --row")
	case publishers == 0 && c.Subscribers == 0 && c.Callers == 0:
		return usagef("nothing to do: give --video-publishers or --audio-publishers, and --subscribers, or --callers")
	case publishers > 0 && c.WHIP == "":
		return usagef("no address to publish to: give one, or --whip, or --room")
	case c.Subscribers > 0 && c.WHEP == "":
		return usagef("no address to watch: give one, or --whep, or --room")
	case c.Callers > 0 && c.Call == "":
		return usagef("no address to call at: give one, or --call, or --room")
	case c.Callers > 0 && b.reference:
		return usagef("the reference has no conferences: leave out --reference or --callers")
	case b.reference && c.PID == 0:
		return usagef("--reference compares what processes spend: name the server's with --pid")
	}
	return nil
}

// table reports whether this program's own peer is to be measured.
func (b *benchFlags) table() bool {
	return b.config.WHIP == "" && b.config.WHEP == "" && b.config.Call == ""
}

// checkTable refuses what means nothing where the loads are given.
func (b *benchFlags) checkTable() error {
	c := &b.config
	if c.PID != 0 || c.Token != "" || c.Callers != 0 || c.Subscribers != 0 || c.VideoPublishers != 0 || c.AudioPublishers != 0 {
		return usagef("without an address --reference measures its own peer with loads of its own: leave out publishers, subscribers, --pid and --token, or give an address")
	}
	if len(b.loads()) == 0 {
		var names []string
		for _, l := range bench.Loads() {
			names = append(names, fmt.Sprintf("%q", l.Name))
		}
		return usagef("there is no such row: use %s", strings.Join(names, ", "))
	}
	return nil
}

// loads returns the rows that were asked for.
func (b *benchFlags) loads() []bench.Load {
	if len(b.rows) == 0 {
		return bench.Loads()
	}
	var list []bench.Load
	for _, l := range bench.Loads() {
		for _, name := range b.rows {
			if strings.HasPrefix(l.Name, name) {
				list = append(list, l)
				break
			}
		}
	}
	return list
}

// addresses takes those of the arguments and derives the one that was not given.
func (b *benchFlags) addresses(args []string) error {
	c := &b.config
	for _, raw := range []string{c.WHIP, c.WHEP, c.Call} {
		if u, err := url.Parse(raw); raw != "" && !isAddress(u, err) {
			return usagef("%q is no address: write it like http://127.0.0.1:8470/whip/lobby", raw)
		}
	}
	ways := []struct {
		name    string
		address *string
	}{{"whip", &c.WHIP}, {"whep", &c.WHEP}, {"call", &c.Call}}
	for _, raw := range args {
		u, err := url.Parse(raw)
		if !isAddress(u, err) {
			return usagef("%q is no address: write it like http://127.0.0.1:8470/whip/lobby", raw)
		}
		known := false
		for _, w := range ways {
			if known || bench.Sibling(raw, w.name, w.name) == "" {
				continue
			}
			if *w.address != "" {
				return usagef("there are two addresses for one direction: give one for WHIP, one for WHEP and one for calls")
			}
			*w.address, known = raw, true
		}
		if !known {
			return usagef("%q has neither whip nor whep nor call in its path: say with --whip, --whep or --call which it is", raw)
		}
	}
	if b.room != "" && !b.table() {
		return usagef("--room stands for addresses: give either")
	}
	given := [...]string{c.WHIP, c.WHEP, c.Call}
	for _, w := range ways {
		for i, from := range ways {
			if *w.address == "" && given[i] != "" {
				*w.address = bench.Sibling(given[i], from.name, w.name)
			}
		}
	}
	return nil
}

func isAddress(u *url.URL, err error) bool {
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}

// runningRoom takes addresses and a token from the data folder's running peer.
func (b *benchFlags) runningRoom(ctx context.Context, a *app) error {
	c := &b.config
	p, err := a.running(ctx)
	if err != nil {
		return err
	}
	defer p.Close()
	status, err := p.Status(ctx)
	if err != nil {
		return err
	}
	info, err := p.RoomInfo(ctx, b.room)
	if err != nil {
		return err
	}
	if status.HTTP == "" {
		return notFoundf("the running peer has no gateway: start it with --http")
	}
	if c.PID == 0 {
		c.PID = runningPID(a.dataDir)
	}
	c.Fingerprint = status.Fingerprint
	c.WHIP, c.WHEP, c.Call = status.HTTP+"/whip/"+info.Room, status.HTTP+"/whep/"+info.Room, status.HTTP+"/call/"+info.Room
	if c.Token != "" {
		return nil
	}
	link, err := p.Invite(ctx, info.Room, engine.InviteSpec{Guest: true, Speak: true, Expires: time.Hour + b.span.duration()})
	if err != nil {
		return err
	}
	u, err := url.Parse(link)
	if err != nil {
		return fmt.Errorf("the running peer gave no token: use --token (%w)", err)
	}
	fragment, _ := url.ParseQuery(u.Fragment)
	c.Token = fragment.Get("token")
	return nil
}

// compare is --reference.
func (a *app) compare(ctx context.Context, b *benchFlags) error {
	c := bench.Comparison{Base: b.config, Rounds: b.rounds, Loads: b.loads(), Reference: a.referenceServer, Target: a.ownServer}
	if !b.table() {
		x := b.config
		c.Loads = []bench.Load{{
			Name: loadName(&x), Video: x.VideoPublishers, Audio: x.AudioPublishers, Subscribers: x.Subscribers,
		}}
		c.Target = func(context.Context, bench.Load) (*bench.Server, error) {
			return &bench.Server{WHIP: x.WHIP, WHEP: x.WHEP, Token: x.Token, PID: x.PID}, nil
		}
	}
	out := &printer{json: a.json, w: a.out}
	var rows []*bench.Row
	c.Done = func(r *bench.Row) {
		if rows = append(rows, r); a.json {
			out.object(r)
		}
	}
	err := bench.Compare(ctx, c)
	if !a.json && len(rows) > 0 {
		write := func(f func(io.Writer, []*bench.Row) error) {
			var text strings.Builder
			_ = f(&text, rows) // a builder takes everything
			out.text("%s", text.String())
		}
		if b.markdown {
			write(bench.Markdown)
		} else {
			write(bench.Text)
		}
		out.text("\n%s; medians of %d rounds of %v each, reference and castd in turns.\n", bench.Machine(), b.rounds, b.config.Duration)
	}
	return benchError(ctx, err)
}

// benchError gives an error the exit code that belongs to it.
func benchError(ctx context.Context, err error) error {
	if errors.Is(err, bench.ErrMissing) {
		return notFoundf("%s", err)
	}
	return ending(ctx, err)
}

func loadName(c *bench.Config) string {
	var parts []string
	if c.VideoPublishers > 0 {
		parts = append(parts, "video")
	}
	if c.AudioPublishers > 0 {
		parts = append(parts, "audio")
	}
	if len(parts) == 0 {
		parts = append(parts, "idle")
	}
	return fmt.Sprintf("%s, %d viewers", strings.Join(parts, " and "), c.Subscribers)
}

// benchText is a result for people.
func benchText(r *bench.Result) string {
	var b strings.Builder
	row := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-14s %s\n", name, fmt.Sprintf(format, args...))
	}
	if r.Subscribers > 0 {
		row("viewers", "%d, %d failed, %.1f joins/s, connected after %.0f ms, %s", r.Subscribers, r.Failed, r.JoinsPerSecond, r.ConnectP50, r.SRTP)
	}
	if r.FirstFailure != "" {
		row("first failure", "%s", r.FirstFailure)
	}
	if r.Ended > 0 {
		row("ended", "%d sessions, by the server", r.Ended)
	}
	if r.FirstPacket > 0 {
		row("first packet", "p50 %.0f ms, p95 %.0f ms", r.FirstPacket, r.FirstP95)
	}
	if r.FirstPicture > 0 {
		row("first picture", "p50 %.0f ms, p95 %.0f ms", r.FirstPicture, r.PictureP95)
	}
	kind := func(name string, k *bench.KindResult) {
		if k == nil {
			return
		}
		row(name, "%d sent; %d of %d received, %d lost, %d twice, %d out of order", k.Sent, k.Received, k.Expected, k.Lost, k.Duplicates, k.Reordered)
		if k.Received > 0 {
			row("  delay", "p50 %.2f ms, p95 %.2f ms, p99 %.2f ms, most %.1f ms", k.DelayP50, k.DelayP95, k.DelayP99, k.DelayMax)
		}
	}
	kind("audio", r.Audio)
	kind("video", r.Video)
	if c := r.Call; c != nil {
		row("callers", "%d, %d of them talk, %d failed, connected after %.0f ms, first packet after %.0f ms", c.Callers, c.Talking, c.Failed, c.ConnectP50, c.FirstPacket)
		if c.FirstFailure != "" {
			row("first failure", "%s", c.FirstFailure)
		}
		if c.Ended > 0 {
			row("ended", "%d calls, by the server", c.Ended)
		}
		row("  packets", "%d sent; %d of %d received, %d lost, %d twice, %d out of order", c.Sent, c.Received, c.Expected, c.Lost, c.Duplicates, c.Reordered)
		row("  jitter", "p50 %.1f ms, most %.1f ms", c.JitterP50, c.JitterMax)
		switch {
		case c.Others == 0:
			row("  heard", "nobody, by %d who listened", c.Ears)
		case c.Own == 0:
			row("  heard", "%d others at %.1f dB, by %d who listened", c.Others, c.Level, c.Ears)
		default:
			row("  heard", "%d others at %.1f dB, by %d who listened; own voice %.1f dB beside them", c.Others, c.Level, c.Ears, c.Own)
		}
	}
	row("forwarded", "%d packets, %sbit/s, in %.1f s", r.Packets, formatRate(uint64(r.Bitrate)), r.Seconds)
	if r.Threads > 0 {
		per := ""
		if r.Packets > 0 {
			per = fmt.Sprintf("%.2f us/packet, ", r.CPUPerPacket)
		}
		row("server", "%s%.1f %% of a core, %.2f ms per viewer and second, %d MB, %d threads, %d files", per, r.CPU*100, r.CPUIdle,
			r.RSS>>20, r.Threads, r.Files)
	}
	row("tester", "%.1f %% of a core, timer late by %.1f ms (p99)", r.OwnCPU*100, r.OwnLate)
	if r.Starved {
		b.WriteString("This machine is too busy for the load tester itself: the delays mean nothing. Use fewer subscribers or another machine.\n")
	}
	return b.String()
}
