package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/engine/node"
	"github.com/castd/castd/plugins"
)

func (a *app) pluginTestCommand() *cobra.Command {
	var set []string
	cmd := &cobra.Command{
		Use: "test PATH", Short: "Runs a plugin through everything that castd may do to it",
		Long: "Runs a plugin through everything that castd may do to it: description, handshake, health, a room, more media than it can take, missing\n" +
			"permissions, kill -9, the end of castd, another version. It is granted what it asks for, and gets a folder of its own that is deleted.",
		Example: "  castd plugin test ./castd-plugin-who\n  castd plugin test ./castd-plugin-who --set quiet=40 --json", Args: exactly(1, "the PATH of a program"),
		RunE: func(cmd *cobra.Command, args []string) error {
			out := &printer{json: a.json, w: a.out}
			failed, err := plugins.Test(cmd.Context(), args[0], plugins.Change{Set: set}, a.log, func(c plugins.Check) {
				switch {
				case a.json:
					out.object(c)
				case c.Skipped != "":
					out.text("skipped  %s: %s\n", c.Name, c.Skipped)
				case c.OK:
					out.text("ok       %s (%d ms)\n", c.Name, c.Took.Milliseconds())
				default:
					out.text("FAILED   %s: %s\n", c.Name, c.Problem)
				}
			})
			switch {
			case stopped(cmd.Context()):
				return nil
			case err != nil:
				return err
			case failed == 1:
				return errors.New("1 check failed")
			case failed > 0:
				return fmt.Errorf("%d checks failed", failed)
			}
			return nil
		},
	}
	cmd.Flags().StringArrayVar(&set, "set", nil, "`KEY=VALUE` of a setting; repeatable")
	a.jsonFlag(cmd.Flags())
	return cmd
}

// attachFlag is of castd plugin run alone.
const attachFlag = "attach"

// rebuildLook is how often plugin run looks whether its file has been built anew.
const rebuildLook = 500 * time.Millisecond

func (a *app) pluginRunCommand() *cobra.Command {
	var c plugins.Change
	var room, mode, attach string
	cmd := &cobra.Command{
		Use: "run PATH | --attach LINE", Short: "Tries a plugin out, in a room of its own with something to hear",
		Long: "Tries a plugin out: in a peer of its own that nobody else can reach, with a room in which a test picture and sound play in a loop. The\n" +
			"plugin is granted what it asks for, unless --grant says less. When the file is built anew the new one takes the place of the old one.\n" +
			"What the plugin logs is shown; its folder is deleted at the end.\n\n" +
			"To debug a plugin, start it yourself with the argument attach, and pass the line on that it prints. It is not confined then, may stand at\n" +
			"a breakpoint for as long as it likes, and lives on when this command ends, so that it can be attached to again.",
		Example: "  castd plugin run ./castd-plugin-who\n  castd plugin run ./castd-plugin-who --set quiet=40 --log-level debug\n" +
			"  dlv exec ./castd-plugin-who -- attach\n  castd plugin run --attach '{\"socket\":...'",
		Args: between(0, 1, "the PATH of a program"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if mode != "broadcast" && mode != "conference" {
				return usagef("%q is not a mode: write --mode broadcast or --mode conference", mode)
			}
			all := !cmd.Flags().Changed("grant")
			spec := engine.RoomSpec{Room: room, Create: true, Mode: mode}
			switch {
			case attach != "" && len(args) > 0:
				return usagef("with --%s castd starts no program: leave out %q", attachFlag, args[0])
			case attach != "":
				return ending(cmd.Context(), a.attachPlugin(cmd.Context(), attach, c, all, spec))
			case len(args) == 0:
				return usagef("%s needs the PATH of a program; see %s --help", cmd.CommandPath(), cmd.CommandPath())
			}
			return ending(cmd.Context(), a.tryPlugin(cmd.Context(), args[0], c, all, spec))
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&c.Grant, "grant", nil, "`PERMISSIONS` that it gets (default all that it asks for)")
	f.StringArrayVar(&c.Set, "set", nil, "`KEY=VALUE` of a setting; repeatable")
	f.StringVar(&attach, attachFlag, "", "`LINE` that the program printed when you started it with the argument attach")
	f.StringVar(&room, "room", "test", "name of the `ROOM`")
	f.StringVar(&mode, "mode", "broadcast", "what the room is: broadcast or conference")
	return cmd
}

// tryPlugin is castd plugin run.
func (a *app) tryPlugin(ctx context.Context, path string, c plugins.Change, all bool, spec engine.RoomSpec) error {
	dir, err := os.MkdirTemp("", "castd-plugin-run-")
	if err != nil {
		return fmt.Errorf("make room for the plugin: %w", err)
	}
	defer os.RemoveAll(dir)
	store := plugins.OpenStore(dir)
	install := func() (string, error) {
		p, err := store.Install(ctx, path, "", c)
		if err == nil && all {
			p, err = store.Enable(p.Name, plugins.Change{Grant: p.Permissions})
		}
		return p.Name, err
	}
	name, err := install()
	if err != nil {
		return err
	}
	host := plugins.NewHost(plugins.Config{Store: store, Version: version(), Log: a.log})
	text := fmt.Sprintf("Plugin %s runs in the room %s, with its folder %s; Ctrl-C ends it.\n", name, spec.Room, store.Folder(name))
	return a.runRoom(ctx, dir, host, spec, text, func() error { return a.followFile(ctx, path, host, install) })
}

// attachPlugin is castd plugin run --attach.
func (a *app) attachPlugin(ctx context.Context, line string, c plugins.Change, all bool, spec engine.RoomSpec) error {
	attached, err := plugins.ParseAttached(line, c, all)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "castd-plugin-run-")
	if err != nil {
		return fmt.Errorf("make room for the plugin: %w", err)
	}
	defer os.RemoveAll(dir)
	host := plugins.NewHost(plugins.Config{Store: plugins.OpenStore(dir), Version: version(), Attached: attached, Log: a.log})
	text := fmt.Sprintf("The room %s is there for the plugin %s; Ctrl-C detaches from it, and it lives on.\n", spec.Room, attached.Name())
	return a.runRoom(ctx, dir, host, spec, text, func() error { return a.followAttached(ctx, host) })
}

// followAttached shows how the plugin is that castd has attached to, until ctx ends or it is gone.
func (a *app) followAttached(ctx context.Context, host *plugins.Host) error {
	tick := time.NewTicker(rebuildLook)
	defer tick.Stop()
	told := ""
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
		list, err := host.Status()
		switch {
		case err != nil || len(list) == 0:
		case list[0].State == plugins.StateFailed:
			return engine.NewUserError(plugins.CodeBadPlugin, list[0].Problem)
		case list[0].Problem != told:
			if told = list[0].Problem; told != "" {
				fmt.Fprintln(a.out, told)
			}
		}
	}
}

// runRoom runs a peer that nobody else can reach, in dir, with a room for the host's plugin, while follow does. text is shown when all is there.
func (a *app) runRoom(ctx context.Context, dir string, host *plugins.Host, spec engine.RoomSpec, text string, follow func() error) error {
	o := node.DefaultOptions()
	o.DataDir, o.HTTP, o.NoMDNS, o.MediaPort, o.Listen, o.Log, o.Version = dir, node.NoHTTP, true, 0, []string{"/ip4/127.0.0.1/tcp/0"}, a.log, version()
	o.Plugins, o.Policy = host, host
	p, err := a.run(ctx, o)
	if err != nil {
		return err
	}
	defer a.endPlugins(host, p)
	if _, err := p.AddRoom(ctx, spec); err != nil {
		return err
	}
	if err := startPlugins(host, p); err != nil {
		return err
	}
	fmt.Fprint(a.out, text)
	if spec.Mode == "broadcast" {
		go a.playDemo(ctx, p, spec.Room)
	}
	return follow()
}

// playDemo sends the test clip into a room until ctx ends.
func (a *app) playDemo(ctx context.Context, p peer, room string) {
	clip := mediaFile{name: "the demo", data: demoClip}
	if err := p.Publish(ctx, room, clip, true, nil); err != nil && ctx.Err() == nil {
		a.log.Warn("nothing plays in the room", "err", err)
	}
}

// followFile installs the program again when its file has changed, and shows what is wrong with the plugin, until ctx ends.
func (a *app) followFile(ctx context.Context, path string, host *plugins.Host, install func() (string, error)) error {
	tick := time.NewTicker(rebuildLook)
	defer tick.Stop()
	was, _ := os.Stat(path) // Install has read it
	told := ""
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
		is, err := os.Stat(path)
		if err == nil && was != nil && (!is.ModTime().Equal(was.ModTime()) || is.Size() != was.Size()) && time.Since(is.ModTime()) > rebuildLook {
			was = is
			if _, err := install(); err != nil {
				fmt.Fprintln(a.out, sentence(err))
			} else if err := host.Reload(); err != nil {
				fmt.Fprintln(a.out, sentence(err))
			} else {
				fmt.Fprintln(a.out, "The new file runs.")
			}
		}
		list, err := host.Status()
		if err != nil || len(list) == 0 || list[0].Problem == told {
			continue
		}
		if told = list[0].Problem; told != "" {
			fmt.Fprintln(a.out, told)
		}
	}
}
