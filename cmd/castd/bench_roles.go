package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/bench"
	"github.com/castd/castd/engine/node"
)

// The processes that a comparison measures are this program in roles that nobody needs to know. Each prints one ready line and
// ends with its standard input, so that none outlives the one that started it.

func (a *app) benchRoles() []*cobra.Command {
	hidden := func(use, short string, args cobra.PositionalArgs, run func(context.Context, []string) error) *cobra.Command {
		return &cobra.Command{
			Use: use, Short: short, Hidden: true, Args: args, Example: "  castd bench --reference",
			RunE: func(cmd *cobra.Command, args []string) error {
				ctx, cancel := context.WithCancelCause(cmd.Context())
				defer cancel(nil)
				go func() {
					_, _ = io.Copy(io.Discard, a.in)
					cancel(errStopped)
				}()
				return ending(ctx, run(ctx, args))
			},
		}
	}
	var children int
	peers := hidden("children MULTIADDR ROOM", "Joins a room with many peers", exactly(2, "a MULTIADDR and a ROOM"),
		func(ctx context.Context, args []string) error {
			return a.benchChildren(ctx, args[0], args[1], children)
		})
	peers.Flags().IntVar(&children, "peers", 1, "`N` peers")
	return []*cobra.Command{
		hidden("reference-server", "Forwards WHIP to WHEP as pion's examples do", exactly(0, ""),
			func(ctx context.Context, _ []string) error { return a.benchReferenceServer(ctx) }),
		hidden("peer TOKEN", "Runs a peer with a room to be measured", exactly(1, "a TOKEN"),
			func(ctx context.Context, args []string) error { return a.benchPeer(ctx, args[0]) }),
		peers,
	}
}

func (a *app) benchReferenceServer(ctx context.Context) error {
	r, err := bench.NewReference()
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("no port is free on 127.0.0.1: end another program (%w)", err)
	}
	out := &printer{json: true, w: a.out}
	out.ready(ready{Event: "ready", HTTP: "http://" + l.Addr().String()})
	return r.Serve(ctx, l)
}

// benchOptions are those of a peer in a folder of its own, which only who is told of it can reach.
func (a *app) benchOptions(dir string) node.Options {
	o := node.DefaultOptions()
	o.DataDir, o.NoMDNS, o.MediaPort, o.HTTP = dir, true, 0, node.NoHTTP
	o.Listen = []string{"/ip4/127.0.0.1/tcp/0"}
	o.Log, o.Version = a.log, version()
	return o
}

const benchRoom = "bench"

func (a *app) benchPeer(ctx context.Context, token string) error {
	dir, err := os.MkdirTemp("", "castd-bench")
	if err != nil {
		return fmt.Errorf("no folder for temporary files: %w", err)
	}
	defer os.RemoveAll(dir)
	o := a.benchOptions(dir)
	o.HTTP, o.Token = "127.0.0.1:0", token
	o.Upload, o.UploadSet, o.MaxChildren = 10_000_000_000, true, 1000
	a.json = true
	return a.runPeer(ctx, o, 0, []engine.RoomSpec{{Room: benchRoom, Create: true}}, nil)
}

// countEvery is how often children tell what they have got.
const countEvery = 100 * time.Millisecond

// benchChildren runs peers that one other peer feeds, and prints how many packets all of them have got.
func (a *app) benchChildren(ctx context.Context, first, room string, count int) error {
	dir, err := os.MkdirTemp("", "castd-bench")
	if err != nil {
		return fmt.Errorf("no folder for temporary files: %w", err)
	}
	defer os.RemoveAll(dir)
	var got atomic.Uint64
	var up atomic.Int64
	var counting, joining sync.WaitGroup
	defer counting.Wait()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	few := make(chan struct{}, joinsAtOnce)
	for i := range count {
		few <- struct{}{}
		joining.Go(func() {
			defer func() { <-few }()
			o := a.benchOptions(filepath.Join(dir, fmt.Sprint(i)))
			o.Bootstrap, o.Upload, o.UploadSet, o.MaxChildren = []string{first}, 0, true, 0
			if err := a.benchChild(ctx, o, room, func(events <-chan engine.Event, end func()) {
				counting.Go(func() {
					defer end()
					countPackets(events, &got, &up)
				})
			}); err != nil {
				cancel(err)
			}
		})
	}
	joining.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	out := &printer{json: true, w: a.out, broken: cancel}
	out.ready(ready{Event: "ready"})
	ticker := time.NewTicker(countEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-ticker.C:
		}
		out.text("%d %d\n", up.Load(), got.Load())
	}
}

// joinsAtOnce bounds the children that join at the same time.
const joinsAtOnce = 4

// benchChild starts a peer and joins it to the room. Its events, and what ends it, go to count.
func (a *app) benchChild(ctx context.Context, o node.Options, room string, count func(<-chan engine.Event, func())) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	p, err := a.run(ctx, o)
	if err != nil {
		return err
	}
	events, err := p.Events(ctx, countEvery)
	if err != nil {
		p.Close()
		return err
	}
	count(events, p.Close)
	_, err = p.AddRoom(ctx, engine.RoomSpec{Room: room, Listen: true, WaitMs: 10_000})
	return err
}

// countPackets adds up what a peer tells of its streams until the events end.
func countPackets(events <-chan engine.Event, got *atomic.Uint64, up *atomic.Int64) {
	streams := map[string]uint64{}
	for ev := range events {
		switch {
		case ev.Event == "joined":
			up.Add(1)
		case ev.Event == "stats" && ev.Stream != "" && ev.Packets != nil && *ev.Packets > streams[ev.Stream]:
			got.Add(*ev.Packets - streams[ev.Stream])
			streams[ev.Stream] = *ev.Packets
		}
	}
}

// childCount is what children have told last.
type childCount struct {
	packets atomic.Uint64
	up      atomic.Int64
}

// follow reads counts until there are no more.
func (c *childCount) follow(r io.Reader) {
	for lines := bufio.NewScanner(r); lines.Scan(); {
		var up int64
		var packets uint64
		if n, _ := fmt.Sscanf(lines.Text(), "%d %d", &up, &packets); n == 2 {
			c.up.Store(up)
			c.packets.Store(packets)
		}
	}
}

// role is a process that runs one of the roles.
type role struct {
	ready ready
	out   io.Reader // after the ready line
	pid   int
	stop  func()
}

// cleanEnvironment is this process's without what would configure another castd.
func cleanEnvironment() []string {
	var env []string
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "CASTD_") {
			env = append(env, e)
		}
	}
	return env
}
