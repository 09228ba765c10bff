// Broadcast is a radio station: it plays a folder of Ogg Opus files into a room, one after the other and over again, without a gap.
// Whoever has the link that it prints can listen, and lends the station upload while doing so.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/node"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	o := node.DefaultOptions()
	name := flag.String("room", "radio", "name of the station's room")
	flag.StringVar(&o.DataDir, "data-dir", o.DataDir, "folder with the station's keys")
	flag.StringVar(&o.HTTP, "http", o.HTTP, "address of the page for browsers")
	flag.BoolVar(&o.NoMDNS, "no-mdns", false, "do not look for peers on the local network")
	flag.Parse()
	if err := broadcast(ctx, o, *name, flag.Arg(0)); err != nil && ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, "broadcast:", err)
		os.Exit(1)
	}
}

// broadcast runs the station until ctx ends.
func broadcast(ctx context.Context, o node.Options, name, folder string) error {
	n, err := node.Start(ctx, o)
	if err != nil {
		return err
	}
	defer n.Close(context.Background())
	room, err := n.Open(ctx, name, node.RoomOptions{Create: true})
	if err != nil {
		return err
	}
	for _, browser := range []bool{false, true} {
		link, err := room.Invite(engine.InviteSpec{Guest: browser})
		if err != nil {
			return err
		}
		fmt.Println("listen:", link)
	}
	next := playlist(folder)
	first, err := next()
	if err != nil {
		return err
	}
	return room.PublishFile(ctx, first, node.PublishOptions{Next: next, Skip: func(err error) bool {
		fmt.Fprintln(os.Stderr, "skipped:", err)
		return true
	}})
}

// playlist returns a function that opens the files of a folder in the order of their names, and begins again after the last.
func playlist(folder string) func() (io.Reader, error) {
	var rest []string
	var file *os.File
	return func() (_ io.Reader, err error) {
		file.Close() // the one before
		if len(rest) == 0 {
			rest, _ = filepath.Glob(filepath.Join(folder, "*.o[gp]*")) // .ogg, .opus
		}
		if len(rest) == 0 {
			return nil, fmt.Errorf("there are no .ogg or .opus files in the folder %q", folder)
		}
		fmt.Println("next:", filepath.Base(rest[0]))
		file, err = os.Open(rest[0])
		rest = rest[1:]
		return file, err
	}
}
