package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/castd/castd/engine"
	"github.com/castd/castd/plugins"
)

// A plugin may have a command of its name. castd's own commands come first: nothing else is looked for among the plugins.

// exitError is the exit code of a plugin's command, which has said itself what is wrong.
type exitError struct{ code int }

func (e *exitError) Error() string { return fmt.Sprintf("exit code %d", e.code) }

// pluginCommands lists the plugins with a command.
func (a *app) pluginCommands() []plugins.Installed {
	store := a.pluginStore()
	if store.Empty() {
		return nil
	}
	all, err := store.List()
	if err != nil {
		return nil // castd plugin list tells
	}
	return slices.DeleteFunc(all, func(p plugins.Installed) bool { return !p.Commands() })
}

// otherCommand runs the command of a plugin, or says that there is none.
func (a *app) otherCommand(cmd *cobra.Command, args []string) error {
	i := slices.IndexFunc(a.pluginCommands(), func(p plugins.Installed) bool { return p.Name == args[0] })
	if i < 0 {
		return unknownCommand(cmd, args[0])
	}
	return a.runPluginCommand(cmd.Context(), args[0], args[1:])
}

// helpPlugins lists the commands of plugins below the others.
func (a *app) helpPlugins(root *cobra.Command) {
	if err := a.fill(root); err != nil {
		return // the command itself tells
	}
	all := a.pluginCommands()
	if len(all) == 0 {
		return
	}
	fmt.Fprintf(a.out, "\nCommands of plugins:\n")
	for _, p := range all {
		fmt.Fprintf(a.out, "  %-11s %s\n", p.Name, p.Summary)
	}
}

// maxCommandInput bounds what is read of standard input, in octets.
const maxCommandInput = 1 << 20

// runPluginCommand has the running peer's plugin run a command. With the argument - it gets standard input.
func (a *app) runPluginCommand(ctx context.Context, name string, args []string) error {
	p, err := connect(ctx, a.dataDir)
	if errors.Is(err, errNoPeer) {
		return notFoundf("%s is a command of a plugin, and no castd is running on the data folder %s that could ask it: start one with castd start", name, a.dataDir)
	}
	if err != nil {
		return err
	}
	defer p.Close()
	spec := plugins.RunSpec{Args: args}
	if slices.Contains(args, "-") {
		if spec.Input, err = io.ReadAll(io.LimitReader(a.in, maxCommandInput+1)); err != nil {
			return fmt.Errorf("read standard input: %w", err)
		}
		if len(spec.Input) > maxCommandInput {
			return usagef("standard input has more than %d MiB, which is too much for a plugin's command", maxCommandInput>>20)
		}
	}
	body, err := json.Marshal(&spec)
	if err != nil {
		return fmt.Errorf("encode request: %w", err)
	}
	resp, err := p.do(ctx, http.MethodPost, "plugins/"+url.PathEscape(name)+":run", "application/json", bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	for lines := json.NewDecoder(resp.Body); ; {
		var part plugins.RunPart
		if err := lines.Decode(&part); err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return errors.New("the running peer went away")
		}
		if _, err := a.out.Write(part.Out); err != nil {
			return fmt.Errorf("write: %w", err)
		}
		_, _ = a.err.Write(part.Err) // there is nowhere else to say so
		switch {
		case part.Problem != "":
			return engine.NewUserError(plugins.CodeBadPlugin, strings.TrimSpace(part.Problem))
		case part.Exit == nil:
		case *part.Exit == exitDone:
			return nil
		default:
			return &exitError{*part.Exit}
		}
	}
}
