package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// completionTime bounds how long a shell waits for the names of rooms.
const completionTime = time.Second

func (a *app) completionCommand() *cobra.Command {
	shells := []string{"bash", "zsh", "fish", "powershell"}
	return &cobra.Command{
		Use:   "completion " + strings.Join(shells, "|"),
		Short: "Prints a script that makes a shell complete commands, flags, and the names of rooms",
		Long: "Prints a script that makes a shell complete commands, flags, and the names of the running peer's rooms.\n\n" +
			"bash        echo 'source <(castd completion bash)' >> ~/.bashrc\n" +
			"zsh         castd completion zsh > \"${fpath[1]}/_castd\"\n" +
			"fish        castd completion fish > ~/.config/fish/completions/castd.fish\n" +
			"powershell  castd completion powershell >> $PROFILE",
		Example:   "  castd completion bash",
		Args:      exactly(1, "a shell: "+strings.Join(shells, ", ")),
		ValidArgs: shells,
		// A script is wanted whatever the configuration says.
		PersistentPreRunE: func(*cobra.Command, []string) error { return nil },
		RunE: func(cmd *cobra.Command, args []string) error {
			root := cmd.Root()
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(a.out, true)
			case "zsh":
				return root.GenZshCompletion(a.out)
			case "fish":
				return root.GenFishCompletion(a.out, true)
			case "powershell":
				return root.GenPowerShellCompletionWithDesc(a.out)
			}
			if near := nearest(args[0], shells); near != "" {
				return usagef("there is no completion for %q; did you mean %s?", args[0], near)
			}
			return usagef("there is no completion for %q: use %s", args[0], strings.Join(shells, ", "))
		},
	}
}

// complete makes commands know what their arguments and flags can be: a first argument called ROOM and --room are names of
// rooms, choices are their words.
func (a *app) complete(cmd *cobra.Command) {
	for _, c := range cmd.Commands() {
		a.complete(c)
	}
	if words := strings.Fields(cmd.Use); len(words) > 1 && cmd.ValidArgsFunction == nil && len(cmd.ValidArgs) == 0 {
		switch strings.Trim(words[1], "[]") {
		case "ROOM":
			files := len(words) > 2 && strings.Trim(words[2], "[]") == "FILE"
			cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, begin string) ([]string, cobra.ShellCompDirective) {
				switch {
				case len(args) == 0:
					return a.roomNames(cmd, begin)
				case len(args) == 1 && files:
					return nil, cobra.ShellCompDirectiveDefault
				}
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
		case "FILE":
		default:
			cmd.ValidArgsFunction = cobra.NoFileCompletions
		}
	} else if cmd.ValidArgsFunction == nil && len(cmd.ValidArgs) == 0 && !cmd.HasSubCommands() {
		cmd.ValidArgsFunction = cobra.NoFileCompletions
	}
	seen := func(f *pflag.Flag) {
		var values func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective)
		choice, isChoice := f.Value.(*choice)
		switch {
		case isChoice:
			values = cobra.FixedCompletions(choice.allowed, cobra.ShellCompDirectiveNoFileComp)
		case f.Name == "room":
			values = func(cmd *cobra.Command, _ []string, begin string) ([]string, cobra.ShellCompDirective) {
				return a.roomNames(cmd, begin)
			}
		case f.Name == "data-dir":
			values = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
				return nil, cobra.ShellCompDirectiveFilterDirs
			}
		case f.Name == "config" || f.Name == "out" || strings.HasPrefix(f.Name, "tls-"):
			return // names of files, as shells complete by themselves
		default:
			values = cobra.NoFileCompletions
		}
		// A flag that has its own completion keeps it.
		_ = cmd.RegisterFlagCompletionFunc(f.Name, values)
	}
	cmd.Flags().VisitAll(seen)
	cmd.PersistentFlags().VisitAll(seen)
}

// roomNames lists the running peer's rooms that begin so, by name or, if that was begun, by id; nothing where no peer runs.
func (a *app) roomNames(cmd *cobra.Command, begin string) ([]string, cobra.ShellCompDirective) {
	const none = cobra.ShellCompDirectiveNoFileComp
	// Completion does not run what fills flags otherwise.
	if err := a.fill(cmd); err != nil {
		return nil, none
	}
	parent := cmd.Context()
	if parent == nil {
		parent = context.Background()
	}
	ctx, cancel := context.WithTimeout(parent, completionTime)
	defer cancel()
	p, err := connect(ctx, a.dataDir)
	if err != nil {
		return nil, none
	}
	defer p.Close()
	rooms, err := p.Rooms(ctx)
	if err != nil {
		return nil, none
	}
	var out []string
	for i := range rooms {
		r := &rooms[i]
		about := r.Mode + ", " + r.Role
		if r.Title != "" {
			about = r.Title + ", " + about
		}
		if strings.HasPrefix(strings.ToLower(r.Name), strings.ToLower(begin)) {
			out = append(out, cobra.CompletionWithDesc(r.Name, about))
		} else if strings.HasPrefix(r.Room, begin) {
			out = append(out, cobra.CompletionWithDesc(r.Room, r.Name+", "+about))
		}
	}
	return out, none
}
