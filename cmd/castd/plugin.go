package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/castd/castd/plugins"
)

func (a *app) pluginCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "plugin",
		Short: "Installs plugins, says what they may do, and shows how they are",
		Long: "Installs plugins, says what they may do, and shows how they are. A plugin is a program of its own that castd start runs; it may do\n" +
			"what it was granted and nothing else. What is changed here takes effect at once, also where castd is running.",
		Example: "  castd plugin install ./castd-plugin-who --grant rooms,audio\n  castd plugin list\n  castd plugin enable who --set folder=minutes",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return unknownCommand(cmd, args[0])
		},
		Args: cobra.ArbitraryArgs,
	}
	cmd.AddCommand(a.pluginListCommand(), a.pluginInfoCommand(), a.pluginInstallCommand(), a.pluginEnableCommand(), a.pluginDisableCommand(),
		a.pluginRemoveCommand(), a.pluginVerifyCommand(), a.pluginTestCommand(), a.pluginRunCommand())
	return cmd
}

func (a *app) pluginStore() *plugins.Store { return plugins.OpenStore(a.dataDir) }

// pluginStatus asks the running peer, or the files where there is none. With reload the peer looks at the files first.
func (a *app) pluginStatus(ctx context.Context, reload bool) ([]plugins.Status, error) {
	p, err := connect(ctx, a.dataDir)
	if errors.Is(err, errNoPeer) {
		return a.pluginStore().Status()
	}
	if err != nil {
		return nil, err
	}
	defer p.Close()
	method := http.MethodGet
	if reload {
		method = http.MethodPost
	}
	var all []plugins.Status
	if err := p.call(ctx, method, "plugins", nil, &all); err != nil {
		if exitCode(err) == exitNotFound { // it is a peer of castd listen or publish, which runs no plugins
			return a.pluginStore().Status()
		}
		return nil, err
	}
	return all, nil
}

// pluginChanged shows a plugin after a change, and fails where it does not run as it should.
func (a *app) pluginChanged(ctx context.Context, name, text string) error {
	all, err := a.pluginStatus(ctx, true)
	if err != nil {
		return err
	}
	out := &printer{json: a.json, w: a.out}
	for i := range all {
		if s := &all[i]; s.Name == name {
			if a.json {
				out.object(s)
			} else {
				out.text("%s", text)
				if s.State != plugins.StateDisabled && s.State != plugins.StateStopped {
					out.text("It is %s.\n", s.State)
				}
				if s.Problem != "" {
					out.text("%s\n", s.Problem)
				} else if missing := without(s.Permissions, s.Granted); len(missing) > 0 {
					out.text("It asks for %s, which it was not granted: castd plugin enable %s --grant %s\n", strings.Join(missing, ", "), name, strings.Join(missing, ","))
				}
			}
			return nil
		}
	}
	if !a.json {
		out.text("%s", text)
	}
	return nil
}

func without(all, some []string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(s string) bool { return slices.Contains(some, s) })
}

func (a *app) pluginListCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "list", Short: "Lists the plugins and how they are", Example: "  castd plugin list\n  castd plugin list --json", Args: between(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := a.pluginStatus(cmd.Context(), false)
			if err != nil {
				return err
			}
			out := &printer{json: a.json, w: a.out}
			t := table{head: []string{"PLUGIN", "VERSION", "STATE", "GRANTED", ">RESTARTS"}}
			var problems []string
			for i := range all {
				s := &all[i]
				if a.json {
					out.object(s)
					continue
				}
				granted := strings.Join(s.Granted, ",")
				if granted == "" {
					granted = "nothing"
				}
				t.row(s.Name, s.Version, s.State, granted, fmt.Sprint(s.Restarts))
				for _, text := range []string{s.Problem, s.Hint} {
					if text != "" {
						problems = append(problems, text)
					}
				}
			}
			switch {
			case a.json:
			case len(all) == 0:
				out.text("No plugin is installed: castd plugin install PATH adds one.\n")
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

func (a *app) pluginInfoCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "info NAME|PATH", Short: "Says what a plugin is, what it asks for, and what can be set",
		Long:    "Says what a plugin is, what it asks for, and what can be set: of an installed one by its name, of any other by its file, which is run to describe itself.",
		Example: "  castd plugin info who\n  castd plugin info ./castd-plugin-who", Args: exactly(1, "a NAME or a PATH"),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := a.pluginInfo(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			out := &printer{json: a.json, w: a.out}
			if a.json {
				out.object(p)
				return nil
			}
			out.text("%s %s", p.Name, p.Version)
			if p.Summary != "" {
				out.text(": %s", p.Summary)
			}
			out.text("\n  capabilities  %s\n  asks for      %s\n", orNothing(p.Capabilities), orNothing(p.Permissions))
			if p.SHA256 != "" {
				rooms := "all"
				if len(p.Rooms) > 0 {
					rooms = strings.Join(p.Rooms, ", ")
				}
				out.text("  granted       %s\n  rooms         %s\n  SHA-256       %s\n  from          %s\n", orNothing(p.Granted), rooms, p.SHA256, p.Source)
				a.showRunning(cmd.Context(), out, p.Name)
			}
			t := table{head: []string{"SETTING", "TYPE", "VALUE", "MEANING"}}
			for _, s := range p.SettingsShown() {
				t.row(s.Key, s.Type, s.Value, s.Help)
			}
			if len(p.Config) > 0 {
				out.text("%s", t.String())
			}
			return nil
		},
	}
	a.jsonFlag(cmd.Flags())
	return cmd
}

// showRunning says how a plugin is, and what keeps it from what it was not granted, where castd is running.
func (a *app) showRunning(ctx context.Context, out *printer, name string) {
	all, err := a.pluginStatus(ctx, false)
	if err != nil {
		return // it is the files that were asked for
	}
	for i := range all {
		s := &all[i]
		if s.Name != name {
			continue
		}
		out.text("  state         %s\n", s.State)
		if len(s.Confinement) > 0 {
			out.text("  kept in by    %s\n", strings.Join(s.Confinement, ", "))
		}
		for _, text := range []string{s.Problem, s.Hint} {
			if text != "" {
				out.text("%s\n", text)
			}
		}
	}
}

func orNothing(list []string) string {
	if len(list) == 0 {
		return "nothing"
	}
	return strings.Join(list, ", ")
}

// pluginInfo describes an installed plugin, or a file.
func (a *app) pluginInfo(ctx context.Context, what string) (*plugins.Installed, error) {
	if !strings.ContainsAny(what, `/\`) {
		p, err := a.pluginStore().Find(what)
		if err != nil {
			return nil, err
		}
		p.HideSecrets()
		return &p, nil
	}
	d, err := plugins.DescribeFile(ctx, what)
	if err != nil {
		return nil, err
	}
	return &plugins.Installed{Description: *d}, nil
}

// changeFlags adds the flags of what an operator says of a plugin.
func changeFlags(f *pflag.FlagSet, c *plugins.Change) {
	f.StringSliceVar(&c.Grant, "grant", nil, "`PERMISSIONS` that it gets, of those that it asks for, separated by commas")
	f.StringSliceVar(&c.Rooms, "rooms", nil, "`ROOMS` that it may see, separated by commas (default all)")
	f.StringVar(&c.WhenDown, "when-down", "", "of a plugin that decides who may come in: what counts while it does not answer, `deny` or allow (default deny)")
	f.StringArrayVar(&c.Set, "set", nil, "`KEY=VALUE` of a setting; repeatable")
}

func (a *app) pluginInstallCommand() *cobra.Command {
	var c plugins.Change
	var sum string
	cmd := &cobra.Command{
		Use: "install PATH", Short: "Installs a plugin from a file, or a newer version of one",
		Long: "Installs a plugin from a file, or a newer version of one, which keeps what was granted and set. The file is copied into the data folder\n" +
			"and its checksum is pinned: nothing else is run. It is enabled, and gets no permissions but those of --grant.",
		Example: "  castd plugin install ./castd-plugin-who --grant rooms,audio\n  castd plugin install ./castd-plugin-who --sha256 9f86d08...", Args: exactly(1, "the PATH of a program"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !cmd.Flags().Changed("rooms") {
				c.Rooms = nil
			}
			p, err := a.pluginStore().Install(cmd.Context(), args[0], sum, c)
			if err != nil {
				return err
			}
			return a.pluginChanged(cmd.Context(), p.Name, "Plugin "+p.Name+" "+p.Version+" is installed.\n")
		},
	}
	f := cmd.Flags()
	changeFlags(f, &c)
	f.StringVar(&sum, "sha256", "", "refuse a file whose SHA-256 is not `HEX`")
	a.jsonFlag(f)
	return cmd
}

func (a *app) pluginEnableCommand() *cobra.Command {
	var c plugins.Change
	cmd := &cobra.Command{
		Use: "enable NAME", Short: "Lets a plugin run, and changes what it may do and how it is set",
		Long:    "Lets a plugin run, and changes what it may do and how it is set. It also starts again one that has failed.",
		Example: "  castd plugin enable who --grant audio --rooms lobby\n  castd plugin enable who --revoke audio --set folder=minutes", Args: exactly(1, "the NAME of a plugin"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("rooms") && len(c.Rooms) == 1 && c.Rooms[0] == "all" {
				c.Rooms = []string{}
			}
			p, err := a.pluginStore().Enable(args[0], c)
			if err != nil {
				return err
			}
			return a.pluginChanged(cmd.Context(), p.Name, "Plugin "+p.Name+" is enabled.\n")
		},
	}
	f := cmd.Flags()
	changeFlags(f, &c)
	f.Lookup("rooms").Usage = "`ROOMS` that it may see, separated by commas, or all"
	f.StringSliceVar(&c.Revoke, "revoke", nil, "`PERMISSIONS` that it loses, separated by commas")
	a.jsonFlag(f)
	return cmd
}

func (a *app) pluginDisableCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "disable NAME", Short: "Ends a plugin, and keeps it from running", Example: "  castd plugin disable who", Args: exactly(1, "the NAME of a plugin"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.pluginStore().Disable(args[0]); err != nil {
				return err
			}
			return a.pluginChanged(cmd.Context(), args[0], "Plugin "+args[0]+" is disabled.\n")
		},
	}
	a.jsonFlag(cmd.Flags())
	return cmd
}

func (a *app) pluginRemoveCommand() *cobra.Command {
	var purge bool
	cmd := &cobra.Command{
		Use: "remove NAME", Short: "Ends a plugin and removes it", Example: "  castd plugin remove who\n  castd plugin remove who --purge", Args: exactly(1, "the NAME of a plugin"),
		RunE: func(cmd *cobra.Command, args []string) error {
			name := args[0]
			// It ends first, so that it can finish what it writes to the folder that --purge removes.
			if err := a.pluginStore().Disable(name); err != nil {
				return err
			}
			if _, err := a.pluginStatus(cmd.Context(), true); err != nil {
				return err
			}
			if err := a.pluginStore().Remove(name, purge); err != nil {
				return err
			}
			return a.pluginChanged(cmd.Context(), name, "Plugin "+name+" is removed.\n")
		},
	}
	cmd.Flags().BoolVar(&purge, "purge", false, "also delete its folder and what it kept")
	a.jsonFlag(cmd.Flags())
	return cmd
}

func (a *app) pluginVerifyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "verify [NAME]", Short: "Compares plugins with what was installed", Example: "  castd plugin verify\n  castd plugin verify who", Args: between(0, 1, "the NAME of a plugin"),
		RunE: func(_ *cobra.Command, args []string) error {
			s := a.pluginStore()
			all, err := s.List()
			if err != nil {
				return err
			}
			if len(args) > 0 {
				p, err := s.Find(args[0])
				if err != nil {
					return err
				}
				all = []plugins.Installed{p}
			}
			out := &printer{json: a.json, w: a.out}
			var first error
			for i := range all {
				p := &all[i]
				err := s.Verify(p)
				if a.json {
					out.object(verified{Name: p.Name, SHA256: p.SHA256, OK: err == nil, Problem: problemText(err)})
				} else if err == nil {
					out.text("%s is as it was installed\n", p.Name)
				}
				switch {
				case err == nil:
				case first == nil:
					first = err
				case !a.json:
					out.text("%s\n", sentence(err))
				}
			}
			return first
		},
	}
	a.jsonFlag(cmd.Flags())
	return cmd
}

// verified is what verify prints with --json.
type verified struct {
	Name    string `json:"name"`
	SHA256  string `json:"sha256"`
	OK      bool   `json:"ok"`
	Problem string `json:"problem,omitempty"`
}

func problemText(err error) string {
	if err == nil {
		return ""
	}
	return sentence(err)
}
