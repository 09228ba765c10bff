package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/castd/castd/tree/treesim"
)

// simFlags are those of `castd sim`.
type simFlags struct {
	config treesim.Config
	svg    string
}

func (a *app) simCommand() *cobra.Command {
	f := simFlags{config: treesim.Config{Churn: -1}}
	c := &f.config
	cmd := &cobra.Command{
		Use:   "sim",
		Short: "Simulates a large room and what may befall it",
		Long: "Runs the routers of thousands of peers against a simulated network, with its latencies, uploads, address translators and\n" +
			"faults, and tells whether everybody stays served. No packet leaves this machine. The same flags give the same trace.\n\n" +
			"--scenario list names the scenarios, --scenario all runs every one. Exit code 1 says that an invariant broke.",
		Example: "  castd sim\n" +
			"  castd sim --peers 1000 --minutes 3 --scenario kill --svg kill.svg\n" +
			"  castd sim --scenario all --json",
		Args: exactly(0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.simulate(cmd.Context(), &f) },
	}
	flags := cmd.Flags()
	flags.IntVar(&c.Peers, "peers", 10_000, "`N` in the room")
	flags.Float64Var(&c.Minutes, "minutes", 10, "`M` of simulated time")
	flags.Uint64Var(&c.Seed, "seed", 1, "`S` of all that is random")
	flags.StringVar(&c.Scenario, "scenario", "steady", "`NAME` of what happens; list, or all")
	flags.StringVar(&f.svg, "svg", "", "`FILE` for pictures of the tree, its delays, and the recovery; in a folder, one for each scenario")
	a.jsonFlag(flags)
	_ = cmd.RegisterFlagCompletionFunc("scenario", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return append(simNames(), "list", "all"), cobra.ShellCompDirectiveNoFileComp
	})
	return cmd
}

func simNames() []string {
	var names []string
	for _, s := range treesim.Scenarios() {
		names = append(names, s.Name)
	}
	return names
}

// simulate runs what was asked for.
func (a *app) simulate(ctx context.Context, f *simFlags) error {
	c := &f.config
	switch {
	case c.Peers < 2 || c.Peers > 1_000_000:
		return usagef("--peers is from 2 to 1000000")
	case !(c.Minutes > 0) || c.Minutes > 24*60:
		return usagef("--minutes is more than 0 and at most 1440")
	case c.Scenario == "list":
		a.listScenarios()
		return nil
	}
	names := simNames()
	if c.Scenario != "all" {
		if !slices.Contains(names, c.Scenario) {
			if near := nearest(c.Scenario, names); near != "" {
				return usagef("there is no scenario %q; did you mean %s?", c.Scenario, near)
			}
			return usagef("there is no scenario %q; --scenario list names them", c.Scenario)
		}
		names = []string{c.Scenario}
	}
	if err := f.checkPictures(len(names)); err != nil {
		return err
	}
	broken := false
	for next := range a.runSims(ctx, *c, names) {
		run := <-next
		if run.err != nil {
			return run.err
		}
		r := run.result
		broken = broken || len(r.Broken()) > 0
		out := &printer{json: a.json, w: a.out}
		if a.json {
			out.object(r)
		} else {
			out.text("%s", simText(r, run.time, run.heap))
		}
		if f.svg != "" {
			if err := os.WriteFile(f.pictures(r.Scenario), r.Sheet(simLine(r)).SVG(), 0o644); err != nil {
				return fmt.Errorf("write pictures: %w", err)
			}
		}
	}
	if broken {
		return errors.New("an invariant broke: see the lines marked MISSED, and run it again with the same --seed")
	}
	return nil
}

// checkPictures reports what is wrong with --svg before a run of minutes finds it out.
func (f *simFlags) checkPictures(scenarios int) error {
	if f.svg == "" || isFolder(f.svg) {
		return nil
	}
	if scenarios > 1 {
		return usagef("--svg %s: of several scenarios the pictures go into a folder; name one that is there", f.svg)
	}
	if dir := filepath.Dir(f.svg); !isFolder(dir) {
		return usagef("--svg %s: there is no folder %s; make it, or write somewhere else", f.svg, dir)
	}
	return nil
}

// pictures returns the file for a scenario's pictures.
func (f *simFlags) pictures(scenario string) string {
	if isFolder(f.svg) {
		return filepath.Join(f.svg, scenario+".svg")
	}
	return f.svg
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

func (a *app) listScenarios() {
	out := &printer{json: a.json, w: a.out}
	t := table{head: []string{"SCENARIO", ">INDEX", "WHAT HAPPENS"}}
	for _, s := range treesim.Scenarios() {
		if a.json {
			out.object(struct {
				Scenario string  `json:"scenario"`
				Index    float64 `json:"resource_index"`
				What     string  `json:"what"`
			}{s.Name, s.Index, s.What})
		}
		t.row(s.Name, fmt.Sprint(s.Index), s.What)
	}
	if !a.json {
		out.text("%s", t.String())
	}
}

// simRun is a run that is over.
type simRun struct {
	result *treesim.Result
	err    error
	time   time.Duration
	heap   uint64 // octets of this process; where runs go on side by side, of all of them
}

// runSims runs scenarios, as many at a time as there are cores, and yields each one's end in order. An interrupt ends them.
func (a *app) runSims(ctx context.Context, c treesim.Config, names []string) iter.Seq[<-chan simRun] {
	return func(yield func(<-chan simRun) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		line := a.statusLine()
		defer line.end()
		cores := make(chan struct{}, runtime.GOMAXPROCS(0))
		ends := make([]chan simRun, len(names))
		for i, name := range names {
			ends[i] = make(chan simRun, 1)
			go func() {
				select {
				case cores <- struct{}{}:
					ends[i] <- runSim(ctx, c, name, line)
					<-cores
				case <-ctx.Done():
					ends[i] <- simRun{err: ctx.Err()}
				}
			}()
		}
		for _, end := range ends {
			if !yield(end) {
				return
			}
		}
	}
}

func runSim(ctx context.Context, c treesim.Config, name string, line *statusLine) simRun {
	c.Scenario = name
	begin := time.Now()
	c.Progress = func(share float64) bool {
		line.show(fmt.Sprintf("%s: %.0f %% after %s", name, 100*share, clock(time.Since(begin))))
		return ctx.Err() == nil
	}
	r, err := treesim.Run(c)
	if errors.Is(err, treesim.ErrStopped) {
		err = ctx.Err()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return simRun{r, err, time.Since(begin), m.HeapSys - m.HeapReleased}
}

// simText is the table of a run.
func simText(r *treesim.Result, spent time.Duration, heap uint64) string {
	t := table{head: []string{"MEASURE", ">VALUE", "TARGET", ""}}
	for _, row := range r.Rows() {
		verdict := ""
		switch {
		case row.Target == "":
		case row.OK:
			verdict = "ok"
		default:
			verdict = "MISSED"
		}
		t.row(row.Name, row.Value, row.Target, verdict)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n%s\n", simLine(r), &t)
	fmt.Fprintf(&b, "%d events, %d steps in %.1f s, %s of memory; trace %s\n\n", r.Events, r.Steps, spent.Seconds(), formatSize(heap), r.Trace)
	return b.String()
}

// simLine is the command that gives this run again.
func simLine(r *treesim.Result) string {
	return fmt.Sprintf("castd sim --scenario %s --peers %d --minutes %v --seed %d", r.Scenario, r.Peers, r.Minutes, r.Seed)
}
