package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/node"
	"github.com/castd/castd/plugins"
)

func (a *app) startCommand() *cobra.Command {
	var flags peerFlags
	var rooms []string
	var title string
	var mode string
	var private bool
	var also []string
	var stats span
	cmd := &cobra.Command{
		Use:   "start --room ROOM",
		Short: "Runs a peer until it is stopped: creates or joins rooms, serves the page and the API",
		Long: "Runs a peer until it is stopped. A room is a name, a room id or an invite link; a name that nobody in reach knows becomes\n" +
			"a room of yours. The page and the API are at http://127.0.0.1:8470.",
		Example: "  castd start --room lobby\n  castd start --room club --private\n  castd start --room talk --mode conference\n  castd start --room lobby --room stage --upload 20M --json",
		Args:    between(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			o, err := flags.options(a)
			if err != nil {
				return err
			}
			if !cmd.Flags().Changed("mode") {
				mode = "" // a room stays what it is
			} else if mode != "broadcast" && mode != "conference" {
				return usagef("%q is not a mode: write --mode broadcast or --mode conference", mode)
			}
			var specs []engine.RoomSpec
			for _, r := range rooms {
				spec := engine.RoomSpec{Room: r, Create: true, Title: title, Mode: mode}
				if cmd.Flags().Changed("private") {
					spec.Private = &private
				}
				specs = append(specs, spec)
			}
			return ending(cmd.Context(), a.runPeer(cmd.Context(), o, stats, specs, also))
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&rooms, "room", nil, "`ROOM` to create or join: a name, an id or an invite link; repeatable")
	f.StringVar(&title, "title", "", "what the rooms that are created are called for people")
	f.StringVar(&mode, "mode", "broadcast", "what a room of yours is: broadcast, in which few send, or conference, in which all talk")
	f.BoolVar(&private, "private", false, "let only those in who have an invite; --private=false opens a room to all again")
	f.StringArrayVar(&also, "plugin", nil, "`NAME` of a plugin that is installed and not enabled, to run it this time; repeatable")
	f.Var(&stats, "stats", "print statistics so often, like 1s")
	f.Lookup("stats").DefValue = ""
	a.jsonFlag(f)
	flags.register(f, node.DefaultHTTP)
	return cmd
}

// runPeer is `castd start`. It returns when ctx ends, after the goodbye.
func (a *app) runPeer(ctx context.Context, o node.Options, stats span, specs []engine.RoomSpec, also []string) error {
	host := plugins.NewHost(plugins.Config{
		Store: plugins.OpenStore(a.dataDir), Version: version(), Also: also, Own: []plugins.Own{ownRecording(a.dataDir)}, Log: a.log,
	})
	recordings := newArchive(host, a.dataDir, a.log)
	o.Plugins, o.Archive, o.Policy = host, recordings, host
	p, err := a.run(ctx, o)
	if err != nil {
		return err
	}
	defer a.endPlugins(host, p)
	defer recordings.close()
	if err := startPlugins(host, p); err != nil {
		return err
	}
	if local, ok := p.(*localPeer); ok {
		recordings.start(local.svc)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s, _, err := open(ctx, p, &printer{json: a.json, w: a.out, broken: cancel}, stats.duration(), specs)
	if err != nil {
		return err
	}
	<-ctx.Done()
	<-s.ended
	return context.Cause(ctx)
}

// endPlugins ends a peer and its plugins: at the same time, as both have the same seconds. Rooms end first for a plugin.
func (a *app) endPlugins(h *plugins.Host, p peer) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		limit, cancel := context.WithTimeout(context.Background(), goodbye)
		defer cancel()
		h.Close(limit)
	}()
	p.Close()
	<-ended
}

// startPlugins runs the plugins with a peer of this process.
func startPlugins(h *plugins.Host, p peer) error {
	local, ok := p.(*localPeer)
	if !ok {
		return nil
	}
	emit := func(engine.Event) {}
	if e, ok := local.node.(interface{ Emit(engine.Event) }); ok {
		emit = e.Emit
	}
	return h.Start(local.svc, emit)
}

// ending returns the error of a command that ran until it was stopped: being stopped is none.
func ending(ctx context.Context, err error) error {
	if stopped(ctx) {
		return nil
	}
	return err
}
