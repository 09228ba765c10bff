package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/castd/castd/engine/node"
)

// app is what the commands of one run share: the flags that all of them have, and the surroundings.
type app struct {
	streams
	// start runs a peer in this process.
	start func(context.Context, node.Options) (runningNode, error)

	config   string
	dataDir  string
	logLevel choice
	logForm  choice
	json     bool
	log      *slog.Logger
}

// newRoot puts the commands together.
func newRoot(s *streams) *cobra.Command { return newApp(s, startNode).root() }

func newApp(s *streams, start func(context.Context, node.Options) (runningNode, error)) *app {
	return &app{
		streams:  *s,
		start:    start,
		dataDir:  node.DefaultOptions().DataDir,
		logLevel: choice{"info", []string{"debug", "info", "warn", "error"}},
		logForm:  choice{"text", []string{"text", "json"}},
		log:      slog.New(slog.DiscardHandler),
	}
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "castd COMMAND",
		Short: "Opens a room; whoever joins it lends it upload",
		Long: "castd opens a room for live audio and video. There is no server: the peers of a room carry it to each other.\n" +
			"Each flag is also an environment variable (--data-dir is CASTD_DATA_DIR) and a key of the YAML file named by --config;\n" +
			"a flag beats a variable, a variable beats the file.",
		Example: "  castd start --room lobby            open a room\n" +
			"  castd publish lobby concert.webm    send a file into it\n" +
			"  castd listen lobby --out copy.webm  join the audience and keep what comes",
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return a.otherCommand(cmd, args)
		},
		Args:              cobra.ArbitraryArgs,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return a.prepare(cmd) },
	}
	f := root.PersistentFlags()
	f.StringVar(&a.config, "config", "", "YAML `FILE` with flags as keys")
	f.StringVar(&a.dataDir, "data-dir", a.dataDir, "`DIR` with keys, saved peers and the running peer's socket")
	f.Var(&a.logLevel, "log-level", "how much to log on standard error")
	f.Var(&a.logForm, "log-format", "how to log")

	root.AddCommand(a.startCommand(), a.listenCommand(), a.publishCommand(), a.statusCommand(), a.treeCommand(),
		a.roomsCommand(), a.roomCommand(), a.peersCommand(), a.portsCommand(), a.configCommand(), a.completionCommand(),
		a.inviteCommand(), a.pluginCommand(), a.recordCommand(), a.idCommand(), a.versionCommand(), a.benchCommand(), a.simCommand())
	root.Flags().SetInterspersed(false) // the flags of a plugin's command are the plugin's
	help := root.HelpFunc()
	root.SetHelpFunc(func(cmd *cobra.Command, args []string) {
		if help(cmd, args); cmd == root {
			a.helpPlugins(root)
		}
	})
	a.complete(root)
	root.SetFlagErrorFunc(flagError)
	root.SetHelpCommand(helpCommand(root))
	return root
}

// helpCommand is `castd help COMMAND`; cobra's own ends with success for a command that there is not.
func helpCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:     "help [COMMAND]",
		Short:   "Explains a command",
		Example: "  castd help publish",
		Args:    cobra.ArbitraryArgs,
		RunE: func(_ *cobra.Command, args []string) error {
			cmd, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 {
				return unknownCommand(root, args[len(args)-max(1, len(rest))])
			}
			return cmd.Help()
		},
	}
}

// prepare fills the flags from the environment and the file, and makes the logger.
func (a *app) prepare(cmd *cobra.Command) error {
	if err := a.fill(cmd); err != nil {
		return err
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(a.logLevel.value)); err != nil {
		return fmt.Errorf("read log level: %w", err)
	}
	a.log = a.logger(a.err)
	return nil
}

// logger returns a logger to w, as the flags say.
func (a *app) logger(w io.Writer) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(a.logLevel.value)) // prepare has told
	o := &slog.HandlerOptions{Level: level}
	if a.logForm.value == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

// jsonFlag gives a command the flag --json.
func (a *app) jsonFlag(f *pflag.FlagSet) {
	f.BoolVar(&a.json, "json", false, "print one JSON object a line")
}

// exactly wants n arguments and says which when they are not there.
func exactly(n int, names string) cobra.PositionalArgs { return between(n, n, names) }

func between(least, most int, names string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			return usagef("%s needs %s; see %s --help", cmd.CommandPath(), names, cmd.CommandPath())
		case len(args) > most && most == 0:
			return usagef("%s takes no arguments, but there is %q; see %s --help", cmd.CommandPath(), args[most], cmd.CommandPath())
		case len(args) > most:
			return usagef("%s takes only %s, but there is %q as well; see %s --help", cmd.CommandPath(), names, args[most], cmd.CommandPath())
		}
		return nil
	}
}

func unknownCommand(cmd *cobra.Command, name string) error {
	var names []string
	for _, c := range cmd.Commands() {
		names = append(names, c.Name())
	}
	if near := nearest(name, names); near != "" {
		return usagef("there is no command %q; did you mean %s %s?", name, cmd.CommandPath(), near)
	}
	return usagef("there is no command %q; %s --help lists them", name, cmd.CommandPath())
}

// flagError makes sentences of pflag's errors.
func flagError(cmd *cobra.Command, err error) error {
	var missing *pflag.NotExistError
	var value *pflag.ValueRequiredError
	var invalid *pflag.InvalidValueError
	switch {
	case errors.As(err, &missing) && missing.GetSpecifiedName() == attachFlag:
		return usagef("%s attaches to no plugin that somebody else has started: castd plugin run does, for its author to debug it", cmd.CommandPath())
	case errors.As(err, &missing):
		name := "--" + missing.GetSpecifiedName()
		if s := missing.GetSpecifiedShortnames(); s != "" {
			name = "-" + missing.GetSpecifiedName()
		}
		var names []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
		if near := nearest(missing.GetSpecifiedName(), names); near != "" {
			return usagef("%s has no flag %s; did you mean --%s?", cmd.CommandPath(), name, near)
		}
		return usagef("%s has no flag %s; see %s --help", cmd.CommandPath(), name, cmd.CommandPath())
	case errors.As(err, &value):
		return usagef("--%s needs a value; see %s --help", value.GetSpecifiedName(), cmd.CommandPath())
	case errors.As(err, &invalid):
		return usagef("--%s: %s", invalid.GetFlag().Name, cause(invalid))
	}
	return usagef("%s; see %s --help", strings.TrimSuffix(err.Error(), "."), cmd.CommandPath())
}

// cause returns what a flag's value said, without pflag's words around it.
func cause(err error) string {
	if number, ok := errors.AsType[*strconv.NumError](err); ok {
		if number.Func == "ParseBool" {
			return fmt.Sprintf("%q is neither true nor false", number.Num)
		}
		return fmt.Sprintf("%q is not a number that fits", number.Num)
	}
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(err) {
		err = inner
	}
	return err.Error()
}
