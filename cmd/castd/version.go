package main

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/castd/castd/mixer/opus"
)

// release is the version of a build that no module version says.
const release = "0.1.0-dev"

func (a *app) versionCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Shows what this program was built from",
		Example: "  castd version --json",
		Args:    between(0, 0, ""),
		RunE: func(*cobra.Command, []string) error {
			v := struct {
				Version string `json:"version"`
				Go      string `json:"go"`
				Commit  string `json:"commit,omitempty"`
				Dirty   bool   `json:"modified,omitempty"`
				OS      string `json:"os"`
				Arch    string `json:"arch"`
				Opus    string `json:"opus"`
			}{Version: version(), Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH, Opus: opus.Backend()}
			v.Commit, v.Dirty = commit()
			out := &printer{json: a.json, w: a.out}
			if a.json {
				out.object(v)
				return nil
			}
			out.text("castd %s, %s, %s/%s\n", v.Version, v.Go, v.OS, v.Arch)
			if v.Commit != "" {
				changed := ""
				if v.Dirty {
					changed = ", with changes"
				}
				out.text("commit %s%s\n", v.Commit, changed)
			}
			out.text("%s\n", v.Opus)
			return nil
		},
	}
	a.jsonFlag(cmd.Flags())
	return cmd
}

// version is the module's version, or the release that is being worked on.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return release
}

// commit returns the revision that the program was built from, and whether the files differed from it.
func commit() (revision string, modified bool) {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "", false
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			revision = s.Value
		case "vcs.modified":
			modified = s.Value == "true"
		}
	}
	return revision, modified
}
