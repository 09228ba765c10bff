package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/castd/castd/plugins"
	"github.com/castd/castd/plugins/recording"
)

func main() {
	plugins.Launch()
	if len(os.Args) == 2 && os.Args[1] == recordingArg {
		recording.Serve()
	}
	ctx, stop := withSignals(context.Background())
	code := run(ctx, os.Args[1:], streams{in: os.Stdin, out: os.Stdout, err: os.Stderr, env: os.LookupEnv, variables: os.Environ})
	stop()
	os.Exit(code)
}

// streams are the surroundings of one run: what it reads, writes and is configured by.
type streams struct {
	in  io.Reader
	out io.Writer
	err io.Writer
	env func(key string) (string, bool)
	// variables lists the whole environment as "key=value"; nil: nothing.
	variables func() []string
}

// run executes one command line and returns the exit code. It may run several times in one process, also at once.
func run(ctx context.Context, args []string, s streams) int {
	root := newRoot(&s)
	root.SetArgs(args)
	root.SetIn(s.in)
	root.SetOut(s.out)
	root.SetErr(s.err)
	err := root.ExecuteContext(ctx)
	if said := (*exitError)(nil); err != nil && !errors.As(err, &said) {
		fmt.Fprintf(s.err, "castd: %s\n", sentence(err))
	}
	return exitCode(err)
}
